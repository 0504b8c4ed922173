"""Searches over architecture, training and chip: what is chosen is what is trained, measured and kept."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import co_search
import numpy as np
import pandas as pd
import pytest
import quick_collection

from analognas.analog.hardware import create_rpu_config
from analognas.core import ConfigError, HardwareConfig
from analognas.cost.model import hardware_cost
from analognas.evaluators.measured import MeasuredEvaluator
from analognas.search_algorithms import ea
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.halving import (
    MultiFidelityEvaluator,
    SuccessiveHalving,
    add_fidelity,
)
from analognas.search_algorithms.predictor_guided import PredictorGuided
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.worker import Worker
from analognas.testing.fakes import FunctionEvaluator
from analognas.training.collect import collect
from analognas.training.label_store import label_set
from analognas.training.plans import CollectionPlan
from analognas.training.protocol import train_and_measure

TRAINING = str(Path(quick_collection.__file__).parent)
ENV = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": TRAINING}


def by_hand(config, seed=0, protocol=quick_collection.QUICK):
    "Measure a config with a recipe and a chip that are written down here, in a plain space."
    plain = co_search.space().without(["hwa_epochs", "hwa_lr", "adc_bits", "tile_size"])
    recipe = replace(protocol, hwa_epochs=config["hwa_epochs"])
    if config["hwa_epochs"]:
        recipe = replace(recipe, hwa_lr=config["hwa_lr"])
    chip = create_rpu_config("pcm", adc_bits=config["adc_bits"], tile_size=config["tile_size"])
    network = {"hidden": config["hidden"]}
    return train_and_measure(
        plain, network, quick_collection.some_digits(), recipe, chip, seed, progress=False
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    found = co_search.worker(tmp_path_factory.mktemp("unbroken"))
    found.search()
    return found


@pytest.mark.slow
def test_a_measured_search_is_killed_resumed_and_the_same(tmp_path, unbroken):
    process = subprocess.Popen([sys.executable, co_search.__file__, str(tmp_path)], env=ENV)
    deadline = time.time() + 300
    while co_search.finished(tmp_path) < 3 and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= co_search.finished(tmp_path) < len(unbroken.evaluations)
    again = Worker.resume(
        tmp_path / "run",
        evaluator=co_search.evaluator(tmp_path),
        cs=co_search.space(),
        progress=False,
    )
    pd.testing.assert_frame_equal(again.evaluations, unbroken.evaluations, check_exact=True)
    assert again.summary() == unbroken.summary()


def test_what_was_chosen_is_what_was_measured(unbroken):
    table = unbroken.evaluations
    names = co_search.space().get_hyperparameters()
    assert table.adc_bits.nunique() > 1 and table.hwa_lr.nunique() > 3
    for i in (0, len(table) - 1):
        config = table.iloc[i][names].to_dict()
        expected = by_hand({name: config[name] for name in names})
        assert table.acc_1d[i] == expected.drift.acc_1d and table.avm[i] == expected.drift.avm


def test_epochs_are_those_that_were_trained(unbroken):
    configs = [config for config, *_ in unbroken.optimizer.surrogate.store.rows()]
    trained = sum(quick_collection.QUICK.epochs + config["hwa_epochs"] for config in configs)
    assert unbroken.optimizer.surrogate.get_evaluator_stat()["epochs"] == trained
    assert "epochs" not in unbroken.directory.settings["evaluator"]  # it is no other evaluator


def test_the_winner_is_trained_as_the_search_chose(unbroken):
    config = unbroken.best_config
    found = unbroken.train_best(quick_collection.some_digits(), quick_collection.QUICK)
    assert np.array_equal(found.drift.acc, by_hand(config).drift.acc)
    written = json.loads((unbroken.directory.path / "measured.json").read_text())
    assert written["config"] == config
    assert written["protocol"]["hwa_epochs"] == config["hwa_epochs"]
    with pytest.raises(ConfigError, match="must be a HardwareConfig"):
        unbroken.train_best(
            quick_collection.some_digits(), quick_collection.QUICK, create_rpu_config("pcm")
        )
    other = unbroken.train_best(
        quick_collection.some_digits(), quick_collection.QUICK, HardwareConfig(out_noise=0.5)
    )
    assert not np.array_equal(other.drift.acc, found.drift.acc)


def test_labels_of_a_collection_have_the_choices_as_columns(tmp_path):
    space = co_search.space()
    plan = CollectionPlan(quick_collection.QUICK, 4, repeats=0, max_params=None)
    store = collect(
        space, quick_collection.some_digits(), tmp_path / "s.sqlite", plan, progress=False
    )
    labels = label_set("chosen", store, space)
    assert labels.hyperparameters == space.get_hyperparameters() and len(labels) == 4
    config = labels.configs[0]
    expected = by_hand(config)
    assert labels.table.acc_1d[0] == pytest.approx(expected.drift.acc_1d)
    assert labels.table.avm[0] == pytest.approx(expected.drift.avm)


def test_data_that_configs_choose_are_prepared_for_each(tmp_path):
    space = co_search.space().without(["hwa_epochs", "adc_bits", "tile_size"])
    space.add_training_hyperparameter("max_train", "discrete", range=[50, 150])
    plan = CollectionPlan(
        replace(quick_collection.QUICK, max_train=120), 4, repeats=0, max_params=None
    )
    store = collect(
        space, quick_collection.some_digits(), tmp_path / "s.sqlite", plan, progress=False
    )
    plain = space.without(["max_train"])
    for config, seed, result, _ in store.rows():
        recipe = replace(quick_collection.QUICK, max_train=config["max_train"])
        network = {"hidden": config["hidden"]}
        expected = train_and_measure(
            plain, network, quick_collection.some_digits(), recipe, None, seed, progress=False
        )
        assert result["acc"] == expected.drift.acc.tolist()


def test_spreads_need_two_repeats_however_they_are_chosen(tmp_path):
    space = co_search.space()
    space.add_training_hyperparameter("n_rep", "discrete", 1, 3)
    with pytest.raises(ConfigError, match="n_rep may be 1"):
        co_search.evaluator(tmp_path).bind(space)
    with pytest.raises(ConfigError, match="n_rep may be 1"):
        collect(
            space,
            quick_collection.some_digits(),
            tmp_path / "s.sqlite",
            CollectionPlan(),
            progress=False,
        )
    assert list(tmp_path.iterdir()) == []


def test_costs_are_those_of_each_configs_own_tiles():
    space, plain = co_search.space(), co_search.space().without(["adc_bits", "tile_size"])
    configs = space.sample_arch_uniformly(9, 0)
    found = hardware_cost(space, configs, "hermes")
    for i, config in enumerate(configs):
        size = config["tile_size"]
        tiles = sum(
            -(-r // size) * -(-c // size)
            for r, c in [(64, config["hidden"]), (config["hidden"], 10)]
        )
        assert found.tiles[i] == tiles
    rest = [{name: c[name] for name in plain.get_hyperparameters()} for c in configs]
    same = hardware_cost(plain, rest, "hermes")
    big = [i for i, config in enumerate(configs) if config["tile_size"] == 256]
    assert big and found.loc[big].equals(same.loc[big])
    assert list(found.index) == list(range(9))


def test_fidelity_is_a_share_of_the_epochs_that_a_config_chooses(tmp_path):
    "On the first rung a third of the epochs is trained, on the last one all of them."
    plain = co_search.space().without(["adc_bits", "tile_size"])
    plain.add_training_hyperparameter("epochs", "discrete", 3, 6)
    data, quick = quick_collection.some_digits(), quick_collection.QUICK
    rungs = MultiFidelityEvaluator(
        [
            MeasuredEvaluator(data, quick, tmp_path / "a", progress=False, epoch_share=1 / 3),
            MeasuredEvaluator(data, quick, tmp_path / "b", progress=False),
        ]
    )
    space = add_fidelity(plain, 2)
    worker = Worker(
        space,
        SuccessiveHalving(rungs, nb_start=4, eta=2),
        runs=1,
        run_dir=tmp_path / "run",
        progress=False,
        baseline=False,
    )
    worker.search()
    table = worker.evaluations
    assert table.rung.tolist() == [0, 0, 0, 0, 1, 1]
    share = {0: 3, 1: 1}
    trained = [
        -(-row.epochs // share[row.rung]) + -(-row.hwa_epochs // share[row.rung])
        for row in table.itertuples()
    ]
    assert rungs.cost().epochs.tolist() == [sum(trained[:4]), sum(trained[4:])]
    assert rungs.get_evaluator_stat()["epochs"] == sum(trained)
    config = table.iloc[0][plain.get_hyperparameters()].to_dict()
    recipe = rungs.evaluators[0].recipe(config)
    assert recipe.epochs == -(-config["epochs"] // 3)
    some = MeasuredEvaluator(data, quick, tmp_path / "c", progress=False, epoch_share=0.7).bind(
        plain
    )
    ten = replace(quick, epochs=10)
    some.protocol = ten
    names = ["hidden", "hwa_epochs", "hwa_lr"]
    some.space = plain.without(["epochs"])
    assert some.recipe({name: config[name] for name in names}).epochs == 7
    with pytest.raises(ConfigError, match="epoch_share"):
        MeasuredEvaluator(data, quick, epoch_share=1.5)


# ---- categories and rare rules --------------------------------------------------------------------------------------


def odd_space():
    space = co_search.ConfigSpace("digits", "custom")
    space.add_hyperparameter_range("norm", "categorical", [None, "batch", True, 2])
    space.add_hyperparameter_range("skip", "categorical", [None, 1, 2])
    space.add_hyperparameter("width", "discrete", 1, 40)
    return space


def formula(configs, space):
    values = [c["width"] + 10 * (c["norm"] is None) + 5 * (c["skip"] is None) for c in configs]
    return np.stack([values, np.ones(len(values)), np.ones(len(values))], axis=1)


def test_none_among_categories_survives_a_run_directory_and_a_resume(tmp_path):
    space = odd_space()
    evaluator = FunctionEvaluator(formula)
    worker = Worker(
        space,
        co_search.EAOptimizer(evaluator, 5, 10, max_nb_param=None, T_AVM=None),
        runs=2,
        run_dir=tmp_path / "run",
        progress=False,
    )
    worker.search()
    assert worker.best_config["norm"] is None and worker.best_config["skip"] is None
    rows = worker.evaluations[space.get_hyperparameters()].to_dict("records")
    for config in rows:
        space.validate(config)
        assert space.canonical(config) == config
    assert {type(c["norm"]) for c in rows} == {type(None), str, bool, int}
    again = Worker.resume(tmp_path / "run", evaluator, progress=False)
    assert again.summary() == worker.summary()


def rare(config):
    "A rule that 2/16 x 1/5 x 1/5, half a percent, of random architectures meet."
    return config["R1"] >= 15 and config["B1"] == 5 and config["M"] == 3


def makers():
    limits = {"constraints": Constraints(predicate=rare)}
    return {
        "random": lambda e: RandomSearch(e, 60, **limits),
        "evolution": lambda e: co_search.EAOptimizer(e, 3, 30, **limits),
        "crossover": lambda e: ea.EAOptimizer(e, 60, **limits),
        "regularized": lambda e: ea.RegularizedEvolution(e, 60, **limits),
        "local": lambda e: ea.LocalSearch(e, 60, **limits),
        "guided": lambda e: PredictorGuided(e, 60, **limits),
    }


@pytest.mark.parametrize("name", list(makers()))
def test_a_rule_that_few_meet_is_searched_with_those_that_were_found(name):
    space = co_search.ConfigSpace("digits")
    drawn = space.sample_arch_uniformly(10_000, 1)
    assert 0.003 < np.mean([rare(config) for config in drawn]) < 0.007
    evaluator = FunctionEvaluator(
        lambda configs, space: np.stack([space.stats(configs)["depth"]] * 3, axis=1)
    )
    result = makers()[name](evaluator).run(space, 0)
    assert rare(result.best_config) and len(result.history) >= 40
    configs = result.history[space.get_hyperparameters()].to_dict("records")
    assert all(rare(config) for config in configs)


def test_a_tight_limit_is_searched_with_those_that_were_found(tmp_path):
    "Of random members one in a thousand is small enough."
    space = co_search.ConfigSpace("digits")
    drawn = space.stats(space.sample_arch_uniformly(20_000, 5))["params"]
    limit = float(np.sort(drawn)[20])
    evaluator = FunctionEvaluator(
        lambda configs, space: np.stack([space.stats(configs)["depth"]] * 3, axis=1)
    )
    worker = Worker(
        space,
        co_search.EAOptimizer(evaluator, 3, 30, max_nb_param=limit / 1e6, T_AVM=None),
        runs=1,
        run_dir=tmp_path / "run",
        progress=False,
        baseline=False,
    )
    worker.search()
    assert len(worker.evaluations) > 20  # some three were drawn, the others bred from them
    assert space.stats([worker.best_config])["params"][0] <= limit
