"""Label sets on disk, and a store that several processes write to and any of them may die in."""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analognas.core import ConfigError, FileFormatError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training import labels as labels_module
from analognas.training.labels import (
    LABEL_SETS,
    MAX_DEATHS,
    STALE_SECONDS,
    TARGETS,
    LabelSet,
    LabelStore,
    StoreUnavailableError,
    join_label_sets,
    label_set,
    label_table,
    load_label_set,
    save_label_set,
)

PROCESSES = multiprocessing.get_context(
    "forkserver"
)  # imports once; each process is a fork of one that runs no threads
PROCESSES.set_forkserver_preload(["analognas.training.labels"])


def labels(n=6, **columns) -> LabelSet:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "width": range(n),
            "acc_1d": 90 * rng.random(n),
            "avm": rng.random(n),
            "std_1d": rng.random(n),
        }
        | columns
    )
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
    assert (
        np.allclose(after.labels, before.labels, rtol=1e-5)
        and after.facts == before.facts
        and len(after) == 50
    )
    assert (
        sorted(p.name for p in tmp_path.iterdir()) == ["mine.csv", "mine.json"]
        and path.name == "mine.csv"
    )


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
    assert [(c["width"], s, r["value"]) for c, s, r, _ in store.rows()] == [
        (i, s, 10 * i + s) for i in range(12) for s in (0, 1)
    ]


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
    assert [(c["width"], s, r["value"]) for c, s, r, _ in store.rows()] == [
        (i, s, 10 * i + s) for i in range(12) for s in (0, 1)
    ]


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
    for other, says in [
        ({"dataset": "imaginary"}, r"times was \[1, 2\], now None"),
        (FACTS | {"seed": 1}, "seed was None, now 1"),
        (FACTS | {"dataset": "x"}, "dataset was 'imaginary', now 'x'"),
    ]:
        with pytest.raises(ConfigError, match=says):
            LabelStore(path, other)


def page(raw, n, size=4096):
    return raw[: n * size] + b"\xa5" * size + raw[(n + 1) * size :]


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
    return {
        "acc_1d": acc[:, 1].mean(),
        "avm": acc[:, 0].mean() - acc[:, 2].mean(),
        "std_1d": 0.5,
        "acc_digital": 95.0,
        "acc_hwa": 94.0,
        "seconds": 1.0,
        "t_inference": [1.0, 86400.0, 2592000.0],
        "acc": acc.tolist(),
    } | other


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
    assert (
        table.width.tolist() == [3, 4]
        and table.acc_1d.tolist() == [89, 41]
        and table.avm.tolist() == [9, 20]
    )
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
    assert (
        store.rows("failed")[0][2]["error"]
        == f"The process that measured it died {MAX_DEATHS} times."
    )


# ---- whose claim is it, and does it live? ----------------------------------------------------------------------------


def filled(path, n=1, facts=FACTS) -> LabelStore:
    store = LabelStore(path, facts)
    store.add(TASKS[:n])
    return store


def change(store, **columns):
    "Write into the task table, without the code under test."
    with closing(sqlite3.connect(store.path)) as db, db:
        names = ", ".join(f"{c} = ?" for c in columns)
        db.execute(f"update task set {names} where state = 'claimed'", list(columns.values()))


def look(store, column, id=1):
    with closing(sqlite3.connect(store.path)) as db:
        return db.execute(f"select {column} from task where id = ?", [id]).fetchone()[0]


def test_a_number_that_another_process_has_now_is_no_claim(tmp_path):
    "The claimer is killed; its number is given to a process that lives."
    store, queue = filled(tmp_path / "s.sqlite", 3), PROCESSES.Queue()
    victim = PROCESSES.Process(target=hang, args=(store.path, queue))
    victim.start()
    lost = queue.get(timeout=60)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(60)
    with subprocess.Popen(["sleep", "600"]) as other:
        change(store, pid=other.pid)
        again = store.claim()
        other.kill()
    assert again == lost


def test_the_number_of_this_very_process_may_be_an_earlier_ones(tmp_path, monkeypatch):
    "Number 7 claims in a container; it starts anew, on the same kernel, and number 7 claims again."
    monkeypatch.setattr(labels_module, "process_start", lambda pid: "1000")
    store = filled(tmp_path / "s.sqlite")
    first = store.claim()
    assert store.claim() is None  # it still runs
    monkeypatch.setattr(labels_module, "process_start", lambda pid: "2000")
    assert store.claim() == first


def test_a_container_that_starts_anew_takes_its_task_last(tmp_path, monkeypatch):
    "It cannot see whether the other container of its name still runs: what is open comes first."
    monkeypatch.setattr(labels_module, "process_realm", lambda: "boot pid:[1]")
    store = filled(tmp_path / "s.sqlite", 2)
    first = store.claim()
    monkeypatch.setattr(labels_module, "process_realm", lambda: "boot pid:[2]")
    assert store.claim()[0] == 2 and store.counts()["claimed"] == 2
    assert store.claim() == first


def test_without_start_times_a_token_tells_a_process_from_an_earlier_one(tmp_path, monkeypatch):
    monkeypatch.setattr(labels_module, "process_realm", lambda: None)
    monkeypatch.setattr(labels_module, "process_start", lambda pid: None)
    store = filled(tmp_path / "s.sqlite")
    first = store.claim()
    assert store.claim() is None
    monkeypatch.setattr(labels_module, "_TOKEN", "that of another process")
    assert store.claim() == first


def test_without_start_times_a_living_number_is_believed_while_its_heart_beats(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(labels_module, "process_realm", lambda: None)
    monkeypatch.setattr(labels_module, "process_start", lambda pid: None)
    store = filled(tmp_path / "s.sqlite")
    first = store.claim()
    change(store, pid=os.getppid())
    assert store.claim() is None
    change(store, beat=time.time() - STALE_SECONDS - 1)
    assert store.claim() == first


@pytest.mark.parametrize(
    "age, void", [(0, False), (STALE_SECONDS - 60, False), (STALE_SECONDS + 1, True)]
)
def test_another_machine_is_believed_while_its_heart_beats(tmp_path, age, void):
    store = filled(tmp_path / "s.sqlite")
    first = store.claim()
    change(store, host="elsewhere", beat=time.time() - age)
    assert store.claim() == (first if void else None)


def test_a_heartbeat_from_the_future_counts_as_now_and_ages(tmp_path, monkeypatch):
    "The clock was a year ahead when the task was claimed."
    store, now = filled(tmp_path / "s.sqlite"), time.time()
    first = store.claim()
    change(store, host="elsewhere", beat=now + 365 * 86400)
    assert store.claim() is None
    monkeypatch.setattr(labels_module.time, "time", lambda: now + STALE_SECONDS + 60)
    assert store.claim() == first


def test_a_heartbeat_renews_the_claim(tmp_path):
    store = filled(tmp_path / "s.sqlite")
    id, *_ = store.claim()
    change(store, beat=0.0)
    before = time.time()
    assert store.beat(id) and before <= look(store, "beat") <= time.time()
    assert store.beat(id, progress={"epoch": 3}) and json.loads(look(store, "progress")) == {
        "epoch": 3
    }
    assert store.beat(id) and json.loads(look(store, "progress")) == {"epoch": 3}


def test_a_heartbeat_says_that_the_claim_is_lost(tmp_path):
    store = filled(tmp_path / "s.sqlite")
    id, *_ = store.claim()
    change(store, host="elsewhere", beat=123.0)
    assert (
        not store.beat(id, progress=1)
        and look(store, "beat") == 123.0
        and look(store, "progress") is None
    )
    store.finish(id, {}, 1.0)
    assert not store.beat(id)


def test_a_heartbeat_into_a_locked_store_ends_no_measurement(tmp_path, monkeypatch, caplog):
    store = filled(tmp_path / "s.sqlite")
    id, *_ = store.claim()
    monkeypatch.setattr(labels_module, "BEAT_SECONDS", 0.0)
    with locked(store):
        assert store.beat(id)
    assert "No heartbeat of task 1" in caplog.text and "locked" in caplog.text


def test_all_that_this_process_claimed_can_be_given_back(tmp_path):
    store = filled(tmp_path / "s.sqlite", 4)
    store.claim(), store.claim()
    change(store, host="elsewhere")
    store.claim()
    store.release()
    assert store.counts() == {"open": 2, "claimed": 2, "done": 0, "failed": 0}


def lose(store, fits=None, progress=None):
    "A process claims a task, perhaps comes to something, and dies."
    id, *_ = store.claim(fits)
    if progress is not None:
        store.beat(id, progress)
    change(store, started="that of a process that is gone")
    return id


def test_deaths_with_progress_doom_no_task(tmp_path):
    store = filled(tmp_path / "s.sqlite")
    for i in range(3 * MAX_DEATHS):
        assert lose(store, progress=i) == 1
    for _ in range(MAX_DEATHS - 1):
        assert lose(store) == 1
    assert lose(store, progress=0) == 1
    assert lose(store) == 1 and store.claim() is None
    assert store.counts() == {"open": 0, "claimed": 0, "done": 0, "failed": 1}


def test_a_task_that_is_lost_again_and_again_is_taken_last(tmp_path):
    "Or nothing else would get its turn, where a supervisor starts the collection anew each time."
    store = filled(tmp_path / "s.sqlite", 2)
    assert [lose(store, progress=1) for _ in range(MAX_DEATHS + 1)] == [1] * MAX_DEATHS + [2]


def test_failed_tasks_are_opened_again_without_their_deaths(tmp_path):
    store = filled(tmp_path / "s.sqlite", 3)
    for _ in range(MAX_DEATHS):
        lose(store)
    store.finish(store.claim()[0], {"error": "x"}, 1.0, "failed")
    store.finish(store.claim()[0], {"value": 1}, 1.0)
    assert store.counts()["failed"] == 2 and store.reopen([2, 3, 99]) == 1
    assert store.reopen() == 1 and store.reopen() == 0
    assert store.counts() == {"open": 2, "claimed": 0, "done": 1, "failed": 0}
    assert [lose(store) for _ in range(MAX_DEATHS)] == [1] * MAX_DEATHS  # counted from zero
    assert store.claim()[0] == 2 and store.counts()["failed"] == 1


def test_a_claim_may_ask_whether_a_task_fits(tmp_path):
    store, asked = filled(tmp_path / "s.sqlite", 12), []

    def fits(config):
        asked.append(config["width"])
        return config["width"] % 4 == 3

    assert store.claim(fits)[1:] == ({"width": 3}, 0) and asked == [0, 0, 1, 1, 2, 2, 3]
    assert store.claim(fits)[1:] == ({"width": 3}, 1)
    assert store.claim(fits) is None
    assert store.claim()[0] == 1 and store.counts()["claimed"] == 3


# ---- writing what was measured --------------------------------------------------------------------------------------


@contextmanager
def locked(store):
    "Another program is writing to the store."
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute("begin immediate")
        yield db
        db.execute("rollback")


def test_a_locked_store_is_tried_again_until_it_is_free(tmp_path, monkeypatch):
    store = filled(tmp_path / "s.sqlite")
    id, *_ = store.claim()
    monkeypatch.setattr(labels_module, "LOCK_SECONDS", 0.0)
    with locked(store) as other:
        monkeypatch.setattr(labels_module.time, "sleep", lambda seconds: other.execute("rollback"))
        store.finish(id, {"value": 1}, 2.0)
        other.execute("begin")
    assert store.rows() == [({"width": 0}, 0, {"value": 1}, 2.0)] and not store.unwritten


@pytest.mark.parametrize("how", ["finish", "put"])
def test_a_result_that_cannot_be_written_is_kept_and_stays_claimed(tmp_path, monkeypatch, how):
    store = filled(tmp_path / "s.sqlite", 2)
    id, config, seed = store.claim()
    write = {
        "finish": lambda: store.finish(id, {"value": 1}, 2.0),
        "put": lambda: store.put(json.dumps(config), seed, {"value": 1}, 2.0),
    }[how]
    monkeypatch.setattr(labels_module, "WRITE_SECONDS", 0.0)
    with (
        locked(store),
        pytest.raises(StoreUnavailableError, match=r"s\.sqlite.*locked.*kept in memory.*flush"),
    ):
        write()
    assert store.counts() == {"open": 1, "claimed": 1, "done": 0, "failed": 0}
    assert len(store.unwritten) == 1
    other = store.claim()  # writes first what is waiting
    assert other[0] == 2 and not store.unwritten
    assert store.rows() == [({"width": 0}, 0, {"value": 1}, 2.0)]


FULL_DISK = """
import resource, sys
from analognas.training import labels
store = labels.LabelStore(sys.argv[1])
id, *_ = store.claim()
size = 200_000  # bytes that any file may have: the result is larger
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
labels.WRITE_SECONDS = 0.0
try:
    store.finish(id, {"value": "x" * 500_000}, 1.0)
except labels.StoreUnavailableError as e:
    print(store.counts()["claimed"], e)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.flush()
"""


def test_a_full_disk_costs_no_measurement(tmp_path):
    store = filled(tmp_path / "s.sqlite")
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(store.path)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("1 ") and "kept in memory" in run.stdout
    assert len(store.rows()[0][2]["value"]) == 500_000


def test_a_store_that_was_removed_is_not_made_anew(tmp_path, monkeypatch):
    store = filled(tmp_path / "s.sqlite")
    id, *_ = store.claim()
    monkeypatch.setattr(labels_module, "WRITE_SECONDS", 0.0)
    store.path.rename(tmp_path / "elsewhere.sqlite")
    for extra in tmp_path.glob("s.sqlite-*"):
        extra.unlink()
    with pytest.raises(StoreUnavailableError, match="s.sqlite"):
        store.finish(id, {"value": 1}, 2.0)
    (tmp_path / "elsewhere.sqlite").rename(store.path)
    store.flush()
    assert store.counts()["done"] == 1


def test_what_is_done_stays_done(tmp_path):
    "Two processes measured one task, because the first was thought dead."
    store = filled(tmp_path / "s.sqlite")
    store.claim()
    store.finish(1, {"value": 1}, 1.0)
    store.finish(1, {"value": 2}, 1.0)
    store.finish(1, {"error": "x"}, 1.0, "failed")
    assert store.rows() == [({"width": 0}, 0, {"value": 1}, 1.0)]
    with pytest.raises(ConfigError, match="'open'"):
        store.finish(1, {}, 1.0, "open")


# ---- opening --------------------------------------------------------------------------------------------------------


def test_a_store_is_opened_with_the_facts_it_has(tmp_path):
    filled(tmp_path / "s.sqlite", 2)
    store = LabelStore(tmp_path / "s.sqlite")
    assert store.facts == {"dataset": "imaginary", "times": [1, 2]} and store.counts()["open"] == 2
    assert LabelStore(store.path, store.facts).part is None


def test_opening_makes_no_store(tmp_path):
    with pytest.raises(ConfigError, match="There is no label store .*s.sqlite"):
        LabelStore(tmp_path / "folder" / "s.sqlite")
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(FileFormatError, match="empty.sqlite"):
        LabelStore(tmp_path / "empty.sqlite")


@pytest.mark.parametrize("facts", [None, FACTS])
def test_places_where_no_store_can_be(tmp_path, facts):
    (tmp_path / "file").write_text("width,acc_1d\n8,90\n")
    below = tmp_path / "file" / "folder" / "s.sqlite"
    for path in (tmp_path, tmp_path / "file" / "s.sqlite", below, tmp_path / ("n" * 300)):
        with pytest.raises(ConfigError, match=path.name[:60]):
            LabelStore(path, facts)
    with pytest.raises(FileFormatError, match="file"):
        LabelStore(tmp_path / "file", facts)


def test_a_path_may_hold_what_an_address_may_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a?mode=ro", "a#b", "a%20b", "a b", "µ"):
        LabelStore(f"{name}.sqlite", FACTS)
        assert (tmp_path / f"{name}.sqlite").is_file() and LabelStore(f"{name}.sqlite").counts()[
            "open"
        ] == 0


def part(machine, **more):
    return FACTS | {"part": {"machine": machine, "caps": {"max_params": 10}} | more}


def test_runs_that_fill_one_store_may_differ_in_their_part(tmp_path):
    path = tmp_path / "s.sqlite"
    for machine in ("one", "two", "one"):
        store = LabelStore(path, part(machine))
        assert store.facts == {"dataset": "imaginary", "times": [1, 2]}
        store.add(TASKS[:5])
        store.finish(store.claim()[0], {"value": machine}, 1.0)
    store.put('{"width": 99}', 0, {"value": "one"}, 1.0)
    nobody = LabelStore(path)
    nobody.finish(nobody.claim()[0], {"value": "nobody"}, 1.0)
    assert [r.part for r in nobody.records()] == [0, 1, 0, None, 0]
    assert [p["machine"] for p in nobody.parts()] == ["one", "two"]
    assert nobody.parts()[0] == part("one")["part"]
    with pytest.raises(ConfigError, match="dataset was 'imaginary', now 'x'"):
        LabelStore(path, part("one") | {"dataset": "x"})
    with pytest.raises(ConfigError, match="must be a dict; got 'one'"):
        LabelStore(path, FACTS | {"part": "one"})


OLD = (
    Path(__file__).parent.parent / "data" / "labels_8ece4d1.sqlite"
)  # two done, one failed, one claimed, one died thrice
OLD_FACTS = {
    "dataset": "imaginary",
    "plan": {"n": 5, "repeats": 0, "seed": 0, "preset": "pcm"},
    "versions": {"torch": "2.15.0"},
}


@pytest.fixture
def old_store(tmp_path):
    "A store that commit 8ece4d1 wrote."
    return Path(shutil.copy(OLD, tmp_path / "old.sqlite"))


def test_a_store_of_0_1_0_opens_and_goes_on(old_store):
    with pytest.raises(ConfigError, match="plan was"):
        LabelStore(old_store, OLD_FACTS | {"plan": {}})
    store = LabelStore(old_store, OLD_FACTS)
    assert LabelStore(old_store).facts == OLD_FACTS
    assert store.counts() == {"open": 1, "claimed": 1, "done": 2, "failed": 1}
    assert [lose(store) for _ in range(2)] == [5, 5]  # it had died three times before
    assert store.claim() is None and store.counts()["failed"] == 2
    change(
        store, beat=time.time() - STALE_SECONDS - 1
    )  # the host is gone, and has been for long now
    assert store.claim()[1] == {"width": 64}
    assert store.reopen() == 2


def test_a_store_of_0_1_0_gives_the_table_it_gave(old_store):
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("width", "discrete", 1, 200)
    made = label_set("old", LabelStore(old_store), space)
    assert made.table.columns.tolist() == [
        "width",
        "seed",
        "acc_1d",
        "avm",
        "std_1d",
        "acc_digital",
        "acc_hwa",
        "acc_1",
        "acc_86400",
        "acc_2592000",
        "std_1",
        "std_86400",
        "std_2592000",
        "seconds",
    ]
    assert made.table.acc_2592000.tolist() == [86, 87]
    assert made.facts == OLD_FACTS | {"hours": 1.0, "failed": 1, "unfinished": 2}


def test_two_processes_may_open_an_old_store_at_once(old_store):
    processes = [
        PROCESSES.Process(target=LabelStore, args=(old_store, OLD_FACTS)) for _ in range(4)
    ]
    for p in processes:
        p.start()
    for p in processes:
        p.join(60)
    assert [p.exitcode for p in processes] == [0] * 4 and LabelStore(old_store).counts()[
        "done"
    ] == 2


def test_damaged_contents_are_format_errors(tmp_path):
    store = filled(tmp_path / "s.sqlite")
    for text in ("{", "[1]", "3", "null"):
        with closing(sqlite3.connect(store.path)) as db, db:
            db.execute("update task set config = ?", [text])
        with pytest.raises(FileFormatError, match="s.sqlite is damaged"):
            store.claim()
        with pytest.raises(FileFormatError, match="s.sqlite is damaged"):
            store.rows("open")
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("update about set facts = '[1]'")
    with pytest.raises(FileFormatError, match="s.sqlite is damaged"):
        LabelStore(store.path)


# ---- parts, and what is joined of them ------------------------------------------------------------------------------


def space_of_width():
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("width", "discrete", 0, 200)
    return space


def measured_by(path, machine, widths, acc=90.0, **facts):
    "What one machine measured: half an hour for each width."
    store = LabelStore(path, part(machine) | {"data_sha256": "ab"} | facts)
    for width in widths:
        store.put(
            json.dumps({"width": width}),
            0,
            result([[acc, acc - width, acc - 2], [acc, acc - width, acc - 4]]),
            1800.0,
        )
    return store


def test_a_label_set_says_which_part_a_row_is_of(tmp_path):
    store = measured_by(tmp_path / "s.sqlite", "one", [1, 2])
    store = measured_by(store.path, "two", [3])
    store.add([('{"width": 4}', 0), ('{"width": 5}', 0)])
    store.claim()
    made = label_set("mine", store, space_of_width())
    assert made.table.part.tolist() == [0, 0, 1] and made.table.seconds.tolist() == [1800.0] * 3
    assert made.facts["parts"] == [
        part("one")["part"] | {"rows": 2, "hours": 1.0},
        part("two")["part"] | {"rows": 1, "hours": 0.5},
    ]
    assert made.facts["unfinished"] == 2 and "part" not in made.facts
    LabelStore(store.path).put('{"width": 9}', 0, result([[9, 8, 7], [9, 8, 7]]), 3600.0)
    made = label_set("mine", store, space_of_width())
    assert made.table.part.tolist() == [0, 0, 1, 2] and made.facts["parts"][2] == {
        "rows": 1,
        "hours": 1.0,
    }
    save_label_set(made, tmp_path)
    again = load_label_set("mine", tmp_path)
    assert again.facts == made.facts and again.table.part.tolist() == [0, 0, 1, 2]


def test_a_hyperparameter_must_not_have_the_name_of_a_column(tmp_path):
    store = LabelStore(tmp_path / "s.sqlite", FACTS)
    store.put('{"acc_1d": 3, "width": 1}', 0, result([[9, 8, 7], [9, 8, 7]]), 1.0)
    with pytest.raises(ConfigError, match="acc_1d"):
        label_table(store)


def test_a_result_that_is_no_measurement_is_named(tmp_path):
    store = LabelStore(tmp_path / "s.sqlite", FACTS)
    store.put('{"width": 77}', 0, {"acc": [[1, 2]]}, 1.0)
    with pytest.raises(FileFormatError, match="77"):
        label_table(store)


def sets_of_three_machines(folder):
    "Width 2 and 3 are measured twice, and alike; width 4 twice, and not alike."
    stores = [
        measured_by(folder / "1.sqlite", "one", [1, 2]),
        measured_by(folder / "2.sqlite", "two", [2, 3, 4]),
        measured_by(folder / "3.sqlite", "three", [3]),
    ]
    measured_by(folder / "3.sqlite", "four", [4, 5], acc=80.0)
    return [label_set("mine", store, space_of_width()) for store in stores]


def test_machines_are_joined(tmp_path):
    both = join_label_sets(*sets_of_three_machines(tmp_path))
    assert both.table.width.tolist() == [1, 2, 3, 4, 5] and both.table.part.tolist() == [
        0,
        0,
        1,
        1,
        3,
    ]
    assert [(p["machine"], p["rows"], p["hours"]) for p in both.facts["parts"]] == [
        ("one", 2, 1.0),
        ("two", 2, 1.5),
        ("three", 0, 0.5),
        ("four", 1, 1.0),
    ]
    assert both.table.acc_1d.tolist() == [89, 88, 87, 86, 75]  # the first is kept
    assert (
        both.facts["dropped_duplicates"],
        both.facts["disagreeing_duplicates"],
        both.facts["hours"],
    ) == (3, 1, 4.0)


def test_joining_in_steps_is_joining_at_once(tmp_path):
    first, second, third = sets_of_three_machines(tmp_path)
    at_once, steps = (
        join_label_sets(first, second, third),
        join_label_sets(join_label_sets(first, second), third),
    )
    assert steps.facts == at_once.facts and steps.table.equals(at_once.table)


def test_sets_from_disk_are_joined_like_those_in_memory(tmp_path):
    sets = sets_of_three_machines(tmp_path)
    for i, one in enumerate(sets):
        save_label_set(one, tmp_path / str(i))
    read = [load_label_set("mine", tmp_path / str(i)) for i in range(len(sets))]
    joined, again = join_label_sets(*sets), join_label_sets(*read)
    assert again.facts == joined.facts and np.allclose(again.labels, joined.labels, rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"data_sha256": "cd"},
        {"protocol": {"epochs": 9}},
        {"hardware": {"preset": "pcm"}},
        {"space": {}},
    ],
)
def test_what_was_measured_otherwise_is_not_joined(tmp_path, change):
    one = label_set("one", measured_by(tmp_path / "1.sqlite", "one", [1]), space_of_width())
    two = label_set(
        "two", measured_by(tmp_path / "2.sqlite", "two", [2], **change), space_of_width()
    )
    with pytest.raises(
        ConfigError, match=f"'one' and 'two' were not measured alike: {next(iter(change))} "
    ):
        join_label_sets(one, one, two)


def test_versions_and_caps_may_differ_and_are_kept_with_their_part(tmp_path):
    stores = [
        measured_by(tmp_path / f"{v}.sqlite", "one", [v], versions={"torch": v}, caps=v)
        for v in (1, 2)
    ]
    both = join_label_sets(*(label_set("mine", store, space_of_width()) for store in stores))
    assert [p["versions"]["torch"] for p in both.facts["parts"]] == [
        1,
        2,
    ] and "versions" not in both.facts


def test_joins_that_cannot_be(tmp_path):
    one = label_set("one", measured_by(tmp_path / "1.sqlite", "one", [1]), space_of_width())
    with pytest.raises(ConfigError, match="at least 2; got 1"):
        join_label_sets(one)
    without = LabelSet("bare", one.table.drop(columns=["seed", "part"]), ["width"], one.facts)
    with pytest.raises(
        ConfigError, match=r"'bare' cannot be joined: it lacks the columns \['seed', 'part'\]"
    ):
        join_label_sets(one, without)
    for wrong in (7, -1, "x"):
        odd = LabelSet("odd", one.table.assign(part=wrong), ["width"], one.facts)
        with pytest.raises(ConfigError, match="'odd' cannot be joined"):
            join_label_sets(one, odd)
    other = LabelSet("other", one.table.rename(columns={"width": "depth"}), ["depth"], one.facts)
    with pytest.raises(ConfigError, match="by other names"):
        join_label_sets(one, other)


def test_sets_of_0_1_0_are_joined_as_they_were():
    shipped = load_label_set("digits")  # of one sample or several
    facts = shipped.facts | {"plan": shipped.facts["plan"] | {"seed": 12345}}
    facts.pop("samples", None)
    more = LabelSet("digits", shipped.table[:7], shipped.hyperparameters, facts)
    both = join_label_sets(shipped, more, more)
    assert (
        len(both) == len(shipped) + 14
        and "parts" not in both.facts
        and "dropped_duplicates" not in both.facts
    )
    assert [s["seed"] for s in both.facts["samples"]][-2:] == [12345, 12345] and both.facts[
        "samples"
    ][-1]["rows"] == 7
    odd = LabelSet("odd", more.table, more.hyperparameters, more.facts | {"versions": {}})
    with pytest.raises(ConfigError, match="not measured alike: versions"):
        join_label_sets(shipped, odd)


# ---- two files that belong together ---------------------------------------------------------------------------------


class Killed(BaseException):
    "Stands for the end of the process."


def save_killed(before, folder, monkeypatch, at):
    "Save, killed before the `at`-th file takes its name; leaves what a killed process leaves."
    calls, replace = [], os.replace

    def killed(*args):
        calls.append(args)
        if len(calls) == at:
            raise Killed
        return replace(*args)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        save_label_set(before, folder)
    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("then", range(4))
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_kill_between_two_files_leaves_the_old_set_or_the_new(tmp_path, monkeypatch, at, then):
    old, new, newer = labels(6), labels(9), labels(4)
    save_label_set(old, tmp_path)
    save_killed(new, tmp_path, monkeypatch, at)
    now = len(load_label_set("mine", tmp_path))
    assert now == (9 if at == 3 else 6)
    if then:  # and again, over what the first left
        save_killed(newer, tmp_path, monkeypatch, then)
        assert len(load_label_set("mine", tmp_path)) in (now, 4)
    save_label_set(newer, tmp_path)
    assert len(load_label_set("mine", tmp_path)) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.csv", "mine.json"]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_first_save_that_is_killed_leaves_nothing_or_all(tmp_path, monkeypatch, at):
    save_killed(labels(6), tmp_path, monkeypatch, at)
    if at == 3:
        assert len(load_label_set("mine", tmp_path)) == 6
    else:
        with pytest.raises((ConfigError, OSError), match="mine"):
            load_label_set("mine", tmp_path)


def test_a_csv_of_the_same_length_that_is_another_is_refused(tmp_path):
    path = save_label_set(labels(), tmp_path)
    path.write_text(path.read_text().replace("\n0,", "\n7,"))
    with pytest.raises(FileFormatError, match="'mine' in .* is damaged: its CSV"):
        load_label_set("mine", tmp_path)


def test_a_checkout_may_change_the_line_ends(tmp_path):
    path = save_label_set(labels(), tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_label_set("mine", tmp_path).configs == labels().configs


@pytest.mark.parametrize("name", ["digits", "KWS", "CIFAR-10"])
def test_sets_that_were_saved_without_a_checksum_load(tmp_path, name):
    for end in ("csv", "json"):
        shutil.copy(LABEL_SETS / f"{name}.{end}", tmp_path)
    about = json.loads((tmp_path / f"{name}.json").read_text())
    about.pop("sha256", None)
    (tmp_path / f"{name}.json").write_text(json.dumps(about))
    shipped = load_label_set(name, tmp_path)
    save_label_set(shipped, tmp_path)
    again = load_label_set(name, tmp_path)
    assert again.configs == shipped.configs and len(again) == about["rows"]


def test_a_damaged_set_can_be_saved_over(tmp_path, monkeypatch):
    save_label_set(labels(6), tmp_path)
    save_killed(labels(9), tmp_path, monkeypatch, 2)
    (tmp_path / "mine.json").write_text("{")
    save_label_set(labels(4), tmp_path)
    assert len(load_label_set("mine", tmp_path)) == 4


def test_a_name_may_hold_a_dot(tmp_path, monkeypatch):
    named = LabelSet("net1.5", labels(6).table, ["width"], {})
    save_killed(named, tmp_path, monkeypatch, 3)
    save_killed(named, tmp_path, monkeypatch, 2)
    assert len(load_label_set("net1.5", tmp_path)) == 6
