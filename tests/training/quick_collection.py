"""A collection that takes seconds. `python quick_collection.py PATH` runs it in a process of its own, which a test can kill."""

import sys

import torch

from analognas.datasets.load import Dataset, load_dataset
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.collect import collect
from analognas.training.plans import CollectionPlan
from analognas.training.protocol import Protocol

N = 24
QUICK = Protocol(epochs=1, hwa_epochs=1, n_rep=2, batch_size=100, hwa_batch_size=100)
PLAN = CollectionPlan(QUICK, N, repeats=0, max_params=8_000, seed=2)


def network(config, input_dim, classes):
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, config["hidden"]),
        torch.nn.ReLU(),
        torch.nn.Linear(config["hidden"], classes),
    )


def small_space():
    space = ConfigSpace("digits", "custom", network)
    space.add_hyperparameter("hidden", "discrete", 1, 100)
    return space


def some_digits():
    d = load_dataset("digits")
    return Dataset(
        d.info, d.x_train[:200], d.y_train[:200], d.x_test[:100], d.y_test[:100], "some digits"
    )


def run(path, reopen=False):
    return collect(small_space(), some_digits(), path, PLAN, progress=False, reopen=reopen)


if __name__ == "__main__":
    run(sys.argv[1])
