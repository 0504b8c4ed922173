"""What a panel says of its predictions: from which labels they are, whether they are borrowed, what is out of range."""

import numpy as np
import pytest

from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.families import ResNetFamily
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.testing import FunctionEvaluator
from analognas.widgets.evaluator_context import N_REFERENCE, estimate, find_context

SPACE = ConfigSpace("digits")


def constant(measured=False, family=None):
    "Predict 80 %, 2 points and 0.5 points for each architecture."
    return FunctionEvaluator(
        lambda configs, space: np.tile([80.0, 2.0, 0.5], (len(configs), 1)),
        measured=measured,
        family=family,
    )


def test_labels_of_this_dataset_are_named_with_their_number():
    evaluator = XGBoostEvaluator()
    context = find_context(SPACE, evaluator)
    assert context.reliable
    assert f"{context.evaluator.about['rows']:,} labels measured on digits" in context.source
    assert 0 < len(context.reference) <= N_REFERENCE and context.reference.shape[1] == 3


def test_the_given_evaluator_is_not_changed():
    evaluator = XGBoostEvaluator()
    before = dict(vars(evaluator))
    find_context(SPACE, evaluator)
    assert vars(evaluator) == before


def test_labels_of_another_dataset_are_said_to_be_borrowed(recwarn):
    context = find_context(ConfigSpace("VWW"), XGBoostEvaluator(WEIGHTS / "digits"))
    assert not context.reliable
    assert context.source.startswith("Borrowed: the evaluator was fitted without labels of VWW")
    assert not recwarn.list  # a warning of a thread would appear under any cell


def test_labels_of_other_networks_are_said_to_be_borrowed(recwarn):
    context = find_context(ConfigSpace("digits", ResNetFamily(stem_kernel=3)))
    assert not context.reliable
    asked = "digits in 10 classes, inputs (1, 8, 8), stem_kernel 3"
    assert context.source.startswith(
        f"Borrowed: the evaluator was fitted without labels of {asked}."
    )
    assert not recwarn.list


@pytest.mark.parametrize(
    "dataset, said",
    [
        ("CIFAR-10", "after 8 epochs of training on 3,000"),
        ("KWS", "after 48 epochs of training on 3,663"),
    ],
)
def test_it_is_said_how_the_labels_were_trained(dataset, said):
    assert said in find_context(ConfigSpace(dataset)).source


def test_a_published_table_is_named_without_a_training():
    context = find_context(NASBench201Space())
    assert context.source == "Predicted from 1,000 labels measured on CIFAR-10."
    assert len(context.reference) > 0


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"plan": "quick"},
        {"protocol": "twelve epochs"},
        {"protocol": {"epochs": 3}},
        {"protocol": {"epochs": 3, "hwa_epochs": 1, "max_train": 0}},
        {"protocol": None, "plan": {"protocol": []}},
    ],
)
def test_labels_of_ones_own_may_say_anything_of_their_training(metadata):
    evaluator = XGBoostEvaluator()
    evaluator.bind(SPACE)
    evaluator.about = evaluator.about | {"facts": metadata, "rows": 60}
    assert find_context(SPACE, evaluator).source == "Predicted from 60 labels measured on digits."


def test_an_evaluator_that_does_not_fit_gives_its_reason_and_no_number():
    context = find_context(SPACE, constant(family="nasbench201"))
    assert context.source.startswith("No prediction. This evaluator predicts for 'nasbench201'")
    assert context.evaluator is None and context.reference.shape == (0, 3)
    assert estimate(context, SPACE, SPACE.sample_arch(0)) is None


def test_other_evaluators_are_measured_or_predicted():
    assert find_context(SPACE, constant()).source == "Predicted: FunctionEvaluator."
    assert find_context(SPACE, constant(measured=True)).source == "Measured: FunctionEvaluator."
    found = estimate(find_context(SPACE, constant()), SPACE, SPACE.sample_arch(0))
    assert found.values.tolist() == [80.0, 2.0, 0.5] and found.interval is None
    assert estimate(find_context(SPACE, ParamsEvaluator()), SPACE, SPACE.sample_arch(0)) is not None


def test_an_estimate_lies_in_its_interval_and_names_what_is_out_of_range():
    context = find_context(SPACE)
    inside = next(
        config
        for config in SPACE.sample_arch_uniformly(50, rng=0)
        if not context.evaluator.query(config).extrapolated
    )
    found = estimate(context, SPACE, inside)
    assert found.out_of_range == ""
    assert (found.interval[0] <= found.values).all() and (found.values <= found.interval[1]).all()
    wide = SPACE.with_value(inside, "R1", 16) | {"out_channel0": 64, "B1": 5}
    assert "(fitted on " in estimate(context, SPACE, wide).out_of_range
