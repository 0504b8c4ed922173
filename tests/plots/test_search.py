"""Figures of a search: data against brute force, what is drawn, and text alternatives."""

import numpy as np
import pandas as pd
import pytest

from analognas.core import ConfigError
from analognas.plots.search import (
    alt_text_best_so_far,
    alt_text_parallel,
    best_so_far_data,
    most_varied,
    parallel_data,
    plot_parallel,
)

# ---- best so far ----------------------------------------------------------------------------------------------------


def test_best_so_far_data_ignores_infeasible_evaluations(table):
    runs = [table(30, seed, run=seed) for seed in range(3)]
    data = best_so_far_data(pd.concat(runs))
    for row in data.itertuples():
        best = [r[: row.evaluations].query("feasible").acc_1d.max() for r in runs]
        assert row.mean == pytest.approx(np.mean(best))
        assert row.error == pytest.approx(np.std(best, ddof=1) / np.sqrt(3))
    first = max(int(np.argmax(r.feasible)) for r in runs) + 1  # from where on each has one
    assert data.evaluations.tolist() == list(range(first, 31))


def test_alt_text_best_so_far_has_first_and_last_value(table):
    rows = pd.concat([table(20, s, m, s) for s in range(2) for m in ("search", "random")])
    last = np.mean([table(20, s).query("feasible").acc_1d.max() for s in range(2)])
    words = alt_text_best_so_far(rows)
    assert f"this search: {best_so_far_data(rows)['mean'][0]:.2f} % after" in words
    assert f"{last:.2f} % after 20 ±" in words


def test_best_so_far_without_feasible_or_any_evaluations(table):
    assert "Nothing feasible" in alt_text_best_so_far(table(5, feasible=False))
    with pytest.raises(ConfigError, match="no evaluations"):
        best_so_far_data(table(5)[:0])


# ---- parallel coordinates -------------------------------------------------------------------------------------------


def test_parallel_data_scales_each_column_to_its_range(table):
    rows = table(40)
    data = parallel_data(rows, ["M", "widenfact1", "acc_1d"])
    for name in ("M", "widenfact1", "acc_1d"):
        expected = (rows[name] - rows[name].min()) / (rows[name].max() - rows[name].min())
        assert np.allclose(data[name], expected[data.index])


def test_parallel_data_puts_the_best_feasible_row_last(table):
    rows = table(40)
    data = parallel_data(rows, ["M", "widenfact1", "acc_1d"])
    assert data.best.sum() == 1 and data.best.iloc[-1]  # drawn over all others
    assert data.accuracy.iloc[-1] == rows[rows.feasible].acc_1d.max()
    assert data.accuracy[:-1].is_monotonic_increasing


def test_parallel_data_of_words_and_constants(axes):
    rows = pd.DataFrame(
        {
            "kind": ["b", "a", "c"],
            "same": 7,
            "acc_1d": [1.0, 2.0, 3.0],
            "feasible": [True, True, False],
        }
    )
    data = parallel_data(rows, ["kind", "same"])
    assert data.loc[[0, 1, 2], "kind"].tolist() == [0.5, 0, 1]
    assert (data.same == 0.5).all()
    assert data.index[data.best].tolist() == [1]
    ax = plot_parallel(rows, ["kind", "same", "acc_1d"], axes)
    assert {"a", "c", "7"} <= {t.get_text() for t in ax.texts}


def test_most_varied_keeps_the_order_of_names():
    rows = pd.DataFrame({"x": [1, 1, 1, 2], "y": [1, 2, 3, 4], "z": [1, 1, 2, 2], "c": 1})
    assert most_varied(rows, list(rows), 2) == ["y", "z"]
    assert most_varied(rows, list(rows)) == ["x", "y", "z"]


def test_plot_parallel_draws_every_evaluation_and_names_the_best(table, axes):
    rows = table(80)
    best = rows[rows.feasible].sort_values("acc_1d").iloc[-1]
    ax = plot_parallel(rows, ["M", "R1", "acc_1d"], axes)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [f"best: {best.acc_1d:.2f} %"]
    assert len(ax.collections[0].get_segments()) == 80
    words = alt_text_parallel(rows, ["M", "R1", "acc_1d"])
    assert f"best feasible one has M {best.M}, R1 {best.R1}, acc_1d" in words


def test_parallel_without_feasible_or_any_evaluations(table, axes):
    none = table(8, feasible=False)
    assert plot_parallel(none, ax=axes).get_legend() is None
    assert "None is feasible." in alt_text_parallel(none)
    with pytest.raises(ConfigError, match="no evaluations"):
        parallel_data(none[:0])


# ---- names of 0.1.0 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new",
    [
        ("alt_best_so_far", "search:alt_text_best_so_far"),
        ("plot_pareto", "pareto:plot_pareto"),
        ("alt_agreement", "evaluator:alt_text_agreement"),
    ],
)
def test_former_names_work_and_warn(old, new):
    from importlib import import_module

    module, _, name = new.partition(":")
    with pytest.warns(DeprecationWarning, match=name):
        found = getattr(import_module("analognas.plots.search"), old)
    assert found is getattr(import_module(f"analognas.plots.{module}"), name)


def test_every_name_of_0_1_0_can_be_imported_from_plots():
    import analognas.plots as plots

    names = "PALETTE style new_axes plot_drift plot_cell plot_architecture plot_parallel".split()
    assert all(hasattr(plots, name) for name in names)
    for old in ("drift_data", "alt_drift", "architecture_data", "KINDS", "axis_label", "MARKERS"):
        with pytest.warns(DeprecationWarning):
            assert getattr(plots, old) is not None
