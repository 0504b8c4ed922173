"""Networks of cells: parameters, MACs, shapes, conversion to analog."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from analognas.core import DATASETS
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import (
    cell_stats,
    config_of,
)
from analognas.search_spaces.nasbench201_network import CellNetwork

CELLS = st.tuples(*[st.integers(0, 4)] * 6)


SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13))


def counted(net, input_dim):
    "Parameters and MACs of a network, the latter from what its layers really put out."
    macs = []
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(
                lambda m, _, y: macs.append(m.weight[0].numel() * y[0].numel())
            )
    out = net.eval()(torch.randn(2, *input_dim))
    return sum(p.numel() for p in net.parameters()), sum(macs), tuple(out.shape)


@settings(max_examples=20, deadline=None)
@given(CELLS, SHAPES, st.integers(2, 5), st.integers(1, 4), st.integers(1, 2))
def test_stats_equal_the_network(cell, input_dim, classes, channels, cells_per_stage):
    net = CellNetwork(config_of(cell), input_dim, classes, channels, cells_per_stage)
    params, macs, shape = counted(net, input_dim)
    stats = cell_stats([cell], input_dim, classes, channels, cells_per_stage)
    assert (stats["params"][0], stats["macs"][0]) == (params, macs)
    assert shape == (2, classes)


@pytest.mark.parametrize("dataset", DATASETS)
def test_network_of_the_space(dataset):
    space = NASBench201Space(dataset, channels=4, cells_per_stage=1)
    config = space.sample_arch(rng=5)
    params, macs, shape = counted(space.build_network(config), space.info.input_dim)
    assert shape == (2, space.info.classes)
    assert {"params": params, "macs": macs}.items() <= {
        k: v[0] for k, v in space.stats([config]).items()
    }.items()


@pytest.mark.parametrize(
    "cell",
    [(2, 3, 0, 1, 4, 2), (3, 3, 2, 2, 1, 1), (1, 1, 1, 2, 3, 4)],
    ids=["usual", "dead ends", "no path"],
)
def test_converts_to_analog_and_trains(cell):
    from aihwkit.nn.conversion import convert_to_analog
    from aihwkit.optim import AnalogSGD
    from aihwkit.simulator.configs import TorchInferenceRPUConfig

    digital = CellNetwork(config_of(cell), (1, 8, 8), 10, channels=4, cells_per_stage=1)
    layers = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in digital.modules())
    net = convert_to_analog(digital, TorchInferenceRPUConfig())
    assert sum(1 for _ in net.analog_layers()) == layers
    net(torch.randn(4, 1, 8, 8)).sum().backward()
    AnalogSGD(net.parameters(), lr=0.1).step()
    net.eval().drift_analog_weights(3_600.0)
    assert torch.isfinite(net(torch.randn(4, 1, 8, 8))).all()
