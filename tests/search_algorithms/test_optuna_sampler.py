"Samplers of Optuna as optimizers: spaces there and back, constraints, whole searches."

import json
import sys

import numpy as np
import pytest
from fronts import OBJECTIVES, REFERENCE, ZDT1, zdt_hypervolume, zdt_space

pytest.importorskip("optuna")

import optuna

from analognas.core import ConfigError, MissingExtraError
from analognas.search_algorithms.base import AskTellSearch
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.optuna_sampler import (
    OptunaOptimizer,
    suggest_config,
    trial_parameters,
)
from analognas.search_algorithms.pareto import pareto_front
from analognas.search_algorithms.registry import optimizer_from_dict, optimizer_to_dict
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.testing.optimizers import ToyEvaluator, problem

SPACES = {
    "cells": NASBench201Space,
    "resnet": lambda: problem("resnet").space,
    "custom": lambda: problem("custom").space,
}


@pytest.mark.parametrize("name", SPACES)
def test_trial_parameters_and_suggest_config_are_inverse(name):
    space = SPACES[name]()
    for config in space.sample_arch_uniformly(50, 0):
        parameters = trial_parameters(space, config)
        again = suggest_config(optuna.trial.FixedTrial(parameters), space)
        assert again == space.canonical(config)


def test_inactive_hyperparameters_are_not_suggested():
    space = problem("custom").space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(30):
        trial = study.ask()
        config = suggest_config(trial, space)
        assert ("width3" in trial.params) == (config["depth"] >= 3)
        seen.add("width3" in trial.params)
    assert seen == {True, False}


@pytest.mark.parametrize(
    "sampler", ["TPESampler", "NSGAIISampler", "NSGAIIISampler", "RandomSampler", "QMCSampler"]
)
def test_a_sampler_searches_for_one_objective_and_for_two(sampler):
    space = zdt_space()
    for objectives in (None, OBJECTIVES):
        result = OptunaOptimizer(ZDT1(), sampler, objectives, 25).run(space, 0)
        assert len(result.history) == 25


def brute_force(seed):
    "Return a sampler that tries every architecture once."
    return optuna.samplers.BruteForceSampler(seed=seed)


def test_brute_force_finds_the_whole_front():
    space = zdt_space()
    result = OptunaOptimizer(ZDT1(), brute_force, OBJECTIVES, 1000).run(space, 0)
    front = pareto_front(result, space, OBJECTIVES)
    assert len(result.history) == 275
    assert front.hypervolume(REFERENCE) == pytest.approx(zdt_hypervolume())


def test_limits_reach_the_sampler_as_constraints():
    seen = []

    class Watching(optuna.samplers.RandomSampler):
        def after_trial(self, study, trial, state, values):
            super().after_trial(study, trial, state, values)
            seen.append((trial.constraints, values))

    limits = Constraints(T_AVM=2)
    optimizer = OptunaOptimizer(ZDT1(), Watching, OBJECTIVES, 10, constraints=limits)
    history = optimizer.run(zdt_space(), 0).history
    by_avm = {values[1]: constraints for constraints, values in seen if values}
    assert {avm: c["0"] for avm, c in by_avm.items()} == pytest.approx(
        {avm: (avm - 2) / 2 for avm in history.avm}
    )


def test_values_are_minimised_and_the_score_counts_k_std():
    values = []

    class Watching(optuna.samplers.RandomSampler):
        def after_trial(self, study, trial, state, given):
            values.append(given)

    optimizer = OptunaOptimizer(ToyEvaluator(), Watching, nb_evaluations=5, k_std=2.0)
    search = AskTellSearch(optimizer, zdt_space(), 0)
    evaluator = ToyEvaluator().bind(zdt_space())
    while configs := search.ask():
        search.tell(evaluator.query_pop(configs))
    history = search.history.to_frame()
    expected = -(history.acc_1d - 2 * history.std_1d)
    assert np.ravel([v for v in values if v]) == pytest.approx(expected.to_numpy())


def test_numpys_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - on purpose
    OptunaOptimizer(ZDT1(), nb_evaluations=20).run(zdt_space(), 0)
    assert (before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_optunas_verbosity_is_left_alone(capfd):
    before = optuna.logging.get_verbosity()
    OptunaOptimizer(ZDT1(), nb_evaluations=3).run(zdt_space(), 0)
    assert optuna.logging.get_verbosity() == before
    assert "A new study" not in capfd.readouterr().err


def test_settings_make_the_same_optimizer_again():
    options = {"population_size": 12}
    optimizer = OptunaOptimizer(ZDT1(), "NSGAIISampler", OBJECTIVES, 30, options=options)
    settings = json.loads(json.dumps(optimizer_to_dict(optimizer)))
    again = optimizer_from_dict(settings, ZDT1())
    assert json.loads(json.dumps(optimizer_to_dict(again))) == settings


def test_a_function_is_recorded_by_its_name_and_has_to_be_given_again():
    settings = optimizer_to_dict(OptunaOptimizer(ZDT1(), brute_force))
    assert settings["sampler"] == "brute_force"
    with pytest.raises(ConfigError, match="Unknown sampler 'brute_force'"):
        optimizer_from_dict(settings, ZDT1())


@pytest.mark.parametrize(
    "bad",
    [
        {"sampler": "TPE"},
        {"sampler": 3},
        {"sampler": optuna.samplers.TPESampler(seed=0)},
        {"sampler": lambda: optuna.samplers.TPESampler()},
        {"sampler": lambda seed: seed},
        {"options": {"seeed": 1}},
        {"objectives": ("acc_1d",)},
        {"batch_size": 0},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ConfigError):
        OptunaOptimizer(ZDT1(), **bad)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r'pip install "analognas\[optuna\]"'):
        OptunaOptimizer(ZDT1())
