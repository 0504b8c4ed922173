"""Figures of an evaluator: agreement against scipy, shapes, and text alternatives."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from analognas.core import ConfigError
from analognas.plots.evaluator import (
    agreement_data,
    alt_text_agreement,
    alt_text_attribution,
    plot_agreement,
)


def test_plot_agreement_and_its_alt_text_have_kendalls_tau(axes):
    rng = np.random.default_rng(1)
    measured = rng.normal(90, 3, 50)
    predicted = measured + rng.normal(-1, 2, 50)
    tau = kendalltau(predicted, measured)[0]
    ax = plot_agreement(predicted, measured, np.full(50, 0.3), np.full(50, 0.5), ax=axes)
    assert f"τ {tau:.2f} [" in ax.get_title()
    assert "50 architectures" in ax.get_title()
    bars = ax.containers[0]
    assert bars.has_xerr and bars.has_yerr
    words = alt_text_agreement(predicted, measured)
    assert f"tau {tau:.2f} " in words
    assert f"{abs((predicted - measured).mean()):.4g} points below" in words


@pytest.mark.parametrize(
    "wrong",
    [
        dict(predicted=[1, 2, 3], measured=[1, 2]),
        dict(predicted=[[1, 2]], measured=[[1, 2]]),
        dict(predicted=[1, 2], measured=[1, 2], measured_error=[1]),
    ],
)
def test_agreement_data_refuses_different_shapes(wrong):
    with pytest.raises(ConfigError, match="got shapes predicted"):
        agreement_data(**wrong)


def test_agreement_data_has_errors_only_if_given():
    assert list(agreement_data([1, 2], [2, 3])) == ["predicted", "measured"]
    assert list(agreement_data([1, 2], [2, 3], measured_error=[1, 1])) == [
        "predicted",
        "measured",
        "measured_error",
    ]


def test_alt_text_attribution_has_size_and_direction():
    values = np.random.default_rng(0).normal(size=(50, 2))
    shap = pd.DataFrame(values * [1, -3], columns=["a", "b"])
    first, second = (f"{np.abs(shap[n]).mean():.3g}" for n in "ba")
    assert alt_text_attribution(shap, values).endswith(
        f"b {first} (more of it lowers the prediction); "
        f"a {second} (more of it raises the prediction)."
    )
