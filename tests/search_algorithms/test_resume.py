"""Killed, shared, spread, stopped: the same evaluations and the same result, and nothing evaluated twice."""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import killable
import killable_measured
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster
from killable import Deadly, Logged, asked, worker

from analognas.core import ConfigError, FileFormatError
from analognas.core.claims import STALE_SECONDS
from analognas.core.storage import TaskStore
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms import execution
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.run_directory import (
    Evaluations,
    RunDirectory,
    read_evaluations,
)
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace

ENV = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    "The search as it is when nothing happens to it."
    whole = worker(tmp_path_factory.mktemp("unbroken") / "run", Logged())
    whole.search()
    return whole


def same(a, b):
    "The same evaluations in the same order, and the same summary."
    pd.testing.assert_frame_equal(a.evaluations, b.evaluations, check_exact=True)
    return a.summary() == b.summary()


def done(path):
    "How many evaluations are finished, read without the code under test."
    try:
        with closing(sqlite3.connect(path / "evaluations.sqlite", timeout=60)) as db:
            return db.execute("select count(*) from evaluation where state = 'done'").fetchone()[0]
    except sqlite3.OperationalError:  # not made yet
        return 0


def start(*arguments):
    return subprocess.Popen([sys.executable, killable.__file__, *map(str, arguments)], env=ENV)


# ---- killed ---------------------------------------------------------------------------------------------------------


def kill_at_random(path, log, times, rng, what=killable, most=5, pause=0.012):
    """Kill the search of a module `times` times at random moments, however long it takes to start:
    up to `pause` seconds after one of the next `most` evaluations.

    A process of its own forks once for each attempt, so that the imports are paid only once."""
    name = what.__name__
    script = (
        f"import os, sys; sys.path.insert(0, {str(os.path.dirname(what.__file__))!r}); "
        f"import {name}; {name}.prepare()\n"
        "for line in sys.stdin:\n"
        "    if (child := os.fork()) == 0:\n"
        f"        {name}.search({str(path)!r}, {str(log)!r}); os._exit(0)\n"
        "    print(child, flush=True); os.waitpid(child, 0); print('ended', flush=True)\n"
    )
    forker = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    landed = 0
    while landed < times:
        before = done(path)
        forker.stdin.write("go\n")
        forker.stdin.flush()
        victim = int(forker.stdout.readline())
        if rng.random() < 0.3:  # some in the first moments: making files, replaying
            time.sleep(rng.uniform(0, 0.1))
        else:  # the others somewhere in the next evaluations
            until = before + rng.randint(1, most)
            while (
                done(path) < until
                and subprocess.run(["kill", "-0", str(victim)], capture_output=True).returncode == 0
            ):
                time.sleep(0.002)
            time.sleep(rng.uniform(0, pause))
        os.kill(
            victim, signal.SIGKILL
        )  # the forker has not waited for it yet, so the number is still its own
        assert forker.stdout.readline() == "ended\n"
        landed += 1
        assert before <= done(path)
    forker.stdin.close()
    assert forker.wait(60) == 0


def test_kills_change_nothing(tmp_path, unbroken):
    """Killed at twelve random moments, then run to the end: evaluation by evaluation the unbroken
    search, at most one lost per kill. `make drills` kills two hundred times."""
    path, log, kills = tmp_path / "run", tmp_path / "log", 12
    kill_at_random(path, log, kills, random.Random(5))
    assert done(path) < len(unbroken.evaluations)  # there was something left to go on with
    assert start(path, log).wait(300) == 0
    last = worker(path, Logged())
    last.search()
    assert same(last, unbroken) and len(list(path.glob("*.csv"))) == 2
    by = Counter(config for _, config in asked(log))
    total = len(unbroken.evaluations)
    assert total <= sum(by.values()) <= total + kills


@pytest.mark.slow
def test_kills_change_nothing_in_a_search_with_measurements(tmp_path):
    """Killed while it measures, fits its surrogate again or proposes, then run to the end: the
    undisturbed search, and a kill costs one measurement at most."""
    path, log, kills = tmp_path / "run", tmp_path / "log", 4
    whole = killable_measured.worker(tmp_path / "whole")
    whole.search()
    kill_at_random(path, log, kills, random.Random(7), killable_measured, 1, 0.1)
    total = len(whole.evaluations)
    assert 0 < done(path) < total
    last = killable_measured.worker(path, log)
    last.search()
    assert same(last, whole)
    for mine, theirs in zip(last.results, whole.results, strict=True):
        pd.testing.assert_frame_equal(mine.history, theirs.history, check_exact=True)
    assert total <= len(asked(log)) <= total + kills


def test_resume_rebuilds_the_search_from_its_directory(tmp_path):
    "Optimizer, limits, space and the shipped evaluator come from settings.json."
    optimizer = EAOptimizer(
        XGBoostEvaluator(), 2, 10, 0.7, constraints=Constraints(1, limits={"tiles": 300})
    )
    first = Worker(
        ConfigSpace("digits"), optimizer, runs=2, seed=3, run_dir=tmp_path / "a", progress=False
    )
    first.search()
    part = Worker(
        ConfigSpace("digits"),
        first.optimizer,
        runs=2,
        seed=3,
        run_dir=tmp_path / "b",
        progress=False,
        on_evaluation=lambda *_: part.stop(),
    )
    part.search()
    assert part.interrupted and len(part.evaluations) < len(first.evaluations)
    again = Worker.resume(tmp_path / "b", progress=False)
    assert (
        same(again, first) and again.optimizer.mutation_prob_width == 0.7 and not again.interrupted
    )
    assert same(Worker.resume(tmp_path / "b", progress=False), first)


def test_what_resume_cannot_know_it_asks_for(tmp_path):
    def small(config):
        return config["M"] < 3

    ruled = RandomSearch(XGBoostEvaluator(), 5, constraints=Constraints(allowed=small))
    for name, optimizer, says in [
        (
            "a",
            RandomSearch(ParamsEvaluator(), 5),
            "made with ParamsEvaluator, which is not in the run directory",
        ),
        ("b", ruled, "a rule of your own .small."),
    ]:
        Worker(
            ConfigSpace("digits"), optimizer, runs=1, run_dir=tmp_path / name, progress=False
        ).search()
        with pytest.raises(ConfigError, match=says):
            Worker.resume(tmp_path / name)
        assert Worker.resume(tmp_path / name, optimizer=optimizer, progress=False).best_config
    with pytest.raises(ConfigError, match="holds no search to go on with"):
        Worker.resume(tmp_path)
    (tmp_path / "b" / "settings.json").write_text("{}")
    with pytest.raises(FileFormatError, match="lacks space, runs"):
        Worker.resume(tmp_path / "b")


# ---- shared ---------------------------------------------------------------------------------------------------------


def test_two_processes_share_a_directory_without_double_work(tmp_path, unbroken):
    path, log = tmp_path / "run", tmp_path / "log"
    pair = [start(path, log), start(path, log)]  # they also race to make it
    assert [p.wait(300) for p in pair] == [0, 0]
    shared = worker(path, Logged())
    shared.search()
    assert same(shared, unbroken)
    rows = asked(log)
    assert len(rows) == len(unbroken.evaluations)  # nothing twice
    assert {pid for pid, _ in rows} == {p.pid for p in pair}  # and both did something


def test_one_of_two_is_killed_and_the_other_takes_over(tmp_path, unbroken):
    path, log = tmp_path / "run", tmp_path / "log"
    victim, other = start(path, log), start(path, log)
    while not log.exists() or victim.pid not in {pid for pid, _ in asked(log)[:-1]}:
        time.sleep(0.01)
    victim.kill()
    victim.wait()
    assert other.wait(300) == 0
    shared = worker(path, Logged())
    shared.search()
    assert same(shared, unbroken) and len(asked(log)) <= len(unbroken.evaluations) + 1


def test_claims_of_an_earlier_process_of_the_same_number_are_void(tmp_path):
    "A container that is started again has the same host name and numbers its processes alike."
    table = RunDirectory(tmp_path / "run", {}).evaluations
    ids = table.add("search", 0, ["{}", "[]"])
    assert table.claim(iter(ids), 2) == ids and table.claim(iter(ids), 2) == []
    table.tasks.connection().execute(
        "update evaluation set token = 'of another life' where id = ?", ids[:1]
    )
    assert table.claim(iter(ids), 2) == ids[:1]


def test_many_processes_make_one_directory(tmp_path):
    script = (
        "import sys; from analognas.search_algorithms.run_directory import RunDirectory\n"
        "print('ready', flush=True); sys.stdin.readline(); "
        f"RunDirectory({str(tmp_path / 'run')!r}, {{'seed': 1}})"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": ENV}
    crowd = [subprocess.Popen([sys.executable, "-c", script], **pipes) for _ in range(6)]
    for p in crowd:
        assert p.stdout.readline() == "ready\n"
    for p in crowd:
        p.stdin.write("\n")
        p.stdin.flush()
    assert [p.wait(120) for p in crowd] == [0] * 6


# ---- spread ---------------------------------------------------------------------------------------------------------


def test_threads_give_the_same(tmp_path, unbroken):
    with ThreadPoolExecutor(3) as pool:
        spread = worker(tmp_path / "run", Logged(), executor=pool)
        spread.search()
    assert same(spread, unbroken)


def test_processes_give_the_same(tmp_path, unbroken):
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        spread = worker(
            tmp_path / "run", Logged(tmp_path / "log", 0.002), executor=pool, chunksize=2
        )
        spread.search()
    assert same(spread, unbroken)
    assert len(asked(tmp_path / "log")) == len(unbroken.evaluations) and os.getpid() not in {
        pid for pid, _ in asked(tmp_path / "log")
    }


def test_a_broken_pool_says_so_and_a_new_one_goes_on(tmp_path, unbroken):
    evaluator = Deadly(tmp_path / "flag")
    says = "Run the same search again with a new executor"
    with (
        ProcessPoolExecutor(2, get_context("spawn")) as pool,
        pytest.raises(BrokenExecutor, match=says),
    ):
        worker(tmp_path / "run", evaluator, executor=pool).search()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        spread = worker(tmp_path / "run", evaluator, executor=pool)
        spread.search()
    mine, theirs = spread.evaluations, unbroken.evaluations
    assert mine.equals(theirs)


def test_dask_with_a_worker_killed_loses_nothing(tmp_path, unbroken):
    """Two worker processes; the first that is asked dies over the question.

    All evaluations arrive, and the result is the same."""
    two = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "processes": True,
        "dashboard_address": None,
        "memory_limit": 0,
    }
    with LocalCluster(**two) as cluster, Client(cluster) as client:
        client.amm.stop()  # it would take back the copy of the worker that survives
        spread = worker(
            tmp_path / "run",
            Deadly(tmp_path / "flag", tmp_path / "log"),
            executor=client.get_executor(pure=False),
            broadcast=lambda evaluator: client.scatter(evaluator, broadcast=True),
        )
        spread.search()
    assert (tmp_path / "flag").exists()
    assert spread.evaluations.equals(unbroken.evaluations)
    assert set(asked(tmp_path / "log")) and len(
        {config for _, config in asked(tmp_path / "log")}
    ) <= len(unbroken.evaluations)


class Picky(ParamsEvaluator):
    "Fails over one architecture."

    measured = True

    def __init__(self, wrong=None):
        self.wrong = wrong

    def _predict(self, configs):
        if any(self.space.key(c) == self.wrong for c in configs):
            raise ZeroDivisionError("this one is wrong")
        return super()._predict(configs)


@pytest.mark.parametrize("threads", [0, 4])
def test_an_architecture_that_fails_costs_nothing_else_and_is_retried_on_request(
    tmp_path, threads, capsys
):
    space = ConfigSpace("digits")
    good = worker(tmp_path / "good", Picky(), runs=1)
    good.search()
    sixth = space.key(good.results[0].history[space.get_hyperparameters()].to_dict("records")[5])
    pool = ThreadPoolExecutor(threads) if threads else None
    poor = worker(tmp_path / "run", Picky(sixth), runs=1, executor=pool)
    poor.search()
    assert poor.summary()["failed"] == len(poor.failed) >= 1
    assert {(space.key(config), error) for _, _, config, error in poor.failed} == {
        (sixth, "ZeroDivisionError('this one is wrong')")
    }
    poor.result_summary()
    assert "failed, the first because of ZeroDivisionError" in capsys.readouterr().out
    again = worker(tmp_path / "run", Picky(), runs=1)
    again.search()
    assert again.failed == poor.failed and same(again, poor)
    again.search(retry_failed=True)
    assert again.failed == []
    assert again.results[0].history.equals(good.results[0].history)


# ---- stopped --------------------------------------------------------------------------------------------------------


def test_stop_pause_and_go_on_from_another_thread(tmp_path, unbroken):
    seen = []
    paused = worker(
        tmp_path / "run", Logged(seconds=0.002), on_evaluation=lambda *event: seen.append(event)
    )
    thread = threading.Thread(target=paused.search)
    thread.start()
    while len(seen) < 20:
        time.sleep(0.001)
    paused.pause()
    time.sleep(0.3)
    still = len(seen)
    time.sleep(0.3)
    assert len(seen) == still and thread.is_alive()
    paused.unpause()
    while len(seen) < still + 5:
        time.sleep(0.001)
    paused.pause()
    paused.stop()  # a paused search stops as well
    thread.join(30)
    assert not thread.is_alive() and paused.interrupted and len(seen) < len(unbroken.evaluations)
    assert len(paused.evaluations) == len(seen)
    seen.clear()
    paused.search()
    assert same(paused, unbroken) and not paused.interrupted
    every = unbroken.evaluations[["method", "run"]].itertuples(index=False, name=None)
    assert [e[:2] for e in seen] == list(every)  # those known before too
    assert {"config", "acc_1d", "feasible", "score"} <= seen[0][2].keys()


def test_stop_before_anything_was_found(tmp_path, capsys):
    stopped = worker(tmp_path / "run", Logged(), on_evaluation=lambda *_: stopped.stop())
    stopped.search()
    assert stopped.interrupted and not stopped.results and "0 of 2 runs" in capsys.readouterr().out
    assert len(stopped.evaluations) == 1


def test_ctrl_c_gives_claims_back(tmp_path, unbroken):
    process = start(tmp_path / "run", tmp_path / "log")
    while done(tmp_path / "run") < 15:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    with closing(sqlite3.connect(tmp_path / "run" / "evaluations.sqlite")) as db:
        assert db.execute("select count(*) from evaluation where state = 'claimed'").fetchone() == (
            0,
        )
    whole = done(tmp_path / "run") == len(
        unbroken.evaluations
    )  # Python drops a Ctrl-C that falls into a destructor
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["interrupted"] != whole
    again = worker(tmp_path / "run", Logged())
    again.search()
    assert same(again, unbroken)


def test_claims_that_could_not_be_given_back_are_void_when_the_search_has_ended(
    tmp_path, unbroken, monkeypatch
):
    """The disk is full when an evaluation is written, and still when its claim is given back; the
    same process searches again."""

    def full(*_):
        raise ConfigError("no room")

    first = worker(tmp_path / "run", Logged())
    with monkeypatch.context() as m, pytest.raises(ConfigError, match="no room"):
        m.setattr(Evaluations, "finish", full)
        m.setattr(Evaluations, "release", full)
        first.search()
    first.search()
    assert same(first, unbroken)


# ---- trouble with the disk ------------------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_loses_nothing(tmp_path, unbroken, monkeypatch):
    connection = TaskStore.connection

    def small(self):
        db = connection(self)
        db.execute("pragma max_page_count = 8")
        return db

    monkeypatch.setattr(TaskStore, "connection", small)
    with pytest.raises(
        ConfigError,
        match=(
            "sqlite cannot be written: database or disk is full. Everything evaluated before is kept"
        ),
    ):
        worker(tmp_path / "run", Logged()).search()
    monkeypatch.undo()
    kept = done(tmp_path / "run")
    assert 0 < kept < len(unbroken.evaluations)
    again = worker(tmp_path / "run", Logged(tmp_path / "log"))
    again.search()
    assert (
        same(again, unbroken) and len(asked(tmp_path / "log")) == len(unbroken.evaluations) - kept
    )


def test_a_database_that_can_only_be_read_is_said(tmp_path, monkeypatch):
    worker(tmp_path / "run", Logged(), runs=1).search()
    connection = TaskStore.connection

    def read_only(self):
        db = connection(self)
        db.execute(
            "pragma query_only = 1"
        )  # these tests may run as root, to whom no file is read-only
        return db

    monkeypatch.setattr(TaskStore, "connection", read_only)
    with pytest.raises(
        ConfigError, match="cannot be written: attempt to write a readonly database"
    ):
        worker(tmp_path / "run", Logged(), runs=1).search()


@pytest.mark.parametrize("raw", [b"", b"garbage" * 500])
def test_a_damaged_database_is_said_and_left_alone(tmp_path, raw):
    worker(tmp_path / "run", Logged(), runs=1).search()
    file = tmp_path / "run" / "evaluations.sqlite"
    file.write_bytes(raw)
    with pytest.raises(FileFormatError, match="evaluations.sqlite is (damaged|empty)"):
        worker(tmp_path / "run", Logged(), runs=1).search()
    assert not raw or file.read_bytes() == raw


def test_summary_files_on_a_full_disk(tmp_path, monkeypatch, unbroken):
    "The search is over, its summary cannot be written: said, and the evaluations are there."
    from analognas.search_algorithms import run_directory

    write = run_directory.write_atomic

    def full(path, data):
        if path.name == "summary.json":
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(run_directory, "write_atomic", full)
    with pytest.raises(
        ConfigError,
        match="summary.json cannot be written: No space left on device. Evaluations are kept",
    ):
        worker(tmp_path / "run", Logged()).search()
    assert len(read_evaluations(tmp_path / "run")) == len(unbroken.evaluations)


def test_other_versions_are_a_warning(tmp_path):
    first = worker(tmp_path / "run", Logged(), runs=1)
    first.search()
    with closing(sqlite3.connect(tmp_path / "run" / "evaluations.sqlite")) as db, db:
        settings = json.loads(db.execute("select settings from about").fetchone()[0])
        settings["versions"]["numpy"] = "1.0"
        db.execute("update about set settings = ?", [json.dumps(settings)])
    with pytest.warns(UserWarning, match="numpy 1.0 then"):
        worker(tmp_path / "run", Logged(), runs=1).search()


@pytest.mark.parametrize(
    "how, says",
    [
        (dict(executor="threads"), "executor must be a concurrent.futures.Executor"),
        (dict(chunksize=0), "chunksize must be"),
        (dict(max_pending=1.5), "max_pending must be"),
    ],
)
def test_bad_ways_to_run_are_refused(how, says):
    with pytest.raises(ConfigError, match=says):
        Worker(ConfigSpace("digits"), RandomSearch(ParamsEvaluator(), 5), **how)


# ---- files of 0.1.0 -------------------------------------------------------------------------------------------------

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def old_runs(tmp_path):
    "Run directories that commit 8ece4d1 wrote: one finished, and the same search killed."
    for name in ("run_8ece4d1", "killed_run_8ece4d1"):
        shutil.copytree(DATA / name, tmp_path / name)
    return tmp_path / "run_8ece4d1", tmp_path / "killed_run_8ece4d1"


def old_search(path):
    "The search of these directories."
    optimizer = EAOptimizer(
        ParamsEvaluator(), nb_iter=2, population_size=4, max_nb_param=0.05, T_AVM=None
    )
    return Worker(ConfigSpace("digits"), optimizer, runs=1, seed=4, run_dir=path, progress=False)


def change(path, **columns):
    "Write into the claims, without the code under test."
    names = ", ".join(f"{c} = ?" for c in columns)
    with closing(sqlite3.connect(path / "evaluations.sqlite")) as db, db:
        db.execute(f"update evaluation set {names} where state = 'claimed'", list(columns.values()))


def test_a_finished_run_directory_of_8ece4d1_opens(old_runs):
    finished, _ = old_runs
    before = read_evaluations(finished)
    assert len(before) == 24
    again = old_search(finished)
    again.search()
    pd.testing.assert_frame_equal(again.evaluations, before, check_exact=True)
    summary = json.loads((DATA / "run_8ece4d1" / "summary.json").read_text())
    assert again.best_config == summary["best_config"]


def test_a_killed_run_directory_of_8ece4d1_goes_on(old_runs):
    "Its claims are of a process of this host that is gone."
    finished, killed = old_runs
    assert done(killed) == 6
    change(killed, host=socket.gethostname(), pid=2**22 + 1)  # above any number there is
    old_search(killed).search()
    pd.testing.assert_frame_equal(read_evaluations(killed), read_evaluations(finished))


def test_claims_in_a_run_directory_of_8ece4d1_can_be_taken_over(old_runs):
    "They are of a host that is gone for good."
    finished, killed = old_runs
    change(killed, host="elsewhere")
    optimizer = old_search(killed).optimizer
    Worker.resume(killed, optimizer=optimizer, steal_claims=True, progress=False)
    pd.testing.assert_frame_equal(read_evaluations(killed), read_evaluations(finished))


def test_claims_of_another_host_are_left_to_it_unless_they_are_to_be_taken_over(
    old_runs, monkeypatch
):
    _, killed = old_runs
    change(killed, host="elsewhere")

    def interrupt(backoff, progress):
        if not progress:
            raise KeyboardInterrupt

    monkeypatch.setattr(execution.Backoff, "wait", interrupt)  # it would wait for that host
    Worker.resume(killed, optimizer=old_search(killed).optimizer, progress=False)
    with closing(sqlite3.connect(killed / "evaluations.sqlite")) as db:
        claims = db.execute("select host from evaluation where state = 'claimed'").fetchall()
    assert claims == [("elsewhere",)]
    assert 6 < done(killed) < 24


def test_a_claim_of_8ece4d1_on_another_host_is_believed_until_its_heartbeat_is_old(old_runs):
    _, killed = old_runs
    change(killed, host="elsewhere")
    settings = json.loads((killed / "settings.json").read_text())
    table = RunDirectory(killed, settings).evaluations
    ids = range(1, 9)
    assert len(table.claim(ids, 9)) == 1  # the open one; the claim counts as fresh now
    change(killed, host="elsewhere", beat=time.time() - STALE_SECONDS - 1)
    assert len(table.claim(ids, 9)) == 2
    table.close()
