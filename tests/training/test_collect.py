"""Collecting: killed at any moment and started again, the table is that of an unbroken run."""
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest
import quick_collection
from quick_collection import PLAN, QUICK, N, run, small_space, some_digits

from analognas.core import ConfigError
from analognas.training import collect as module
from analognas.training.labels import LabelStore, label_table
from analognas.training.protocol import Protocol


@pytest.fixture(scope="module")
def data():
    return some_digits()


def done(path):
    "Finished tasks, read without the code under test."
    try:
        with sqlite3.connect(path, timeout=30) as db:
            return db.execute("select count(*) from task where state = 'done'").fetchone()[0]
    except sqlite3.OperationalError:  # not made yet
        return 0


def facts_of(data):
    return module.describe_measurements(small_space(), data, plan=asdict(PLAN))


def test_killed_and_started_again(tmp_path, data):
    "Killed with SIGKILL somewhere in a measurement; the next run finishes, nothing is lost, and the table is the same."
    whole, path = label_table(run(tmp_path / "whole.sqlite")), tmp_path / "broken.sqlite"
    victim = subprocess.Popen([sys.executable, quick_collection.__file__, str(path)],
                              env=os.environ | {"OMP_NUM_THREADS": "1"})
    while done(path) < 2 and victim.poll() is None:
        time.sleep(0.01)
    time.sleep(random.Random(0).uniform(0, 0.1))  # somewhere in a later measurement
    victim.kill()
    assert victim.wait(60) == -signal.SIGKILL
    first = label_table(LabelStore(path, facts_of(data)))
    assert 2 <= len(first) < N
    store = run(path)
    assert store.counts() == {"open": 0, "claimed": 0, "done": N, "failed": 0}
    table = label_table(store)
    assert table.iloc[:len(first)].equals(first)  # what was finished is kept, the time it took too
    assert table.drop(columns="seconds").equals(whole.drop(columns="seconds"))


def test_ctrl_c_and_again_in_the_same_process(tmp_path, data, monkeypatch):
    "As in a notebook: interrupt the kernel, run the cell again."
    calls, measure = [], module.measure

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*args, **kwargs)
    monkeypatch.setattr(module, "measure", interrupted)
    plan = replace(PLAN, n=3)
    with pytest.raises(KeyboardInterrupt):
        module.collect(small_space(), data, tmp_path / "s.sqlite", plan, progress=False)
    store = module.collect(small_space(), data, tmp_path / "s.sqlite", plan, progress=False)
    assert store.counts() == {"open": 0, "claimed": 0, "done": 3, "failed": 0}


def test_one_failure_does_not_stop_the_rest(tmp_path, data, monkeypatch):
    calls, measure = [], module.measure

    def sometimes(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no luck")
        return measure(*args, **kwargs)
    monkeypatch.setattr(module, "measure", sometimes)
    store = module.collect(small_space(), data, tmp_path / "s.sqlite", replace(PLAN, n=3), progress=False)
    assert store.counts() == {"open": 0, "claimed": 0, "done": 2, "failed": 1}
    assert "no luck" in store.rows("failed")[0][2]["error"] and "sometimes" in store.rows("failed")[0][2]["traceback"]
    assert len(label_table(store)) == 2


def test_another_protocol_is_refused(tmp_path, data):
    path = tmp_path / "s.sqlite"
    LabelStore(path, facts_of(data))
    for change in (dict(seed=3), dict(protocol=Protocol()), dict(n=N + 1)):
        with pytest.raises(ConfigError, match="collected differently: plan was"):
            module.collect(small_space(), data, path, replace(PLAN, **change), progress=False)


@pytest.mark.parametrize("change, says", [
    *((dict(n=n), "n must be a whole number at least 1") for n in (0, -1, 1.5)),
    (dict(repeats=N + 1), f"repeats must be a whole number at least 0 and at most {N}; got {N + 1}"),
    (dict(protocol=replace(QUICK, n_rep=1)), "n_rep must be at least 2; got 1"),
])
def test_a_bad_plan_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        replace(PLAN, **change)


def test_impossible_settings_leave_no_store_behind(tmp_path, data):
    "A preset that does not exist is noticed before the store is made, or no later call with the right one could use it."
    with pytest.raises(ConfigError, match="Unknown hardware preset"):
        module.collect(small_space(), data, tmp_path / "s.sqlite", replace(PLAN, preset="flash"), progress=False)
    assert not list(tmp_path.iterdir())


def test_facts_are_plain_json(data):
    facts = facts_of(data)
    plan = json.loads(json.dumps(facts))["plan"]
    assert plan["protocol"]["t_inference"] == [1, 3600, 86400, 2592000]
    assert facts["n_train"] == 200
    assert (plan["n"], plan["max_params"], plan["seed"], plan["repeats"]) == (N, 8_000, 2, 0)


def test_repeats_train_the_first_architectures_three_times(tmp_path, data):
    store = module.collect(small_space(), data, tmp_path / "s.sqlite", replace(PLAN, n=2, repeats=1), progress=False)
    table = label_table(store)
    names = small_space().get_hyperparameters()
    assert table["seed"].tolist() == [2, 3, 4, 2] and len(table[names].drop_duplicates()) == 2
    assert table.loc[:2, "acc_digital"].nunique() > 1
