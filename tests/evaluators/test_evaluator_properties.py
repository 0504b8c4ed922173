"""What holds for every evaluator: the order and the company of a batch change nothing, a permuted label set
gives the same evaluator, and the same network gets the same prediction under whatever name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_surrogates import made_up

from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.mlp import MLPEvaluator
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import NONE, config_of
from analognas.training.labels import TARGETS

SEEDS = st.integers(0, 2**31)
CELLS = st.tuples(*[st.integers(0, 4)] * 6)
EXACT, ROUNDED = 0.0, 1e-9  # matrix products add up in another order for another size


def fitted_mlp():
    space = ConfigSpace("digits")
    return MLPEvaluator().fit(made_up(space, 60), space), space


def bound(evaluator, space):
    return evaluator.bind(space), space


KINDS = {
    "table": lambda: (*bound(TableEvaluator(nasbench201_labels()), NASBench201Space()), EXACT),
    "params": lambda: (*bound(ParamsEvaluator(), ConfigSpace("digits")), EXACT),
    "xgboost": lambda: (*bound(XGBoostEvaluator(), ConfigSpace("CIFAR-10")), EXACT),
    "xgboost cells": lambda: (
        *bound(XGBoostEvaluator(WEIGHTS / "nasbench201"), NASBench201Space()),
        EXACT,
    ),
    "mlp": lambda: (*fitted_mlp(), ROUNDED),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    "An evaluator, its space and how far predictions of one config may differ."
    return KINDS[request.param]()


def matrix(predictions) -> np.ndarray:
    "Return predictions as numbers, shape (n, 4)."
    return np.column_stack([*(getattr(predictions, t) for t in TARGETS), predictions.extrapolated])


@settings(max_examples=12)
@given(data=st.data())
def test_an_evaluator_does_not_see_the_order_of_its_batch(kind, data):
    evaluator, space, tolerance = kind
    configs = space.sample_arch_uniformly(9, data.draw(SEEDS))
    order = list(data.draw(st.permutations(range(9))))
    permuted = matrix(evaluator.query_pop([configs[i] for i in order]))
    assert np.allclose(permuted, matrix(evaluator.query_pop(configs))[order], tolerance, tolerance)


@settings(max_examples=12)
@given(data=st.data())
def test_an_evaluator_does_not_see_how_a_batch_is_cut(kind, data):
    evaluator, space, tolerance = kind
    configs = space.sample_arch_uniformly(9, data.draw(SEEDS))
    cut = data.draw(st.integers(1, 8))
    parts = [matrix(evaluator.query_pop(part)) for part in (configs[:cut], configs[cut:])]
    together = matrix(evaluator.query_pop(configs))
    assert np.allclose(np.concatenate(parts), together, tolerance, tolerance)


@settings(max_examples=5)
@given(SEEDS)
def test_a_permuted_label_set_gives_the_same_table(seed):
    space = ConfigSpace("digits")
    labels = made_up(space, 30)
    order = np.random.default_rng(seed).permutation(len(labels))
    one = TableEvaluator(labels).bind(space)
    other = TableEvaluator(labels.take(order)).bind(space)
    assert np.array_equal(
        matrix(one.query_pop(labels.configs)), matrix(other.query_pop(labels.configs))
    )
    assert [one.rank(c) for c in labels.configs] == [other.rank(c) for c in labels.configs]


@pytest.fixture(scope="module")
def of_cells():
    return XGBoostEvaluator(WEIGHTS / "nasbench201").bind(NASBench201Space())


@settings(max_examples=25)
@given(CELLS)
def test_a_relabelled_cell_gets_the_same_prediction(of_cells, cell):
    edge_01, edge_02, edge_03, _, edge_13, edge_23 = cell
    names = [
        (edge_01, edge_02, edge_03, NONE, edge_13, edge_23),
        (edge_02, edge_01, edge_03, NONE, edge_23, edge_13),  # inner nodes exchanged
    ]
    predictions = matrix(of_cells.query_pop([config_of(name) for name in names]))
    assert np.array_equal(predictions[0], predictions[1])
