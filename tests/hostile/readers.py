"""Everything of the package that reads a file, each with an example that is read and the files of it that are broken."""

import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from analognas.commands import parse_config
from analognas.core import ConfigError, DatasetInfo, FileFormatError
from analognas.core.arrays import read_arrays
from analognas.datasets import base, images
from analognas.datasets.load import load_dataset
from analognas.datasets.speech import read_clip
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.mlp import MLPEvaluator
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces import nasbench201
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.checkpoint import Checkpoint
from analognas.training.label_store import LabelStore, label_set
from analognas.training.labels import load_label_set, save_label_set
from analognas.widgets.run_record import best_table, read_run

DATA = Path(__file__).resolve().parent.parent / "data"
SPACE = ConfigSpace("digits")
CONFIG = SPACE.sample_arch(0)
SMALL = DatasetInfo("small", (3, 4, 4), 2)


@dataclass(frozen=True)
class Reader:
    "What reads a file, and an example that it reads."

    make: Callable[[Path], Sequence[Path]]  # writes an example into a folder; returns its files
    read: Callable[[Path], object]  # reads the example in a folder
    # called after a file was broken: writes the checksums that belong to it
    sign: Callable[[Path], object] = lambda folder: None
    refusals: tuple[type[Exception], ...] = (FileFormatError,)


# ---- configs and spaces


def make_config(folder: Path) -> list[Path]:
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return [folder / "config.json"]


def read_config(folder: Path) -> None:
    text = (folder / "config.json").read_text(encoding="utf-8", errors="surrogateescape")
    try:
        SPACE.validate(parse_config(text))
    except ConfigError as e:
        raise FileFormatError(f"config.json: {e}") from e  # the text came from a command line


def make_space(folder: Path) -> list[Path]:
    space = ConfigSpace("digits")
    space.add_training_hyperparameter("hwa_lr", "continuous", 0.002, 0.2, log=True)
    space.add_hyperparameter_range("pooling", "categorical", ["max", None, True], ("M", 2))
    (folder / "space.json").write_text(space.to_json(), encoding="utf-8")
    return [folder / "space.json"]


def read_space(folder: Path) -> None:
    text = (folder / "space.json").read_text(encoding="utf-8", errors="surrogateescape")
    try:
        space = ConfigSpace.from_json(text)
    except FileFormatError as e:
        raise FileFormatError(f"space.json: {e}") from e  # it was given as text
    repr(space), space._repr_html_(), space.encode([space.sample_arch(0)])


# ---- searches


def make_run(folder: Path) -> list[Path]:
    shutil.copytree(DATA / "run_8ece4d1", folder, dirs_exist_ok=True)
    return [folder / name for name in ("settings.json", "evaluations.sqlite", "summary.json")]


def read_a_run(folder: Path) -> None:
    record = read_run(folder)
    best_table(record), record.planned


def open_a_run(folder: Path) -> None:
    worker = Worker.open(folder, ParamsEvaluator(), progress=False)
    evaluations = worker._start().evaluations
    evaluations.stored(range(1, 50)), evaluations.failures()


# ---- labels


def make_store(folder: Path) -> list[Path]:
    store = LabelStore(folder / "labels.sqlite", {"dataset": "digits", "part": {"host": "one"}})
    store.add([(SPACE.key(SPACE.sample_arch(seed)), 0) for seed in range(4)])
    times, acc = [1.0, 86_400.0, 2_592_000.0], [[90.0, 88.0, 85.0], [91.0, 89.0, 86.0]]
    labels = {"acc_1d": 88.5, "avm": 5.0, "std_1d": 0.7, "acc_digital": 92.0, "acc_hwa": 91.0}
    for _ in range(3):
        task, _, _ = store.claim() or (0, {}, 0)
        store.finish(task, {"t_inference": times, "acc": acc} | labels, 1.5)
    return [folder / "labels.sqlite"]


def read_store(folder: Path) -> None:
    label_set("labels", LabelStore(folder / "labels.sqlite"), SPACE)


def make_label_set(folder: Path) -> list[Path]:
    save_label_set(load_label_set("digits").take(range(20)), folder)
    return [folder / "digits.csv", folder / "digits.json"]


def sign_label_set(folder: Path) -> None:
    raw = (folder / "digits.csv").read_bytes().replace(b"\r\n", b"\n")
    _sign(folder / "digits.json", raw)


def read_label_set(folder: Path) -> None:
    labels = load_label_set("digits", folder)
    labels.measured, labels.configs


# ---- evaluators and networks


def make_xgboost(folder: Path) -> list[Path]:
    shutil.copytree(DATA / "xgboost_8ece4d1", folder, dirs_exist_ok=True)
    return [folder / "weights.ubj", folder / "about.json"]


def sign_xgboost(folder: Path) -> None:
    _sign(folder / "about.json", (folder / "weights.ubj").read_bytes())


def make_mlp(folder: Path) -> list[Path]:
    shutil.copytree(DATA / "mlp_8ece4d1", folder, dirs_exist_ok=True)
    return [folder / "weights.pt", folder / "about.json"]


def sign_mlp(folder: Path) -> None:
    _sign(folder / "about.json", (folder / "weights.pt").read_bytes())


def predict_with(evaluator: type) -> Callable[[Path], None]:
    "Return a function that loads weights of a folder and predicts."

    def read(folder: Path) -> None:
        fitted = evaluator(folder)
        try:
            fitted.bind(SPACE).query(CONFIG)
        except ConfigError as e:
            raise FileFormatError(f"{folder}: {e}") from e  # weights for another space
        repr(fitted), fitted.get_evaluator_stat()

    return read


def make_checkpoint(folder: Path) -> list[Path]:
    kept = Checkpoint(folder / "network.pt")
    kept.open({"seed": 1})
    net = torch.nn.Linear(4, 3)
    kept.keep("digital", 2, net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9))
    return [folder / "network.pt"]


def read_checkpoint(folder: Path) -> None:
    kept = Checkpoint(folder / "network.pt")
    kept.open({"seed": 1})
    if kept.state["epoch"] != 2:  # it starts over, after a log line
        raise FileFormatError(f"{folder}/network.pt starts over")
    net = torch.nn.Linear(4, 3)
    try:
        kept.resume("digital", net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9))
    except FileFormatError:
        raise
    except ConfigError as e:
        raise FileFormatError(str(e)) from e


# ---- datasets


def make_images(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, kind in [("a", "png"), *(("b", kind) for kind in ("jpg", "bmp", "gif", "webp"))]:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / name / f"{kind}.{kind}")
    return [
        folder / "train/a/png.png",
        *(folder / f"train/b/{k}.{k}" for k in ("jpg", "bmp", "gif", "webp")),
    ]


def read_images(folder: Path) -> None:
    load_dataset(SMALL, folder)


def make_wave(folder: Path) -> list[Path]:
    with wave.open(str(folder / "clip.wav"), "wb") as clip:
        clip.setparams((1, 2, 16_000, 0, "NONE", ""))
        clip.writeframes(bytes(3200))
    return [folder / "clip.wav"]


def read_wave(folder: Path) -> None:
    read_clip(folder / "clip.wav")


def make_coco(folder: Path) -> list[Path]:
    (folder / "annotations").mkdir()
    for split in ("train", "val"):
        (folder / f"{split}2017").mkdir()
        pictures = [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 8} for i in range(3)]
        for picture in pictures:
            Image.new("RGB", (8, 8)).save(folder / f"{split}2017" / picture["file_name"])
        boxes = [{"image_id": i, "category_id": 1, "bbox": [0, 0, 4, 4]} for i in range(2)]
        coco = {
            "categories": [{"id": 1, "name": "person"}],
            "images": pictures,
            "annotations": boxes,
        }
        file = folder / "annotations" / f"instances_{split}2017.json"
        file.write_text(json.dumps(coco), encoding="utf-8")
    return [folder / "annotations/instances_train2017.json"]


def read_coco(folder: Path) -> None:
    images.load_vww(folder, DatasetInfo("VWW", (3, 4, 4), 2))


def make_cifar(folder: Path) -> list[Path]:
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for name in sum(images.CIFAR10_FILES.values(), []):
            table = np.zeros((3, images.RECORD), np.uint8)
            table[:, 1:] = np.arange(images.RECORD - 1) % 251
            table[:, 0] = range(3)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = table.nbytes
            tar.addfile(member, io.BytesIO(table.tobytes()))
    return [folder / "cifar-10-binary.tar.gz"]


def read_cifar(folder: Path) -> None:
    images.load_cifar10(folder)


def make_cache(folder: Path) -> list[Path]:
    np.savez(folder / "cache.npz", x=np.arange(200), y=np.array("text"))
    return [folder / "cache.npz"]


def read_cache(folder: Path) -> None:
    read_arrays(folder / "cache.npz")


# ---- the benchmark table


def make_table(folder: Path) -> list[Path]:
    cells = nasbench201.all_cells()
    columns = dict.fromkeys(nasbench201.TABLE_COLUMNS, np.ones(len(cells)))
    nasbench201._write_cache(folder / "table.npz", {"cells": cells.astype(np.int8)} | columns)
    return [folder / "table.npz"]


def read_table(folder: Path) -> None:
    nasbench201._read_cache(folder / "table.npz")


def make_published(folder: Path) -> list[Path]:
    (folder / "data.anb").write_bytes(nasbench201._published_file().read_bytes())
    return [folder / "data.anb"]


def read_published(folder: Path) -> None:
    nasbench201._published_file = lambda: folder / "data.anb"
    nasbench201._read_published()


def _sign(about: Path, raw: bytes) -> None:
    "Write the checksum of bytes into a description, if that is JSON."
    try:
        text = json.loads(about.read_text(encoding="utf-8"))
        about.write_text(
            json.dumps(text | {"sha256": hashlib.sha256(raw).hexdigest()}), encoding="utf-8"
        )
    except (ValueError, TypeError, RecursionError):
        return


READERS = {
    "config": Reader(make_config, read_config),
    "search space": Reader(make_space, read_space),
    "run directory, shown": Reader(make_run, read_a_run, refusals=(FileFormatError, ConfigError)),
    "run directory, continued": Reader(
        make_run, open_a_run, refusals=(FileFormatError, ConfigError)
    ),
    "label store": Reader(make_store, read_store, refusals=(FileFormatError, ConfigError)),
    "label set": Reader(
        make_label_set, read_label_set, sign_label_set, (FileFormatError, ConfigError)
    ),
    "XGBoost weights": Reader(make_xgboost, predict_with(XGBoostEvaluator), sign_xgboost),
    "MLP weights": Reader(make_mlp, predict_with(MLPEvaluator), sign_mlp),
    "network (checkpoint)": Reader(
        make_checkpoint, read_checkpoint, refusals=(FileFormatError, ConfigError)
    ),
    "images": Reader(make_images, read_images),
    "sound": Reader(make_wave, read_wave),
    "COCO annotations": Reader(make_coco, read_coco, refusals=(FileFormatError, ConfigError)),
    "CIFAR-10 archive": Reader(make_cifar, read_cifar),
    "arrays (dataset cache)": Reader(make_cache, read_cache),
    "benchmark table (cache)": Reader(make_table, read_table),
    "benchmark table (published)": Reader(make_published, read_published),
}

# The cache would answer for a file of the same name, size and time.
base.write_cache = lambda path, data: None
assert sqlite3.threadsafety
