"""Candidates side by side against `measure_drift`, `hardware_cost`, the evaluator, and as a panel."""

import threading

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances as live_widgets
from scipy.stats import bootstrap

from analognas.cost.model import hardware_cost
from analognas.analog.measure import measure_drift
from analognas.core import DRIFT_TIMES, ConfigError, DriftRecord
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.protocol import Protocol
from analognas.widgets.compare import (
    Compare,
    Entry,
    architectures,
    compare,
    forecast,
    name_entries,
    verdict,
)
from analognas.widgets.drift_explorer import small_resnet, space_of, train_candidate

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


def test_measured_is_measure_drift(trained):
    view = compare(trained, settings={"n_rep": 3, "need": 50.0})
    r = measure_drift(trained.model, trained.data, n_rep=3, progress=False)
    assert row(view, "measured after", "trained") == f"{r.acc_1d:.1f} ± {r.std_1d:.1f}"
    assert row(view, "measured loss", "trained") == f"{r.avm:.1f}"
    assert row(view, "chips", "trained") == "3"


def test_costs_and_prediction_are_the_librarys():
    view, space = compare({"a": CONFIG}), ConfigSpace("digits")
    cost, said = (
        hardware_cost(space, [CONFIG]).iloc[0],
        XGBoostEvaluator().bind(space).query(CONFIG),
    )
    assert (
        row(view, "energy", "a") == f"{1e6 * cost.energy:.3g}"
        and row(view, "tiles", "a") == f"{cost.tiles:.0f}"
    )
    assert row(view, "predicted after", "a") == f"{said.acc_1d:.1f} ± {said.std_1d:.1f}"
    assert not view.table[""].str.startswith("measured").any() and "Not measured." in view.alt


def test_verdict_agrees_with_a_bootstrap():
    rng = np.random.default_rng(0)
    acc = rng.normal(90, 2, 30)
    low, high = bootstrap((acc,), np.mean, rng=rng).confidence_interval
    assert verdict(record(*acc), low - 0.5).survives is True
    assert verdict(record(*acc), high + 0.5).survives is False
    assert verdict(record(*acc), acc.mean()).survives is None


def test_verdict_in_words():
    assert (
        verdict(record(90.0), 80.0).survives is None
        and "one chip" in verdict(record(90.0), 80.0).words
    )
    assert "2 of 3 chips reach 90 %" in verdict(record(89.0, 90.0, 91.0), 90.0).words
    with pytest.raises(ConfigError, match="No measurement at"):
        verdict(DriftRecord((1.0, 3600.0), np.ones((2, 2))), 90.0)


def test_one_architecture_is_drawn_once():
    other = small_resnet(16)
    configs = {"a": CONFIG, "b": other, "c": dict(CONFIG)}
    groups = architectures(
        [*(Entry(n, c, space_of(c)) for n, c in configs.items()), Entry("d", record=record(1.0))]
    )
    assert [[e.name for e in g] for g in groups] == [["a", "c"], ["b"]]


def test_a_record_alone_and_with_its_config():
    mine = Entry("mine", CONFIG, space_of(CONFIG), record(95.0, 96.0, 95.5))
    view = compare([mine, Entry("bare", record=record(50.0, 51.0))], settings={"need": 90.0})
    assert row(view, "a month", "mine") == "survives" and row(view, "a month", "bare") == "does not"
    assert (
        row(view, "energy", "bare") == ""
        and row(view, "predicted by", "bare") == "config not known"
    )
    assert "architecture not known" in view.alt
    assert row(compare(record(95.0, 96.0)), "measured loss", "candidate 1") == "3.5"


def test_a_bound_evaluator_stays_bound_to_its_space():
    other = ConfigSpace("CIFAR-10")
    evaluator = ParamsEvaluator().bind(other)
    said = forecast(Entry("a", CONFIG, space_of(CONFIG)), evaluator)
    assert evaluator.space is other and said.prediction.acc_1d == pytest.approx(
        np.log10(space_of(CONFIG).stats([CONFIG])["params"][0])
    )


def test_a_space_nobody_knows_is_said():
    space = ConfigSpace("digits")
    space.add_hyperparameter("extra", "discrete", 1, 3, 1)
    said = forecast(Entry("a", CONFIG | {"extra": 2}, space))
    assert said.prediction is None and "extra" in said.by


def test_panel_shows_what_the_function_shows(trained):
    panel = Compare(trained)
    panel.controls["n_rep"].value = 5
    for need in (60.0, 70.0, 80.0):
        panel.controls["need"].value = need
    assert panel.wait(WAIT)
    assert panel.view.table.equals(compare(trained, settings={"n_rep": 5, "need": 80.0}).table)
    panel.close()


def test_nothing_is_left_after_close(trained):
    widgets, threads = len(live_widgets), threading.active_count()
    panel = Compare(trained)
    panel.refresh()
    panel.close()
    assert len(live_widgets) == widgets and threading.active_count() == threads


def test_errors_in_words(trained):
    for settings, says in (
        ({"needs": 3}, "Did you mean 'need'"),
        ({"need": 101}, "need must be"),
        ({"chip": "isac"}, "'isaac'"),
        ({"preset": "x"}, "preset"),
    ):
        with pytest.raises(ConfigError, match=says):
            compare(trained, settings=settings)
    for bad, says in (
        (["narrow"], "must be a config"),
        ({}, "at least one"),
        (trained.model, "its test data"),
        (7, "got int"),
    ):
        with pytest.raises(ConfigError, match=says):
            Compare(bad)
    assert list(name_entries({"r": record(1.0), "c": CONFIG})) == ["r", "c"]


def test_errors_appear_in_the_panel():
    panel = Compare({"short": DriftRecord((1.0, 3600.0), np.ones((2, 2)))})
    panel.refresh()
    assert panel.wait(WAIT)
    assert "No measurement at" in panel._status.value
    panel.close()


def test_without_candidates_it_compares_those_of_the_lessons():
    mine = Compare()
    try:
        mine.refresh()
        assert mine.wait(120) and "⚠" not in mine._status.value
        assert list(mine.view.table.columns)[1:] == ["narrow", "wide", "wide (digital)"]
    finally:
        mine.close()
