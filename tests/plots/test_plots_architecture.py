"""Drawings of architectures: numbers against networks that were built and run, and pages on which no text covers another."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from analognas.cost.model import HERMES, Chip, hardware_cost
from analognas.core import ConfigError, DatasetInfo
from analognas.plots.architecture import (
    alt_architecture,
    architecture_data,
    plot_architecture,
    plot_cell,
)
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import EDGES, OPERATIONS, config_of

RESNETS = ConfigSpace("digits")
DATASETS = ("CIFAR-10", "VWW", "KWS", "digits")
CELL = config_of((2, 0, 3, 1, 4, 2))
MOST = {"R": 16, "convblock": 2, "widenfact": 0.5, "B": 5}
DEEP = {f"{h}{m}": v for m in range(1, 6) for h, v in MOST.items()} | {"M": 5, "out_channel0": 64}
TINY = DEEP | {"M": 1, "R1": 1, "B1": 1, "convblock1": 1}


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


def draw(space, config, width=7.5, height=3.6):
    "The figure, drawn, and the boxes of its texts in pixels."
    figure = Figure(figsize=(width, height), layout="constrained")
    ax = plot_architecture(space, config, figure.subplots())
    figure.canvas.draw()
    shown = [t for a in (ax, *ax.child_axes) for t in (*a.texts, a.title) if t.get_text().strip()]
    return figure, {i: (t.get_text(), t.get_window_extent()) for i, t in enumerate(shown)}


@pytest.mark.parametrize("dataset", DATASETS)
def test_parameters_are_those_of_the_built_network(dataset):
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


def test_macs_and_tiles_add_up_to_the_whole():
    for config in RESNETS.sample_arch_uniformly(20, 3):
        data = architecture_data(RESNETS, config)
        assert data.macs.sum() == RESNETS.stats([config])["macs"][0]
        assert data.tiles.sum() == hardware_cost(RESNETS, [config], HERMES).tiles[0]


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


def test_a_network_of_ones_own_is_a_chain():
    space = ConfigSpace(DatasetInfo("own", (1, 8, 8), 3), search_space="custom", network=chain)
    space.add_hyperparameter("depth", "discrete", 1, 40)
    data = architecture_data(space, {"depth": 30})
    assert data.repeats.tolist() == [1, 30, 1, 1]
    assert data.c_out.tolist() == [6, 6, 12, 3]
    assert data.height.tolist() == [8, 8, 4, 1]
    assert data.params.sum() == sum(
        p.numel() for p in chain({"depth": 30}, (1, 8, 8), 3).parameters()
    )
    _, texts = draw(space, {"depth": 30})
    assert "×30" in [t for t, _ in texts.values()]
    assert "30 layers at 8×8 with 6 channels" in alt_architecture(space, {"depth": 30})


@pytest.mark.parametrize("width", (6.0, 7.5, 8.0))
def test_no_text_covers_another_or_leaves_the_page(width):
    drawn = [(ConfigSpace(d), c) for d, c in zip(DATASETS, RESNETS.sample_arch_uniformly(4, 5))]
    drawn += [
        (ConfigSpace("VWW"), DEEP),
        (ConfigSpace("VWW"), DEEP | {f"R{m}": 1 for m in range(1, 6)}),
    ]
    drawn += [(RESNETS, TINY), (NASBench201Space("KWS"), CELL)]
    for space, config in drawn:
        figure, texts = draw(
            space, config, width, 5.2 if isinstance(space, NASBench201Space) else 3.6
        )
        page = figure.bbox
        for text, box in texts.values():
            assert (
                box.x0 >= page.x0 - 1
                and box.x1 <= page.x1 + 1
                and box.y0 >= page.y0 - 1
                and box.y1 <= page.y1 + 1
            ), text
        for (a, box), (b, other) in itertools.combinations(texts.values(), 2):
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            assert across <= 1 or min(box.y1, other.y1) - max(box.y0, other.y0) <= 2, (a, b)


def test_what_is_written():
    _, texts = draw(ConfigSpace("CIFAR-10"), DEEP)
    said = [t for t, _ in texts.values()]
    assert said.count("×15") == 5 and "1024 → 2048" in said
    _, texts = draw(ConfigSpace("CIFAR-10"), TINY)
    assert not any(t.startswith("×") for t, _ in texts.values())


def test_a_cell_has_an_arrow_for_every_operation_but_none():
    figure = Figure()
    ax = plot_cell(CELL, figure.subplots())
    operations = [t.get_text() for t in ax.texts if t.get_text() in OPERATIONS]
    assert sorted(operations) == sorted(OPERATIONS[op] for op in CELL.values())
    heads = [p for p in ax.patches if "CurveFilled" in type(p.get_arrowstyle()).__name__]
    assert len(ax.patches) == len(EDGES) and len(heads) == sum(op != 1 for op in CELL.values())


def test_figures_of_ones_own_are_left_to_their_owner():
    before = plt.get_fignums()
    draw(RESNETS, TINY)
    assert plt.get_fignums() == before
    figure = Figure(figsize=(7, 3))
    ax = figure.add_axes((0, 0, 1, 1))
    assert plot_architecture(RESNETS, TINY, ax) is ax


@pytest.mark.parametrize("draws", (architecture_data, plot_architecture, alt_architecture))
def test_bad_configs_are_named(draws):
    with pytest.raises(ConfigError, match="R1 = 17"):
        draws(RESNETS, TINY | {"R1": 17})
    with pytest.raises(ConfigError, match="'M' is missing"):
        draws(RESNETS, {k: v for k, v in TINY.items() if k != "M"})
    with pytest.raises(ConfigError, match="Unknown chip"):
        draws(RESNETS, TINY, chip="potato")
    with pytest.raises(ConfigError, match="cannot build networks"):
        draws(ConfigSpace("digits", search_space="custom"), {})


def test_the_sentence_holds_the_numbers():
    said = alt_architecture(ConfigSpace("CIFAR-10"), DEEP)
    assert "15 bottleneck blocks of 5 branches at 8×8 with 2048 channels" in said
    assert "475.2 M parameters" in said and "8,238 tiles of 256×256" in said
    assert "avgpool3x3 from 1 to 3" in alt_architecture(NASBench201Space(), CELL)
