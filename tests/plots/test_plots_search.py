"""Figures of a search and of accuracies: what they compute, against brute force, scipy and numpy; what they draw; what they say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from analognas.core import DAY, DRIFT_TIMES, MONTH, ConfigError, DriftRecord
from analognas.plots.accuracy import (
    alt_distribution,
    alt_drift,
    distribution_data,
    plot_distribution,
)
from analognas.plots.search import (
    agreement_data,
    alt_agreement,
    alt_attribution,
    alt_best_so_far,
    alt_parallel,
    alt_pareto,
    best_so_far_data,
    most_varied,
    parallel_data,
    pareto_data,
    plot_agreement,
    plot_parallel,
    plot_pareto,
)
from analognas.search_algorithms.constraints import Constraints
from analognas.search_spaces.config_space import ConfigSpace

SPACE = ConfigSpace("digits")


def axes():
    "In a figure that pyplot does not know."
    return Figure(figsize=(6, 4), layout="constrained").subplots()


def table(n=60, seed=0, method="search", run=0, feasible=None):
    "Random architectures with answers out of nowhere, as a worker's `evaluations`."
    rng = np.random.default_rng(seed)
    answers = {
        "acc_1d": rng.uniform(60, 99, n).round(1),
        "avm": rng.uniform(0, 5, n).round(1),
        "std_1d": rng.uniform(0, 2, n),
    }
    rows = pd.DataFrame(SPACE.sample_arch_uniformly(n, rng)).assign(
        **answers, outside=False, measured=False
    )
    return rows.assign(
        feasible=rng.random(n) < 0.7 if feasible is None else feasible, method=method, run=run
    )


# ---- best so far ----------------------------------------------------------------------------------------------------


def test_what_is_ruled_out_leaves_the_best_so_far_as_it_is():
    runs = [table(30, seed, run=seed) for seed in range(3)]
    data = best_so_far_data(pd.concat(runs))
    for row in data.itertuples():
        best = [r[: row.evaluations].query("feasible").acc_1d.max() for r in runs]
        assert row.mean == pytest.approx(np.mean(best)) and row.error == pytest.approx(
            np.std(best, ddof=1) / np.sqrt(3)
        )
    first = max(int(np.argmax(r.feasible)) for r in runs) + 1  # from where on each has one
    assert data.evaluations.tolist() == list(range(first, 31))


def test_best_so_far_in_words():
    rows = pd.concat([table(20, s, m, s) for s in range(2) for m in ("search", "random")])
    last = np.mean([table(20, s).query("feasible").acc_1d.max() for s in range(2)])
    words = alt_best_so_far(rows)
    assert (
        f"this search: {best_so_far_data(rows)['mean'][0]:.2f} % after" in words
        and f"{last:.2f} % after 20 ±" in words
    )
    assert "Nothing feasible" in alt_best_so_far(table(5, feasible=False))
    with pytest.raises(ConfigError, match="no evaluations"):
        best_so_far_data(table(5)[:0])


# ---- Pareto front ---------------------------------------------------------------------------------------------------


@given(
    st.integers(0, 1000),
    st.sampled_from(
        [("acc_1d", "params"), ("acc_1d", "avm"), ("params", "avm"), ("avm", "acc_1d")]
    ),
)
def test_the_front_is_what_nothing_feasible_beats(seed, names):
    rows = table(25, seed)
    data = pareto_data(rows, SPACE, names)
    sign = np.array([1 if n == "acc_1d" else -1 for n in names])
    points = data.loc[data.feasible, list(names)].to_numpy() * sign
    beaten = [any((q >= p).all() and (q > p).any() for q in points) for p in points]
    assert (
        data.front[data.feasible].tolist() == [not b for b in beaten]
        and not data.front[~data.feasible].any()
    )
    assert data.feasible.tolist() == rows.feasible.tolist()


def test_an_architecture_found_twice_counts_once():
    rows = table(20)
    assert (
        len(pareto_data(pd.concat([rows, rows.assign(method="random")], ignore_index=True), SPACE))
        == 20
    )


def test_hypervolume_in_words_is_the_area_under_the_stairs():
    rows = table(40, 3)
    data = pareto_data(rows, SPACE)
    good = data[data.feasible]
    low, high = good.acc_1d.min(), good.params.max()
    front = data[data.front].drop_duplicates(["acc_1d", "params"]).sort_values("params")
    right = [*front.params[1:], high]
    area = sum((a - low) * (r - p) for a, p, r in zip(front.acc_1d, front.params, right))
    assert f"is {area:,.0f} acc_1d (%) × params" in alt_pareto(rows, SPACE)


def test_the_picture_of_a_front():
    rows, ax = table(50), axes()
    assert plot_pareto(rows, SPACE, constraints=Constraints(max_nb_param=0.5), ax=ax) is ax
    data, labels = pareto_data(rows, SPACE), [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels == [
        f"ruled out ({(~data.feasible).sum()})",
        f"feasible ({(data.feasible & ~data.front).sum()})",
        f"Pareto front ({data.front.sum()})",
        "limit of params: 500,000",
    ]
    line = next(ln for ln in ax.lines if ln.get_label().startswith("Pareto"))
    assert np.array_equal(
        line.get_xydata(), data[data.front].sort_values("params")[["params", "acc_1d"]]
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("parameters", "1-day accuracy (%)")


def test_without_anything_feasible_there_is_no_front():
    rows = table(10, feasible=False)
    assert not pareto_data(
        rows, SPACE
    ).front.any() and "10 of them ruled out. There is no Pareto front" in alt_pareto(rows, SPACE)
    plot_pareto(rows, SPACE, ax=axes())


def test_a_picture_has_two_axes():
    with pytest.raises(ConfigError, match="needs two objectives"):
        pareto_data(table(), SPACE, ("acc_1d", "params", "avm"))


# ---- predicted against measured -------------------------------------------------------------------------------------


def test_tau_in_the_figure_and_in_words():
    rng = np.random.default_rng(1)
    measured = rng.normal(90, 3, 50)
    predicted = measured + rng.normal(-1, 2, 50)
    tau, ax = kendalltau(predicted, measured)[0], axes()
    plot_agreement(predicted, measured, np.full(50, 0.3), np.full(50, 0.5), ax=ax)
    assert f"τ {tau:.2f} [" in ax.get_title() and "50 architectures" in ax.get_title()
    bars = ax.containers[0]
    assert bars.has_xerr and bars.has_yerr
    words = alt_agreement(predicted, measured)
    assert (
        f"tau {tau:.2f} " in words
        and f"{abs((predicted - measured).mean()):.4g} points below" in words
    )


@pytest.mark.parametrize(
    "wrong",
    [
        dict(predicted=[1, 2, 3], measured=[1, 2]),
        dict(predicted=[[1, 2]], measured=[[1, 2]]),
        dict(predicted=[1, 2], measured=[1, 2], measured_error=[1]),
    ],
)
def test_shapes_have_to_agree(wrong):
    with pytest.raises(ConfigError, match="got shapes predicted"):
        agreement_data(**wrong)


def test_errors_are_columns_only_if_given():
    assert list(agreement_data([1, 2], [2, 3])) == ["predicted", "measured"]
    assert list(agreement_data([1, 2], [2, 3], measured_error=[1, 1])) == [
        "predicted",
        "measured",
        "measured_error",
    ]


# ---- parallel coordinates -------------------------------------------------------------------------------------------


def test_each_axis_goes_from_its_least_to_its_greatest_value():
    rows = table(40)
    data = parallel_data(rows, ["M", "widenfact1", "acc_1d"])
    for name in ("M", "widenfact1", "acc_1d"):
        expected = (rows[name] - rows[name].min()) / (rows[name].max() - rows[name].min())
        assert np.allclose(data[name], expected[data.index])
    assert data.best.sum() == 1 and data.best.iloc[-1]  # drawn over all others
    assert data.accuracy.iloc[-1] == rows[rows.feasible].acc_1d.max()
    assert data.accuracy[:-1].is_monotonic_increasing


def test_words_and_constants_have_axes_too():
    rows = pd.DataFrame(
        {
            "kind": ["b", "a", "c"],
            "same": 7,
            "acc_1d": [1.0, 2.0, 3.0],
            "feasible": [True, True, False],
        }
    )
    data = parallel_data(rows, ["kind", "same"])
    assert data.loc[[0, 1, 2], "kind"].tolist() == [0.5, 0, 1] and (data.same == 0.5).all()
    assert data.index[data.best].tolist() == [1]
    ax = plot_parallel(rows, ["kind", "same", "acc_1d"], axes())
    assert {"a", "c", "7"} <= {t.get_text() for t in ax.texts}


def test_what_varies_most_is_shown():
    rows = pd.DataFrame({"x": [1, 1, 1, 2], "y": [1, 2, 3, 4], "z": [1, 1, 2, 2], "c": 1})
    assert most_varied(rows, list(rows), 2) == ["y", "z"] and most_varied(rows, list(rows)) == [
        "x",
        "y",
        "z",
    ]


def test_the_picture_of_a_run_and_its_words():
    rows = table(80)
    best = rows[rows.feasible].sort_values("acc_1d").iloc[-1]
    ax = plot_parallel(rows, ["M", "R1", "acc_1d"], axes())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [f"best: {best.acc_1d:.2f} %"]
    assert len(ax.collections[0].get_segments()) == 80
    assert f"best feasible one has M {best.M}, R1 {best.R1}, acc_1d" in alt_parallel(
        rows, ["M", "R1", "acc_1d"]
    )
    none = table(8, feasible=False)
    assert plot_parallel(
        none, ax=axes()
    ).get_legend() is None and "None is feasible." in alt_parallel(none)
    with pytest.raises(ConfigError, match="no evaluations"):
        parallel_data(rows[:0])


# ---- attribution ----------------------------------------------------------------------------------------------------


def test_attribution_in_words():
    values = np.random.default_rng(0).normal(size=(50, 2))
    shap = pd.DataFrame(values * [1, -3], columns=["a", "b"])
    first, second = (f"{np.abs(shap[n]).mean():.3g}" for n in "ba")
    assert alt_attribution(shap, values).endswith(
        f"b {first} (more of it lowers the prediction); "
        f"a {second} (more of it raises the prediction)."
    )


# ---- accuracies on chips --------------------------------------------------------------------------------------------


def records(*sizes):
    rng = np.random.default_rng(2)
    return {
        f"net {i}": DriftRecord(DRIFT_TIMES, 90 - i - np.arange(4) + rng.normal(0, 0.5, (n, 4)))
        for i, n in enumerate(sizes)
    }


def test_a_distribution_is_one_column_of_each_record():
    given = records(12, 7)
    data = distribution_data(given, MONTH)
    for name, r in given.items():
        assert data.acc[data.candidate == name].tolist() == r.acc[:, 3].tolist()
    assert (
        distribution_data(given["net 0"]).acc.tolist() == given["net 0"].acc[:, 2].tolist()
    )  # one day
    with pytest.raises(ConfigError, match="No measurement at 60 s"):
        distribution_data(given, 60.0)
    with pytest.raises(ConfigError, match="no record"):
        distribution_data({})


@pytest.mark.parametrize("kind", ["box", "violin"])
def test_every_repeat_is_a_point(kind):
    given = records(12, 3, 1) | {"constant": DriftRecord((DAY,), np.full((9, 1), 80.0))}
    ax = plot_distribution(given, kind=kind, ax=axes())
    points = [
        ln.get_ydata().tolist()
        for ln in ax.lines
        if ln.get_linestyle() == "None" and len(ln.get_ydata())
    ]
    assert points == [r.acc[:, r.at(DAY)].tolist() for r in given.values()]
    labels = [t.get_text().split("\n") for t in ax.get_xticklabels()]
    assert labels == [
        ["net 0", "12 repeats"],
        ["net 1", "3 repeats"],
        ["net 2", "1 repeats"],
        ["constant", "9 repeats"],
    ]


def test_distributions_and_drift_in_words():
    given = records(12, 1)
    q = np.quantile(given["net 0"].acc[:, 2], [0.25, 0.5, 0.75])
    assert (
        f"median {q[1]:.2f} %, the middle half between {q[0]:.2f} and {q[2]:.2f} %."
        in alt_distribution(given)
    )
    words, r = alt_drift(given), given["net 0"]
    assert (
        f"net 0: {r.mean[0]:.2f} % after 1 s, {r.mean[3]:.2f} % after 30 days (a loss of "
        f"{r.avm:.2f} points)" in words
    )
    assert f"{r.acc[:, 3].std(ddof=1):.2f} points (standard deviation over 12 repeats)" in words
    assert "nan" not in words
