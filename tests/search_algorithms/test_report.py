"""Statistics over runs, on numbers that can be counted by hand."""

import pandas as pd
import pytest

from analognas.search_algorithms.report import best_so_far, progress_table, standard_error


def table(acc, feasible, run):
    "Evaluations of one method."
    return pd.DataFrame(
        {"method": "search", "run": run, "acc_1d": acc, "std_1d": 2.0, "feasible": feasible}
    )


def test_best_so_far_starts_with_the_first_feasible_one_of_each_run():
    evaluations = table(
        [90.0, 80, 85, 70, 60, 75], [False, True, True, True, False, True], [0, 0, 0, 1, 1, 1]
    )
    best = best_so_far(evaluations, evaluations.acc_1d)
    assert best.isna().tolist() == [True] + 5 * [False]
    assert best[1:].tolist() == [80, 85, 70, 70, 75]


def test_progress_counts_from_one_and_uses_the_score():
    progress = progress_table(table([80.0, 85], True, 0), k_std=1.5)
    assert progress.evaluation.tolist() == [1, 2]
    assert progress.best_score.tolist() == [77, 82]


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [5.0, 5.0]])
def test_standard_error_is_that_of_pandas(values):
    assert standard_error(values) == pytest.approx(pd.Series(values).sem())


def test_standard_error_of_a_single_value_is_zero():
    assert standard_error([3.0]) == 0
