"""Hardware cost: tiles against aihwkit's summary, products against networks that were built and run, prices against closed forms."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.utils.analog_info import analog_summary
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from analognas.analog.hardware import create_rpu_config
from analognas.core import ConfigError, DatasetInfo
from analognas.core.hardware import PRESETS
from analognas.cost.model import (
    CHIPS,
    HERMES,
    ISAAC,
    Chip,
    chip_from_peak,
    fit_ends,
    hardware_cost,
    layer_costs,
)
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space

CELLS = NASBench201Space("digits", channels=16, cells_per_stage=1)
RESNETS = ConfigSpace("digits")
ANALOG = (nn.Conv2d, nn.Linear)
SUMS = ["tiles", "mvms", "adc_conversions", "latency", "energy"]


def small_resnets(n, seed=0):
    "Random members with few blocks, but with layers wider than a tile among them."
    drawn = [c for c in RESNETS.sample_arch_uniformly(20 * n, seed) if c["M"] >= 3][:n]
    few = {f"{h}{m}": 1 for m in range(1, 6) for h in "RB"} | {"R2": 2, "B2": 2}
    return [
        c | few | {"M": 1 + i % 3, "out_channel0": (16, 64)[i % 2]} for i, c in enumerate(drawn)
    ]


def custom(build, input_dim=(1, 8, 8), values=(1,)):
    "A space of networks that `build(value)` makes."
    space = ConfigSpace(
        DatasetInfo("own", input_dim, 3),
        search_space="custom",
        network=lambda config, dim, classes: build(config["x"]),
    )
    space.add_hyperparameter_range("x", "discrete", list(values))
    return space


def counted(space, config):
    """Rows, columns and products of every layer of the built network, by hooks of its own: (weights
    per output, outputs, products)."""
    net, seen = space.build_network(config).eval(), []
    for m in net.modules():
        if isinstance(m, ANALOG):
            m.register_forward_hook(
                lambda m, i, o: seen.append(
                    (m.weight[0].numel(), len(m.weight), o[0].numel() // len(m.weight))
                )
            )
    with torch.no_grad():
        net(torch.zeros(1, *space.info.input_dim))
    return seen


def both_families(n, seed):
    "A few small networks of each family."
    families = [(RESNETS, small_resnets(n, seed)), (CELLS, CELLS.sample_arch_uniformly(n, seed))]
    return pytest.mark.parametrize("space, configs", families, ids=["resnet", "nasbench201"])


@pytest.mark.parametrize("size", [512, 256])
@both_families(4, 3)
def test_tiles_are_those_of_aihwkits_summary(space, configs, size):
    tiles, layers = hardware_cost(space, configs, replace(HERMES, rows=size, cols=size)).tiles, []
    rpu_config = create_rpu_config(tile_size=size)
    for config, expected in zip(configs, tiles):
        summary = analog_summary(
            convert_to_analog(space.build_network(config), rpu_config).eval(),
            (1, *space.info.input_dim),
            rpu_config,
        )
        assert expected == summary.total_tile_number
        layers.append(summary.total_nb_analog)
    assert (tiles > layers).any()  # some layer needs more than one
    assert len(set(tiles)) > 1


@both_families(5, 1)
def test_products_are_those_of_the_network_that_runs(space, configs):
    cost, macs = hardware_cost(space, configs, "isaac"), space.stats(configs)["macs"]
    for i, config in enumerate(configs):
        seen = counted(space, config)
        assert macs[i] == sum(rows * cols * products for rows, cols, products in seen)
        deep = [math.ceil(rows / 128) for rows, _, _ in seen]
        assert cost.mvms[i] == sum(
            d * math.ceil(cols / 128) * products for d, (_, cols, products) in zip(deep, seen)
        )
        assert cost.adc_conversions[i] == sum(
            128 * d * cols * products for d, (_, cols, products) in zip(deep, seen)
        )
        assert cost.latency[i] == pytest.approx(sum(products for *_, products in seen) * 1.6e-6)
        weights = sum(rows * cols for rows, cols, _ in seen)
        assert cost.utilisation[i] == pytest.approx(weights / (cost.tiles[i] * 128 * 128))


@both_families(3, 2)
def test_arithmetic_agrees_with_a_network_built_and_run(space, configs):
    "The layers of a family, by arithmetic and in the way of a network of one's own."
    own = custom(
        lambda i: space.build_network(configs[i]), space.info.input_dim, range(len(configs))
    )
    built = hardware_cost(own, [{"x": i} for i in range(len(configs))])
    np.testing.assert_allclose(built, hardware_cost(space, configs), rtol=1e-12)


@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 9),
    st.floats(0, 1),
)
@settings(max_examples=30)
def test_one_layer_has_the_closed_form(inputs, outputs, rows, cols, conversions, idle_share):
    chip = Chip(
        "own",
        rows,
        cols,
        2,
        mvm_time=2e-7,
        mvm_energy=3e-9,
        conversions=conversions,
        idle_share=idle_share,
    )
    cost = hardware_cost(
        custom(lambda x: nn.Conv2d(inputs, outputs, 1), (inputs, 3, 2)), [{"x": 1}], chip
    ).iloc[0]
    deep, wide = math.ceil(inputs / rows), math.ceil(outputs / cols)
    assert (cost.tiles, cost.mvms, cost.adc_conversions) == (
        deep * wide,
        6 * deep * wide,
        6 * deep * outputs * conversions,
    )
    assert cost.chips == math.ceil(deep * wide / 2)
    assert cost.latency == pytest.approx(6 * 2e-7)
    assert cost.energy == pytest.approx(
        6 * 3e-9 * (idle_share * deep * wide + (1 - idle_share) * deep * outputs / cols)
    )
    assert (
        cost.utilisation == pytest.approx(inputs * outputs / (deep * wide * rows * cols))
        and cost.utilisation <= 1
    )


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_a_layer_that_fills_its_tiles(chip):
    space = custom(lambda x: nn.Linear(2 * chip.rows, 3 * chip.cols), (1, 1, 2 * chip.rows))
    cost = hardware_cost(space, [{"x": 1}], chip.name).iloc[0]
    assert (cost.tiles, cost.utilisation, cost.mvms) == (6, 1, 6)
    assert cost.energy == pytest.approx(
        6 * chip.mvm_energy
    )  # whatever idle outputs draw: there are none
    assert (
        cost.energy == hardware_cost(space, [{"x": 1}], replace(chip, idle_share=0.0)).energy.item()
    )


def test_the_chips_are_as_published():
    assert 2 * 64 * 256**2 / HERMES.mvm_time == pytest.approx(63.1e12)
    assert HERMES.mvm_time == pytest.approx(133e-9, rel=0.01)
    assert 64 * HERMES.mvm_energy == pytest.approx(
        0.86e-6, rel=0.01
    )  # Table I of the paper, which the preset does not use
    assert 64 * CHIPS["hermes-4phase"].mvm_energy == pytest.approx(3.38e-6, rel=0.01)
    assert ISAAC.mvm_time == pytest.approx(1.6e-6)
    assert ISAAC.mvm_energy == pytest.approx(22.61e-3 * 1.6e-6)
    assert all(name == chip.name and chip.source for name, chip in CHIPS.items())


@given(st.lists(st.integers(0, 49), min_size=1, max_size=8), st.sampled_from(list(CHIPS)))
def test_a_batch_is_priced_like_its_members(which, chip):
    for space in (RESNETS, CELLS):
        pool = space.sample_arch_uniformly(50, 7)
        configs = [pool[i] for i in which]
        together = hardware_cost(space, configs, chip)
        for i, config in enumerate(configs):
            assert together.iloc[i].equals(hardware_cost(space, [config], chip).iloc[0])
        assert together.utilisation.between(0, 1, inclusive="right").all()
        assert (together.mvms >= together.tiles).all() and (
            together.chips * CHIPS[chip].cores >= together.tiles
        ).all()


def test_networks_of_ones_own_of_different_depth():
    space = custom(
        lambda n: nn.Sequential(nn.Flatten(), *(nn.Linear(64, 64) for _ in range(n))),
        values=(1, 2, 3),
    )
    configs = [{"x": 2}, {"x": 1}, {"x": 3}]
    assert hardware_cost(space, configs).tiles.tolist() == [2, 1, 3]
    assert list(layer_costs(space, configs[1]).index) == ["1"]


class Twice(nn.Module):
    "A layer used twice, one never, and a grouped convolution."

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Conv1d(8, 8, 3, padding=1), nn.Linear(8, 8)
        self.grouped = nn.Conv2d(4, 8, 3, groups=4, bias=False)

    def forward(self, x):
        x = self.used(self.used(x[:, 0]))
        return self.grouped(x[:, None].expand(-1, 4, -1, -1)).flatten(1)


def test_layers_that_run_twice_never_or_in_groups():
    table = layer_costs(custom(lambda x: Twice()), {"x": 1})
    assert table[["rows", "cols", "pixels", "times", "tiles", "mvms"]].to_dict("index") == {
        "used": {"rows": 24, "cols": 8, "pixels": 16, "times": 1, "tiles": 1, "mvms": 16},
        "grouped": {"rows": 9, "cols": 2, "pixels": 36, "times": 4, "tiles": 4, "mvms": 144},
    }


@both_families(2, 5)
def test_the_rows_of_layers_sum_to_the_network(space, configs):
    config = configs[1]
    table = layer_costs(space, config, "isaac")
    np.testing.assert_allclose(
        table[SUMS].sum(), hardware_cost(space, [config], "isaac")[SUMS].iloc[0]
    )
    assert (
        table.index.is_unique
        and table.index[0] == "stem"
        and table.index[-1] == "classifier"
        and (table.times > 0).all()
    )
    assert table.times.sum() == len(counted(space, config))


def test_nothing_costs_nothing():
    assert hardware_cost(RESNETS, []).shape == hardware_cost(CELLS, []).shape == (0, 7)
    empty = custom(lambda x: nn.Flatten())
    assert hardware_cost(empty, [{"x": 1}, {"x": 1}]).to_numpy().tolist() == [[0] * 7] * 2
    with pytest.raises(ConfigError, match="no convolution and no linear layer"):
        layer_costs(empty, {"x": 1})


@pytest.mark.parametrize("preset", PRESETS)
def test_tiles_of_simulated_hardware_are_taken_over(preset):
    chip = HERMES.with_tiles_of(PRESETS[preset])
    size = PRESETS[preset].tile_size
    assert (chip.rows, chip.cols) == (size, size)
    assert replace(chip, name="hermes", rows=256, cols=256) == HERMES


def test_hermes_has_the_tiles_of_the_preset():
    assert (HERMES.rows, HERMES.cols) == (PRESETS["hermes"].tile_size,) * 2


@pytest.mark.parametrize(
    "change, says",
    [
        ({"rows": 0}, "rows of chip 'hermes'"),
        ({"cores": 1.5}, "cores"),
        ({"conversions": 0}, "conversions"),
        ({"mvm_time": -1.0}, "mvm_time"),
        ({"mvm_energy": math.nan}, "mvm_energy"),
        ({"idle_share": 1.1}, "idle_share"),
        ({"tile_area": -0.1}, "tile_area of chip 'hermes'"),
    ],
)
def test_an_impossible_chip_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        replace(HERMES, **change)


def test_errors_name_what_is_wrong():
    with pytest.raises(
        ConfigError, match="Unknown chip 'hermes4'. Allowed: 'hermes', 'hermes-4phase', 'isaac'"
    ):
        hardware_cost(RESNETS, [], "hermes4")
    with pytest.raises(ConfigError, match="ops_per_joule"):
        chip_from_peak("own", 2, 2, 1, 1e12, 0)
    with pytest.raises(ConfigError, match="'M' is missing"):
        hardware_cost(RESNETS, [{"out_channel0": 8}])
    with pytest.raises(ConfigError, match="cannot build networks"):
        hardware_cost(ConfigSpace(search_space="custom"), [{}])


def test_a_chip_comes_back_from_plain_data():
    for chip in CHIPS.values():
        assert Chip(**asdict(chip)) == chip
        assert Chip(**json.loads(json.dumps(asdict(chip)))) == chip


def test_a_chip_of_an_older_file_has_the_estimated_digital_unit():
    saved = asdict(HERMES)
    del saved["digital"], saved["tile_area"]
    assert Chip(**saved).digital == HERMES.digital
    assert Chip(**saved).tile_area is None


def test_the_area_of_hermes_follows_from_its_density():
    operations = 2 * 256**2 / HERMES.mvm_time
    assert operations / HERMES.tile_area == pytest.approx(1.59e12)
    assert CHIPS["hermes-4phase"].tile_area == HERMES.tile_area


def test_diana_is_as_published():
    diana = CHIPS["diana"]
    assert (diana.rows, diana.cols, diana.cores) == (1152, 512, 1)
    assert 2 * 1152 * 512 / diana.mvm_energy == pytest.approx(600e12)
    assert diana.mvm_time == pytest.approx(70e-9)
    assert 2 / diana.digital.int8.energy == pytest.approx(14e12)
    assert diana.digital.int8.rate == 256 * 260e6
    assert diana.tile_area is None


@pytest.mark.parametrize("ends", [((2.0, 30.0), (1.0, 10.0)), ((1.0, 5.0), (4.0, 7.0))])
def test_a_fit_has_the_given_ends(ends):
    (time_digital, energy_digital), (time_analog, energy_analog) = ends
    counts = {"macs": 100, "mvms": 8, "products": 4, "other_energy": 1.0}
    chip = fit_ends("own", counts, *ends)
    assert 4 * chip.mvm_time == pytest.approx(time_analog)
    assert 8 * chip.mvm_energy + 1 == pytest.approx(energy_analog)
    fp32 = chip.digital.array("float")
    assert 100 / fp32.rate == pytest.approx(time_digital)
    assert 100 * fp32.energy + 1 == pytest.approx(energy_digital)
    assert chip.digital.int8.energy / fp32.energy == pytest.approx(0.3 / 4.6)
    assert chip.digital.fp16.energy / fp32.energy == pytest.approx(1.5 / 4.6)


def test_a_price_needs_no_torch():
    code = (
        "import sys; from analognas.search_spaces.config_space import ConfigSpace; from "
        "analognas.cost.model import hardware_cost; "
        "s = ConfigSpace(); hardware_cost(s, s.sample_arch_uniformly(3, 0)); "
        "sys.exit(bool({'torch', 'aihwkit'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["out_channel0", "M", "R1", "convblock1", "widenfact1", "B1"])
def test_a_config_of_nan_has_no_costs(name, bad):
    config = RESNETS.sample_arch() | {name: bad}
    with pytest.raises(ConfigError, match=f"{name} = {bad} is not allowed"):
        hardware_cost(RESNETS, [config])
    with pytest.raises(ConfigError, match=f"{name} = {bad} is not allowed"):
        layer_costs(RESNETS, config)
