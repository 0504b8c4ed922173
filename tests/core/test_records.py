"""Drift records against sums by hand; datasets; times."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analognas import core
from analognas.core import DATASETS, ConfigError, DatasetInfo, DriftRecord, dataset_info

TIMES = (1.0, 3_600.0, 86_400.0, 2_592_000.0)
ACCURACIES = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.floats(0, 100), min_size=4, max_size=4), min_size=n, max_size=n)
)


@given(ACCURACIES)
def test_drift_record_equals_sums_by_hand(rows):
    record, n = DriftRecord(TIMES, rows), len(rows)
    day = [row[2] for row in rows]
    mean = sum(day) / n
    assert math.isclose(record.acc_1d, mean, abs_tol=1e-9)
    assert math.isclose(
        record.avm, sum(r[0] for r in rows) / n - sum(r[3] for r in rows) / n, abs_tol=1e-9
    )
    if n > 1:
        assert math.isclose(
            record.std_1d, math.sqrt(sum((a - mean) ** 2 for a in day) / (n - 1)), abs_tol=1e-6
        )
    else:
        assert math.isnan(record.std_1d)
    again = DriftRecord(**json.loads(json.dumps(record.to_dict())))
    assert np.array_equal(again.acc, record.acc) and again.t_inference == record.t_inference
    assert all(type(v) is float for v in (record.acc_1d, record.avm, record.std_1d))


@given(ACCURACIES, st.booleans())
def test_another_metric_is_kept_and_lost_over_a_month_where_it_gets_worse(rows, higher):
    record = DriftRecord(TIMES, rows, "score", "K", higher)
    percent = DriftRecord(TIMES, rows)
    assert record.avm == (percent.avm if higher else -percent.avm)
    assert np.array_equal(record.mean, percent.mean) and record.acc_1d == percent.acc_1d
    assert DriftRecord(**json.loads(json.dumps(record.to_dict()))) == record != percent


def test_the_json_of_an_accuracy_is_that_of_0_1_0():
    assert DriftRecord((1, 2), [[90, 80]]).to_dict() == {
        "t_inference": [1.0, 2.0],
        "acc": [[90.0, 80.0]],
    }
    share = DriftRecord((1, 2), [[0.9, 0.8]], "accuracy", "")  # not in percent
    assert DriftRecord(**share.to_dict()) == share


def test_values_of_another_metric_must_be_finite():
    with pytest.raises(ConfigError, match="Values of rmse must be finite numbers; got nan"):
        DriftRecord((1, 2), [[1, np.nan]], "rmse")


@pytest.mark.parametrize(
    "times, acc",
    [
        (TIMES, np.zeros((0, 4))),
        (TIMES, np.zeros(4)),
        (TIMES, np.zeros((2, 3))),
        (TIMES, np.zeros((2, 4, 1))),
        (TIMES[::-1], np.zeros((2, 4))),
        ((1, 1, 2, 3), np.zeros((2, 4))),
        (TIMES, [[1, 2, np.nan, 4]]),
        (TIMES, [[1, 2, np.inf, 4]]),
    ],
)
def test_drift_record_refuses_bad_shapes_times_and_values(times, acc):
    with pytest.raises(ConfigError):
        DriftRecord(times, acc)


def test_drift_record_error_names_the_missing_time():
    record = DriftRecord((60, 3600), [[90, 80]])
    with pytest.raises(ConfigError, match="No measurement at 86400 s"):
        record.acc_1d
    with pytest.raises(ConfigError, match="No measurement at 2.592e"):
        record.avm


def test_drift_record_equality():
    a, b, c = (DriftRecord((1, 2), [[90.0, last]]) for last in (80, 80, 70))
    assert a == b and a != c


@pytest.mark.parametrize(
    "dims, classes",
    [
        ((3, 32), 10),
        ((3, 32, 32, 1), 10),
        ((3, 32, 0), 10),
        ((3, 32, 1.5), 10),
        ((3, 32, 32), 1),
        ((3, 32, 32), 2.0),
        ((3, 32, 32), True),
    ],
)
def test_dataset_info_refuses_bad_dimensions_and_classes(dims, classes):
    with pytest.raises(ConfigError, match="mine|input_dim"):
        DatasetInfo("mine", dims, classes)


def test_dataset_info_returns_a_users_own_unchanged():
    mine = DatasetInfo("mine", [1, 2, 3], 4)
    assert dataset_info(mine) is mine and mine.input_dim == (1, 2, 3) and hash(mine) is not None
    assert all(dataset_info(name).name == name for name in DATASETS)


@given(st.floats(1, 1e9))
def test_format_time_of_other_times_is_in_seconds(t):
    assume(t not in (1, 60, 3600, 86400, 2592000))
    assert core.format_time(t) == f"{t:g} s"
