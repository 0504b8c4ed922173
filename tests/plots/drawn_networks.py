"""Networks that the tests of architectures draw: the deepest, the smallest, a cell, a chain."""

from torch import nn

from analognas.core import DatasetInfo
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201_cells import config_of

RESNETS = ConfigSpace("digits")
CELL = config_of((2, 0, 3, 1, 4, 2))
MOST = {"R": 16, "convblock": 2, "widenfact": 0.5, "B": 5}
DEEP = {f"{h}{m}": v for m in range(1, 6) for h, v in MOST.items()} | {"M": 5, "out_channel0": 64}
TINY = DEEP | {"M": 1, "R1": 1, "B1": 1, "convblock1": 1}


def chain(config, input_dim, classes):
    layers = [
        nn.Conv2d(input_dim[0], 6, 3, padding=1),
        *(nn.Conv2d(6, 6, 3, padding=1) for _ in range(config["depth"])),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 12, 3, padding=1, groups=2),
        nn.Flatten(),
        nn.Linear(12 * 16, classes),
    ]
    return nn.Sequential(*layers)


def chain_space() -> ConfigSpace:
    "Return a space of a user's own: equal convolutions in a chain, 1 to 40 of them."
    space = ConfigSpace(DatasetInfo("own", (1, 8, 8), 3), search_space="custom", network=chain)
    space.add_hyperparameter("depth", "discrete", 1, 40)
    return space
