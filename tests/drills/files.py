"""Files that the toolkit reads, and what is put in their place."""

import json
import pickle
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

RESULTS = "done"


def errors_of(database):
    "Return why evaluations failed, without the code under test."
    with closing(sqlite3.connect(database)) as db:
        return [text for (text,) in db.execute("select error from evaluation where error not null")]


# ---- readers: each reads the files in a folder, in a process of its own -----------------------------


def read_run(folder):
    "Continue a search, and read its evaluations."
    from victims import make_worker

    make_worker(folder / "run", folder / "log").search()
    make_worker(folder / "run", folder / "log").evaluations


def resume_run(folder):
    "Continue a search from its settings."
    from victims import Noting

    from analognas.search_algorithms.worker import Worker

    Worker.resume(folder / "run", Noting(folder / "log"), progress=False)


def read_store(folder):
    "Read a label store."
    from analognas.training.label_store import LabelStore

    store = LabelStore(folder / "labels.sqlite")
    store.rows()
    store.parts()
    store.counts()


def read_label_set(folder):
    "Read a label set."
    from analognas.training.labels import load_label_set

    load_label_set("digits", folder)


def read_weights(folder):
    "Read the weights of an evaluator."
    from analognas.evaluators.xgboost import XGBoostEvaluator
    from analognas.search_spaces.config_space import ConfigSpace

    space = ConfigSpace("digits")
    XGBoostEvaluator(folder / "weights").bind(space).query(space.sample_arch(0))


def read_cache(folder):
    "Read the decoded files of a dataset, or decode them again."
    import os

    import numpy as np

    os.environ["ANALOGNAS_CACHE"] = str(folder)
    from analognas.datasets.base import decoded

    found = decoded("numbers", [folder / "numbers"], {}, lambda: {"x": np.arange(9)})
    assert found["x"].tolist() == list(range(9))


def read_checkpoint(folder):
    "Read a checkpoint, or start over."
    import torch

    from analognas.training.checkpoint import Checkpoint

    model = torch.nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    checkpoint = Checkpoint(folder / "checkpoint.pt")
    checkpoint.open({"a": 1})
    checkpoint.resume("digital", model, optimizer)
    if not (folder / "checkpoint.pt").exists():
        checkpoint.keep("digital", 1, model, optimizer)


READERS = {
    "settings": resume_run,
    "evaluations": read_run,
    "label store": read_store,
    "label set, table": read_label_set,
    "label set, record": read_label_set,
    "evaluator, record": read_weights,
    "evaluator, weights": read_weights,
    "dataset cache": read_cache,
    "checkpoint": read_checkpoint,
}
WITH_TORCH = ("dataset cache", "checkpoint")


# ---- whole files --------------------------------------------------------------------------------------


def _shipped(*parts):
    "Return a file or folder of the package."
    import analognas

    return Path(analognas.__file__).parent.joinpath(*parts)


def _copy_run(ground, folder):
    shutil.copytree(ground.unbroken("search").folder / "run", folder / "run")


def _copy_store(ground, folder):
    data = Path(__file__).parents[1] / "data"
    if ground.collections:
        shutil.copy(ground.unbroken("collection").database, folder / "labels.sqlite")
    else:
        shutil.copy(next(data.glob("*labels*.sqlite")), folder / "labels.sqlite")


def _copy_label_set(ground, folder):
    for suffix in ("csv", "json"):
        shutil.copy(_shipped("training", "label_sets", f"digits.{suffix}"), folder)


def _copy_weights(ground, folder):
    shutil.copytree(_shipped("evaluators", "weights", "digits"), folder / "weights")


def _make_cache(ground, folder):
    (folder / "numbers").write_bytes(b"0 1 2")
    _read_once(ground, folder, "dataset cache")


def _make_checkpoint(ground, folder):
    _read_once(ground, folder, "checkpoint")


def _read_once(ground, folder, what):
    "Let a reader make its file."
    victim = ground.place("search", folder).run({"victim": "read_file"}, what=what)
    assert victim.status == 0, victim.message


# what is read -> what makes the files, and the one that is damaged
WHOLE = {
    "settings": (_copy_run, "run/settings.json"),
    "evaluations": (_copy_run, "run/evaluations.sqlite"),
    "label store": (_copy_store, "labels.sqlite"),
    "label set, table": (_copy_label_set, "digits.csv"),
    "label set, record": (_copy_label_set, "digits.json"),
    "evaluator, record": (_copy_weights, "weights/about.json"),
    "evaluator, weights": (_copy_weights, "weights/weights.ubj"),
    "dataset cache": (_make_cache, "datasets/*.npz"),
    "checkpoint": (_make_checkpoint, "checkpoint.pt"),
}


# ---- damage -----------------------------------------------------------------------------------------


def _flipped(raw, rng):
    "Return bytes with ten of them changed."
    changed = bytearray(raw)
    for _ in range(10):
        changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _other_database(folder):
    "Return a database with other tables."
    path = folder / "other.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("create table notes (text text)")
        db.execute("insert into notes values ('hello')")
    raw = path.read_bytes()
    path.unlink()
    return raw


class Payload:
    "Unpickling it would make a folder."

    def __reduce__(self):
        import os

        return os.mkdir, ("unpickled",)


def damages(raw, folder, rng):
    "Return what is put in place of a file, by name."
    return {
        "empty": b"",
        "cut in half": raw[: len(raw) // 2],
        "without its end": raw[:-7],
        "with flipped bits": _flipped(raw, rng),
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9,
        "a text": "Grüße\n".encode("latin-1") * 99,
        "another object": json.dumps({"hello": 1}).encode(),
        "a list": b"[1, 2, 3]",
        "another database": _other_database(folder),
        "a pickle": pickle.dumps(Payload()),
    }


def damaged(ground, seed):
    "Yield what is read, the damage, the damaged file, and a place that has it."
    rng = random.Random(seed)
    for what, (make, pattern) in WHOLE.items():
        if what in WITH_TORCH and not ground.collections:
            continue
        whole = ground.folder / f"whole-{what.replace(' ', '-')}-{seed}"
        whole.mkdir()
        make(ground, whole)
        raw = next(whole.glob(pattern)).read_bytes()
        for damage, content in damages(raw, ground.folder, rng).items():
            folder = ground.folder / f"damaged-{ground.rng.random()}"
            shutil.copytree(whole, folder)
            path = next(folder.glob(pattern))
            path.write_bytes(content)
            yield what, damage, path, ground.place("search", folder)
            assert not (ground.folder / "unpickled").exists()
            shutil.rmtree(folder)
