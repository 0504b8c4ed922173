"""Figures of devices and layers: what is drawn, and what the words contain."""

import importlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from analognas.analog.characterize import (
    conductance_data,
    device_drift_data,
    layer_errors,
    noise_data,
    range_data,
)
from analognas.analog.convert import to_analog
from analognas.analog.programming import drift, program
from analognas.analog.sensitivity import layer_sensitivity
from analognas.core import DAY, ConfigError
from analognas.plots import devices as D


def matrix(rows=40, cols=50, seed=0):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))


def sensitivity_table():
    net = small_network()
    x = torch.randn(60, 6).clamp(-3, 3)
    return layer_sensitivity(to_analog(net), (x, net(x).argmax(1)), n_rep=2)


def ranges_table():
    return range_data(to_analog(small_network()), torch.randn(60, 6).clamp(-3, 3))


FIGURES = {
    "conductances": (
        D.plot_conductances,
        D.alt_text_conductances,
        lambda: conductance_data(matrix()),
    ),
    "histogram": (
        D.plot_conductance_histogram,
        D.alt_text_conductances,
        lambda: conductance_data(matrix()),
    ),
    "drift": (
        D.plot_device_drift,
        D.alt_text_device_drift,
        lambda: device_drift_data(n_devices=3),
    ),
    "drift of reram": (
        D.plot_device_drift,
        D.alt_text_device_drift,
        lambda: device_drift_data("reram", n_devices=1),
    ),
    "noise": (D.plot_noise, D.alt_text_noise, lambda: noise_data(n_devices=20)),
    "sensitivity": (D.plot_sensitivity, D.alt_text_sensitivity, sensitivity_table),
    "ranges": (D.plot_ranges, D.alt_text_ranges, ranges_table),
}


@pytest.mark.parametrize("name", FIGURES)
def test_plot_draws_on_the_given_axes_and_has_words(name):
    plot, describe, make = FIGURES[name]
    plt.close("all")
    data = make()
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    assert plot(data, ax) is ax
    figure.canvas.draw()
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert describe(data).endswith(".")
    assert "nan" not in describe(data)
    assert plt.get_fignums() == []


def test_plot_without_axes_makes_one_figure():
    plt.close("all")
    assert len(D.plot_ranges(ranges_table()).get_figure().axes) == 1
    assert len(plt.get_fignums()) == 1
    plt.close("all")


def test_plot_layer_errors_draws_a_line_per_network():
    net = to_analog(small_network())
    program(net)
    drift(net, DAY)
    errors = layer_errors(net)
    ax = D.plot_layer_errors({"a": errors, "b": errors / 2}, Figure().subplots())
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), errors / 2)
    assert ax.get_ylim()[1] > errors.max()


def test_plot_sensitivity_numbers():
    table = sensitivity_table().assign(acc_loss=[0.04, -1.26], share=[0.25, 0.75])
    ax = D.plot_sensitivity(table, Figure().subplots())
    assert [bar.get_width() for bar in ax.patches] == [25, 75]
    assert [t.get_text() for t in ax.texts] == ["accuracy ±0.0 points", "accuracy +1.3 points"]
    words = D.alt_text_sensitivity(table)
    assert "2 75 % (accuracy +1.3 points), 0 25 % (accuracy ±0.0 points)" in words


def test_plot_conductances_numbers():
    data = pd.DataFrame(
        {
            "target": [-3.0, 4.0],
            "programmed": [-3.0, 5.0],
            "drifted": [-1.5, 2.0],
            "read": [-1.5, 2.0],
        }
    )
    words = D.alt_text_conductances(data)
    assert (
        "programmed 0.71 µS, drifted 1.77 µS, read 1.77 µS. On average 50 % of the target is left."
        in words
    )
    ax = D.plot_conductances(data, Figure().subplots(), difference=True)
    points = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(points["programmed"], [0, 1])


def test_plot_device_drift_numbers():
    data = device_drift_data(n_devices=4)
    ax = D.plot_device_drift(data, Figure().subplots())
    assert len(ax.lines) == 3
    assert [len(c.get_segments()) for c in ax.collections] == [4, 4, 4]
    mean = data[data.target == 20].groupby("t_inference").g.mean()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), mean)
    device = data[data.device == 6][["t_inference", "g"]]
    np.testing.assert_allclose(ax.collections[1].get_segments()[2], device)
    assert ax.get_ylim()[1] > data.g.max()


def test_plot_conductances_draws_at_most_max_points():
    data = conductance_data(matrix(300, 300), "ideal")
    ax = D.plot_conductances(data, Figure().subplots())
    assert len(ax.lines[1].get_xdata()) <= D.MAX_POINTS


def test_plot_sensitivity_refuses_another_table():
    with pytest.raises(ConfigError, match="acc_loss"):
        D.plot_sensitivity(pd.DataFrame({"share": [1.0]}))


@pytest.mark.parametrize(
    "old, module, new",
    [
        ("conductance_data", "analog.characterize", "conductance_data"),
        ("device_drift_data", "analog.characterize", "device_drift_data"),
        ("noise_data", "analog.characterize", "noise_data"),
        ("range_data", "analog.characterize", "range_data"),
        ("alt_conductances", "plots.devices", "alt_text_conductances"),
        ("DRAWN", "plots.devices", "MAX_POINTS"),
    ],
)
def test_names_of_0_1_0_work_and_warn(old, module, new):
    home = importlib.import_module(f"analognas.{module}")
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(D, old) is getattr(home, new)
