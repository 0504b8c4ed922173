"""The label store: several processes write to it, and any of them may die."""

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
import pytest
from made_up_labels import FACTS, measured_by, part, result, space_of_width

from analognas.core import ConfigError, FileFormatError, claims, storage
from analognas.core.claims import STALE_SECONDS
from analognas.core.task_file import StoreUnavailableError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.label_store import MAX_RETRIES, LabelStore, label_set, label_table
from analognas.training.labels import load_label_set, save_label_set

# It imports once; each process is a fork of one that runs no threads.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["analognas.training.label_store"])


# ---- the store -----------------------------------------------------------------------------------

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


# ---- from store to set ---------------------------------------------------------------------------


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
    assert (made.metadata["hours"], made.metadata["failed"], len(made)) == (1.0, 1, 2)
    save_label_set(made, tmp_path)
    assert np.allclose(load_label_set("mine", tmp_path).labels, made.labels)


def test_a_task_that_kills_its_processes_gives_way_to_the_others(tmp_path):
    "Each of these processes claims a task and dies; a living claim is never counted."
    code = "import os, sys; from analognas.training.label_store import LabelStore; LabelStore(sys.argv[1], {}).claim(); os._exit(1)"
    store = LabelStore(tmp_path / "s.sqlite", {})
    store.add([('{"deadly": 1}', 0)])
    for _ in range(MAX_RETRIES):
        subprocess.run([sys.executable, "-c", code, str(store.path)])
    store.add([('{"deadly": 0}', 0)])
    assert store.claim()[1] == {"deadly": 0}
    assert store.claim() is None  # and the one above is still ours
    assert store.counts() == {"open": 0, "claimed": 1, "done": 0, "failed": 1}
    assert (
        store.rows("failed")[0][2]["error"]
        == f"The process that measured it died {MAX_RETRIES} times."
    )


# ---- whose claim is it, and does it live? --------------------------------------------------------


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
    monkeypatch.setattr(claims, "process_start", lambda pid: "1000")
    store = filled(tmp_path / "s.sqlite")
    first = store.claim()
    assert store.claim() is None  # it still runs
    monkeypatch.setattr(claims, "process_start", lambda pid: "2000")
    assert store.claim() == first


def test_a_container_that_starts_anew_takes_its_task_last(tmp_path, monkeypatch):
    "It cannot see whether the other container of its name still runs: what is open comes first."
    monkeypatch.setattr(claims, "process_realm", lambda: "boot pid:[1]")
    store = filled(tmp_path / "s.sqlite", 2)
    first = store.claim()
    monkeypatch.setattr(claims, "process_realm", lambda: "boot pid:[2]")
    assert store.claim()[0] == 2 and store.counts()["claimed"] == 2
    assert store.claim() == first


def test_without_start_times_a_token_tells_a_process_from_an_earlier_one(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "process_realm", lambda: None)
    monkeypatch.setattr(claims, "process_start", lambda pid: None)
    store = filled(tmp_path / "s.sqlite")
    first = store.claim()
    assert store.claim() is None
    monkeypatch.setattr(claims, "_PROCESS_TOKEN", "that of another process")
    assert store.claim() == first


def test_without_start_times_a_living_number_is_believed_while_its_heart_beats(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(claims, "process_realm", lambda: None)
    monkeypatch.setattr(claims, "process_start", lambda pid: None)
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
    monkeypatch.setattr(storage.time, "time", lambda: now + STALE_SECONDS + 60)
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
    monkeypatch.setattr(storage, "BEAT_SECONDS", 0.0)
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
    for i in range(3 * MAX_RETRIES):
        assert lose(store, progress=i) == 1
    for _ in range(MAX_RETRIES - 1):
        assert lose(store) == 1
    assert lose(store, progress=0) == 1
    assert lose(store) == 1 and store.claim() is None
    assert store.counts() == {"open": 0, "claimed": 0, "done": 0, "failed": 1}


def test_a_task_that_is_lost_again_and_again_is_taken_last(tmp_path):
    "Or nothing else would get its turn, where a supervisor starts the collection anew each time."
    store = filled(tmp_path / "s.sqlite", 2)
    assert [lose(store, progress=1) for _ in range(MAX_RETRIES + 1)] == [1] * MAX_RETRIES + [2]


def test_failed_tasks_are_opened_again_without_their_deaths(tmp_path):
    store = filled(tmp_path / "s.sqlite", 3)
    for _ in range(MAX_RETRIES):
        lose(store)
    store.finish(store.claim()[0], {"error": "x"}, 1.0, "failed")
    store.finish(store.claim()[0], {"value": 1}, 1.0)
    assert store.counts()["failed"] == 2 and store.reopen([2, 3, 99]) == 1
    assert store.reopen() == 1 and store.reopen() == 0
    assert store.counts() == {"open": 2, "claimed": 0, "done": 1, "failed": 0}
    assert [lose(store) for _ in range(MAX_RETRIES)] == [1] * MAX_RETRIES  # counted from zero
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


# ---- writing what was measured -------------------------------------------------------------------


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
    monkeypatch.setattr(storage, "LOCK_SECONDS", 0.0)
    with locked(store) as other:
        monkeypatch.setattr(storage.time, "sleep", lambda seconds: other.execute("rollback"))
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
    monkeypatch.setattr(storage, "WRITE_SECONDS", 0.0)
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
from analognas.core import storage
from analognas.training.label_store import LabelStore
store = LabelStore(sys.argv[1])
id, *_ = store.claim()
size = 200_000  # bytes that any file may have: the result is larger
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
storage.WRITE_SECONDS = 0.0
try:
    store.finish(id, {"value": "x" * 500_000}, 1.0)
except storage.StoreUnavailableError as e:
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
    monkeypatch.setattr(storage, "WRITE_SECONDS", 0.0)
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


# ---- opening -------------------------------------------------------------------------------------


def test_a_store_is_opened_with_the_facts_it_has(tmp_path):
    filled(tmp_path / "s.sqlite", 2)
    store = LabelStore(tmp_path / "s.sqlite")
    assert (
        store.metadata == {"dataset": "imaginary", "times": [1, 2]} and store.counts()["open"] == 2
    )
    assert LabelStore(store.path, store.metadata).part is None


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


def test_runs_that_fill_one_store_may_differ_in_their_part(tmp_path):
    path = tmp_path / "s.sqlite"
    for machine in ("one", "two", "one"):
        store = LabelStore(path, part(machine))
        assert store.metadata == {"dataset": "imaginary", "times": [1, 2]}
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
    assert LabelStore(old_store).metadata == OLD_FACTS
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
    assert made.metadata == OLD_FACTS | {"hours": 1.0, "failed": 1, "unfinished": 2}


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


def test_a_label_set_says_which_part_a_row_is_of(tmp_path):
    store = measured_by(tmp_path / "s.sqlite", "one", [1, 2])
    store = measured_by(store.path, "two", [3])
    store.add([('{"width": 4}', 0), ('{"width": 5}', 0)])
    store.claim()
    made = label_set("mine", store, space_of_width())
    assert made.table.part.tolist() == [0, 0, 1] and made.table.seconds.tolist() == [1800.0] * 3
    assert made.metadata["parts"] == [
        part("one")["part"] | {"rows": 2, "hours": 1.0},
        part("two")["part"] | {"rows": 1, "hours": 0.5},
    ]
    assert made.metadata["unfinished"] == 2 and "part" not in made.metadata
    LabelStore(store.path).put('{"width": 9}', 0, result([[9, 8, 7], [9, 8, 7]]), 3600.0)
    made = label_set("mine", store, space_of_width())
    assert made.table.part.tolist() == [0, 0, 1, 2] and made.metadata["parts"][2] == {
        "rows": 1,
        "hours": 1.0,
    }
    save_label_set(made, tmp_path)
    again = load_label_set("mine", tmp_path)
    assert again.metadata == made.metadata and again.table.part.tolist() == [0, 0, 1, 2]


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


# ---- NaN is no label -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["acc_1d", "std_1d", "acc_hwa", "acc"])
def test_a_result_of_nan_is_not_kept(tmp_path, name, bad):
    store = LabelStore(tmp_path / "s.sqlite", FACTS)
    good = result([[90, 89, 88], [91, 90, 89]])
    value = [[bad, 89.0, 88.0]] if name == "acc" else float(bad)
    with pytest.raises(ConfigError, match="finite numbers only"):
        store.put(json.dumps({"width": 1}), 0, good | {name: value}, 1.0)
    assert store.counts()["done"] == 0


@pytest.mark.parametrize("name", ["acc_1d", "std_1d", "acc_hwa", "acc"])
def test_a_store_that_holds_nan_gives_no_labels(tmp_path, name):
    "It was written by an older release."
    store = LabelStore(tmp_path / "s.sqlite", FACTS)
    bad = result([[90, 89, 88], [91, 90, 89]])
    bad[name] = [[np.nan, 89.0, 88.0], [91.0, 90.0, 89.0]] if name == "acc" else np.nan
    store.put(json.dumps({"width": 1}), 0, {"later": 1}, 1.0)
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("update task set result = ?", (json.dumps(bad),))
        db.commit()
    for read in (label_table, lambda s: label_set("mine", s, space_of_width())):
        with pytest.raises(FileFormatError, match="is no measurement"):
            read(store)
