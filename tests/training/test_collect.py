"""Collecting: killed at any moment and started again, the table is that of an unbroken run."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import quick_collection
import torch
from quick_collection import PLAN, N, run, small_space, some_digits

from analognas.core import ConfigError, HardwareConfig, StoreUnavailableError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training import collect as module
from analognas.training import collector, plans
from analognas.training.label_store import LabelStore, label_set, label_table
from analognas.training.labels import load_label_set
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
    return plans.describe_measurements(small_space(), data, PLAN.protocol, PLAN.preset)


def test_killed_and_started_again(tmp_path, data):
    """Killed with SIGKILL somewhere in a measurement; the next run finishes, nothing is lost, and
    the table is the same."""
    whole, path = label_table(run(tmp_path / "whole.sqlite")), tmp_path / "broken.sqlite"
    victim = subprocess.Popen(
        [sys.executable, quick_collection.__file__, str(path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
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
    assert table.iloc[: len(first)].equals(first)  # what was finished is kept, the time it took too
    assert table.drop(columns="seconds").equals(whole.drop(columns="seconds"))


def test_ctrl_c_and_again_in_the_same_process(tmp_path, data, monkeypatch):
    "As in a notebook: interrupt the kernel, run the cell again."
    calls, measure = [], collector.train_and_measure

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*args, **kwargs)

    monkeypatch.setattr(collector, "train_and_measure", interrupted)
    plan = replace(PLAN, n=3)
    with pytest.raises(KeyboardInterrupt):
        module.collect(small_space(), data, tmp_path / "s.sqlite", plan, progress=False)
    store = module.collect(small_space(), data, tmp_path / "s.sqlite", plan, progress=False)
    assert store.counts() == {"open": 0, "claimed": 0, "done": 3, "failed": 0}


def test_one_failure_does_not_stop_the_rest(tmp_path, data, monkeypatch):
    calls, measure = [], collector.train_and_measure

    def sometimes(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no luck")
        return measure(*args, **kwargs)

    monkeypatch.setattr(collector, "train_and_measure", sometimes)
    store = module.collect(
        small_space(), data, tmp_path / "s.sqlite", replace(PLAN, n=3), progress=False
    )
    assert store.counts() == {"open": 0, "claimed": 0, "done": 2, "failed": 1}
    assert (
        "no luck" in store.rows("failed")[0][2]["error"]
        and "sometimes" in store.rows("failed")[0][2]["traceback"]
    )
    assert len(label_table(store)) == 2


def test_another_protocol_is_refused(tmp_path, data):
    path = tmp_path / "s.sqlite"
    LabelStore(path, facts_of(data))
    for change, what in (
        (dict(preset="reram"), "preset was"),
        (dict(protocol=Protocol()), "n_test was|protocol was"),
    ):
        with pytest.raises(ConfigError, match=f"collected differently: .*{what}"):
            module.collect(small_space(), data, path, replace(PLAN, **change), progress=False)


def test_a_chip_of_ones_own_is_recorded_and_no_other_goes_on(tmp_path, data):
    chip = HardwareConfig(out_noise=0.1)
    plan = replace(PLAN, n=1, repeats=0, preset=chip)
    path = tmp_path / "labels.sqlite"
    store = module.collect(small_space(), data, path, plan, progress=False)
    assert store.counts()["done"] == 1
    assert store.metadata["preset"] == chip.to_dict()
    with pytest.raises(ConfigError, match="preset.* was"):
        module.collect(small_space(), data, path, replace(plan, preset="pcm"), progress=False)


def test_other_data_are_refused_wherever_their_folder_lies(tmp_path, data):
    path = tmp_path / "s.sqlite"
    LabelStore(path, facts_of(data))
    with pytest.raises(ConfigError, match="collected differently: data_sha256 was"):
        module.collect(
            small_space(), replace(data, x_train=data.x_train + 1), path, PLAN, progress=False
        )
    assert (
        plans.describe_measurements(
            small_space(), replace(data, source="elsewhere"), PLAN.protocol, "pcm"
        )["data_sha256"]
        == facts_of(data)["data_sha256"]
    )


def test_a_further_sample_goes_into_the_same_store_and_is_told_apart(tmp_path, data):
    path = tmp_path / "s.sqlite"
    for seed in (2, 7):
        store = module.collect(
            small_space(), data, path, replace(PLAN, n=2, seed=seed), progress=False
        )
    labels = label_set("both", store, small_space())
    assert [(part["seed"], part["rows"]) for part in labels.metadata["parts"]] == [(2, 2), (7, 2)]
    assert labels.table["part"].tolist() == [0, 0, 1, 1]
    assert labels.table["seed"].tolist() == [2, 2, 7, 7]


def test_impossible_settings_leave_no_store_behind(tmp_path, data):
    """A preset that does not exist is noticed before the store is made, or no later call with the
    right one could use it."""
    with pytest.raises(ConfigError, match="Unknown hardware preset"):
        module.collect(
            small_space(),
            data,
            tmp_path / "s.sqlite",
            replace(PLAN, preset="flash"),
            progress=False,
        )
    assert not list(tmp_path.iterdir())


def test_a_device_that_does_not_work_claims_nothing(tmp_path, data):
    with pytest.raises(ConfigError, match="The device 'cuda:99' cannot be used"):
        module.collect(
            small_space(), data, tmp_path / "s.sqlite", PLAN, progress=False, device="cuda:99"
        )
    assert not list(tmp_path.iterdir())


def test_failed_ones_can_be_tried_again(tmp_path, data, monkeypatch):
    measure = collector.train_and_measure

    def broken(*args, **kwargs):
        raise RuntimeError("no luck")

    monkeypatch.setattr(collector, "train_and_measure", broken)
    path, plan = tmp_path / "s.sqlite", replace(PLAN, n=3)
    assert module.collect(small_space(), data, path, plan, progress=False).counts()["failed"] == 3
    monkeypatch.setattr(collector, "train_and_measure", measure)
    assert module.collect(small_space(), data, path, plan, progress=False).counts()["failed"] == 3
    assert (
        module.collect(small_space(), data, path, plan, progress=False, reopen=True).counts()[
            "done"
        ]
        == 3
    )


def test_processes_share_the_work_and_give_the_table_of_one(tmp_path, data):
    "With rows exported on the way, and a tally."
    alone, tally = label_table(run(tmp_path / "alone.sqlite")), module.Tally()
    store = module.collect(
        small_space(),
        data,
        tmp_path / "s.sqlite",
        PLAN,
        progress=False,
        processes=2,
        export=tmp_path / "labels" / "mine",
        tally=tally,
    )
    assert store.counts() == {"open": 0, "claimed": 0, "done": N, "failed": 0}
    drop = ["seconds", "part"]
    assert label_table(store).drop(columns=drop).equals(alone.drop(columns=drop))
    exported = load_label_set("mine", tmp_path / "labels")
    assert len(exported) == N
    assert exported.metadata["unfinished"] == 0
    assert (tally.rows, tally.epochs) == (N, 2 * N)  # one digital and one hardware-aware epoch each
    assert not (tmp_path / "s.sqlite.checkpoints").exists()


def test_a_space_that_cannot_be_sent_is_refused(tmp_path, data):
    space = ConfigSpace("digits", "custom", lambda config, input_dim, classes: None)
    space.add_hyperparameter("hidden", "discrete", 1, 100)
    with pytest.raises(
        ConfigError, match="Define its network function in a module, or use processes=1"
    ):
        module.collect(
            space,
            data,
            tmp_path / "s.sqlite",
            replace(PLAN, max_params=None),
            progress=False,
            processes=2,
        )


def test_nothing_is_begun_that_cannot_be_ended(tmp_path, data):
    plan = replace(PLAN, n=4)
    store = module.collect(
        small_space(), data, tmp_path / "s.sqlite", plan, progress=False, minutes=0
    )
    assert store.counts() == {"open": 4, "claimed": 0, "done": 0, "failed": 0}
    store = module.collect(
        small_space(), data, tmp_path / "s.sqlite", plan, progress=False, minutes=60
    )
    assert store.counts()["done"] == 4


def test_what_is_too_dear_is_left_and_the_smaller_ones_are_begun(tmp_path, data, monkeypatch):
    """The estimate is replaced by one that grows with the network: those above the limit stay open,
    in whatever order they come."""
    space = ConfigSpace("digits")
    plan = replace(PLAN, n=8, max_params=20_000)
    macs = space.stats(plan.sample(space))["macs"]
    limit = float(np.median(macs))
    measure = collector.train_and_measure
    monkeypatch.setattr(
        collector,
        "train_and_measure",
        lambda space, config, *a, **k: measure(small_space(), {"hidden": 1}, *a, **k),
    )  # quicker
    monkeypatch.setattr(
        collector,
        "seconds_needed",
        lambda network, *a: 3600.0 if count_macs(network) > limit else 0.0,
    )
    store = module.collect(space, data, tmp_path / "s.sqlite", plan, progress=False, minutes=30)
    done = [space.stats([config])["macs"][0] for config, *_ in store.rows()]
    assert sorted(done) == sorted(m for m in macs if m <= limit)
    assert store.counts()["open"] == sum(macs > limit)


def count_macs(network):
    "Counted while it runs, by hooks."
    total = []

    def count(module_, inputs, output):
        total.append(module_.weight[0].numel() * output[0].numel())

    hooks = [
        m.register_forward_hook(count)
        for m in network.modules()
        if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    network.eval()(torch.zeros(1, 1, 8, 8))
    for hook in hooks:
        hook.remove()
    return sum(total)


def test_repeats_train_the_first_architectures_three_times(tmp_path, data):
    store = module.collect(
        small_space(), data, tmp_path / "s.sqlite", replace(PLAN, n=2, repeats=1), progress=False
    )
    table = label_table(store)
    names = small_space().get_hyperparameters()
    assert table["seed"].tolist() == [
        2,
        2,
        3,
        4,
    ]  # as many new ones as there are first, then the repeats
    assert len(table[names].drop_duplicates()) == 2
    assert table.loc[[0, 2, 3], "acc_digital"].nunique() > 1
    assert table.loc[[0, 2, 3], names].drop_duplicates().shape[0] == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_a_checkpoint_that_cannot_be_written_is_no_fault_of_the_network(tmp_path, data, processes):
    plan, drop = replace(PLAN, n=3), ["seconds", "part"]
    unbroken = module.collect(small_space(), data, tmp_path / "whole.sqlite", plan, progress=False)
    path = tmp_path / "s.sqlite"
    obstacle = collector.checkpoint_folder(path)
    obstacle.write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailableError, match="checkpoint .* cannot be written: "):
        module.collect(small_space(), data, path, plan, progress=False, processes=processes)
    assert LabelStore(path).counts() == {"open": 3, "claimed": 0, "done": 0, "failed": 0}
    obstacle.unlink()
    again = module.collect(small_space(), data, path, plan, progress=False)
    assert label_table(again).drop(columns=drop).equals(label_table(unbroken).drop(columns=drop))
