"""Figures of Pareto fronts: fronts against brute force, areas, what is drawn, and text alternatives."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analognas.core import ConfigError
from analognas.plots.pareto import alt_text_pareto, pareto_data, plot_pareto
from analognas.search_algorithms.constraints import Constraints


@given(
    seed=st.integers(0, 1000),
    names=st.sampled_from(
        [("acc_1d", "params"), ("acc_1d", "avm"), ("params", "avm"), ("avm", "acc_1d")]
    ),
)
def test_front_is_what_no_feasible_architecture_beats(table, space, seed, names):
    rows = table(25, seed)
    data = pareto_data(rows, space, names)
    sign = np.array([1 if n == "acc_1d" else -1 for n in names])
    points = data.loc[data.feasible, list(names)].to_numpy() * sign
    beaten = [any((q >= p).all() and (q > p).any() for q in points) for p in points]
    assert data.front[data.feasible].tolist() == [not b for b in beaten]
    assert not data.front[~data.feasible].any()
    assert data.feasible.tolist() == rows.feasible.tolist()


def test_architecture_found_twice_counts_once(table, space):
    rows = table(20)
    twice = pd.concat([rows, rows.assign(method="random")], ignore_index=True)
    assert len(pareto_data(twice, space)) == 20


def test_hypervolume_in_alt_text_is_the_area_under_the_staircase(table, space):
    rows = table(40, 3)
    data = pareto_data(rows, space)
    good = data[data.feasible]
    low, high = good.acc_1d.min(), good.params.max()
    front = data[data.front].drop_duplicates(["acc_1d", "params"]).sort_values("params")
    right = [*front.params[1:], high]
    area = sum((a - low) * (r - p) for a, p, r in zip(front.acc_1d, front.params, right))
    assert f"is {area:,.0f} acc_1d (%) × params" in alt_text_pareto(rows, space)


def test_plot_pareto_draws_points_front_and_limits(table, space, axes):
    rows = table(50)
    ax = plot_pareto(rows, space, constraints=Constraints(max_nb_param=0.5), ax=axes)
    assert ax is axes
    data = pareto_data(rows, space)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        f"ruled out ({(~data.feasible).sum()})",
        f"feasible ({(data.feasible & ~data.front).sum()})",
        f"Pareto front ({data.front.sum()})",
        "limit of params: 500,000",
    ]
    line = next(ln for ln in ax.lines if ln.get_label().startswith("Pareto"))
    front = data[data.front].sort_values("params")
    assert np.array_equal(line.get_xydata(), front[["params", "acc_1d"]])
    assert ax.get_xlabel() == "parameters"
    assert ax.get_ylabel() == "1-day accuracy (%)"


def test_without_feasible_architectures_there_is_no_front(table, space, axes):
    rows = table(10, feasible=False)
    assert not pareto_data(rows, space).front.any()
    words = alt_text_pareto(rows, space)
    assert "10 of them ruled out. There is no Pareto front" in words
    plot_pareto(rows, space, ax=axes)


def test_three_objectives_are_an_error(table, space):
    with pytest.raises(ConfigError, match="needs two objectives"):
        pareto_data(table(), space, ("acc_1d", "params", "avm"))
