"""Floor plans: cores against the tiles of both cost functions and of aihwkit's cut."""

import math

import numpy as np
import pytest
import torch
from aihwkit.simulator.tiles.array import TileModuleArray
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from analognas.core.placement import Placement
from analognas.cost.floor_plan import floor_plan
from analognas.cost.model import CHIPS, Chip, hardware_cost, layer_costs
from analognas.cost.networks import model_cost
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space

SMALL = Chip("small", 16, 8, 3, mvm_time=1e-7, mvm_energy=1e-9)


def plan_of(net, inputs, placement=None):
    return floor_plan(model_cost(net, inputs, SMALL, placement).layers, SMALL)


@given(st.integers(1, 70), st.integers(1, 70))
def test_a_matrix_is_cut_as_aihwkit_cuts_it(inputs, outputs):
    table = model_cost(nn.Linear(inputs, outputs), torch.zeros(1, inputs), SMALL).layers
    plan = floor_plan(table, SMALL)
    split = TileModuleArray.get_split_sizes
    rows, cols = split(None, inputs, 16), split(None, outputs, 8)
    expected = [(r, c) for r in rows for c in cols]
    assert list(zip(plan.rows, plan.cols)) == expected
    assert (plan.rows * plan.cols).sum() == inputs * outputs


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("space", [ConfigSpace("digits"), NASBench201Space("digits")])
def test_a_config_has_a_core_for_each_of_its_tiles(space, chip):
    for config in space.sample_arch_uniformly(3, 4):
        cost = hardware_cost(space, [config], chip).iloc[0]
        plan = floor_plan(layer_costs(space, config, chip), chip)
        assert len(plan) == cost.tiles
        assert plan.chip.max() + 1 == cost.chips
        assert plan.full.mean() == pytest.approx(cost.utilisation)
        assert plan.core.max() < CHIPS[chip].cores
        assert not plan.duplicated(["chip", "core"]).any()


def test_a_grouped_layer_has_a_core_for_each_group():
    plan = plan_of(nn.Conv2d(4, 8, 3, groups=4), torch.zeros(1, 4, 5, 5))
    assert list(zip(plan.rows, plan.cols)) == [(9, 2)] * 4
    assert plan.chip.tolist() == [0, 0, 0, 1]
    assert plan.core.tolist() == [0, 1, 2, 0]
    assert np.allclose(plan.full, 18 / 128)


def test_digital_layers_have_no_cores():
    net = nn.Sequential(nn.Linear(16, 8), nn.Linear(8, 9))
    x = torch.zeros(1, 16)
    both = plan_of(net, x)
    assert both.layer.tolist() == ["0", "1", "1"]
    assert both.number.tolist() == [1, 2, 2]
    assert plan_of(net, x, Placement({"1": "int8"})).layer.tolist() == ["0"]
    nothing = plan_of(net, x, Placement(default="float"))
    assert len(nothing) == 0
    assert list(nothing) == list(both)


def test_a_full_core_is_full():
    plan = plan_of(nn.Linear(32, 8), torch.zeros(1, 32))
    assert plan.full.tolist() == [1.0, 1.0]
    assert math.prod(plan.shape) == 2 * 7
