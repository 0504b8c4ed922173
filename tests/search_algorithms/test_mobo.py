"Bayesian optimisation of several objectives: against Monte Carlo, the definition and a known front."

import numpy as np
import pytest
from fronts import OBJECTIVES, REFERENCE, ZDT1, zdt_hypervolume, zdt_space

pytest.importorskip("botorch")
pytest.importorskip("moocore")

import moocore

from analognas.core import ConfigError
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.mobo import (
    ACQUISITIONS,
    Compression,
    ModelledLoss,
    MultiObjectiveBOptimizer,
    StaticLoss,
    expected_improvement,
    free_boxes,
    non_dominated,
    reference_losses,
)
from analognas.search_algorithms.pareto import pareto_front
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.registry import optimizer_from_dict, optimizer_to_dict


def test_non_dominated_is_the_definition():
    losses = np.random.default_rng(0).integers(0, 4, (40, 3)).astype(float)
    expected = [not any((b <= a).all() and (b < a).any() for b in losses) for a in losses]
    assert non_dominated(losses).tolist() == expected


def test_compression_keeps_order_and_the_unit_of_all_but_the_worst_quarter():
    losses = np.sort(np.random.default_rng(0).exponential(10, 41))
    compressed = Compression.of(losses)(losses)
    assert (np.diff(compressed) > 0).all()
    assert compressed[:31] == pytest.approx(losses[:31])
    assert (compressed[31:] < losses[31:]).all()


def test_expected_improvement_in_three_dimensions_is_the_mean_of_moocores_hypervolumes():
    rng = np.random.default_rng(0)
    front = rng.random((6, 3))
    reference = np.full(3, 1.2)
    first = ModelledLoss(np.array([0.6]), np.array([0.4]))
    second = ModelledLoss(np.array([0.7]), np.array([0.5]))
    static = StaticLoss(np.array([0.3]))
    expected = expected_improvement([first, static, second], free_boxes(front, reference))
    before = moocore.hypervolume(front, ref=reference)
    gains = []
    for _ in range(4000):
        a = rng.normal(0.6, 0.4)
        b = rng.normal(0.7, 0.5)
        gains.append(moocore.hypervolume(np.vstack([front, [a, 0.3, b]]), ref=reference) - before)
    error = np.std(gains) / np.sqrt(len(gains))
    assert abs(expected[0] - np.mean(gains)) < 5 * error


def test_static_losses_alone_give_the_exact_improvement():
    front = np.array([[1.0, 3.0], [3.0, 1.0]])
    losses = [StaticLoss(np.array([2.0, 4.0])), StaticLoss(np.array([2.0, 4.0]))]
    assert expected_improvement(losses, free_boxes(front, np.array([5.0, 5.0]))) == pytest.approx(
        [1.0, 0.0]
    )


def test_reference_is_a_tenth_beyond_the_front_and_the_worst_candidate():
    losses = np.array([[-90.0, 3.0], [-80.0, 1.0], [-10.0, 4.0]])
    found = reference_losses(losses, {1: np.array([2.0, 9.0])})
    assert found == pytest.approx([-79.0, 9.0])


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_finds_more_of_a_known_front_than_random_search(acquisition):
    space = zdt_space()
    bayesian = MultiObjectiveBOptimizer(
        ZDT1(), OBJECTIVES, 40, nb_start=15, batch_size=5, acquisition=acquisition
    )
    shares = []
    for optimizer in (bayesian, RandomSearch(ZDT1(), 40)):
        front = pareto_front(optimizer.run(space, 0), space, OBJECTIVES)
        shares.append(front.hypervolume(REFERENCE) / zdt_hypervolume())
    assert shares[0] > 0.95
    assert shares[0] > shares[1]
    assert shares[0] <= 1 + 1e-9


def test_settings_make_the_same_optimizer_again():
    given = {"acc_1d": 80, "params": 2e6}
    optimizer = MultiObjectiveBOptimizer(ParamsEvaluator(), acquisition="nehvi", reference=given)
    settings = optimizer_to_dict(optimizer)
    again = optimizer_from_dict(settings, ParamsEvaluator())
    assert optimizer_to_dict(again) == settings
    assert again.reference == given


@pytest.mark.parametrize(
    "bad",
    [
        {"objectives": ("params", "energy")},
        {"objectives": ("acc_1d",)},
        {"nb_start": 1},
        {"batch_size": 0},
        {"acquisition": "ucb"},
        {"reference": {"acc_1d": 80}},
        {"reference": {"acc_1d": 80, "params": float("nan")}},
    ],
)
def test_bad_settings_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad)).removesuffix("s")):
        MultiObjectiveBOptimizer(ParamsEvaluator(), **bad)
