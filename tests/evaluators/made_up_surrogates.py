"""Label sets by a formula."""

import numpy as np
import pandas as pd

from analognas.training.labels import LabelSet


def made_up(space, n, seed=0, **limits):
    "Labels by a formula of depth and parameters."
    configs = space.sample_arch_uniformly(n, seed)
    stats = space.stats(configs)
    size, depth = np.log10(stats["params"]), np.log10(stats["depth"])
    table = pd.DataFrame(configs).assign(
        acc_1d=60 + 5 * size - depth, avm=2 * depth - size / 5, std_1d=1 / size
    )
    return LabelSet("made-up", table, space.get_hyperparameters(), {"dataset": space.dataset})
