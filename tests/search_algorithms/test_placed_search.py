"""Searches over training, chip and placement: what is chosen is what is trained, measured and kept."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import co_search
import numpy as np
import pandas as pd
import placed_search
import pytest
import quick_collection
import torch

from analognas.analog.hardware import create_rpu_config
from analognas.analog.int8 import Int8Linear
from analognas.analog.layers import AnalogLinear
from analognas.analog.measure import measure_drift
from analognas.analog.placing import place
from analognas.core import ConfigError, DriftRecord, Placement, spawn_seeds
from analognas.search_algorithms.worker import Worker
from analognas.training.collect import collect
from analognas.training.label_store import label_set
from analognas.training.plans import CollectionPlan
from analognas.training.protocol import train_digital, train_hardware_aware

TRAINING = str(Path(quick_collection.__file__).parent)
ENV = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TRAINING}:{os.getcwd()}"}


def by_hand(config, seed=0):
    "Train, place and measure a config, step by step."
    data = quick_collection.some_digits()
    recipe = replace(quick_collection.QUICK, hwa_lr=config["hwa_lr"])
    chip = create_rpu_config("pcm", adc_bits=config["adc_bits"])
    kinds = {placed_search.FIRST: config["first"], placed_search.LAST: config["last"]}
    placement = Placement(kinds)
    s_init, s_train, s_hwa, s_drift = spawn_seeds(seed, 4)
    torch.manual_seed(s_init)
    net = quick_collection.network({"hidden": config["hidden"]}, (1, 8, 8), 10)
    train_digital(net, data, recipe, s_train, progress=False)
    placed = None if set(kinds.values()) == {"analog"} else placement
    aware = train_hardware_aware(net, data, chip, recipe, s_hwa, False, placement=placed)
    model = place(aware, placement, calibration=data.x_train) if placed else aware
    if "analog" in kinds.values():
        return measure_drift(model, data.test, recipe.t_inference, recipe.n_rep, s_drift)
    right = (model(data.x_test).argmax(1) == data.y_test).double().mean().item()
    return DriftRecord(recipe.t_inference, np.full((recipe.n_rep, 4), 100 * right))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    found = placed_search.worker(tmp_path_factory.mktemp("unbroken"))
    found.search()
    return found


@pytest.mark.slow
def test_a_search_killed_at_random_moments_ends_with_the_same_result(tmp_path, unbroken):
    rng = random.Random(1)
    total = len(unbroken.evaluations)
    for least in (1, total // 2):
        process = subprocess.Popen([sys.executable, placed_search.__file__, str(tmp_path)], env=ENV)
        while co_search.finished(tmp_path) < least and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))  # somewhere in an evaluation
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert least <= co_search.finished(tmp_path) < total
    again = Worker.resume(
        tmp_path / "run",
        evaluator=co_search.evaluator(tmp_path),
        cs=placed_search.space(),
        progress=False,
    )
    pd.testing.assert_frame_equal(again.evaluations, unbroken.evaluations, check_exact=True)
    assert again.summary() == unbroken.summary()
    data, recipe = quick_collection.some_digits(), quick_collection.QUICK
    assert np.array_equal(again.train_best(data, recipe).drift.acc, by_hand(again.best_config).acc)


def test_every_choice_is_varied_and_measured(unbroken):
    table = unbroken.evaluations
    assert table.hwa_lr.nunique() > 3 and table.adc_bits.nunique() > 1
    assert table["first"].nunique() == 2 and table["last"].nunique() == 3
    names = placed_search.space().get_hyperparameters()
    for i in (0, len(table) - 1):
        config = table.iloc[i][names].to_dict()
        expected = by_hand(config)
        assert table.acc_1d[i] == expected.acc_1d and table.avm[i] == expected.avm


def test_what_stays_digital_does_not_drift(tmp_path):
    evaluator = co_search.evaluator(tmp_path).bind(placed_search.space())
    config = {"hidden": 16, "hwa_lr": 0.05, "adc_bits": 6, "first": "int8", "last": "float"}
    found = evaluator.query(config)
    assert (found.avm, found.std_1d) == (0, 0)
    assert evaluator.query(config | {"first": "analog"}).std_1d > 0


def test_the_winner_is_trained_and_placed_as_the_search_chose(unbroken):
    config = unbroken.best_config
    data = quick_collection.some_digits()
    found = unbroken.train_best(data, quick_collection.QUICK)
    assert np.array_equal(found.drift.acc, by_hand(config).acc)
    folder = unbroken.directory.path
    written = json.loads((folder / "measured.json").read_text())
    assert written["config"] == config and written["protocol"]["hwa_lr"] == config["hwa_lr"]
    assert dict(written["placement"]["modules"]) == {"1": config["first"], "3": config["last"]}
    made = {"analog": AnalogLinear, "int8": Int8Linear, "float": torch.nn.Linear}
    for name, kind in written["placement"]["modules"]:
        assert type(found.model.get_submodule(name)) is made[kind]
        if kind == "analog":
            bits = found.model.get_submodule(name).rpu_config.forward.out_res
            assert bits == create_rpu_config("pcm", adc_bits=config["adc_bits"]).forward.out_res
    network = unbroken.best_arch
    network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
    for name in ("1", "3"):
        kept = found.model.get_submodule(name).weight
        assert torch.equal(network.get_submodule(name).weight, kept)


def test_labels_of_a_collection_have_the_placement_as_columns(tmp_path):
    space = placed_search.space()
    plan = CollectionPlan(quick_collection.QUICK, 3, repeats=0, max_params=None)
    data = quick_collection.some_digits()
    store = collect(space, data, tmp_path / "s.sqlite", plan, progress=False)
    labels = label_set("placed", store, space)
    assert labels.hyperparameters == space.get_hyperparameters() and len(labels) == 3
    expected = by_hand(labels.configs[0])
    assert labels.table.acc_1d[0] == pytest.approx(expected.acc_1d)


def test_a_module_that_is_no_layer_is_refused_before_anything_is_trained(tmp_path):
    "The space checks for matrices of weights; embeddings have one, and no tiles."

    def network(config, input_dim, classes):
        return torch.nn.Sequential(
            torch.nn.Embedding(4, config["hidden"]), torch.nn.Linear(config["hidden"], classes)
        )

    space = co_search.ConfigSpace("digits", "custom", network)
    space.add_hyperparameter("hidden", "discrete", 4, 8)
    space.add_placement_hyperparameter("table", "0")
    with pytest.raises(ConfigError, match="'0' is no layer of any of 9 networks"):
        co_search.evaluator(tmp_path).bind(space)
    plan = CollectionPlan(quick_collection.QUICK, 3, repeats=0, max_params=None)
    with pytest.raises(ConfigError, match="'0' is no layer of any of 9 networks"):
        collect(space, quick_collection.some_digits(), tmp_path / "s", plan, progress=False)
    assert list(tmp_path.iterdir()) == []
