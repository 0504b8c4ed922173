"""The conformance suite holds for every evaluator that ships, and finds the faults it is there to find."""

import warnings

import numpy as np
import pytest

from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.surrogate import DatasetMismatchWarning
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.testing.evaluators import EvaluatorConformance, check_evaluator


class TestParamsOnDigits(EvaluatorConformance):
    def make(self):
        return ParamsEvaluator()

    def make_space(self):
        return ConfigSpace("digits")


class TestTable(EvaluatorConformance):
    def make(self):
        return TableEvaluator(nasbench201_labels())

    def make_space(self):
        return NASBench201Space()


class TestXGBoostOnDigits(EvaluatorConformance):
    def make(self):
        return XGBoostEvaluator()

    def make_space(self):
        return ConfigSpace("digits")


class TestXGBoostOnCells(TestXGBoostOnDigits):
    def make_space(self):
        return NASBench201Space()


@pytest.mark.filterwarnings("ignore::analognas.evaluators.surrogate.DatasetMismatchWarning")
class TestXGBoostBorrowing(TestXGBoostOnDigits):
    def make(self):
        return XGBoostEvaluator(WEIGHTS / "digits")

    def make_space(self):
        return ConfigSpace("VWW")


def test_borrowing_is_announced_once_for_each_dataset():
    evaluator = XGBoostEvaluator(WEIGHTS / "digits")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for dataset in ("VWW", "VWW", "KWS", "VWW", "digits"):
            evaluator.bind(ConfigSpace(dataset))
    messages = [str(w.message) for w in caught if w.category is DatasetMismatchWarning]
    assert len(messages) == 2 and "VWW" in messages[0] and "KWS" in messages[1]


class _Faulty(ParamsEvaluator):
    def __init__(self, fault):
        self.fault = fault

    def _predict(self, configs):
        values, outside = super()._predict(configs)
        if self.fault == "depends on the population":
            values = values - values.mean(axis=0)
        elif self.fault == "not finite":
            values = values * np.nan
        elif self.fault == "one too few":
            values, outside = values[1:], outside[1:]
        elif self.fault == "changes the question":
            configs[0]["M"] = 99
        return values, outside


@pytest.mark.parametrize(
    "fault", ["depends on the population", "not finite", "one too few", "changes the question"]
)
def test_faults_are_found(fault):
    class Suite(TestParamsOnDigits):
        def make(self):
            return _Faulty(fault)

    with pytest.raises((AssertionError, IndexError, ValueError)):
        check_evaluator(Suite())
