"""Controls of a search: what they describe, and what a recorded search sets them to."""

import json

import pytest

from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.registry import search_settings
from analognas.search_spaces.config_space import ConfigSpace
from analognas.widgets.search_controls import (
    OPTIMIZER_SETTINGS,
    known_settings,
    optimizer_from_settings,
    settings_from_record,
)

SPACE = ConfigSpace("digits")


@pytest.mark.parametrize(
    "name",
    [
        "ea_optimized",
        "ea",
        "regularized_evolution",
        "local_search",
        "predictor_guided",
        "nsga2",
        "random_search",
    ],
)
def test_settings_survive_the_run_directory(name):
    chosen = {
        "optimizer": name,
        "population_size": 12,
        "nb_iter": 5,
        "nb_evaluations": 70,
        "mutation_prob_width": 0.3,
        "mutation_prob_depth": 0.4,
        "mutation_prob_other": 0.5,
        "k_std": 1.5,
        "max_nb_param": "0.7",
        "T_AVM": "",
        "std_1d": "2",
        "limit_of": "tiles",
        "limit": "40",
        "inside": True,
    }
    optimizer = optimizer_from_settings(chosen, ParamsEvaluator())
    recorded = json.loads(json.dumps(search_settings(SPACE, optimizer, 3, 9, False)))
    back = settings_from_record(recorded)
    known = known_settings(name)
    expected = {k: v for k, v in chosen.items() if k not in OPTIMIZER_SETTINGS or k in known} | {
        "runs": 3,
        "seed": "9",
        "baseline": False,
    }
    assert {k: back[k] for k in expected} == expected
    assert optimizer.constraints.limits == {"std_1d": 2.0, "tiles": 40.0}
    assert all(getattr(optimizer, n) == chosen[n] for n in known)
