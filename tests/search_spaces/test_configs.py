"""Functions of hyperparameters and configs, by hand; `test_config_space` has their properties."""

import numpy as np

from analognas.search_spaces.configs import (
    canonical_config,
    children_of,
    config_frame,
    count_architectures,
    encode_columns,
    feature_names,
    find_faults,
    gower_distance,
    read_columns,
)
from analognas.search_spaces.hyperparameter import Hyperparameter

DEPTH = Hyperparameter("depth", "discrete", min_value=1, max_value=3)
RATE = Hyperparameter("rate", "continuous", min_value=0.0, max_value=1.0)
POOLING = Hyperparameter("pooling", "categorical", range=("max", "mean"), condition=("depth", 2))
ALL = [DEPTH, RATE, POOLING]
SHALLOW = {"depth": 1, "rate": 0.5, "pooling": "mean"}
DEEP = {"depth": 3, "rate": 1.0, "pooling": "mean"}


def test_canonical_config_writes_inactive_values_as_0():
    assert canonical_config(ALL, SHALLOW) == {"depth": 1, "rate": 0.5, "pooling": 0}


def test_find_faults_names_missing_and_extra_names_only():
    faults = find_faults(ALL, {"depth": 9, "rate": 0.5, "padding": 1})
    assert faults == [
        "'pooling' is missing",
        "'padding' is not a hyperparameter of this space",
    ]


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
