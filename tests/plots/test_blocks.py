"""Blocks of architectures: numbers against networks that were built and run."""

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_networks import CELL, RESNETS, TINY, chain, chain_space
from torch import nn

from analognas.cost.model import HERMES, Chip, hardware_cost
from analognas.plots.architecture import alt_text_architecture
from analognas.plots.blocks import architecture_data
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space


def few_blocks(n, seed):
    "Random members that are quick to build."
    rng = np.random.default_rng(seed)
    return [
        c
        | {f"{h}{m}": int(rng.integers(1, 4)) for h in "RB" for m in range(1, 6)}
        | {"out_channel0": 8}
        for c in RESNETS.sample_arch_uniformly(n, rng)
    ]


def shapes_when_run(net, modules, input_dim):
    "Shape of what each of some modules puts out, (channels, height, width)."
    seen = {}
    hooks = [
        m.register_forward_hook(lambda mod, i, o, n=n: seen.__setitem__(n, tuple(o.shape[1:])))
        for n, m in modules.items()
    ]
    with torch.no_grad():
        net.eval()(torch.zeros(1, *input_dim))
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("dataset", ("CIFAR-10", "VWW", "KWS", "digits"))
def test_params_are_those_of_the_built_network(dataset):
    space = ConfigSpace(dataset)
    for config in few_blocks(3, seed=1):
        built = sum(p.numel() for p in space.build_network(config).parameters())
        assert architecture_data(space, config).params.sum() == built


@pytest.mark.parametrize("dataset", ("KWS", "digits"))
def test_shapes_are_those_of_the_running_network(dataset):
    space = ConfigSpace(dataset)
    for config in few_blocks(3, seed=2):
        net, data = space.build_network(config), architecture_data(space, config).set_index("name")
        blocks = {"stem": net.stem} | {f"group{m}.first": g[0] for m, g in enumerate(net.groups, 1)}
        blocks |= {f"group{m}.rest": g[-1] for m, g in enumerate(net.groups, 1) if len(g) > 1}
        seen = shapes_when_run(net, blocks, space.info.input_dim)
        assert set(data.index) == {*seen, "classifier"}
        for name, shape in seen.items():
            assert tuple(data.loc[name, ["c_out", "height", "width"]]) == shape
        for m, group in enumerate(net.groups, 1):
            assert len(group[0].branches) == data.branches[f"group{m}.first"]
            assert len(group) == data.repeats[data.group == f"group {m}"].sum()
            assert isinstance(group[0].shortcut, nn.Identity) == (
                data.shortcut[f"group{m}.first"] == "identity"
            )


@pytest.mark.parametrize("dataset", ("CIFAR-10", "KWS"))
def test_cells_are_those_of_the_running_network(dataset):
    space = NASBench201Space(dataset, channels=8, cells_per_stage=2)
    net, data = space.build_network(CELL), architecture_data(space, CELL).set_index("name")
    assert data.params.sum() == sum(p.numel() for p in net.parameters())
    seen = shapes_when_run(
        net, {f"stage{i}.cells": s[-1] for i, s in enumerate(net.stages, 1)}, space.info.input_dim
    )
    for name, shape in seen.items():
        assert tuple(data.loc[name, ["c_out", "height", "width"]]) == shape
        assert data.repeats[name] == 2
    layers = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules())
    one = Chip("one", 10**6, 10**6, 1, 1e-9, 1e-9)  # a tile that holds any layer
    assert architecture_data(space, CELL, one).tiles.sum() == layers


def test_macs_and_tiles_add_up_to_the_whole_network():
    for config in RESNETS.sample_arch_uniformly(20, 3):
        data = architecture_data(RESNETS, config)
        assert data.macs.sum() == RESNETS.stats([config])["macs"][0]
        assert data.tiles.sum() == hardware_cost(RESNETS, [config], HERMES).tiles[0]


def placed(space):
    "Return a space in which the first group, or the cells of the second stage, may be digital."
    space.add_placement_hyperparameter("head")
    pattern = "groups.0*" if space.search_space == "resnet-like" else "stages.1.*"
    space.add_placement_hyperparameter("middle", pattern, kinds=["analog", "int8", "float"])
    return space


@pytest.mark.parametrize("make", (lambda: ConfigSpace("digits"), NASBench201Space))
def test_digital_layers_have_no_tiles_and_change_nothing_else(make):
    plain, space = make(), placed(make())
    for config in plain.sample_arch_uniformly(4, 2):
        whole = architecture_data(plain, config)
        on_tiles = config | {"head": "analog", "middle": "analog"}
        pd.testing.assert_frame_equal(architecture_data(space, on_tiles), whole)
        part = architecture_data(space, config | {"head": "int8", "middle": "float"})
        assert part.drop(columns="tiles").equals(whole.drop(columns="tiles"))
        digital = whole.group.isin(["group 1", "stage 2", "classifier"])
        assert part.tiles.tolist() == whole.tiles.where(~digital, 0).tolist()


def test_tiles_of_a_network_of_a_users_own_follow_its_placement():
    space = chain_space()
    config = {"depth": 3}
    before = architecture_data(space, config)
    first = before.name[0]
    space.add_placement_hyperparameter("first", first)
    after = architecture_data(space, config | {"first": "int8"})
    assert after.tiles.tolist() == [0, *before.tiles[1:]]


def test_tiles_are_as_large_as_the_config_chose():
    space = ConfigSpace("CIFAR-10")
    space.add_hardware_hyperparameter("tile_size", "discrete", range=[64, 512])
    for size in (64, 512):
        config = TINY | {"tile_size": size}
        data = architecture_data(space, config)
        assert data.tiles.sum() == hardware_cost(space, [config]).tiles[0]
        assert f"tiles of {size}×{size}" in alt_text_architecture(space, config)


def test_tiles_in_closed_form():
    data = architecture_data(ConfigSpace("CIFAR-10"), TINY).set_index(
        "name"
    )  # 3 -> 64 -> 128, one basic block
    assert data.tiles.to_dict() == {
        "stem": 1,
        "group1.first": 3 + 5 + 1,
        "classifier": 1,
    }  # 576, 1152 and 64 rows on tiles of 256
    assert data.macs["classifier"] == 128 * 10


def test_network_of_a_users_own_is_a_chain_of_layers():
    space = chain_space()
    data = architecture_data(space, {"depth": 30})
    assert data.repeats.tolist() == [1, 30, 1, 1]
    assert data.c_out.tolist() == [6, 6, 12, 3]
    assert data.height.tolist() == [8, 8, 4, 1]
    assert data.params.sum() == sum(
        p.numel() for p in chain({"depth": 30}, (1, 8, 8), 3).parameters()
    )
