"""Floor plans as drawn: one square a core, one colour and number a layer, and what is named beside it."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from torch import nn

from analognas.core import ConfigError
from analognas.core.placement import Placement
from analognas.cost.model import Chip, layer_costs
from analognas.cost.networks import model_cost
from analognas.plots.floor_plan import (
    FEWEST,
    MAX_CHIPS,
    MAX_DIGITAL,
    MAX_NAMED,
    alt_text_floor_plan,
    plot_floor_plan,
)
from analognas.plots.style import PALETTE
from analognas.search_spaces.config_space import ConfigSpace

SMALL = Chip("small", 16, 8, 9, mvm_time=1e-7, mvm_energy=1e-9)


def cost_of(placement=None, chip=SMALL, layers=2):
    net = nn.Sequential(nn.Linear(32, 8), *[nn.Linear(8, 8) for _ in range(layers - 1)])
    return model_cost(net, torch.zeros(1, 32), chip, placement)


def drawn(ax):
    "Squares of all cores, of those in use, and of their parts in use."
    places = ax.child_axes[0]
    shapes = [c for c in places.collections if isinstance(c, PolyCollection)]
    return [np.array([path.vertices[:4] for path in c.get_paths()]) for c in shapes], shapes


def texts(ax):
    return [t.get_text() for part in ax.child_axes for t in part.texts]


def test_a_square_for_each_core_and_its_used_part(axes):
    plot_floor_plan(cost_of(), ax=axes)
    (idle, used, parts), shapes = drawn(axes)
    assert len(idle) == 9
    assert len(used) == len(parts) == 3
    size = np.ptp(parts, axis=1) / np.ptp(used, axis=1)
    assert np.allclose(size, [[1, 1], [1, 1], [1, 0.5]])  # 8 of 8 columns; 16 and 8 of 16 rows
    colours = shapes[2].get_facecolor()
    assert np.allclose(colours, [to_rgba(PALETTE[i]) for i in (0, 0, 1)])


def test_layers_have_numbers_and_digital_ones_are_named(axes):
    plot_floor_plan(cost_of(Placement({"1": "int8"}), layers=3), ax=axes)
    found = texts(axes)
    assert found[:2] == ["1", "2"]
    assert "1 0: 2 cores, 100% full" in found
    assert "2 2: 1 core, 50% full" in found
    assert "digital: 1 (int8)" in found


def test_the_title_counts_cores_and_chips(axes):
    plot_floor_plan(cost_of(layers=10), ax=axes)
    assert axes.get_title().startswith("11 cores of 16×8 on 2 chips (small), 59% full")


def test_without_analog_layers_the_chip_is_empty(axes):
    plot_floor_plan(cost_of(Placement(default="float")), ax=axes)
    (idle, *_), _ = drawn(axes)
    assert len(idle) == 9
    assert axes.get_title() == "0 cores of 16×8 on 1 chip (small)"


def test_of_many_chips_and_layers_the_first_are_drawn(axes):
    cost = cost_of(layers=9 * MAX_CHIPS + 2)
    plot_floor_plan(cost, ax=axes)
    (idle, used, _), _ = drawn(axes)
    assert len(idle) == len(used) == 9 * MAX_CHIPS
    assert f"the first {MAX_CHIPS} chips" in axes.get_title()
    assert f"and {len(cost.layers) - MAX_NAMED} more layers" in texts(axes)


def test_many_digital_layers_are_counted(axes):
    plot_floor_plan(cost_of(Placement(default="int8"), layers=MAX_DIGITAL + 3), ax=axes)
    assert "and 3 more digital layers" in texts(axes)


def test_of_a_large_chip_as_many_cores_as_needed_are_drawn(axes):
    plot_floor_plan(cost_of(chip=Chip("large", 16, 8, 2000, 1e-7, 1e-9)), ax=axes)
    assert len(drawn(axes)[0][0]) == FEWEST
    assert f"{FEWEST} of 2,000 cores drawn" in axes.get_title()


def test_a_config_is_drawn_from_its_table(axes):
    space = ConfigSpace("digits")
    table = layer_costs(space, space.sample_arch(rng=0), "isaac")
    plot_floor_plan(table, "isaac", ax=axes)
    cores = min(int(table.tiles.sum()), MAX_CHIPS * 2016)
    assert len(drawn(axes)[0][1]) == cores
    assert "isaac" in axes.get_title()


def test_the_chip_is_that_of_the_cost():
    assert "(small)" in alt_text_floor_plan(cost_of())
    assert "on 1 chip (hermes)" in alt_text_floor_plan(cost_of().layers)
    assert "(isaac)" in alt_text_floor_plan(cost_of(), "isaac")
    with pytest.raises(ConfigError, match="Unknown chip 'none'"):
        plot_floor_plan(pd.DataFrame(), "none")


def test_the_text_names_what_is_drawn():
    text = alt_text_floor_plan(cost_of(Placement({"1": "float"})))
    assert text == (
        "Floor plan: 2 cores of 16×8 on 1 chip (small), 100% full. "
        "1 0: 2 cores, 100% full; digital: 1 (float)."
    )
