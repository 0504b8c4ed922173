"""One hyperparameter: properties that hold for every range, and what is refused."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chisquare

from analognas.core import ConfigError
from analognas.search_spaces.hyperparameter import Hyperparameter

INTS = st.integers(-1000, 1000)
FLOATS = st.floats(-100, 100).map(lambda x: round(x, 3))


@st.composite
def discrete(draw):
    low = draw(INTS)
    return Hyperparameter(
        "h",
        "discrete",
        min_value=low,
        max_value=low + draw(st.integers(0, 60)),
        step=draw(st.integers(1, 9)),
    )


@st.composite
def grids(draw):
    low, step = draw(FLOATS), draw(st.integers(1, 400)) / 100
    return Hyperparameter(
        "h",
        "continuous",
        min_value=low,
        max_value=low + draw(st.integers(0, 30)) * step + draw(st.sampled_from([0, step / 2])),
        step=step,
    )


@st.composite
def listed(draw):
    values = draw(st.lists(INTS | FLOATS, min_size=1, max_size=12, unique=True))
    return Hyperparameter("h", "discrete", range=values)


@st.composite
def log_discrete(draw):
    low = draw(st.integers(1, 20))
    return Hyperparameter(
        "h", "discrete", min_value=low, max_value=low + draw(st.integers(0, 60)), log=True
    )


@st.composite
def continua(draw):
    log = draw(st.booleans())
    low = draw(st.floats(1e-6, 10) if log else FLOATS)
    return Hyperparameter(
        "h", "continuous", min_value=low, max_value=low + draw(st.floats(0, 100)), log=log
    )


FINITE = discrete() | grids() | listed()
ORDERED = FINITE | log_discrete() | continua()
UNIT = st.floats(0, 1, exclude_max=True)


# ---- values ---------------------------------------------------------------------------------------------------------


@given(discrete())
def test_discrete_values_are_pythons_range(h):
    assert h.values == tuple(range(h.min_value, h.max_value + 1, h.step))
    assert all(type(v) is int for v in h.values)


@given(grids())
def test_grid_values_are_even_and_within_the_ends(h):
    assert np.allclose(h.values, h.min_value + h.step * np.arange(len(h.values)), rtol=0, atol=1e-9)
    assert h.values[-1] <= h.max_value + 1e-9 and h.values[-1] + h.step > h.max_value + 1e-9


@given(ORDERED, UNIT)
def test_draws_are_allowed_and_within_the_ends(h, u):
    value = h.from_unit(u)
    assert h.contains(value)
    low, high = (min(h.range), max(h.range)) if h.range else (h.min_value, h.max_value)
    assert low - 1e-9 <= value <= high + 1e-9
    assert type(value) in (int, float)


@given(FINITE | log_discrete())
def test_contains_every_value_and_nothing_between(h):
    assert h.size() == len(h.values) == len(set(h.values))
    assert all(h.contains(v) for v in h.values)
    assert not any(h.contains((a + b) / 2) for a, b in zip(h.values, h.values[1:]) if b - a > 1e-6)
    assert not h.contains(max(h.values) + 1e-3) and not h.contains(min(h.values) - 1e-3)


@given(h=ORDERED)
@pytest.mark.parametrize("value", [None, "1", math.nan, math.inf, [1], {}, (1,)])
def test_contains_says_no_to_what_is_no_number(h, value):
    assert not h.contains(value)


def test_a_truth_value_is_not_a_number():
    for h in (
        Hyperparameter("M", "discrete", min_value=1, max_value=5),
        Hyperparameter("c", "discrete", range=(1, 2)),
        Hyperparameter("x", "continuous", min_value=0, max_value=1),
    ):
        assert not h.contains(True)


def test_neighbours_are_one_step_away_and_of_a_category_all_others():
    odd = Hyperparameter("M", "discrete", min_value=1, max_value=7, step=2)
    assert [odd.neighbours(v) for v in odd.values] == [[3], [1, 5], [3, 7], [5]]
    pooling = Hyperparameter("p", "categorical", range=("max", "mean", "none"))
    assert pooling.neighbours("mean") == ["max", "none"]
    width = Hyperparameter("w", "continuous", min_value=0.0, max_value=1.0)
    near = width.neighbours(0.5)
    assert len(near) == 2
    assert near[0] < 0.5 < near[1]
    assert len(width.neighbours(0.0)) == len(width.neighbours(1.0)) == 1
    assert Hyperparameter("x", "discrete", range=(3,)).neighbours(3) == []


# ---- the unit interval ----------------------------------------------------------------------------------------------


@given(FINITE)
def test_from_unit_gives_every_value_the_same_share(h):
    fine = 8 * h.size()  # a grid that cuts every share into eight
    counts = Counter(h.from_unit((i + 0.5) / fine) for i in range(fine))
    assert counts == dict.fromkeys(h.values, 8)


def test_categories_have_the_same_share():
    h = Hyperparameter("op", "categorical", range=("a", "b", "c"))
    assert Counter(h.from_unit(i / 300) for i in range(300)) == {"a": 100, "b": 100, "c": 100}
    rng = np.random.default_rng(0)
    assert chisquare(list(Counter(h.sample(rng) for _ in range(3000)).values())).pvalue > 1e-3


@given(log_discrete())
def test_a_log_scale_reaches_every_integer(h):
    edges = [(a + b) / 2 for a, b in zip(h.values, h.values[1:])]
    points = np.log(np.array([h.min_value, *edges, h.max_value]))
    if h.size() > 1:  # the middle of each value's share of the logarithm
        u = (np.convolve(points, [0.5, 0.5], "valid") - points[0]) / (points[-1] - points[0])
        assert [h.from_unit(x) for x in u] == list(h.values)


@given(continua(), UNIT)
def test_a_continuum_is_covered_evenly(h, u):
    assume(h.max_value > h.min_value)
    if h.log:
        expected = h.min_value * (h.max_value / h.min_value) ** u
    else:
        expected = h.min_value + u * (h.max_value - h.min_value)
    assert math.isclose(h.from_unit(u), expected, rel_tol=1e-9, abs_tol=1e-9)


@given(ORDERED, UNIT, UNIT)
def test_to_unit_is_monotone_from_0_to_1(h, u, v):
    a, b = sorted((h.from_unit(u), h.from_unit(v)))
    assert 0 <= h.to_unit(a) <= h.to_unit(b) <= 1 + 1e-9
    assert (h.to_unit(a) == h.to_unit(b)) == (a == b)


@given(ORDERED)
def test_the_default_value_is_allowed(h):
    assert h.contains(h.default_value)


@given(listed(), st.floats(-9e-10, 9e-10))
def test_to_unit_forgives_what_contains_forgives(h, error):
    "A value that counts as allowed has a place between the ends."
    value = h.values[0] + error
    assert h.contains(value) and math.isclose(
        h.to_unit(value), h.to_unit(h.values[0]), abs_tol=1e-6
    )


# ---- neighbours -----------------------------------------------------------------------------------------------------


@given(FINITE | log_discrete())
def test_neighbours_are_symmetric_and_connect_everything(h):
    near = {v: set(h.neighbours(v)) for v in h.values}
    for a in h.values:
        assert a not in near[a] and near[a] <= set(h.values)
        assert all(a in near[b] for b in near[a])
    reached = {h.values[0]}
    while new := set().union(*(near[v] for v in reached)) - reached:
        reached |= new
    assert reached == set(h.values)


def test_categories_are_all_neighbours():
    h = Hyperparameter("op", "categorical", range=("a", "b", "c"))
    assert h.neighbours("b") == ["a", "c"]


@given(continua(), UNIT)
def test_neighbours_in_a_continuum_are_a_hundredth_away(h, u):
    value = h.from_unit(u)
    near = h.neighbours(value)
    assert value not in near and all(h.contains(v) for v in near)
    if h.max_value - h.min_value > 1e-3:
        assert np.allclose([abs(h.to_unit(v) - h.to_unit(value)) for v in near], 0.01, atol=1e-6)
        assert near  # one can always go at least one way


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, says",
    [
        (
            dict(type="integer", min_value=1, max_value=2),
            "Unknown type of hyperparameter 'h' 'integer'",
        ),
        (
            dict(type="discrete", min_value=1, max_value=2, mutation_group="size"),
            "Unknown mutation group of hyperparameter 'h' 'size'",
        ),
        (dict(type="discrete", min_value=2, max_value=1), "min_value 2 above max_value 1"),
        (dict(type="continuous", min_value=0.2, max_value=0.1), "above max_value"),
        (dict(type="discrete", min_value=1), "max_value of 'h'"),
        (dict(type="discrete", max_value=1), "min_value of 'h'"),
        (
            dict(type="discrete", min_value=1.0, max_value=2),
            "min_value of 'h' must be a whole number",
        ),
        (
            dict(type="discrete", min_value=1, max_value=2.5),
            "max_value of 'h' must be a whole number",
        ),
        (dict(type="discrete", min_value=True, max_value=2), "got True"),
        (dict(type="continuous", min_value=False, max_value=2), "got False"),
        (dict(type="continuous", min_value=math.nan, max_value=1), "got nan"),
        (dict(type="continuous", min_value=0, max_value=math.inf), "got inf"),
        (dict(type="continuous", min_value="0", max_value=1), "got '0'"),
        (dict(type="continuous", min_value=0, max_value=1, step=0), "step of 'h' must be above 0"),
        (dict(type="continuous", min_value=0, max_value=1, step=-0.1), "step of 'h'"),
        (dict(type="continuous", min_value=0, max_value=1, step=math.nan), "step of 'h'"),
        (
            dict(type="discrete", min_value=0, max_value=4, step=0.5),
            "step of 'h' must be a whole number",
        ),
        (
            dict(type="continuous", min_value=0, max_value=1, log=True),
            "log needs min_value above 0",
        ),
        (dict(type="discrete", min_value=0, max_value=9, log=True), "log needs min_value above 0"),
        (
            dict(type="continuous", min_value=-1, max_value=1, log=True),
            "log needs min_value above 0",
        ),
        (dict(type="continuous", min_value=1, max_value=2, step=0.1, log=True), "no step"),
        (dict(type="discrete", range=()), "at least one value"),
        (dict(type="categorical", range=[]), "at least one value"),
        (dict(type="discrete", range=(1, 2, 1)), "none twice"),
        (dict(type="discrete", range=(1, 1.0)), "none twice"),
        (dict(type="categorical", range=("a", "a")), "none twice"),
        (dict(type="discrete", range=(1, "a")), "each value in the range of 'h'"),
        (dict(type="continuous", range=(1, math.nan)), "each value in the range of 'h'"),
        (dict(type="discrete", range=(True, 2)), "got True"),
        (dict(type="categorical"), "needs its values listed"),
        (dict(type="categorical", range=[(3, 3), (5, 5)]), "text, a finite number"),
        (dict(type="categorical", range=[math.nan, 1]), "got nan"),
        (dict(type="categorical", range=[b"a"]), "got b'a'"),
        (dict(type="categorical", range=["\ud800"]), "text, a finite number"),
        (dict(type="categorical", range=[2**53 + 1]), "at most 2**53"),
        (dict(type="categorical", range=[None, "None"]), "also not as text"),
        (dict(type="categorical", range=[1, "1"]), "also not as text"),
        (dict(type="categorical", range=[1, True]), "none twice"),
        (dict(type="discrete", range=(1, 2), scope="chip"), "Unknown scope"),
        (dict(type="categorical", min_value=1, max_value=2), "needs its values listed"),
        (dict(type="discrete", range=(1, 2), condition=3), "must be a pair"),
        (dict(type="discrete", range=(1, 2), condition=("M", 1, 2)), "must be a pair"),
    ],
)
def test_refusals(arguments, says):
    with pytest.raises(ConfigError) as e:
        Hyperparameter("h", **arguments)
    assert says in str(e.value)


@pytest.mark.parametrize("name", ["", None, 3, ("a",)])
def test_a_name_is_a_non_empty_string(name):
    with pytest.raises(ConfigError, match="name"):
        Hyperparameter(name, "discrete", min_value=1, max_value=2)


def test_column_takes_numbers_of_numpy_and_refuses_others():
    mixed = Hyperparameter("h", "categorical", range=(1.5, 2.5, "a"))
    assert mixed.column([np.float64(2.5), "a", np.float64(1.5)]).tolist() == [2.5, "a", 1.5]
    assert mixed.column([np.float64(2.0), "a"]) is None


def test_numpy_numbers_become_plain():
    h = Hyperparameter(
        "h", "discrete", min_value=np.int64(1), max_value=np.int32(4), step=np.int8(1)
    )
    assert [type(v) for v in (h.min_value, h.max_value, h.step, *h.values)] == [int] * 7
    h = Hyperparameter("h", "discrete", range=tuple(np.array([3, 1, 2])))
    assert h.range == (1, 2, 3) and all(type(v) is int for v in h.range)
    assert all(
        type(v) is float
        for v in Hyperparameter("h", "continuous", range=tuple(np.array([0.5, 1.5]))).range
    )


@given(ORDERED)
def test_text_names_it(h):
    assert str(h).startswith(f"h: {h.type}")


# ---- files and names of 0.1.0 ---------------------------------------------------------------------------------------


@given(ORDERED)
def test_dict_round_trip(h):
    assert Hyperparameter.from_dict(h.to_dict()) == h


def test_dict_has_the_keys_of_0_1_0():
    h = Hyperparameter("c", "categorical", range=("a", "b"), condition=("M", 2))
    assert h.to_dict() == {
        "name": "c",
        "type": "categorical",
        "range": ["a", "b"],
        "min_value": None,
        "max_value": None,
        "step": None,
        "log": False,
        "active_from": ["M", 2],
        "role": "other",
    }


def test_old_arguments_and_attributes_warn():
    with pytest.warns(DeprecationWarning):
        h = Hyperparameter("c", "discrete", range=(1, 2), active_from=("M", 2), role="width")
    for old, value in {"active_from": ("M", 2), "role": "width", "middle": 2}.items():
        with pytest.warns(DeprecationWarning, match=f"Hyperparameter.{old} is now"):
            assert getattr(h, old) == value


def test_argument_under_both_names_is_refused():
    with pytest.raises(TypeError, match="condition is given twice"):
        Hyperparameter("c", "discrete", range=(1,), condition=("M", 1), active_from=("M", 2))


def test_copy_keeps_the_condition():
    h = Hyperparameter("c", "discrete", range=(1, 2), condition=("M", 2))
    assert replace(h, range=(1, 2, 3)).condition == ("M", 2)
    assert replace(h, condition=None).condition is None
