"Image folders, CIFAR-10's binary version and Visual Wake Words, from small files made here."

import io
import json
import os
import pickle
import tarfile
import warnings
import zlib
from hashlib import md5

import numpy as np
import pytest
import torch
from PIL import Image

from analognas.core import ConfigError, DatasetInfo, FileFormatError
from analognas.datasets import archives, images
from analognas.datasets.load import load_dataset

RNG = np.random.default_rng(0)


def folder(root, classes=("a", "b"), counts=(4, 2), shape=(8, 6)):
    for split, n in zip(("train", "test"), counts, strict=True):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                Image.fromarray(RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(
                    root / split / name / f"{i}.png"
                )
    return root


def test_a_folder_of_your_own(tmp_path):
    root = folder(tmp_path / "mine")
    data = load_dataset(DatasetInfo("mine", (3, 8, 6), 2), root)
    first = np.asarray(Image.open(root / "train" / "b" / "0.png")).transpose(2, 0, 1).astype(float)
    others = np.stack(
        [
            np.asarray(Image.open(f)).transpose(2, 0, 1)
            for f in sorted((root / "train").rglob("*.png"))
        ]
    ).astype(float)
    mean, std = others.mean((0, 2, 3))[:, None, None], others.std((0, 2, 3), ddof=1)[:, None, None]
    assert np.allclose(data.x_train[4], (first - mean) / std, atol=1e-4)
    assert data.y_train.tolist() == [0] * 4 + [1] * 4 and data.y_test.tolist() == [0, 0, 1, 1]


def test_grey_and_resized(tmp_path):
    data = load_dataset(DatasetInfo("mine", (1, 4, 4), 2), folder(tmp_path / "mine"))
    assert data.x_train.shape == (8, 1, 4, 4)


def test_what_is_wrong_with_a_folder(tmp_path):
    info, root = DatasetInfo("mine", (3, 8, 6), 2), folder(tmp_path / "mine")
    with pytest.raises(ConfigError, match="'mine' needs root="):
        load_dataset(info)
    with pytest.raises(ConfigError, match="mine has 3 classes"):
        load_dataset(DatasetInfo("mine", (3, 8, 6), 3), root)
    (root / "test" / "c").mkdir()
    with pytest.raises(FileFormatError, match="c holds no image"):
        load_dataset(info, root)
    (root / "test" / "c" / "0.jpg").write_bytes(b"")
    with pytest.raises(
        FileFormatError, match="expected the classes \\['a', 'b'\\]; \\['c'\\] differ"
    ):
        load_dataset(info, root)
    with pytest.raises(FileFormatError, match="Not an image folder: .*train is missing"):
        load_dataset(info, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"not an image", None], ids=["empty", "text", "truncated"]
)
def test_a_broken_image_is_named_or_skipped(tmp_path, content):
    info, root = DatasetInfo("mine", (3, 8, 6), 2), folder(tmp_path / "mine")
    bad = root / "train" / "a" / "2.png"
    bad.write_bytes(bad.read_bytes()[:-60] if content is None else content)
    with pytest.raises(FileFormatError, match="2.png cannot be read as an image"):
        load_dataset(info, root)
    with pytest.warns(UserWarning, match="1 of 8 files skipped"):
        data = load_dataset(info, root, on_error="skip")
    assert data.y_train.tolist() == [0] * 3 + [1] * 4


# ---- CIFAR-10 -------------------------------------------------------------------------------------------------------


def binary_files(n=10):
    files = {}
    for name in [n for names in images.CIFAR10_FILES.values() for n in names]:
        table = RNG.integers(0, 256, (n, images.RECORD), dtype=np.uint8)
        table[:, 0] = np.arange(n) % 10
        files[name] = table.tobytes()
    return files


def packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, raw in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return buffer.getvalue()


def test_cifar10_packed_unpacked_and_downloaded_are_the_same(tmp_path, monkeypatch):
    files = binary_files()
    (tmp_path / "a" / "cifar-10-batches-bin").mkdir(parents=True)
    for name, raw in files.items():
        (tmp_path / "a" / "cifar-10-batches-bin" / name).write_bytes(raw)
    (tmp_path / "b").mkdir()
    archive = tmp_path / "b" / "cifar-10-binary.tar.gz"
    archive.write_bytes(packed(files))
    monkeypatch.setattr(images, "CIFAR10_URL", archive.as_uri())
    monkeypatch.setattr(images, "CIFAR10_MD5", md5(archive.read_bytes()).hexdigest())
    whole, archived = load_dataset("CIFAR-10", tmp_path / "a"), load_dataset("CIFAR-10", archive)
    fetched = load_dataset("CIFAR-10", download=True)
    assert torch.equal(whole.x_train, archived.x_train) and torch.equal(
        whole.x_test, fetched.x_test
    )
    third = np.frombuffer(files["data_batch_2.bin"], np.uint8).reshape(10, -1)[3]
    pixel = third[1 + 1024 + 32 * 5 + 7]  # green, row 5, column 7
    train = np.concatenate(
        [
            np.frombuffer(files[f"data_batch_{i}.bin"], np.uint8).reshape(10, -1)[:, 1:]
            for i in range(1, 6)
        ]
    )
    green = train[:, 1024:2048].astype(float)
    assert (
        np.isclose(
            whole.x_train[13, 1, 5, 7], (pixel - green.mean()) / green.std(ddof=1), atol=1e-4
        )
        and whole.y_train[13] == 3
    )


def test_a_download_with_another_checksum_keeps_nothing(tmp_path, monkeypatch):
    (tmp_path / "x.tar.gz").write_bytes(b"something else")
    monkeypatch.setattr(images, "CIFAR10_URL", (tmp_path / "x.tar.gz").as_uri())
    with pytest.raises(FileFormatError, match="Nothing was kept"):
        load_dataset("CIFAR-10", download=True)
    assert not list((tmp_path / "cache").rglob("*.gz"))


def test_pickles_are_not_opened(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps({}))
    with pytest.raises(FileFormatError, match="pickles, which this toolkit does not open"):
        load_dataset("CIFAR-10", tmp_path)


def test_a_damaged_archive(tmp_path):
    raw = packed(binary_files())
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(FileFormatError, match="damaged"):
        load_dataset("CIFAR-10", tmp_path)
    files = binary_files()
    files["test_batch.bin"] = bytes([11]) + files["test_batch.bin"][1:]
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(packed(files))
    with pytest.raises(FileFormatError, match="test_batch.bin holds class 11"):
        load_dataset("CIFAR-10", tmp_path)


# ---- Visual Wake Words ----------------------------------------------------------------------------------------------


def coco(root, boxes):
    "`boxes`: for each image a list of (category, width, height) in an image of 200 x 100."
    for split in ("train", "val"):
        (root / f"{split}2017").mkdir(parents=True)
        for i in range(len(boxes)):
            Image.fromarray(RNG.integers(0, 256, (100, 200, 3), dtype=np.uint8)).save(
                root / f"{split}2017" / f"{i}.jpg"
            )
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}2017.json").write_text(
            json.dumps(
                {
                    "categories": [{"id": 7, "name": "person"}, {"id": 8, "name": "cat"}],
                    "images": [
                        {"id": 100 + i, "file_name": f"{i}.jpg", "width": 200, "height": 100}
                        for i in range(len(boxes))
                    ],
                    "annotations": [
                        {"image_id": 100 + i, "category_id": c, "bbox": [1, 1, w, h]}
                        for i, b in enumerate(boxes)
                        for c, w, h in b
                    ],
                }
            )
        )
    return root


def test_the_half_percent_rule(tmp_path):
    "0.5 % of 200 x 100 is 100 pixels: more than that, in one person's box."
    boxes = [
        [],
        [(7, 10, 10)],
        [(7, 10.1, 10)],
        [(8, 150, 90)],
        [(7, 9, 9), (7, 9, 9)],
        [(8, 5, 5), (7, 100, 90)],
    ]
    data = load_dataset("VWW", coco(tmp_path / "coco", boxes))
    assert data.y_train.tolist() == data.y_test.tolist() == [
        0,
        0,
        1,
        0,
        0,
        1,
    ] and data.x_train.shape == (6, 3, 96, 96)
    small = load_dataset(DatasetInfo("VWW", (3, 50, 50), 2), tmp_path / "coco")
    assert small.x_train.shape == (6, 3, 50, 50) and torch.equal(small.y_test, data.y_test)


def test_what_is_wrong_with_coco(tmp_path):
    root = coco(tmp_path / "coco", [[], [(7, 50, 50)], []])
    (root / "val2017" / "2.jpg").unlink()
    with pytest.raises(
        FileFormatError,
        match="1 of 3 images that .*instances_val2017.json names are not in .*: 2.jpg",
    ):
        load_dataset("VWW", root)
    assert len(load_dataset("VWW", root, on_error="skip").x_test) == 2
    (root / "annotations" / "instances_val2017.json").write_text("{")
    with pytest.raises(FileFormatError, match="instances_val2017.json: "):
        load_dataset("VWW", root)
    (root / "annotations" / "instances_val2017.json").write_text('{"images": []}')
    with pytest.raises(FileFormatError, match="Not COCO's instances format"):
        load_dataset("VWW", root)
    with pytest.raises(FileFormatError, match="No COCO under"):
        load_dataset("VWW", tmp_path)


# ---- Files of others ------------------------------------------------------------------------------------------------


def huge_png(file):
    "Write a picture whose header claims 60,000 x 60,000 pixels."
    Image.new("RGB", (4, 4)).save(file)
    raw = bytearray(file.read_bytes())
    raw[16:24] = (60_000).to_bytes(4, "big") * 2
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    file.write_bytes(raw)


@pytest.mark.parametrize("odd", ["too many pixels", "dangling link", "folder", "pipe"])
def test_a_picture_that_cannot_be_read_is_named_or_skipped(tmp_path, odd):
    root = folder(tmp_path / "mine")
    file = root / "train" / "b" / "odd.png"
    match odd:
        case "too many pixels":
            huge_png(file)
        case "dangling link":
            file.symlink_to(tmp_path / "nowhere.png")
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
    info = DatasetInfo("mine", (3, 8, 6), 2)
    with pytest.raises(FileFormatError, match=r"odd\.png cannot be read as an image"):
        load_dataset(info, root)
    with pytest.warns(UserWarning, match="1 of 9 files skipped"):
        assert len(load_dataset(info, root, on_error="skip").x_train) == 8


DEPTHS = {
    "1 bit": (Image.new("1", (2, 1)), [0, 255]),
    "grey, 8 bits": (Image.fromarray(np.array([[3, 200]], np.uint8)), [3, 200]),
    "grey, 16 bits": (Image.fromarray(np.array([[3 * 257, 200 * 257]], np.uint16)), [3, 200]),
    "grey, 16 bits, rounded": (Image.fromarray(np.array([[128, 65_535]], np.uint16)), [0, 255]),
    "grey with alpha": (Image.fromarray(np.array([[3, 200]], np.uint8)).convert("LA"), [3, 200]),
    "palette": (Image.fromarray(np.array([[3, 200]], np.uint8)).convert("P"), [3, 200]),
    "colours": (Image.fromarray(np.array([[3, 200]], np.uint8)).convert("RGB"), [3, 200]),
    "alpha": (Image.fromarray(np.array([[3, 200]], np.uint8)).convert("RGBA"), [3, 200]),
}
DEPTHS["1 bit"][0].putpixel((1, 0), 255)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_right_whatever_the_depth_of_the_file(tmp_path, depth, channels):
    image, expected = DEPTHS[depth]
    image.save(tmp_path / "a.png")
    pixels = images.read_image(tmp_path / "a.png", (channels, 1, 2))
    assert pixels.tolist() == [[expected]] * channels


def test_what_programs_leave_in_folders_is_ignored(tmp_path):
    root = folder(tmp_path / "mine")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    (root / "train" / "__MACOSX").mkdir()
    (root / "train" / "a" / "._0.png").write_bytes(b"\0\5\x16\7")
    (root / "test" / "a" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_dataset(DatasetInfo("mine", (3, 8, 6), 2), root)
    assert len(data.x_train) == 8


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "jpe", "jfif", "png", "bmp", "gif", "webp"])
def test_every_format_that_may_be_decoded_is_read(tmp_path, suffix):
    root = folder(tmp_path / "mine")
    extra = root / "train" / "b" / f"z.{suffix}"
    kind = {"bmp": "BMP", "gif": "GIF", "webp": "WEBP", "png": "PNG"}.get(suffix, "JPEG")
    Image.new("RGB", (6, 8), (250, 250, 250)).save(extra, kind)
    data = load_dataset(DatasetInfo("mine", (3, 8, 6), 2), root)
    assert data.y_train.tolist() == [0] * 4 + [1] * 5
    bright = data.x_train[-1] / data.x_train.amax((0, 2, 3))[:, None, None]
    assert float(bright.min()) > 0.9  # a decoder may be off by one or two


def test_what_is_left_out_of_a_folder_is_counted(tmp_path):
    root = folder(tmp_path / "mine")
    picture = Image.new("RGB", (6, 8))
    for name in ("b/0.tif", "b/1.TIF", "b/notes.txt", "a/README", "0.png", "1.png"):
        picture.save(root / "train" / name, "TIFF" if "tif" in name.lower() else "PNG")
    (root / "train" / "a" / "sub" / "deep").mkdir(parents=True)
    for name in ("0.png", "1.png", "deep/2.png", "deep/._2.png"):
        picture.save(root / "train" / "a" / "sub" / name)
    (root / "train" / "a" / "empty").mkdir()
    with pytest.warns(UserWarning) as caught:
        data = load_dataset(DatasetInfo("mine", (3, 8, 6), 2), root)
    assert len(data.x_train) == 8
    [said] = [str(w.message) for w in caught]
    assert said.startswith(f"{root / 'train'}: 9 files are left out: ")
    for count in ("3 in folders inside a class", "2 .tif", "2 outside a class", "1 .txt"):
        assert count in said
    assert "1 without a suffix" in said


@pytest.mark.parametrize("channels", [2, 4])
def test_pictures_have_one_channel_or_three(tmp_path, channels):
    root = folder(tmp_path / "mine")
    with pytest.raises(ConfigError, match=rf"1 channel .* or 3 .*; got input_dim \({channels}, 8"):
        load_dataset(DatasetInfo("mine", (channels, 8, 6), 2), root, on_error="skip")


def test_a_home_that_cannot_be_written_is_no_hindrance(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "file" / "cache"))
    root = folder(tmp_path / "mine")
    assert len(load_dataset(DatasetInfo("mine", (3, 8, 6), 2), root).x_train) == 8
    assert "cannot be written" in caplog.text


def test_a_download_that_cannot_be_kept_in_its_place_is_kept_elsewhere(
    tmp_path, monkeypatch, caplog
):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(packed(binary_files()))
    monkeypatch.setattr(images, "CIFAR10_URL", archive.as_uri())
    monkeypatch.setattr(images, "CIFAR10_MD5", md5(archive.read_bytes()).hexdigest())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(archives.tempfile, "tempdir", str(tmp_path))
    assert len(load_dataset("CIFAR-10", download=True).x_train) == 50
    (kept,) = tmp_path.glob("analognas-*/cifar-10-binary.tar.gz")
    assert kept.read_bytes() == archive.read_bytes()
    assert f"what was downloaded is kept in {kept}" in caplog.text


def test_any_flipped_byte_of_cifar10s_archive_is_noticed(tmp_path):
    raw = packed(binary_files())
    for at in RNG.integers(10, len(raw), 24).tolist():
        broken = bytearray(raw)
        broken[at] ^= 0x20
        (tmp_path / "cifar-10-binary.tar.gz").write_bytes(broken)
        with pytest.raises(FileFormatError, match=r"cifar-10-binary\.tar\.gz|\.bin"):
            load_dataset("CIFAR-10", tmp_path)


ODD_ANNOTATIONS = (
    {"image_id": 999, "category_id": 7, "bbox": [0, 0, 50, 50]},
    {"image_id": 100, "category_id": 7, "bbox": []},
    {"image_id": 100, "category_id": 7, "bbox": None},
    {"image_id": 100, "category_id": 7},
    {"image_id": 100, "category_id": 7, "bbox": [0, 0, float("nan"), 5]},
    {"image_id": [], "category_id": 7, "bbox": [0, 0, 5, 5]},
    None,
)


@pytest.mark.parametrize("annotation", ODD_ANNOTATIONS, ids=range(len(ODD_ANNOTATIONS)))
def test_an_odd_annotation_is_named_or_skipped(tmp_path, annotation):
    root = coco(tmp_path / "coco", [[], [(7, 50, 50)]])
    file = root / "annotations" / "instances_train2017.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    found["annotations"].append(annotation)
    file.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"instances_train2017\.json.*annotation 1"):
        load_dataset("VWW", root)
    with pytest.warns(UserWarning, match="1 annotations left out"):
        assert load_dataset("VWW", root, on_error="skip").y_train.tolist() == [0, 1]


@pytest.mark.parametrize(
    "raw",
    ['{"größe": 1}'.encode("latin-1"), b"[" * 10**6, b'{"images": ' + b"9" * 10**5 + b"}", b"[]"],
)
def test_annotations_that_are_no_json_are_named(tmp_path, raw):
    root = coco(tmp_path / "coco", [[], [(7, 50, 50)]])
    (root / "annotations" / "instances_train2017.json").write_bytes(raw)
    with pytest.raises(FileFormatError, match=r"instances_train2017\.json"):
        load_dataset("VWW", root, on_error="skip")


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path):
    root = coco(tmp_path / "coco", [[], [(7, 50, 50)]])
    file = root / "annotations" / "instances_train2017.json"
    text = file.read_text(encoding="utf-8").replace('"0.jpg"', '"../val2017/0.jpg"')
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match="is no name of a file"):
        load_dataset("VWW", root)
