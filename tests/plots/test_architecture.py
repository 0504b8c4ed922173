"""Drawings of architectures: pages on which no text covers another, and text alternatives."""

import itertools

import matplotlib.pyplot as plt
import pytest
from drawn_networks import CELL, DEEP, RESNETS, TINY, chain_space
from matplotlib.figure import Figure

from analognas.core import ConfigError
from analognas.plots.architecture import alt_text_architecture, plot_architecture
from analognas.plots.blocks import architecture_data
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space

DATASETS = ("CIFAR-10", "VWW", "KWS", "digits")


def draw(space, config, width=7.5, height=3.6):
    "The figure, drawn, and the boxes of its texts in pixels."
    figure = Figure(figsize=(width, height), layout="constrained")
    ax = plot_architecture(space, config, figure.subplots())
    figure.canvas.draw()
    shown = [t for a in (ax, *ax.child_axes) for t in (*a.texts, a.title) if t.get_text().strip()]
    return figure, {i: (t.get_text(), t.get_window_extent()) for i, t in enumerate(shown)}


@pytest.mark.parametrize("width", (6.0, 7.5, 8.0))
def test_plot_architecture_keeps_texts_apart_and_on_the_page(width):
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


def test_plot_architecture_writes_counts_and_channels():
    _, texts = draw(ConfigSpace("CIFAR-10"), DEEP)
    said = [t for t, _ in texts.values()]
    assert said.count("×15") == 5 and "1024 → 2048" in said
    _, texts = draw(ConfigSpace("CIFAR-10"), TINY)
    assert not any(t.startswith("×") for t, _ in texts.values())


def test_plot_architecture_draws_equal_layers_of_a_chain_once():
    space = chain_space()
    _, texts = draw(space, {"depth": 30})
    assert "×30" in [t for t, _ in texts.values()]
    assert "30 layers at 8×8 with 6 channels" in alt_text_architecture(space, {"depth": 30})


def test_plot_architecture_leaves_given_figures_to_their_owner():
    before = plt.get_fignums()
    draw(RESNETS, TINY)
    assert plt.get_fignums() == before
    figure = Figure(figsize=(7, 3))
    ax = figure.add_axes((0, 0, 1, 1))
    assert plot_architecture(RESNETS, TINY, ax) is ax


@pytest.mark.parametrize("draws", (architecture_data, plot_architecture, alt_text_architecture))
def test_bad_configs_and_chips_are_named(draws):
    with pytest.raises(ConfigError, match="R1 = 17"):
        draws(RESNETS, TINY | {"R1": 17})
    with pytest.raises(ConfigError, match="'M' is missing"):
        draws(RESNETS, {k: v for k, v in TINY.items() if k != "M"})
    with pytest.raises(ConfigError, match="Unknown chip"):
        draws(RESNETS, TINY, chip="potato")
    with pytest.raises(ConfigError, match="cannot build networks"):
        draws(ConfigSpace("digits", search_space="custom"), {})


def test_alt_text_architecture_has_the_numbers():
    said = alt_text_architecture(ConfigSpace("CIFAR-10"), DEEP)
    assert "15 bottleneck blocks of 5 branches at 8×8 with 2048 channels" in said
    assert "475.2 M parameters" in said and "8,238 tiles of 256×256" in said
    assert "avgpool3x3 from 1 to 3" in alt_text_architecture(NASBench201Space(), CELL)
