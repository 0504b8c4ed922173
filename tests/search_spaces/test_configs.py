"""Functions of hyperparameters and configs, by hand; `test_config_space` has their properties."""

import numpy as np
import pytest

from analognas.core import ConfigError
from analognas.search_spaces.configs import (
    canonical_columns,
    canonical_config,
    children_of,
    config_frame,
    count_architectures,
    encode_columns,
    feature_names,
    find_faults,
    gower_distance,
    neighbouring_configs,
    read_columns,
)
from analognas.search_spaces.hyperparameter import Hyperparameter
from analognas.search_spaces.scopes import split_config

DEPTH = Hyperparameter("depth", "discrete", min_value=1, max_value=3)
RATE = Hyperparameter("rate", "continuous", min_value=0.0, max_value=1.0)
POOLING = Hyperparameter("pooling", "categorical", range=("max", "mean"), condition=("depth", 2))
ALL = [DEPTH, RATE, POOLING]
SHALLOW = {"depth": 1, "rate": 0.5, "pooling": "mean"}
DEEP = {"depth": 3, "rate": 1.0, "pooling": "mean"}


def test_canonical_config_writes_inactive_values_as_0():
    assert canonical_config(ALL, SHALLOW) == {"depth": 1, "rate": 0.5, "pooling": 0}


def test_find_faults_names_all_faults_but_none_of_what_is_inactive():
    assert find_faults(ALL, {"depth": 2, "rate": 7, "padding": 1}) == [
        "rate = 7 is not allowed (rate: continuous, 0.0 to 1.0)",
        "'pooling' is missing",
        "'padding' is not a hyperparameter of this space",
    ]
    assert find_faults(ALL, {"depth": 1, "rate": 0.5}) == []
    assert find_faults(ALL, {"rate": 0.5}) == ["'depth' is missing"]


def test_only_inactive_hyperparameters_may_be_missing():
    shallow = {"rate": 0.5, "depth": 1}
    assert canonical_config(ALL, shallow) == {"depth": 1, "rate": 0.5, "pooling": 0}
    columns = canonical_columns(ALL, [shallow, DEEP])
    assert [list(columns[name]) for name in columns] == [[1, 3], [0.5, 1.0], [0, "mean"]]
    assert gower_distance(ALL, shallow, DEEP) == (1 + 0.5 + 1) / 3
    for ask in (
        lambda c: canonical_config(ALL, c),
        lambda c: canonical_columns(ALL, [DEEP, c]),
        lambda c: gower_distance(ALL, DEEP, c),
        lambda c: neighbouring_configs(ALL, c),
        lambda c: split_config(ALL, c),
    ):
        with pytest.raises(ConfigError, match="'pooling' is missing"):
            ask({"depth": 2, "rate": 0.5})


def test_find_faults_skips_children_of_a_bad_parent():
    assert len(find_faults(ALL, {"depth": 9, "rate": 0.5, "pooling": "min"})) == 1


def test_children_of_follow_the_condition():
    assert children_of(ALL, "depth") == [POOLING]
    assert children_of(ALL, "rate") == []


def test_count_architectures_counts_a_continuum_as_101():
    assert count_architectures(ALL) == 101 * (1 + 2 + 2)


def test_gower_distance_counts_one_sided_activity_as_1():
    assert gower_distance(ALL, SHALLOW, DEEP) == (1 + 0.5 + 1) / 3


def test_columns_of_a_table_have_the_type_of_their_values_and_None_stays():
    rows = [{"depth": 1, "rate": 0.5, "pooling": None}, {"depth": 2, "rate": 1.0, "pooling": "max"}]
    table = config_frame(rows)
    assert [table[name].dtype for name in table] == [np.int64, np.float64, object]
    assert table.pooling.tolist() == [None, "max"]


def test_matrix_has_a_column_for_each_category():
    columns = read_columns(ALL, [SHALLOW, DEEP])
    matrix = encode_columns(ALL, columns, 2)
    assert feature_names(ALL) == ["depth", "rate", "pooling=max", "pooling=mean"]
    np.testing.assert_array_equal(matrix, [[1, 0.5, 0, 0], [3, 1, 0, 1]])
