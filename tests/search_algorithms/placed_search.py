"""A measured search that chooses the training, the chip and what stays digital, in a process which a test kills.

`python placed_search.py FOLDER` begins it, or goes on with it; tests/training must be on the path."""

import sys

import co_search
from quick_collection import network

from analognas.search_spaces.config_space import ConfigSpace

FIRST, LAST = "1", "3"  # names of the network's layers


def space():
    "Of the network's two layers one has a choice among three kinds."
    made = ConfigSpace("digits", "custom", network)
    made.add_hyperparameter("hidden", "discrete", 4, 32, mutation_group="width")
    made.add_training_hyperparameter("hwa_lr", "continuous", 0.005, 0.1, log=True)
    made.add_hardware_hyperparameter("adc_bits", "discrete", range=[4, 6, 8])
    made.add_placement_hyperparameter("first", FIRST)
    made.add_placement_hyperparameter("last", LAST, ["analog", "int8", "float"])
    return made


def worker(folder):
    return co_search.worker(folder, space())


if __name__ == "__main__":
    worker(sys.argv[1]).search()
