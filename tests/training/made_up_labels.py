"""Stores and label sets for tests."""

import json

import numpy as np

from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.label_store import LabelStore

FACTS = {"dataset": "imaginary", "times": (1, 2)}


def result(acc, **other):
    acc = np.array(acc, float)
    return {
        "acc_1d": acc[:, 1].mean(),
        "avm": acc[:, 0].mean() - acc[:, 2].mean(),
        "std_1d": 0.5,
        "acc_digital": 95.0,
        "acc_hwa": 94.0,
        "seconds": 1.0,
        "t_inference": [1.0, 86400.0, 2592000.0],
        "acc": acc.tolist(),
    } | other


def part(machine, **more):
    return FACTS | {"part": {"machine": machine, "caps": {"max_params": 10}} | more}


def space_of_width():
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("width", "discrete", 0, 200)
    return space


def measured_by(path, machine, widths, acc=90.0, **facts):
    "What one machine measured: half an hour for each width."
    store = LabelStore(path, part(machine) | {"data_sha256": "ab"} | facts)
    for width in widths:
        store.put(
            json.dumps({"width": width}),
            0,
            result([[acc, acc - width, acc - 2], [acc, acc - width, acc - 4]]),
            1800.0,
        )
    return store
