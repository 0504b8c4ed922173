"""Searches with a budget of measurements, in a process of their own, which tests kill. The truth is AnalogNAS-Bench."""

import functools
import os
import time

from analognas.evaluators.base_evaluator import Evaluator
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.nasbench201 import NASBench201Space

SPACE = NASBench201Space()
FAST = {"teachers": ["boosted_trees"], "boosted_rounds": 5, "unlabeled": 100}


class Published(Evaluator):
    "Looks labels up, takes a moment for each, and notes everything it is asked in a file."

    measured = True

    def __init__(self, log=None, seconds=0.0):
        self.table = published()
        self.log = log
        self.seconds = seconds

    def _check_space(self, space):
        self.table.bind(space)

    def _predict(self, configs):
        time.sleep(self.seconds * len(configs))
        if self.log:
            with open(self.log, "a") as f:  # short lines, each written at once
                f.writelines(f"{os.getpid()} {self.space.key(c)}\n" for c in configs)
        return self.table._predict(configs)


@functools.cache
def published():
    return TableEvaluator(nasbench201_labels()).bind(SPACE)


@functools.cache
def surrogate():
    "Fitted to thirty published cells; the same in every process."
    return XGBoostEvaluator().fit(nasbench201_labels().take(range(30)), SPACE, settings=FAST)


def worker(path, log=None, seconds=0.0):
    "One run of fifteen measurements, three between two fits."
    return Worker(
        SPACE,
        EAOptimizer(surrogate(), 2, 20),
        runs=1,
        seed=5,
        run_dir=path,
        baseline=False,
        progress=False,
        truth=Published(log, seconds),
        measurements=15,
        batch_size=3,
    )


def prepare():
    "Make what the searches of one process share."
    published()
    surrogate()


def search(path, log):
    worker(path, log, 0.05).search()
