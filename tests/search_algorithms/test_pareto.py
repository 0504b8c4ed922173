"Fronts against brute force and closed forms; NSGA-II."

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pymoo")

from analognas.core import ConfigError, InfeasibleError, MissingExtraError
from analognas.evaluators.base_evaluator import ParamsEvaluator, Prediction
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.search_algorithms.constraints import QUANTITIES, Constraints
from analognas.search_algorithms.history import Trial
from analognas.search_algorithms.pareto import (
    NSGA2,
    ParetoFront,
    constraint_violations,
    pareto_front,
)
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space

THREE = ("acc_1d", "avm", "std_1d")


@pytest.fixture(scope="module")
def truth():
    return TableEvaluator(nasbench201_labels())


def history(values, feasible=None):
    "Evaluations of a space with one hyperparameter, with these answers, shape (n, 3)."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("x", "discrete", 0, 10_000)
    frame = pd.DataFrame(np.reshape(values, (-1, 3)), columns=list(THREE)).assign(
        x=range(len(values))
    )
    return space, frame.assign(feasible=True if feasible is None else feasible)


def non_dominated(loss):
    "By the definition."
    return [
        i for i, a in enumerate(loss) if not any((b <= a).all() and (b < a).any() for b in loss)
    ]


@given(
    st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=40), st.integers(0, 2**31)
)
def test_a_front_is_what_the_definition_says(values, seed):
    feasible = np.random.default_rng(seed).random(len(values)) < 0.7
    space, frame = history(np.array(values, float), feasible)
    for names in (THREE, THREE[:2], ("std_1d", "acc_1d")):
        if not feasible.any():
            with pytest.raises(InfeasibleError, match="no Pareto front"):
                pareto_front(frame, space, names)
            continue
        front = pareto_front(frame, space, names)
        ok = frame[frame.feasible]
        loss = ok[list(names)].to_numpy() * [-1 if QUANTITIES[n].maximise else 1 for n in names]
        assert sorted(c["x"] for c in front.configs) == sorted(ok.x.iloc[non_dominated(loss)])
        assert (
            front.values == ok.set_index("x").loc[[c["x"] for c in front.configs], list(names)]
        ).all(axis=None)
        first = front.values[:, 0] * (-1 if QUANTITIES[names[0]].maximise else 1)
        assert (np.diff(first) >= 0).all() and front.hypervolume() >= 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_hypervolume_in_two_dimensions_is_a_sum_of_rectangles(points):
    space, frame = history([(90 + a, m, 0) for a, m in points])
    front = pareto_front(frame, space, ("acc_1d", "avm"))
    area, height = 0.0, 0.0
    for acc, avm in sorted(
        front.values.tolist(), key=lambda p: p[1]
    ):  # avm ascends, and so does acc
        area += (acc - 90 - height) * (1 - avm)
        height = acc - 90
    assert front.hypervolume({"acc_1d": 90, "avm": 1}) == pytest.approx(area, abs=1e-9)


def test_hypervolume_in_three_dimensions_against_a_monte_carlo_estimate():
    rng = np.random.default_rng(0)
    space, frame = history(rng.random((25, 3)))
    exact = pareto_front(frame, space, THREE).hypervolume({"acc_1d": 0, "avm": 1, "std_1d": 1})
    draws, hit = rng.random((200_000, 3)), np.zeros(200_000, bool)
    for acc, avm, std in frame[list(THREE)].to_numpy():
        hit |= (draws[:, 0] <= acc) & (draws[:, 1] >= avm) & (draws[:, 2] >= std)
    assert abs(hit.mean() - exact) < 5 * np.sqrt(0.25 / 200_000)


def test_the_default_reference_is_the_worst_that_was_feasible():
    space, frame = history(
        [(90, 1, 0), (80, 0.5, 0), (70, 3, 0), (10, 9, 0)], [True, True, True, False]
    )
    front = pareto_front(frame, space, ("acc_1d", "avm"))
    assert front.nadir == {"acc_1d": 70, "avm": 3} and len(front) == 2
    assert front.hypervolume() == pytest.approx(20 * 2 + 10 * 0.5)
    for bad in (
        {"acc_1d": 70},
        {"acc_1d": 70, "avm": 3, "std_1d": 1},
        {"acc_1d": 70, "avm": np.nan},
    ):
        with pytest.raises(ConfigError, match="reference"):
            front.hypervolume(bad)


def test_choices():
    space, frame = history([(90, 4, 0), (88, 1, 0), (80, 0, 0)])
    front = pareto_front(frame, space, ("acc_1d", "avm"))
    assert front.select().config == {"x": 1} and front.select().values == {"acc_1d": 88, "avm": 1}
    assert front.select({"avm": 0}).config == {"x": 0} and front.select({"acc_1d": 0}).config == {
        "x": 2
    }
    assert str(front.select()) == "acc_1d 88 %, avm 1 points"
    assert pareto_front(frame[:1], space, ("acc_1d", "avm")).select().config == {"x": 0}
    for bad in ({"avm": -1}, {"params": 1}):
        with pytest.raises(ConfigError):
            front.select(bad)


def test_a_front_shows_units(truth):
    front = pareto_front(
        RandomSearch(truth, 40).run(NASBench201Space(), 0),
        NASBench201Space(),
        ("acc_1d", "latency"),
    )
    for shown in (repr(front), front._repr_html_()):
        assert "acc_1d (%)" in shown and "latency (s)" in shown and "Pareto front" in shown
    assert isinstance(front, ParetoFront) and list(front.table)[:2] == ["acc_1d (%)", "latency (s)"]


def test_it_finds_more_than_random_search(truth):
    space, reference = NASBench201Space(), {"acc_1d": 50.0, "params": 1.6e6}
    found = [
        [pareto_front(optimizer.run(space, s), space).hypervolume(reference) for s in range(6)]
        for optimizer in (NSGA2(truth), RandomSearch(truth, 200))
    ]
    assert np.mean(found[0]) > np.mean(found[1])


def test_it_looks_at_exactly_as_many_as_it_may(truth):
    for n in (1, 19, 20, 55):
        assert len(NSGA2(truth, nb_evaluations=n).run(NASBench201Space(), 0).history) == n


def test_numpys_global_generator_is_left_alone(truth):
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - on purpose
    NSGA2(truth, nb_evaluations=60).run(NASBench201Space(), 0)
    assert (before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_limits_on_answers_pull_the_search(truth):
    "Where few are feasible, the share of feasible ones grows."
    result = NSGA2(truth, T_AVM=1.0, nb_evaluations=200).run(NASBench201Space(), 0)
    assert result.history.feasible[-60:].mean() > 2 * result.history.feasible[:60].mean()
    assert result.best.avm <= 1


def test_constraint_violations_are_shares_of_the_limits():
    trials = [Trial({}, "", Prediction(90.0, 3.0, 0.1, True), False, 90.0)]
    assert np.allclose(
        constraint_violations(
            Constraints(T_AVM=2, limits={"acc_1d": 95}, allow_extrapolation=False), trials
        ),
        [[0.5, 5 / 95, 1]],
    )
    assert np.allclose(constraint_violations(Constraints(T_AVM=0), trials), [[3]])


@pytest.mark.parametrize(
    "bad",
    [
        {"objectives": ("acc_1d",)},
        {"objectives": "acc_1d"},
        {"objectives": ("acc_1d", "acc_1d")},
        {"nb_evaluations": 0},
        {"population_size": 1},
    ],
)
def test_bad_settings_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        NSGA2(ParamsEvaluator(), **bad)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch, truth):
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(MissingExtraError, match=r'pip install "analognas\[moo\]"'):
        NSGA2(truth)
