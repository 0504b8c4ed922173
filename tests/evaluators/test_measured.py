"""The measured evaluator: its answers are `measure`'s, each architecture is measured once, and nothing measured is lost."""

import gc
import importlib.util
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from analognas.core import ConfigError, HardwareConfig
from analognas.evaluators import measured
from analognas.evaluators.measured import MeasuredEvaluator
from analognas.evaluators.table import TableEvaluator
from analognas.search_algorithms.halving import (
    MultiFidelityEvaluator,
    SuccessiveHalving,
    add_fidelity,
)
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.testing.evaluators import EvaluatorConformance
from analognas.training.label_store import LabelStore
from analognas.training.labels import TARGETS
from analognas.training.protocol import Protocol, train_and_measure

spec = importlib.util.spec_from_file_location(
    "quick_collection", Path(__file__).parents[1] / "training" / "quick_collection.py"
)
quick = importlib.util.module_from_spec(spec)
spec.loader.exec_module(quick)


def evaluator(store=None, **changes):
    return MeasuredEvaluator(
        quick.some_digits(),
        **{"protocol": quick.QUICK, "store": store, "progress": False} | changes,
    )


class TestMeasuredConforms(EvaluatorConformance):
    folder = None

    def make(self):
        return evaluator(
            self.folder and self.folder / "shared.sqlite"
        )  # the checks ask about the same twelve

    def make_space(self):
        return quick.small_space()

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def shared(cls, tmp_path_factory):
        cls.folder = tmp_path_factory.mktemp("measured")


def test_the_answer_is_what_measuring_gives(tmp_path):
    space, config = quick.small_space(), {"hidden": 30}
    answer = evaluator(seed=7).bind(space).query(config)
    truth = train_and_measure(
        space, config, quick.some_digits(), quick.QUICK, seed=7, progress=False
    )
    assert (answer.acc_1d, answer.avm, answer.std_1d) == (
        truth.drift.acc_1d,
        truth.drift.avm,
        truth.drift.std_1d,
    )
    assert answer.measured and not answer.extrapolated


def test_each_architecture_is_measured_once(tmp_path, monkeypatch):
    space, calls = quick.small_space(), []
    monkeypatch.setattr(
        measured,
        "train_and_measure",
        lambda *a, **k: calls.append(1) or train_and_measure(*a, **k),
    )
    e = evaluator(tmp_path / "m.sqlite").bind(space)
    configs = [{"hidden": 5}, {"hidden": 6}, {"hidden": np.int64(5)}, {"hidden": 5.0}]
    first = e.query_pop(configs)
    assert len(calls) == 2 and len(set(first.acc_1d[[0, 2, 3]])) == 1
    again = (
        evaluator(tmp_path / "m.sqlite").bind(space).query_pop(configs[::-1])
    )  # another process would see the same
    assert len(calls) == 2 and np.array_equal(again.acc_1d[::-1], first.acc_1d)
    assert e.get_evaluator_stat()["rows"] == 2 and e.get_evaluator_stat()["hours"] > 0
    json.dumps(e.get_evaluator_stat())


def test_its_labels_are_a_label_set_that_a_table_can_answer_from():
    space = quick.small_space()
    e = evaluator().bind(space)
    configs = [{"hidden": h} for h in (3, 9, 27)]
    answer = e.query_pop(configs)
    labels = e.labels("mine")
    assert (
        labels.name == "mine"
        and labels.metadata["protocol"]["epochs"] == 1
        and labels.metadata["hours"] >= 0
    )
    table = TableEvaluator(labels).bind(space).query_pop(configs)
    for t in TARGETS:
        assert np.array_equal(getattr(table, t), getattr(answer, t))
    with pytest.raises(ConfigError, match="Nothing has been measured"):
        evaluator().labels()


def test_an_architecture_that_breaks_is_named_and_the_others_are_kept(tmp_path):
    def network(config, input_dim, classes):
        if config["hidden"] == 66:
            raise RuntimeError("out of everything")
        return quick.network(config, input_dim, classes)

    space = ConfigSpace("digits", "custom", network)
    space.add_hyperparameter("hidden", "discrete", 1, 100)
    e = evaluator(tmp_path / "m.sqlite").bind(space)
    with pytest.raises(RuntimeError, match="out of everything") as caught:
        e.query_pop([{"hidden": 5}, {"hidden": 66}, {"hidden": 7}])
    assert '{"hidden": 66}' in caught.value.__notes__[0]
    assert e.get_evaluator_stat()["rows"] == 1


@pytest.mark.parametrize(
    "change", [{"protocol": replace(quick.QUICK, epochs=2)}, {"preset": "reram"}, {"seed": 1}]
)
def test_a_store_belongs_to_one_way_of_measuring(tmp_path, change):
    evaluator(tmp_path / "m.sqlite").bind(quick.small_space())
    with pytest.raises(ConfigError, match="was collected differently"):
        evaluator(tmp_path / "m.sqlite", **change).bind(quick.small_space())


def test_a_chip_may_be_given_by_its_settings(tmp_path):
    space, chip = quick.small_space(), HardwareConfig(out_noise=0.5, dac_bits=4)
    given = evaluator(tmp_path / "m.sqlite", preset=chip).bind(space)
    alone = train_and_measure(
        space, {"hidden": 30}, quick.some_digits(), quick.QUICK, chip, progress=False
    )
    assert given.query({"hidden": 30}).acc_1d == alone.drift.acc_1d
    said = json.loads(json.dumps(given.get_evaluator_stat()))["preset"]
    assert (said["preset"], said["out_noise"], said["dac_bits"]) == ("pcm", 0.5, 4)
    assert given.labels().metadata["preset"] == said
    evaluator(tmp_path / "m.sqlite", preset=HardwareConfig(dac_bits=4, out_noise=0.5)).bind(space)
    with pytest.raises(ConfigError, match="was collected differently: preset"):
        evaluator(tmp_path / "m.sqlite", preset=HardwareConfig(out_noise=0.5)).bind(space)
    same = evaluator(preset=HardwareConfig()).bind(space)
    assert same.get_evaluator_stat()["preset"] == same.store.metadata["preset"] == "pcm"


def wrong_labels():
    data = quick.some_digits()
    return replace(data, y_train=data.y_train.flip(0))


def without_new_keys(value):
    "Settings as earlier versions wrote them."
    if isinstance(value, list):
        return [without_new_keys(v) for v in value]
    if isinstance(value, dict):
        gone = ("data_sha256", "labels_sha256")
        kept = {k: without_new_keys(v) for k, v in value.items() if k not in gone}
        return {k: v for k, v in kept.items() if k != "seed" or "runs" in kept}
    return value


def as_an_earlier_version_left_it(folder):
    settings = json.loads((folder / "settings.json").read_text())
    text = json.dumps(without_new_keys(settings))
    assert "sha256" not in text and settings["seed"] == json.loads(text)["seed"]
    (folder / "settings.json").write_text(text)
    with sqlite3.connect(folder / "evaluations.sqlite") as db:
        db.execute("update about set settings = ?", [text])


def test_a_search_goes_on_only_with_the_same_data_and_seed(tmp_path):
    space, run = quick.small_space(), tmp_path / "run"
    Worker(
        space, RandomSearch(evaluator(), 2), runs=1, run_dir=run, progress=False, baseline=False
    ).search()
    data = MeasuredEvaluator(wrong_labels(), quick.QUICK, progress=False)
    seed = evaluator(seed=9)
    for other, said in ((data, "evaluator.data_sha256 was '"), (seed, "seed was 0, now 9")):
        with pytest.raises(ConfigError, match=f"another search: .*{said}"):
            Worker.resume(run, other, cs=space, progress=False)
    before = Worker.resume(run, evaluator(), cs=space, progress=False).evaluations
    as_an_earlier_version_left_it(run)
    again = Worker.resume(run, evaluator(), cs=space, progress=False).evaluations
    assert again.equals(before)


def test_a_search_on_rungs_goes_on_only_with_the_same_seed_on_each(tmp_path):
    def search(seed):
        rungs = MultiFidelityEvaluator([evaluator(epoch_share=0.5), evaluator(seed=seed)])
        optimizer = SuccessiveHalving(rungs, 3)
        space = add_fidelity(quick.small_space(), 2)
        Worker(space, optimizer, runs=1, run_dir=tmp_path / "run", progress=False).search()

    search(seed=1)
    with pytest.raises(ConfigError, match="evaluator.rungs.1.seed was 1, now 2"):
        search(seed=2)
    as_an_earlier_version_left_it(tmp_path / "run")
    search(seed=1)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ConfigError, match="at least two programmings; n_rep is 1"):
        evaluator(protocol=replace(quick.QUICK, n_rep=1))
    with pytest.raises(ConfigError, match="cannot build networks"):
        evaluator().bind(ConfigSpace("digits", "custom"))
    with pytest.raises(ConfigError, match="The space builds networks for DatasetInfo"):
        evaluator().bind(ConfigSpace("KWS"))
    with pytest.raises(ConfigError, match="Unknown .*preset 'pmc'"):
        evaluator(preset="pmc")
    with pytest.raises(ConfigError, match="The device 'cuda:99' cannot be used"):
        evaluator(device="cuda:99").bind(quick.small_space())
    for seed in (-1, 2**63, "1"):
        with pytest.raises(ConfigError, match="seed must be a whole number"):
            evaluator(seed=seed)
    with pytest.raises(ConfigError, match="A Dataset is needed.*got a tuple"):
        MeasuredEvaluator(quick.some_digits().train)


SEARCH = """
import sys
sys.path.insert(0, {folder!r})
import quick_collection as quick
from analognas.evaluators.measured import MeasuredEvaluator
e = MeasuredEvaluator(quick.some_digits(), quick.QUICK, {store!r}, progress=False).bind(quick.small_space())
e.query_pop([{{"hidden": h}} for h in range(1, 60)])
"""


def test_a_killed_process_loses_the_measurement_under_way_and_no_other(tmp_path):
    store = tmp_path / "m.sqlite"
    code = SEARCH.format(folder=str(Path(quick.__file__).parent), store=str(store))
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    e = evaluator(store).bind(quick.small_space())
    deadline = time.time() + 120
    while e.get_evaluator_stat()["rows"] < 3 and process.poll() is None and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = e.store.rows()
    assert 3 <= len(kept) < 59
    torch.manual_seed(1)  # whatever happened before must not matter
    config, _, result, _ = kept[-1]
    assert evaluator().bind(quick.small_space()).query(config).acc_1d == result["acc_1d"]
    e.query_pop([c for c, *_ in kept] + [{"hidden": 100}])
    assert e.get_evaluator_stat()["rows"] == len(kept) + 1
    assert LabelStore(store, e.store.metadata).counts()["done"] == len(kept) + 1


def test_another_process_and_threads_give_the_same_answers(tmp_path):
    """Sent to a process that shares nothing with this one; and asked by two threads at once, which
    share PyTorch's generator."""
    space = ConfigSpace("digits")
    drawn = space.sample_arch_uniformly(40, 3)
    small = np.argsort(space.stats(drawn)["macs"])[:2]
    configs = [drawn[i] for i in small]
    quickest = Protocol(epochs=1, hwa_epochs=1, n_rep=2)
    alone = [
        evaluator(tmp_path / f"{i}.sqlite", protocol=quickest).bind(space).query(c)
        for i, c in enumerate(configs)
    ]
    sent = evaluator(protocol=quickest).bind(space)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(sent.query, configs[0]).result() == alone[0]
    assert len(sent.labels()) == 1  # the same machine: measured there, known here
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(evaluator(protocol=quickest).bind(space).query, configs)) == alone


def test_on_another_machine_a_temporary_store_is_made_anew(tmp_path):
    first = evaluator().bind(ConfigSpace("digits"))
    parcel, folder = pickle.dumps(first), first.store.path.parent
    del first  # its folder goes with it, as if the parcel had arrived elsewhere
    gc.collect()
    arrived = pickle.loads(parcel)  # noqa: S301 -- our own, a moment ago
    assert arrived.store.path.parent != folder and arrived.store.counts()["done"] == 0
