"""What is known of candidates: verdicts against a bootstrap, predictions against the evaluator."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import bootstrap

from analognas.core import DRIFT_TIMES, ConfigError, DriftRecord
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.widgets.candidates import default_space, small_resnet
from analognas.widgets.compare_data import Entry, compare_table, forecast, name_entries, verdict

CONFIG = small_resnet(8)


def record(*last):
    "A record that ends at these accuracies after 30 days."
    return DriftRecord(DRIFT_TIMES, np.array([[99.0, 98.0, 97.0, a] for a in last]))


def test_verdict_agrees_with_a_bootstrap():
    rng = np.random.default_rng(0)
    acc = rng.normal(90, 2, 30)
    low, high = bootstrap((acc,), np.mean, rng=rng).confidence_interval
    assert verdict(record(*acc), low - 0.5).survives is True
    assert verdict(record(*acc), high + 0.5).survives is False
    assert verdict(record(*acc), acc.mean()).survives is None


def test_a_record_of_another_metric_has_no_verdict():
    errors = replace(record(0.1, 0.2), metric="rmse", unit="K", higher_is_better=False)
    with pytest.raises(ConfigError, match="the record is of rmse"):
        verdict(errors, 90.0)


def test_verdict_of_one_chip_is_undecided():
    undecided = verdict(record(90.0), 80.0)
    assert undecided.survives is None
    assert "one chip" in undecided.text


def test_verdict_counts_the_chips_that_reach_the_need():
    assert "2 of 3 chips reach 90 %" in verdict(record(89.0, 90.0, 91.0), 90.0).text


def test_verdict_needs_a_measurement_after_30_days():
    with pytest.raises(ConfigError, match="No measurement at"):
        verdict(DriftRecord((1.0, 3600.0), np.ones((2, 2))), 90.0)


def test_forecast_leaves_a_bound_evaluator_bound_to_its_space():
    other = ConfigSpace("CIFAR-10")
    evaluator = ParamsEvaluator().bind(other)
    predicted = forecast(Entry("a", CONFIG, default_space(CONFIG)), evaluator)
    params = default_space(CONFIG).stats([CONFIG])["params"][0]
    assert evaluator.space is other
    assert predicted.prediction.acc_1d == pytest.approx(np.log10(params))


def test_forecast_of_an_unknown_space_gives_the_reason():
    space = ConfigSpace("digits")
    space.add_hyperparameter("extra", "discrete", 1, 3, 1)
    predicted = forecast(Entry("a", CONFIG | {"extra": 2}, space))
    assert predicted.prediction is None
    assert "extra" in predicted.source


def test_name_entries_takes_records_beside_configs():
    assert list(name_entries({"r": record(1.0), "c": CONFIG})) == ["r", "c"]


def test_name_entries_numbers_those_without_a_name():
    mine = Entry("mine", CONFIG, default_space(CONFIG))
    assert list(name_entries([record(1.0), mine, CONFIG])) == ["candidate 1", "mine", "candidate 3"]


def test_name_entries_refuses_a_name_used_twice():
    with pytest.raises(ConfigError, match="name of its own"):
        name_entries([Entry("a", record=record(1.0)), Entry("a", record=record(2.0))])


def test_compare_table_has_a_row_per_quantity_and_empty_cells():
    table = compare_table({"a": {"x": "1"}, "b": {"y": "2", "z": "3"}})
    assert table[""].tolist() == ["y", "z", "x"]
    assert table["a"].tolist() == ["", "", "1"]
    assert table["b"].tolist() == ["2", "3", ""]
