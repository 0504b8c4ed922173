"""What holds for every space: encoding and decoding are inverse, and a permuted table has permuted answers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_config_space import spaces

from analognas.cost import hardware_cost
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import (
    NONE,
    canonical_cell,
    config_of,
    network_groups,
)
from analognas.search_spaces.nasbench201_network import CellModule

SEEDS = st.integers(0, 2**31)
CELLS = st.tuples(*[st.integers(0, 4)] * 6)
PUBLISHED = {"resnet-like": ConfigSpace("CIFAR-10"), "cells": NASBench201Space()}


# ---- encoding and decoding ------------------------------------------------------------------------------------------


@given(spaces(), SEEDS)
def test_a_config_comes_back_from_the_unit_cube(space, seed):
    for config in space.sample_arch_uniformly(5, seed):
        point = [h.to_unit(h.default_value) for h in space.hyperparameters]
        for i, h in enumerate(space.hyperparameters):
            if space.is_active(h.name, config):
                point[i] = h.to_unit(config[h.name])
        assert space.from_unit(np.array(point)) == config


@given(spaces(), SEEDS)
def test_drawn_configs_have_the_value_at_each_position(space, seed):
    points = np.random.default_rng(seed).random((4, len(space)))
    for config, point in zip(space.sample_arch_uniformly(4, seed), points, strict=True):
        values = zip(space.hyperparameters, point, strict=True)
        expected = space.canonical({h.name: h.from_unit(u) for h, u in values})
        assert repr(config) == repr(expected)  # 2 and 2.0 would be equal


@given(spaces(), SEEDS)
def test_a_row_of_features_belongs_to_one_architecture(space, seed):
    configs = space.sample_arch_uniformly(12, seed)
    rows = {row.tobytes(): space.key(c) for row, c in zip(space.encode(configs), configs)}
    decoded = [rows[row.tobytes()] for row in space.encode(configs)]
    active = {tuple(active_values(space, c)) for c in configs}
    assert len(set(decoded)) == len(rows) <= len(active)


def active_values(space, config):
    "Return what a config chooses among the hyperparameters that have an effect."
    return [
        (h.name, config[h.name]) for h in space.hyperparameters if space.is_active(h.name, config)
    ]


@pytest.mark.parametrize("name", PUBLISHED)
@given(seed=SEEDS)
def test_columns_give_the_configs_back(name, seed):
    space = PUBLISHED[name]
    configs = space.sample_arch_uniformly(6, seed)
    columns = space.columns(configs)
    back = [{n: columns[n][i].item() for n in columns} for i in range(len(configs))]
    assert [space.canonical(config) for config in back] == configs


# ---- permuted tables ------------------------------------------------------------------------------------------------

TABLES = {
    "encode": lambda space, configs: space.encode(configs),
    "features": lambda space, configs: space.features(configs)[1],
    "stats": lambda space, configs: np.column_stack(list(space.stats(configs).values())),
    "cost": lambda space, configs: hardware_cost(space, configs).to_numpy(),
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=10)
@given(data=st.data())
def test_a_permuted_population_has_the_permuted_table(name, table, data):
    space = PUBLISHED[name]
    configs = space.sample_arch_uniformly(8, data.draw(SEEDS))
    order = data.draw(st.permutations(range(8)))
    rows = TABLES[table](space, configs)
    permuted = TABLES[table](space, [configs[i] for i in order])
    assert np.array_equal(permuted, rows[list(order)])


@given(st.lists(CELLS, min_size=2, max_size=20), SEEDS)
def test_permuted_cells_have_permuted_groups(cells, seed):
    order = np.random.default_rng(seed).permutation(len(cells))
    groups = network_groups(cells)
    assert np.array_equal(network_groups([cells[i] for i in order]), groups[order])


# ---- relabelled cells -----------------------------------------------------------------------------------------------


def swapped(cell):
    "Exchange the names of the two inner nodes, which is possible where no edge joins them."
    edge_01, edge_02, edge_03, _, edge_13, edge_23 = cell
    return (edge_02, edge_01, edge_03, NONE, edge_23, edge_13)


@given(CELLS)
def test_a_relabelled_cell_is_the_same_network(cell):
    cell = (*cell[:3], NONE, *cell[4:])
    assert canonical_cell(cell) == canonical_cell(swapped(cell))
    ids = {PUBLISHED["cells"].arch_id(config_of(c)) for c in (cell, swapped(cell))}
    assert len(ids) == 1


SWAPPED_NAMES = {
    "edge_01": "edge_02",
    "edge_02": "edge_01",
    "edge_13": "edge_23",
    "edge_23": "edge_13",
}


@settings(max_examples=25)
@given(CELLS, SEEDS)
def test_a_relabelled_cell_computes_the_same(cell, seed):
    cell = (*cell[:3], NONE, *cell[4:])
    torch.manual_seed(seed)
    one = CellModule(cell, 3).eval()
    other = CellModule(swapped(cell), 3).eval()
    for name, operation in one.ops.items():
        other.ops[SWAPPED_NAMES.get(name, name)].load_state_dict(operation.state_dict())
    x = torch.randn(2, 3, 5, 5)
    with torch.no_grad():
        assert torch.allclose(one(x), other(x), atol=1e-5)
