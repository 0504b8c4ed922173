"""What evaluators share: Kendall's tau against SciPy and by counting, its interval, its ceiling, and the base class."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, norm

from analognas.core import ConfigError
from analognas.evaluators.base_evaluator import (
    Evaluator,
    ParamsEvaluator,
    Prediction,
    Predictions,
    kendall_tau,
    noise_ceiling,
    noise_ceiling_from_repeats,
)
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.testing.evaluators import EvaluatorConformance
from analognas.training.labels import LabelSet

PAIRS = st.lists(st.tuples(st.integers(-5, 5), st.floats(-100, 100)), min_size=5, max_size=30)


def tau_b(x, y):
    "By counting pairs: Kendall, The treatment of ties in ranking problems, Biometrika 1945."
    both = [
        (np.sign(a - b), np.sign(c - d))
        for (a, c), (b, d) in itertools.combinations(zip(x, y, strict=True), 2)
    ]
    right = sum(s * t for s, t in both)
    return right / math.sqrt(sum(s != 0 for s, _ in both) * sum(t != 0 for _, t in both))


@given(PAIRS)
def test_tau_is_scipys_and_the_share_of_pairs(pairs):
    x, y = map(list, zip(*pairs, strict=True))
    found = kendall_tau(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found.tau == 0
    else:
        assert (
            found.tau
            == pytest.approx(kendalltau(x, y)[0], abs=1e-12)
            == pytest.approx(tau_b(x, y), abs=1e-12)
        )
    assert -1 <= found.low <= found.tau <= found.high <= 1 and found.n == len(x)
    assert kendall_tau(y, x).tau == pytest.approx(found.tau) and kendall_tau(
        [-v for v in x], y
    ).tau == pytest.approx(-found.tau)


@given(PAIRS)
def test_the_interval_is_fiellers(pairs):
    x, y = map(list, zip(*pairs, strict=True))
    t = kendall_tau(x, y)
    if abs(t.tau) < 1 - 1e-9:
        half = norm.ppf(0.975) * math.sqrt(0.437 / (len(x) - 4))
        assert math.atanh(t.high) - math.atanh(t.tau) == pytest.approx(half, rel=1e-3)
        assert math.atanh(t.tau) - math.atanh(t.low) == pytest.approx(half, rel=1e-3)


def test_perfect_rankings():
    assert kendall_tau(range(9), range(9)).tau == pytest.approx(1) and kendall_tau(
        range(9), range(9, 0, -1)
    ).tau == pytest.approx(-1)
    assert kendall_tau(np.exp(np.arange(20.0)), np.arange(20)).tau == pytest.approx(
        1
    )  # only the order counts


@pytest.mark.parametrize(
    "x, y",
    [
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([1] * 5, [1] * 6),
        (np.ones((5, 2)), np.ones((5, 2))),
        ([], []),
    ],
)
def test_unusable_vectors_are_refused(x, y):
    with pytest.raises(ConfigError, match="two vectors of the same length, at least 5"):
        kendall_tau(x, y)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ConfigError):
        kendall_tau([1, 2, np.nan, 4, 5, 6], range(6))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place, name", [(0, "acc_1d"), (1, "avm"), (2, "std_1d")])
def test_a_prediction_that_is_no_number_is_refused(bad, place, name):
    values = [90.0, 1.0, 0.1]
    values[place] = bad
    says = f"{name} of a prediction must be finite; got {bad}"
    with pytest.raises(ConfigError, match=says):
        Prediction(*values, False)
    with pytest.raises(ConfigError, match=says):
        Predictions(*(np.array([1.0, v]) for v in values), np.zeros(2, bool))


def test_a_ceiling_of_labels_that_are_no_numbers_is_refused():
    with pytest.raises(ConfigError, match="finite labels"):
        noise_ceiling_from_repeats(np.array([1.0, math.nan, 2.0]), ["a", "a", "b"])


def test_ceiling():
    assert noise_ceiling(0) == 0 and noise_ceiling(1) == pytest.approx(1)
    grid = [noise_ceiling(t) for t in np.linspace(0, 1, 50)]
    assert grid == sorted(grid) and all(
        c >= t for c, t in zip(grid, np.linspace(0, 1, 50), strict=True)
    )
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match="repeat_tau"):
            noise_ceiling(bad)


@pytest.mark.parametrize("repeat, published", [(0.74, 0.82), (0.55, 0.68), (0.64, 0.74)])
def test_ceilings_of_analognas_bench(repeat, published):
    assert noise_ceiling(repeat) == pytest.approx(published, abs=0.01)


# ---- the base class -------------------------------------------------------------------------------------------------


class Depth(Evaluator):
    "A user's own: deeper is better. Needs a bound space, knows only the ResNet-like family."

    asked = 0
    percent = False

    def _check_space(self, space):
        if space.search_space != "resnet-like":
            raise ConfigError(f"Depth knows nothing about {space.search_space}.")

    def _predict(self, configs):
        self.asked += len(configs)
        depth = self.space.stats(configs)["depth"].astype(float)
        return np.stack([depth, 2 * depth, 3 * depth], axis=1), depth > 20


class TestDepthConforms(EvaluatorConformance):
    def make(self):
        return Depth()

    def make_space(self):
        return ConfigSpace("digits")


class TestParamsConforms(EvaluatorConformance):
    def make(self):
        return ParamsEvaluator()

    def make_space(self):
        return NASBench201Space("digits", channels=4, cells_per_stage=1)


def test_ones_own_evaluator_is_asked_once_and_answers_in_order():
    space = ConfigSpace("digits")
    evaluator, configs = Depth().bind(space), space.sample_arch_uniformly(7, 0)
    answer, depth = evaluator.query_pop(configs), space.stats(configs)["depth"]
    assert (
        answer.acc_1d.tolist() == depth.tolist()
        and answer.std_1d.tolist() == (3 * depth).tolist()
        and evaluator.asked == 7
    )
    one = evaluator.query(configs[2])
    assert (one.acc_1d, one.avm, one.extrapolated, one.measured) == (
        depth[2],
        2 * depth[2],
        bool(depth[2] > 20),
        False,
    )
    assert (
        type(one.acc_1d) is float
        and type(one.extrapolated) is bool
        and len(answer) == 7
        and len(one) == 1
    )


def test_a_config_without_inactive_hyperparameters_reaches_an_evaluator_complete():
    space = ConfigSpace("digits")
    config = {"out_channel0": 8, "M": 1, "R1": 2}
    config |= {"convblock1": 1, "widenfact1": 0.5, "B1": 1}
    seen = []

    class Asked(Depth):
        def _predict(self, configs):
            seen.extend(configs)
            return super()._predict(configs)

    complete = config | {
        f"{h}{m}": 0 for m in range(2, 6) for h in ("R", "convblock", "widenfact", "B")
    }
    evaluator = Asked().bind(space)
    assert evaluator.query(config) == evaluator.query(complete)
    assert seen == [complete] * 2
    with pytest.raises(ConfigError, match="'R1' is missing"):
        evaluator.query({"M": 1})


def test_a_refused_space_leaves_the_evaluator_as_it_was():
    space = ConfigSpace("digits")
    evaluator = Depth().bind(space)
    for bad in (NASBench201Space(), "digits", None):
        with pytest.raises(ConfigError):
            evaluator.bind(bad)
    assert evaluator.space is space


def test_an_unbound_evaluator_takes_the_default_space():
    evaluator = Depth()
    evaluator.query(ConfigSpace().sample_arch(0))
    assert evaluator.space.dataset == "CIFAR-10"
    with pytest.raises(ConfigError, match="Depth does not learn"):
        evaluator.fit(None)


def test_correlation_is_that_of_the_answers():
    space = ConfigSpace("digits")
    configs = space.sample_arch_uniformly(30, 0)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(configs).assign(**{t: rng.random(30) for t in ("acc_1d", "avm", "std_1d")})
    found = (
        Depth().bind(space).get_correlation(LabelSet("random", table, space.get_hyperparameters()))
    )
    depth = space.stats(configs)["depth"]
    assert all(
        found[t].tau == pytest.approx(kendalltau(depth, table[t])[0])
        for t in ("acc_1d", "avm", "std_1d")
    )


def test_names_that_0_1_0_asked_of_an_evaluator_work_and_warn():
    with pytest.warns(DeprecationWarning) as caught:

        class Old(ParamsEvaluator):
            checks_configs = True
            growing = ("rows",)

            def _accept(self, space):
                raise ConfigError("not this space")

    old_names = {str(w.message).split(" ")[0] for w in caught}
    assert old_names == {"Old.checks_configs", "Old.growing", "Old._accept"}
    assert Old.validates_configs
    assert Old.volatile_stats == ("rows",)
    with pytest.raises(ConfigError, match="not this space"):
        Old().bind(ConfigSpace("digits"))


class Returns(Evaluator):
    "Returns what it is given."

    def __init__(self, *returned):
        self.returned = returned

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        return self.returned


FINE = np.array([[90.0, 1.0, 0.5]])
NO = np.zeros(1, bool)


@pytest.mark.parametrize(
    "returned, message",
    [
        ([FINE + [110, 0, 0], NO], "Returns predicted acc_1d 200 for .* allowed are 0 to 100"),
        ([FINE * 1e300, NO], "Returns predicted acc_1d 9e[+]301 for"),
        ([FINE - [91, 0, 0], NO], "Returns predicted acc_1d -1 for"),
        ([FINE - [0, 0, 1.5], NO], "Returns predicted std_1d -1 for"),
        ([FINE + [0, 101, 0], NO], "Returns predicted avm 102 for"),
        ([FINE * np.nan, NO], "Returns predicted NaN or infinity"),
        (
            [FINE[:, :2], NO],
            r"Returns must return arrays of shape \(1, 3\) and \(1,\); got \(1, 2\)",
        ),
        ([FINE[0], NO], "Returns must return arrays of shape"),
        ([np.tile(FINE, (2, 1)), NO], "Returns must return arrays of shape"),
        ([FINE, np.zeros(2, bool)], "Returns must return arrays of shape"),
        ([FINE], "Returns must return an array of shape"),
        ([FINE, NO, NO], "Returns must return an array of shape"),
        ([[["good", 1, 2]], NO], "Returns must return an array of shape"),
        ([None, None], "Returns must return"),
    ],
)
def test_what_is_no_prediction_is_refused_with_the_evaluators_name(returned, message):
    space = ConfigSpace("digits")
    with pytest.raises(ConfigError, match=message):
        Returns(*returned).bind(space).query(space.sample_arch(0))


def test_scores_are_refused_only_where_percent_are_promised():
    space = ConfigSpace("digits")
    evaluator = Returns(FINE + 1000, NO).bind(space)
    evaluator.percent = False
    assert evaluator.query(space.sample_arch(0)).acc_1d == 1090
