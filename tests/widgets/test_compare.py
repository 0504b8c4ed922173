"""Candidates side by side against `measure_drift`, `hardware_cost`, the evaluator, and as a panel."""

import importlib
import threading

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances as live_widgets

from analognas.analog.measure import measure_drift
from analognas.core import DRIFT_TIMES, ConfigError, DriftRecord
from analognas.cost.model import hardware_cost
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.protocol import Protocol
from analognas.widgets import compare as compare_module
from analognas.widgets.candidates import default_space, small_resnet, train_candidate
from analognas.widgets.compare import Compare, compare, group_by_architecture
from analognas.widgets.compare_data import Entry

WAIT = 120  # seconds, on a machine with other things to do
CONFIG = small_resnet(8)


@pytest.fixture(scope="module")
def trained():
    return train_candidate(
        "trained", CONFIG, protocol=Protocol(epochs=1, hwa_epochs=1, max_train=512)
    )


def record(*last):
    "A record that ends at these accuracies after 30 days."
    return DriftRecord(DRIFT_TIMES, np.array([[99.0, 98.0, 97.0, a] for a in last]))


def row(view, begins, name):
    rows = view.table[view.table[""].str.startswith(begins)]
    assert len(rows) == 1
    return rows[name].iloc[0]


def test_compare_measures_as_measure_drift_does(trained):
    view = compare(trained, settings={"n_rep": 3, "need": 50.0})
    r = measure_drift(trained.model, trained.data, n_rep=3, progress=False)
    assert row(view, "measured after", "trained") == f"{r.acc_1d:.1f} ± {r.std_1d:.1f}"
    assert row(view, "measured loss", "trained") == f"{r.avm:.1f}"
    assert row(view, "chips", "trained") == "3"


def test_compare_shows_the_costs_of_hardware_cost():
    view = compare({"a": CONFIG})
    cost = hardware_cost(ConfigSpace("digits"), [CONFIG]).iloc[0]
    assert row(view, "energy", "a") == f"{1e6 * cost.energy:.3g}"
    assert row(view, "tiles", "a") == f"{cost.tiles:.0f}"


def test_compare_shows_the_prediction_of_the_evaluator():
    view = compare({"a": CONFIG})
    predicted = XGBoostEvaluator().bind(ConfigSpace("digits")).query(CONFIG)
    expected = f"{predicted.acc_1d:.1f} ± {predicted.std_1d:.1f}"
    assert row(view, "predicted after", "a") == expected


def test_compare_of_a_config_measures_nothing():
    view = compare({"a": CONFIG})
    assert not view.table[""].str.startswith("measured").any()
    assert "Not measured." in view.alt


def test_group_by_architecture_joins_equal_configs():
    other = small_resnet(16)
    configs = {"a": CONFIG, "b": other, "c": dict(CONFIG)}
    groups = group_by_architecture(
        [
            *(Entry(n, c, default_space(c)) for n, c in configs.items()),
            Entry("d", record=record(1.0)),
        ]
    )
    assert [[e.name for e in g] for g in groups] == [["a", "c"], ["b"]]


def test_compare_shows_a_record_alone_and_with_its_config():
    mine = Entry("mine", CONFIG, default_space(CONFIG), record(95.0, 96.0, 95.5))
    view = compare([mine, Entry("bare", record=record(50.0, 51.0))], settings={"need": 90.0})
    assert row(view, "a month", "mine") == "survives"
    assert row(view, "a month", "bare") == "does not"
    assert row(view, "energy", "bare") == ""
    assert row(view, "predicted by", "bare") == "config not known"
    assert "architecture not known" in view.alt


def test_compare_takes_a_single_record():
    assert row(compare(record(95.0, 96.0)), "measured loss", "candidate 1") == "3.5"


def test_panel_shows_what_the_function_shows(trained):
    panel = Compare(trained)
    panel.controls["n_rep"].value = 5
    for need in (60.0, 70.0, 80.0):
        panel.controls["need"].value = need
    assert panel.wait(WAIT)
    assert panel.view.table.equals(compare(trained, settings={"n_rep": 5, "need": 80.0}).table)
    panel.close()


def test_panel_close_leaves_no_widget_and_no_thread(trained):
    widgets = len(live_widgets)
    threads = threading.active_count()
    panel = Compare(trained)
    panel.refresh()
    panel.close()
    assert len(live_widgets) == widgets
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"needs": 3}, "Did you mean 'need'"),
        ({"need": 101}, "need must be"),
        ({"chip": "isac"}, "'isaac'"),
        ({"preset": "x"}, "preset"),
        ({"n_rep": 0}, "n_rep"),
    ],
)
def test_compare_names_a_bad_setting(trained, settings, message):
    with pytest.raises(ConfigError, match=message):
        compare(trained, settings=settings)


@pytest.mark.parametrize(
    "bad, message", [(["narrow"], "must be a config"), ({}, "at least one"), (7, "got int")]
)
def test_panel_refuses_bad_candidates_at_once(bad, message):
    with pytest.raises(ConfigError, match=message):
        Compare(bad)


def test_panel_refuses_a_network_without_test_data(trained):
    with pytest.raises(ConfigError, match="its test data"):
        Compare(trained.model)


def test_panel_shows_errors_in_its_status():
    panel = Compare({"short": DriftRecord((1.0, 3600.0), np.ones((2, 2)))})
    panel.refresh()
    assert panel.wait(WAIT)
    assert "No measurement at" in panel.status
    panel.close()


def test_panel_without_candidates_compares_those_of_the_lessons():
    mine = Compare()
    try:
        mine.refresh()
        assert mine.wait(WAIT)
        assert not mine.status_is_error
        assert list(mine.view.table.columns)[1:] == ["narrow", "wide", "wide (digital)"]
    finally:
        mine.close()


@pytest.mark.parametrize(
    "old, module, new",
    [
        ("Verdict", "widgets.compare_data", "Verdict"),
        ("architectures", "widgets.compare", "group_by_architecture"),
    ],
)
def test_names_of_0_1_0_work_and_warn(old, module, new):
    home = importlib.import_module(f"analognas.{module}")
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(compare_module, old) is getattr(home, new)
