"""What the tests of figures share: axes that pyplot does not list, and random tables of evaluations."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analognas.search_spaces.config_space import ConfigSpace


@pytest.fixture
def axes() -> Axes:
    return Figure(figsize=(6, 4), layout="constrained").subplots()


@pytest.fixture(scope="session")
def space() -> ConfigSpace:
    return ConfigSpace("digits")


@pytest.fixture(scope="session")
def table(space):
    "Makes a worker's `evaluations` of random architectures with random accuracies."

    def make(n=60, seed=0, method="search", run=0, feasible=None) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        answers = {
            "acc_1d": rng.uniform(60, 99, n).round(1),
            "avm": rng.uniform(0, 5, n).round(1),
            "std_1d": rng.uniform(0, 2, n),
        }
        rows = pd.DataFrame(space.sample_arch_uniformly(n, rng)).assign(
            **answers, outside=False, measured=False
        )
        return rows.assign(
            feasible=rng.random(n) < 0.7 if feasible is None else feasible, method=method, run=run
        )

    return make
