"""A measured search that chooses networks, training and chip together, in a process which a test kills.

`python co_search.py FOLDER` begins it, or goes on with it; tests/training must be on the path."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from quick_collection import QUICK, network, some_digits

from analognas.evaluators.measured import MeasuredEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace


def space():
    "The learning rate of hardware-aware training is a choice only where there is such training."
    made = ConfigSpace("digits", "custom", network)
    made.add_hyperparameter("hidden", "discrete", 4, 32, mutation_group="width")
    made.add_training_hyperparameter("hwa_epochs", "discrete", 0, 2)
    made.add_training_hyperparameter(
        "hwa_lr", "continuous", 0.005, 0.1, log=True, condition=("hwa_epochs", 1)
    )
    made.add_hardware_hyperparameter("adc_bits", "discrete", range=[4, 6, 8])
    made.add_hardware_hyperparameter("tile_size", "discrete", range=[32, 256])
    return made


def evaluator(folder):
    return MeasuredEvaluator(some_digits(), QUICK, Path(folder) / "measured.sqlite", progress=False)


def worker(folder, searched=None):
    "A search of this file's space, or of another one."
    optimizer = EAOptimizer(
        evaluator(folder), nb_iter=3, population_size=5, max_nb_param=None, T_AVM=None
    )
    return Worker(
        searched or space(),
        optimizer,
        runs=1,
        seed=3,
        run_dir=Path(folder) / "run",
        progress=False,
        baseline=False,
    )


def finished(folder):
    "How many evaluations are finished, read without the code under test."
    try:
        with closing(sqlite3.connect(folder / "run" / "evaluations.sqlite", timeout=60)) as db:
            return db.execute("select count(*) from evaluation where state = 'done'").fetchone()[0]
    except sqlite3.OperationalError:  # not made yet
        return 0


if __name__ == "__main__":
    worker(sys.argv[1]).search()
