"""Figures of accuracies on a chip: data against records, what is drawn, and text alternatives."""

import numpy as np
import pytest

from analognas.core import DAY, DRIFT_TIMES, MONTH, ConfigError, DriftRecord
from analognas.plots.accuracy import (
    alt_text_distribution,
    alt_text_drift,
    distribution_data,
    drift_data,
    plot_distribution,
    plot_drift,
)


def records(*sizes):
    rng = np.random.default_rng(2)
    return {
        f"net {i}": DriftRecord(DRIFT_TIMES, 90 - i - np.arange(4) + rng.normal(0, 0.5, (n, 4)))
        for i, n in enumerate(sizes)
    }


def test_distribution_data_is_one_column_of_each_record():
    given = records(12, 7)
    data = distribution_data(given, MONTH)
    for name, r in given.items():
        assert data.acc[data.candidate == name].tolist() == r.acc[:, 3].tolist()
    one_day = distribution_data(given["net 0"])
    assert one_day.acc.tolist() == given["net 0"].acc[:, 2].tolist()


def test_times_that_were_not_measured_and_no_records_are_errors():
    with pytest.raises(ConfigError, match="No measurement at 60 s"):
        distribution_data(records(12, 7), 60.0)
    for data in (distribution_data, drift_data):
        with pytest.raises(ConfigError, match="no record"):
            data({})


@pytest.mark.parametrize("kind", ["box", "violin"])
def test_plot_distribution_draws_every_repeat(kind, axes):
    given = records(12, 3, 1) | {"constant": DriftRecord((DAY,), np.full((9, 1), 80.0))}
    ax = plot_distribution(given, kind=kind, ax=axes)
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


def test_alt_texts_have_quartiles_losses_and_spreads():
    given = records(12, 1)
    q = np.quantile(given["net 0"].acc[:, 2], [0.25, 0.5, 0.75])
    middle = f"median {q[1]:.2f} %, the middle half between {q[0]:.2f} and {q[2]:.2f} %."
    assert middle in alt_text_distribution(given)
    words, r = alt_text_drift(given), given["net 0"]
    drift = (
        f"net 0: {r.mean[0]:.2f} % after 1 s, {r.mean[3]:.2f} % after 30 days (a loss of "
        f"{r.avm:.2f} points)"
    )
    assert drift in words
    assert f"{r.acc[:, 3].std(ddof=1):.2f} points (standard deviation over 12 repeats)" in words
    assert "nan" not in words


# ---- other metrics -------------------------------------------------------------------------------


def errors():
    "Temperatures in which less is better, beyond 100."
    return {
        "net": DriftRecord(
            DRIFT_TIMES, [[150, 160, 170, 190], [150, 180, 190, 210]], "rmse", "K", False
        )
    }


def test_a_record_of_another_metric_is_drawn_and_told_as_that(axes):
    assert plot_drift(errors(), axes).get_ylabel() == "rmse (K)"
    assert drift_data(errors()).high.max() > 200  # percent end at 100
    text = alt_text_drift(errors())
    assert "Mean rmse over" in text and "(a loss of 50.00 K)" in text and "%" not in text
    text = alt_text_distribution(errors())
    assert text.startswith("Rmse 1 day after") and "median 180.00 K" in text and "%" not in text


def test_the_distribution_of_another_metric_is_labelled_as_that(axes):
    ax = plot_distribution(errors()["net"], ax=axes)
    assert ax.get_ylabel() == "rmse 1 day after programming (K)"


def test_accuracies_and_errors_have_no_common_axis(axes):
    for draw in (plot_drift, plot_distribution, alt_text_drift):
        with pytest.raises(ConfigError, match="no common axis: accuracy, rmse"):
            draw(records(3) | errors())
