"""Optimizers by name, and as plain data."""

import json

from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.halving import MultiFidelityEvaluator
from analognas.search_algorithms.registry import (
    OPTIMIZER_LABELS,
    OPTIMIZERS,
    make_optimizer,
    optimizer_from_dict,
    optimizer_to_dict,
    selectable_optimizers,
)


def test_every_registered_optimizer_can_be_found_and_made_again():
    for name in OPTIMIZERS:
        evaluator = (
            MultiFidelityEvaluator([ParamsEvaluator(), ParamsEvaluator()])
            if name == "successive_halving"
            else ParamsEvaluator()
        )
        optimizer = make_optimizer(name, evaluator)
        again = optimizer_from_dict(json.loads(json.dumps(optimizer_to_dict(optimizer))), evaluator)
        assert type(again) is type(optimizer) and optimizer_to_dict(again) == optimizer_to_dict(
            optimizer
        )


def test_every_optimizer_has_a_label_and_those_with_rungs_cannot_be_selected():
    assert set(OPTIMIZER_LABELS) == set(OPTIMIZERS)
    assert set(OPTIMIZERS) - set(selectable_optimizers()) == {"successive_halving"}
