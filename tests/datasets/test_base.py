"""Held-out examples, hashes of content, reading and caching: nothing is lost, nothing is seen twice, copies are the same data."""

import hashlib
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from analognas.core import ConfigError, DatasetInfo, FileFormatError
from analognas.datasets.base import (
    Dataset,
    content_hash,
    decoded,
    files_hash,
    hold_out,
    read_all,
    standardised,
)
from analognas.datasets.images import load_folder, load_vww
from analognas.datasets.load import load_dataset


@pytest.fixture
def data():
    "Sixty numbered examples of three classes, ten speakers."
    x = torch.arange(60.0).view(60, 1, 1, 1)
    y = torch.arange(60) % 3
    return Dataset(
        DatasetInfo("numbers", (1, 1, 1), 3),
        x,
        y,
        x + 100,
        y,
        "numbers",
        groups=torch.arange(60) // 6,
    )


def numbers(x):
    return set(x.flatten().int().tolist())


@pytest.mark.parametrize("by_group", [True, False])
def test_every_training_example_is_on_one_side_with_its_own_label(data, by_group):
    data = data if by_group else replace(data, groups=None)
    part = hold_out(data, 0.2)
    kept, held = numbers(part.x_train), numbers(part.x_test)
    assert kept | held == set(range(60))
    assert not kept & held
    assert len(held) == 12
    for x, y in (part.train, part.test):
        assert torch.equal(x.flatten().long() % 3, y)
    assert "20%" in part.source


def test_speakers_are_not_split(data):
    part = hold_out(data, 0.3)
    assert not {n // 6 for n in numbers(part.x_train)} & {n // 6 for n in numbers(part.x_test)}
    assert torch.equal(part.groups, part.x_train.flatten().long() // 6)


def test_without_groups_classes_keep_their_proportions(data):
    part = hold_out(replace(data, groups=None), 0.2)
    assert torch.bincount(part.y_test).tolist() == [4, 4, 4]


def test_the_test_part_is_never_seen(data):
    assert not {n for n in numbers(hold_out(data, 0.5).x_test) if n >= 100}


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), 0.001])
def test_a_share_that_leaves_a_side_empty_is_refused(data, share):
    with pytest.raises(ConfigError):
        hold_out(replace(data, groups=None), share)


def test_groups_of_another_length_are_refused(data):
    with pytest.raises(
        ConfigError,
        match=r"groups must have one number for each of the 60 training examples; got shape \(3,\)",
    ):
        replace(data, groups=torch.arange(3))


def pictures(root, seed=0):
    rng = np.random.default_rng(seed)
    for split, n in (("train", 3), ("test", 2)):
        for name in ("no_person", "person"):
            (root / split / name).mkdir(parents=True)
            for i in range(n):
                Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(
                    root / split / name / f"{i}.png"
                )
    return root


INFO = DatasetInfo("VWW", (3, 6, 5), 2)


def test_visual_wake_words_from_an_image_folder(tmp_path):
    data = load_vww(pictures(tmp_path / "vww"), INFO)
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.y_test.tolist() == [0, 0, 1, 1]


def test_read_from_the_cache_or_from_pictures_data_are_equal_to_the_last_bit(tmp_path):
    "In memory, too: the output noise of a chip goes by an element's place there."
    root = pictures(tmp_path / "a")
    fresh = load_vww(root, INFO)
    cached = load_vww(root, INFO)
    for one, other in zip((*fresh.train, *fresh.test), (*cached.train, *cached.test), strict=True):
        assert torch.equal(one, other) and one.stride() == other.stride()
        assert one.is_contiguous()


def test_inputs_in_another_memory_format_are_the_same_data(tmp_path):
    data = load_vww(pictures(tmp_path / "a"), INFO)
    moved = data.x_test.to(memory_format=torch.channels_last)
    other = replace(data, x_test=moved).x_test
    assert not moved.is_contiguous() and other.is_contiguous()
    assert torch.equal(other, data.x_test)


def test_the_same_files_in_another_folder_are_the_same_data(tmp_path):
    first = load_vww(pictures(tmp_path / "a"), INFO)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert content_hash(load_vww(tmp_path / "b", INFO)) == content_hash(first)
    assert content_hash(load_vww(tmp_path / "a", INFO)) == content_hash(first)  # from the cache


def test_another_pixel_or_another_label_is_other_data(tmp_path):
    first = content_hash(load_vww(pictures(tmp_path / "a"), INFO))
    assert content_hash(load_vww(pictures(tmp_path / "b", seed=1), INFO)) != first
    turned = pictures(tmp_path / "c")
    (turned / "train" / "person" / "0.png").rename(turned / "train" / "no_person" / "3.png")
    assert content_hash(load_vww(turned, INFO)) != first
    assert content_hash(load_folder(DatasetInfo("other", (3, 6, 5), 2), tmp_path / "a")) == first


def test_a_hash_of_files_is_one_of_their_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    parts = [hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()]
    assert (
        files_hash([tmp_path / "a", tmp_path / "b"]) == hashlib.sha256(b"".join(parts)).hexdigest()
    )


def test_tensors_of_ones_own_are_told_apart_too(data):
    changed = replace(data, x_test=data.x_test + 1)
    assert content_hash(data) == content_hash(replace(data, source="elsewhere"))
    assert content_hash(data) != content_hash(changed)
    assert content_hash(load_dataset("digits")) == content_hash(load_dataset("digits"))


def test_standardised_with_the_training_sets_statistics_only():
    rng = np.random.default_rng(0)
    train, test = (
        rng.normal((5, -3), (2, 7), (n, 4, 4, 2)).transpose(0, 3, 1, 2) for n in (400, 50)
    )
    data = standardised(
        DatasetInfo("mine", (2, 4, 4), 2),
        (train, np.arange(400) % 2),
        (test, np.arange(50) % 2),
        "",
    )
    want = (test - train.mean((0, 2, 3))[:, None, None]) / train.std((0, 2, 3), ddof=1)[
        :, None, None
    ]
    assert np.allclose(data.x_test, want, atol=1e-4)


def test_a_constant_channel_does_not_divide_by_zero():
    constant = np.ones((4, 1, 2, 2), np.uint8), np.array([0, 1, 0, 1])
    assert (
        standardised(DatasetInfo("mine", (1, 2, 2), 2), constant, constant, "").x_train.abs().max()
        == 0
    )


def read(number):
    if number < 0:
        raise FileFormatError(f"{number} is negative")
    return np.array([number])


def test_a_bad_file_is_named_or_counted():
    with pytest.raises(FileFormatError, match="-2 is negative"):
        read_all([1, -2, 3], read)
    with pytest.warns(UserWarning, match="2 of 4 files skipped; the first: -2 is negative"):
        arrays, kept = read_all([1, -2, 3, -4], read, "skip")
    assert arrays.ravel().tolist() == [1, 3] and kept.tolist() == [0, 2]
    with (
        pytest.warns(UserWarning),
        pytest.raises(FileFormatError, match="none of 1 files can be read"),
    ):
        read_all([-1], read, "skip")
    with pytest.raises(ConfigError, match="Unknown on_error 'ignore'"):
        read_all([1], read, "ignore")


def test_the_cache_follows_files_and_parameters(tmp_path, caplog):
    file, calls = tmp_path / "a", []
    file.write_text("one")

    def decode():
        calls.append(1)
        return {"n": np.array([len(calls)]), "words": np.array([file.read_text()])}

    assert [int(decoded("demo", [file], {"size": 1}, decode)["n"][0]) for _ in range(2)] == [1, 1]
    assert int(decoded("demo", [file], {"size": 2}, decode)["n"][0]) == 2
    file.write_text("three")
    assert str(decoded("demo", [file], {"size": 1}, decode)["words"][0]) == "three"
    for kept in (tmp_path / "cache" / "datasets").iterdir():
        kept.write_bytes(kept.read_bytes()[:100])
    with caplog.at_level(logging.WARNING, "analognas"):
        assert str(decoded("demo", [file], {"size": 1}, decode)["words"][0]) == "three"
    assert "damaged" in caplog.text and len(calls) == 4


def test_another_file_of_the_same_size_and_time_is_decoded(tmp_path):
    "As `cp -p`, `tar` and `rsync` leave it."
    file = tmp_path / "a"
    file.write_text("one")

    def decode():
        return {"words": np.array([file.read_text()])}

    first = decoded("demo", [file], {}, decode)
    stat = os.stat(file)
    (tmp_path / "other").write_text("two")
    os.utime(tmp_path / "other", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(tmp_path / "other", file)
    again = decoded("demo", [file], {}, decode)
    assert [str(found["words"][0]) for found in (first, again)] == ["one", "two"]
    assert str(first["content"]) != str(again["content"])


def test_one_relative_name_in_two_folders_is_two_files(tmp_path, monkeypatch):
    found = []
    for text in ("one", "two"):
        (tmp_path / text).mkdir()
        monkeypatch.chdir(tmp_path / text)
        Path("a").write_text(text)
        os.utime("a", ns=(10**18, 10**18))
        found.append(
            decoded("demo", [Path("a")], {}, lambda: {"w": np.array([Path("a").read_text()])})
        )
    assert [str(arrays["w"][0]) for arrays in found] == ["one", "two"]
