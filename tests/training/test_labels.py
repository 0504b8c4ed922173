"""Label sets on disk, and a store that several processes write to and any of them may die in."""
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from analognas.core import ConfigError, FileFormatError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.labels import MAX_DEATHS, TARGETS, LabelSet, LabelStore, label_set, label_table, load_label_set, save_label_set

PROCESSES = multiprocessing.get_context("forkserver")  # imports once; each process is a fork of one that runs no threads
PROCESSES.set_forkserver_preload(["analognas.training.labels"])


def labels(n=6, **columns) -> LabelSet:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"width": range(n), "acc_1d": 90 * rng.random(n), "avm": rng.random(n), "std_1d": rng.random(n)} | columns)
    return LabelSet("mine", table, ["width", *columns], {"dataset": "imaginary", "µ": [1, 2]})


# ---- label sets -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_labels_are_refused_with_their_rows(target, bad):
    table = labels().table
    table.loc[[1, 4], target] = bad
    with pytest.raises(ConfigError, match=r"'mine' has NaN or infinite labels in rows \[1, 4\]"):
        LabelSet("mine", table, ["width"])


@pytest.mark.parametrize("column", ["width", *TARGETS])
def test_a_missing_column_is_named(column):
    with pytest.raises(ConfigError, match=column):
        LabelSet("mine", labels().table.drop(columns=column), ["width"])


def test_labels_that_are_no_numbers_are_refused():
    with pytest.raises(ConfigError, match="mine"):
        LabelSet("mine", labels().table.astype({"avm": object}).assign(avm="much"), ["width"])


def test_take_keeps_order_and_repeats():
    some = labels().take([4, 0, 4])
    assert [c["width"] for c in some.configs] == [4, 0, 4] and len(some) == 3
    assert np.array_equal(some.labels, labels().labels[[4, 0, 4]])


COLUMNS = {
    "many digits": [0.1 + 0.2, 1 / 3, np.pi, 1e-5 / 3, 123456.789, 2**0.5],
    "words": ["max", "None", "NA", "null", "nan", "average"],
    "digits as words": ["1", "02", "3.0", "4", "5", "6"],
    "truth": [True, False, True, False, True, False],
    "commas and quotes": ["a,b", 'c"d', "e\nf", "", " g", "µ"],
    "large": [2**53 + i for i in range(6)],
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_a_config_comes_back_from_disk_as_it_was(tmp_path, values):
    "A config is an identity: the least change makes it another architecture."
    before = labels(knob=values)
    save_label_set(before, tmp_path)
    after = load_label_set("mine", tmp_path)
    assert after.configs == before.configs
    assert [type(c["knob"]) for c in after.configs] == [type(c["knob"]) for c in before.configs]


def test_labels_come_back_from_disk(tmp_path):
    before = labels(50)
    path = save_label_set(before, tmp_path)
    after = load_label_set("mine", tmp_path)
    assert np.allclose(after.labels, before.labels, rtol=1e-5) and after.facts == before.facts and len(after) == 50
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.csv", "mine.json"] and path.name == "mine.csv"


def damage(folder):
    csv, about = folder / "mine.csv", folder / "mine.json"
    text, facts = csv.read_text(), json.loads(about.read_text())
    lines = text.splitlines(keepends=True)
    yield "csv cut at a line", csv, "".join(lines[:-2])
    yield "csv cut in a line", csv, text[:-20]
    yield "csv header only", csv, lines[0]
    yield "csv empty", csv, ""
    yield "csv a row too many", csv, text + lines[-1]
    yield "csv a label too few", csv, text.replace(lines[2], lines[2].rsplit(",", 1)[0] + "\n")
    yield "csv a cell too many", csv, text.replace(lines[2], lines[2].strip() + ",1,2\n")
    yield "csv no number", csv, text.replace(lines[3], "1,x,y,z\n")
    yield "csv NaN", csv, text.replace(lines[3], "1,nan,1,1\n")
    yield "csv other columns", csv, text.replace("width", "height")
    yield "csv is bytes", csv, b"\x00\xff\xfe\x9c" * 50
    yield "json cut", about, about.read_text()[:-9]
    yield "json empty", about, ""
    yield "json list", about, "[1]"
    for key in ("rows", "hyperparameters", "facts"):
        yield f"json no {key}", about, json.dumps({k: v for k, v in facts.items() if k != key})
    yield "json other count", about, json.dumps(facts | {"rows": 5})
    yield "json hyperparameters is a number", about, json.dumps(facts | {"hyperparameters": 3})
    yield "json is bytes", about, b"\xff\xfe"


@pytest.mark.parametrize("i", range(20))
def test_damaged_files_are_format_errors(tmp_path, i):
    save_label_set(labels(), tmp_path)
    kinds = list(damage(tmp_path))
    assert len(kinds) == 20
    what, path, content = kinds[i]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileFormatError, match="mine"):
        load_label_set("mine", tmp_path)
        print(what)


def test_unknown_and_half_missing(tmp_path):
    save_label_set(labels(), tmp_path)
    with pytest.raises(ConfigError, match="Unknown label set 'other'. Allowed: 'mine'"):
        load_label_set("other", tmp_path)
    (tmp_path / "mine.json").unlink()
    with pytest.raises((FileFormatError, OSError), match="mine.json"):
        load_label_set("mine", tmp_path)


# ---- the store ------------------------------------------------------------------------------------------------------

FACTS = {"dataset": "imaginary", "times": (1, 2)}
TASKS = [(json.dumps({"width": i}), s) for i in range(12) for s in (0, 1)]


def work(path, queue):
    "What a worker process does: claim, measure, finish."
    store = LabelStore(path, FACTS)
    while task := store.claim():
        id, config, seed = task
        queue.put((id, os.getpid()))
        time.sleep(0.002)
        store.finish(id, {"value": config["width"] * 10 + seed}, 0.1)


def test_processes_claim_disjoint_tasks(tmp_path):
    store, queue = LabelStore(tmp_path / "s.sqlite", FACTS), PROCESSES.Queue()
    store.add(TASKS)
    processes = [PROCESSES.Process(target=work, args=(store.path, queue)) for _ in range(4)]
    for p in processes:
        p.start()
    claims = [queue.get(timeout=60) for _ in TASKS]
    for p in processes:
        p.join(60)
    assert all(p.exitcode == 0 for p in processes)
    assert sorted(id for id, _ in claims) == list(range(1, len(TASKS) + 1))
    assert store.counts() == {"open": 0, "claimed": 0, "done": len(TASKS), "failed": 0}
    assert [(c["width"], s, r["value"]) for c, s, r, _ in store.rows()] == [(i, s, 10 * i + s) for i in range(12) for s in (0, 1)]


def hang(path, queue):
    store = LabelStore(path, FACTS)
    for _ in range(2):
        id, config, seed = store.claim()
        store.finish(id, {"value": config["width"] * 10 + seed}, 0.1)
    queue.put(store.claim())
    time.sleep(600)


def test_a_killed_process_loses_its_one_task_to_the_next(tmp_path):
    store, queue = LabelStore(tmp_path / "s.sqlite", FACTS), PROCESSES.Queue()
    store.add(TASKS)
    victim = PROCESSES.Process(target=hang, args=(store.path, queue))
    victim.start()
    lost = queue.get(timeout=60)
    assert store.counts() == {"open": len(TASKS) - 3, "claimed": 1, "done": 2, "failed": 0}
    mine = store.claim()
    assert mine[0] != lost[0]  # it is alive: its task is not taken
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(60)
    again = store.claim()
    assert again == lost  # taken over, with the same config and seed
    for id, config, seed in (mine, again):
        store.finish(id, {"value": config["width"] * 10 + seed}, 0.1)
    while task := store.claim():
        store.finish(task[0], {"value": task[1]["width"] * 10 + task[2]}, 0.1)
    assert [(c["width"], s, r["value"]) for c, s, r, _ in store.rows()] == [(i, s, 10 * i + s) for i in range(12) for s in (0, 1)]


def test_a_claim_of_another_machine_is_left_alone(tmp_path):
    store = LabelStore(tmp_path / "s.sqlite", FACTS)
    store.add(TASKS[:1])
    store.claim()
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("update task set host = 'elsewhere', pid = 999999999")
    assert store.claim() is None and store.counts()["claimed"] == 1


def test_adding_twice_keeps_what_was_done(tmp_path):
    store = LabelStore(tmp_path / "s.sqlite", FACTS)
    store.add(TASKS[:3])
    store.finish(store.claim()[0], {"value": 1}, 2.0)
    store.add(TASKS)
    assert store.counts() == {"open": len(TASKS) - 1, "claimed": 0, "done": 1, "failed": 0}


def test_other_facts_are_refused_and_named(tmp_path):
    path = tmp_path / "s.sqlite"
    LabelStore(path, FACTS)
    LabelStore(path, {"times": [1, 2], "dataset": "imaginary"})  # the same facts, as JSON has them
    for other, says in [({"dataset": "imaginary"}, r"times was \[1, 2\], now None"), (FACTS | {"seed": 1}, "seed was None, now 1"),
                        (FACTS | {"dataset": "x"}, "dataset was 'imaginary', now 'x'")]:
        with pytest.raises(ConfigError, match=says):
            LabelStore(path, other)


def page(raw, n, size=4096):
    return raw[:n * size] + b"\xa5" * size + raw[(n + 1) * size:]


BREAKS = {
    "garbage": lambda raw: b"no database " * 1000,
    "text": lambda raw: b"width,acc\n1,2\n",
    "cut in the header": lambda raw: raw[:50],
    "cut after the header": lambda raw: raw[:100],
    "cut in the first page": lambda raw: raw[:1000],
    "cut after the first page": lambda raw: raw[:4096],
    "first page overwritten": lambda raw: page(raw, 0),
    "schema overwritten": lambda raw: raw[:100] + b"\xa5" * 3996 + raw[4096:],
    "second page overwritten": lambda raw: page(raw, 1),
    "third page overwritten": lambda raw: page(raw, 2),
}


@pytest.mark.parametrize("break_it", BREAKS.values(), ids=BREAKS)
def test_a_corrupt_store_is_a_format_error(tmp_path, break_it):
    store = LabelStore(tmp_path / "s.sqlite", FACTS)
    store.add(TASKS)
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    raw = store.path.read_bytes()
    for extra in tmp_path.glob("s.sqlite-*"):
        extra.unlink()
    store.path.write_bytes(break_it(raw))
    with pytest.raises(FileFormatError, match="s.sqlite"):
        again = LabelStore(store.path, FACTS)
        again.counts(), again.add(TASKS), again.rows("open"), again.claim()


def test_a_database_of_something_else_is_a_format_error(tmp_path):
    with closing(sqlite3.connect(tmp_path / "s.sqlite")) as db, db:
        db.execute("create table about (name text)")
        db.execute("create table task (x integer)")
    with pytest.raises(FileFormatError, match="s.sqlite"):
        LabelStore(tmp_path / "s.sqlite", FACTS)


# ---- from store to set ----------------------------------------------------------------------------------------------

def result(acc, **other):
    acc = np.array(acc, float)
    return {"acc_1d": acc[:, 1].mean(), "avm": acc[:, 0].mean() - acc[:, 2].mean(), "std_1d": 0.5, "acc_digital": 95.0, "acc_hwa": 94.0,
            "seconds": 1.0, "t_inference": [1.0, 86400.0, 2592000.0], "acc": acc.tolist()} | other


def test_the_table_is_what_was_measured(tmp_path):
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("width", "discrete", 0, 20)
    store = LabelStore(tmp_path / "s.sqlite", FACTS)
    with pytest.raises(ConfigError, match="no finished measurement"):
        label_set("mine", store, space)
    store.add([('{"width": 3}', 0), ('{"width": 4}', 0), ('{"width": 5}', 0)])
    for acc in ([[90, 88, 80], [92, 90, 84]], [[50, 40, 30], [50, 42, 30]]):
        store.finish(store.claim()[0], result(acc), 1800.0)
    store.finish(store.claim()[0], {"error": "x"}, 5.0, "failed")
    table = label_table(store)
    assert table.width.tolist() == [3, 4] and table.acc_1d.tolist() == [89, 41] and table.avm.tolist() == [9, 20]
    assert table.acc_2592000.tolist() == [82, 30] and table.std_1.tolist() == [np.sqrt(2), 0]
    made = label_set("mine", store, space)
    assert (made.facts["hours"], made.facts["failed"], len(made)) == (1.0, 1, 2)
    save_label_set(made, tmp_path)
    assert np.allclose(load_label_set("mine", tmp_path).labels, made.labels)


def test_a_task_that_kills_its_processes_gives_way_to_the_others(tmp_path):
    "Each of these processes claims a task and dies; a living claim is never counted."
    code = "import os, sys; from analognas.training.labels import LabelStore; LabelStore(sys.argv[1], {}).claim(); os._exit(1)"
    store = LabelStore(tmp_path / "s.sqlite", {})
    store.add([('{"deadly": 1}', 0)])
    for _ in range(MAX_DEATHS):
        subprocess.run([sys.executable, "-c", code, str(store.path)])
    store.add([('{"deadly": 0}', 0)])
    assert store.claim()[1] == {"deadly": 0}
    assert store.claim() is None  # and the one above is still ours
    assert store.counts() == {"open": 0, "claimed": 1, "done": 0, "failed": 1}
    assert store.rows("failed")[0][2]["error"] == f"The process that measured it died {MAX_DEATHS} times."
