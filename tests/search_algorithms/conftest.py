"""The published table, and what random search finds in it."""

import numpy as np
import pytest
from searches import curve

from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.nasbench201 import NASBench201Space


@pytest.fixture(scope="module")
def labels():
    return nasbench201_labels()


@pytest.fixture(scope="module")
def table(labels):
    "A table that is bound already."
    return TableEvaluator(labels).bind(NASBench201Space())


@pytest.fixture(scope="module")
def chance(table):
    "What 200 random draws find, for 30 seeds."
    return np.array(
        [curve(RandomSearch(table, 200), table.space, table, seed)[-1] for seed in range(30)]
    )
