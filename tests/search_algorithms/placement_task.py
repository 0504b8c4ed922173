"""A trained network whose placements are searched. `python placement_task.py RUN_DIRECTORY` searches them slowly, so that
a test can kill it."""

import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from analognas.core import HardwareConfig
from analognas.datasets import load_dataset
from analognas.search_algorithms import placement_directory, placement_measure
from analognas.search_algorithms.placement import search_placement

CHIP = HardwareConfig(prog_noise_scale=4.0, dac_bits=6, adc_bits=6)
OBJECTIVES = ("acc_1d", "analog_share")
SETTINGS = {"n_rep": 3, "screening": [(2, 64)], "progress": False, "objectives": OBJECTIVES}


def make_task():
    "A network of four layers and held-out examples."
    digits = load_dataset("digits")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(digits.x_train), digits.y_train).backward()
        optimizer.step()
    return net.eval(), (digits.x_test[:96], digits.y_test[:96])


def slowed(step):
    "Return a function that waits before each step."

    def wait(*arguments):
        time.sleep(0.05)
        return step(*arguments)

    return wait


if __name__ == "__main__":
    placement_directory.KEEP_SECONDS = 0.0
    placement_measure._hits = slowed(placement_measure._hits)
    net, data = make_task()
    search_placement(net, data, CHIP, way="exhaustive", run_dir=sys.argv[1], **SETTINGS)
