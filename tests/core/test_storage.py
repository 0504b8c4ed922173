"""The task store: who owns a task, and what happens to it when a process ends. For both kinds of file."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from analognas.core import (
    ConfigError,
    FileFormatError,
    StoreUnavailableError,
    claims,
    storage,
)
from analognas.core.claims import STALE_SECONDS
from analognas.core.storage import Heartbeat, TaskStore
from analognas.search_algorithms.run_directory import EVALUATIONS
from analognas.training.label_store import LABEL_TASKS

KINDS = {
    "labels": (LABEL_TASKS, [(json.dumps({"width": i}), 0) for i in range(4)]),
    "runs": (EVALUATIONS, [("search", 0, json.dumps({"width": i})) for i in range(4)]),
}

MODULES = {
    "task": ("analognas.training.label_store", "LABEL_TASKS"),
    "evaluation": ("analognas.search_algorithms.run_directory", "EVALUATIONS"),
}


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    "A store of four tasks."
    table, keys = KINDS[request.param]
    made = TaskStore(tmp_path / "s.sqlite", table)
    made.begin({"dataset": "imaginary"})
    assert made.add(keys) == [1, 2, 3, 4]
    return made


def change(store, **columns):
    "Write into the claims, without the code under test."
    with closing(sqlite3.connect(store.path)) as db, db:
        names = ", ".join(f"{c} = ?" for c in columns)
        statement = f"update {store.table.name} set {names} where state = 'claimed'"
        db.execute(statement, list(columns.values()))


def column(store, name, id=1):
    "Read a column, without the code under test."
    with closing(sqlite3.connect(store.path)) as db:
        found = db.execute(f"select {name} from {store.table.name} where id = ?", [id])
        return found.fetchone()[0]


def test_tasks_are_taken_in_the_order_of_the_ids_and_only_once(store):
    assert store.claim([3, 1, 2], 2) == [3, 1]
    assert store.claim(iter([3, 1, 2, 4]), 2) == [2, 4]
    assert store.claim([1, 2, 3, 4]) == []


def test_a_claim_of_a_killed_process_is_void_at_once(store):
    module, name = MODULES[store.table.name]
    code = f"""
import time
from analognas.core.storage import TaskStore
from {module} import {name}
print(TaskStore({str(store.path)!r}, {name}).claim([1]), flush=True)
time.sleep(600)"""
    victim = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert victim.stdout.readline() == "[1]\n"
    assert store.claim([1, 2]) == [2]  # it is alive
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    assert store.claim([1]) == [1]


def test_a_number_that_another_process_has_now_is_no_claim(store):
    assert store.claim([1]) == [1]
    with subprocess.Popen(["sleep", "600"]) as other:
        change(store, pid=other.pid)
        assert store.claim([1]) == [1]
        other.kill()


def test_a_container_that_starts_anew_takes_what_is_open_first(store, monkeypatch):
    "It cannot check whether the other container of its name still runs."
    monkeypatch.setattr(claims, "process_realm", lambda: "boot pid:[1]")
    assert store.claim([1]) == [1]
    monkeypatch.setattr(claims, "process_realm", lambda: "boot pid:[2]")
    assert store.claim([1, 2]) == [2]
    assert store.counts()["claimed"] == 2
    assert store.claim([1, 2]) == [1]


@pytest.mark.parametrize(
    "age, void", [(0, False), (STALE_SECONDS - 60, False), (STALE_SECONDS + 1, True)]
)
def test_another_machine_is_believed_while_its_heart_beats(store, age, void):
    assert store.claim([1]) == [1]
    change(store, host="elsewhere", beat=time.time() - age)
    assert store.claim([1]) == ([1] if void else [])


def test_claims_of_a_store_object_that_was_closed_are_void(store):
    "A search has ended, and could not release its claims; the process goes on."
    other = TaskStore(store.path, store.table)
    assert other.claim([1]) == [1]
    assert store.claim([1]) == []
    other.close()
    assert store.claim([1]) == [1]


def test_two_store_objects_of_one_process_respect_each_other(store):
    other = TaskStore(store.path, store.table)
    assert (store.claim([1, 2]), other.claim([1, 2])) == ([1], [2])


def test_a_heartbeat_renews_all_claims_of_this_process_and_no_other(store):
    store.claim([1])
    earlier = time.time() - 100
    change(store, host="elsewhere", beat=earlier)
    store.claim([2])
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(f"update {store.table.name} set beat = 1.0 where id = 2")
    before = time.time()
    assert store.beat()
    assert before <= column(store, "beat", 2) <= time.time()
    assert column(store, "beat", 1) == earlier


def test_the_thread_of_a_heartbeat_beats_until_it_is_stopped(store, monkeypatch):
    beats = []
    monkeypatch.setattr(storage, "HEARTBEAT_SECONDS", 0.001)
    monkeypatch.setattr(store, "beat", lambda: beats.append(1))
    end = time.monotonic() + 60
    with Heartbeat(store) as heart:
        while not beats and time.monotonic() < end:
            time.sleep(0.001)
    assert beats and heart._thread is None


def test_all_claims_can_be_released_whoever_made_them(store):
    store.claim([1])
    change(store, host="elsewhere")
    store.release()  # this process's own
    assert store.counts()["claimed"] == 1
    store.release_all()
    assert store.counts()["open"] == 4


def test_done_stays_done(store):
    empty = dict.fromkeys(store.table.result)
    store.claim([1])
    store.finish({1: empty | {"seconds": 1.0}})
    store.finish({1: empty | {"seconds": 2.0}})
    assert store.select(["seconds"]) == [(1.0,)]


def test_a_file_of_the_other_kind_is_refused(store, tmp_path):
    table = EVALUATIONS if store.table is LABEL_TASKS else LABEL_TASKS
    with pytest.raises(FileFormatError, match="s.sqlite"):
        TaskStore(store.path, table).begin({})


@pytest.mark.parametrize("damage", ["delete from {}", "update {} set state = 'dona'"])
def test_a_task_that_nobody_would_end_is_an_error(store, damage):
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("pragma ignore_check_constraints = 1")
        db.execute(damage.format(store.table.name) + " where id = 2")
    store.check_states([1, 3])
    with pytest.raises(FileFormatError, match="damaged: its task 2 is missing or has no state"):
        store.check_states([1, 2])


def test_a_state_that_is_none_is_not_counted(store):
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("pragma ignore_check_constraints = 1")
        db.execute(f"update {store.table.name} set state = 'dona' where id = 2")
    with pytest.raises(FileFormatError, match="it has tasks in the state 'dona'"):
        store.counts()


def test_an_interrupt_between_a_claim_and_its_noting_leaves_no_claim(store):
    "The claim is in the file; its id never reached the caller, whose process lives on."
    store.claim([1, 2], 2)
    other = TaskStore(store.path, store.table)
    other.claim([3], 1)
    store.close()
    states = [column(store, "state", id) for id in (1, 2, 3, 4)]
    assert states == ["open", "open", "claimed", "open"]
    other.release_own()
    assert column(store, "state", 3) == "open"
    other.close()


def test_a_store_that_others_took_the_place_of_is_not_written(store, tmp_path):
    [task_id] = store.claim([1])
    other = TaskStore(tmp_path / "other.sqlite", store.table)
    other.begin({"dataset": "another"})
    os.replace(other.path, store.path)
    before = store.path.read_bytes()
    with pytest.raises(StoreUnavailableError, match="was replaced by another"):
        store.claim([task_id])
    assert store.path.read_bytes() == before


def test_a_heartbeat_tells_whether_the_claim_is_still_held(store):
    store.claim([1, 2], 2)
    assert store.beat(1) is True
    assert store.beat(3) is False
    change(store, host="elsewhere")
    assert store.beat(1) is False
    assert store.beat() is False


def test_a_heartbeat_notes_how_far_a_task_is(store):
    store.claim([1])
    store.beat(1, {"epoch": 3})
    store.beat(1)
    assert json.loads(column(store, "progress")) == {"epoch": 3}


def test_a_heartbeat_into_an_unavailable_file_is_logged_and_ends_nothing(
    store, monkeypatch, caplog
):
    def unavailable(*args, **kwargs):
        raise StoreUnavailableError("the disk is away")

    store.claim([1])
    monkeypatch.setattr(store, "transaction", unavailable)
    assert store.beat(1) is True
    assert store.beat() is True
    assert "task 1" in caplog.text
    assert "the disk is away" in caplog.text


def some_result(store, seconds):
    "Return a result with one value."
    return dict.fromkeys(store.table.result) | {"seconds": seconds}


def test_a_result_can_be_put_for_a_task_that_was_not_added(store):
    key = list(store.table.key)
    new = [f"new {name}" if kind == "text" else 7 for name, kind in store.table.key.items()]
    store.put(new, some_result(store, 3.0))
    assert store.select([*key, "seconds"]) == [(*new, 3.0)]


def test_a_result_can_be_put_for_a_task_that_is_there_but_not_when_it_is_done(store):
    key = store.open_tasks()[0][1:]
    store.claim([1])
    store.put(key, some_result(store, 1.0))
    store.put(key, some_result(store, 2.0))
    assert store.select(["id", "seconds"]) == [(1, 1.0)]


def test_a_claim_of_an_ended_process_is_found_behind_that_of_a_living_one(store):
    assert store.claim([1]) == [1]
    store.claim([2])
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute(
            f"update {store.table.name} set host = 'elsewhere', beat = 1.0 where id = 2"
        )  # without a heartbeat for years
    assert store.claim([1, 2]) == [2]
    assert column(store, "lost", 2) == 1


def test_some_tasks_can_be_released(store):
    store.claim([1, 2, 3], 3)
    store.release([3, 1])
    assert [task[0] for task in store.open_tasks()] == [1, 3, 4]


def test_failed_tasks_are_opened_again_all_or_some(store):
    store.claim([1, 2, 3], 3)
    store.finish({i: some_result(store, 1.0) for i in (1, 2, 3)}, "failed")
    assert store.reopen([1, 4]) == 1
    assert store.reopen() == 2
    assert store.counts()["open"] == 4
    assert column(store, "seconds", 2) is None


def test_a_state_that_no_finished_task_has_is_refused(store):
    with pytest.raises(ConfigError, match="state of a finished task"):
        store.finish({1: some_result(store, 1.0)}, "open")


def test_a_task_is_taken_once(store):
    assert store.take(2) is True
    assert store.take(2) is False
