"""A search that does not end. `python long_search.py RUN_DIRECTORY` runs it in a process of its own, which a test can kill."""

import sys
import time

from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace


class Slow(ParamsEvaluator):
    def _predict(self, configs):
        time.sleep(0.02)
        return super()._predict(configs)


if __name__ == "__main__":
    Worker(
        ConfigSpace("digits"),
        RandomSearch(Slow(), 10**6, batch_size=5),
        runs=1,
        run_dir=sys.argv[1],
        progress=False,
    ).search()
