"""Searches in a process of their own, which tests kill. `python killable.py RUN_DIRECTORY [LOG]` begins one, or goes on with it."""

import json
import os
import sys
import time

from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace


class Logged(ParamsEvaluator):
    """Measures, so that architectures are handed out one by one; takes a moment, and notes
    everything it is asked in a file."""

    measured = True

    def __init__(self, log=None, seconds=0.0):
        self.log, self.seconds = log, seconds

    def _predict(self, configs):
        time.sleep(self.seconds * len(configs))
        if self.log:
            with open(self.log, "a") as f:  # short lines, each written at once
                f.writelines(f"{os.getpid()} {self.space.key(c)}\n" for c in configs)
        return super()._predict(configs)


class Deadly(Logged):
    "The first process of a pool that it is asked in dies over the question."

    def __init__(self, flag, log=None, seconds=0.0):
        super().__init__(log, seconds)
        self.flag, self.home = flag, os.getpid()

    def _predict(self, configs):
        if os.getpid() != self.home:
            try:
                os.close(os.open(self.flag, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os._exit(1)
        return super()._predict(configs)


def worker(path, evaluator, runs=2, **how):
    """The search of these tests: two runs of a small evolution and their baselines, some 160
    evaluations."""
    optimizer = EAOptimizer(evaluator, nb_iter=3, population_size=10, max_nb_param=0.05, T_AVM=None)
    return Worker(
        ConfigSpace("digits"),
        optimizer,
        runs=runs,
        seed=4,
        run_dir=path,
        **{"progress": False} | how,
    )


def asked(log):
    "(process, config) of every evaluation in a log."
    return [
        (int(pid), json.dumps(json.loads(config)))
        for pid, config in (line.split(" ", 1) for line in open(log))
    ]


def prepare():
    "Make what the searches of one process share: nothing here."


def search(path, log):
    worker(path, Logged(log, 0.01)).search()


if __name__ == "__main__":
    search(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
