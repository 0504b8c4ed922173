"""Parts of a mixed network: closed forms of each kind, sums, and what moving a layer changes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from aihwkit.nn.conversion import convert_to_analog
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.core import ConfigError
from analognas.core.placement import Placement
from analognas.cost.digital import HOROWITZ_UNIT
from analognas.cost.model import CHIPS, HERMES, ISAAC, Chip
from analognas.cost.networks import model_cost

PJ = 1e-12
SMALL = Chip("small", 16, 16, 4, mvm_time=1e-7, mvm_energy=1e-9, tile_area=0.5)
LAYERS = {"first": (3, 40, 64), "second": (40, 8, 64), "last": (8 * 64, 5, 1)}


def three_layers():
    "Two 1x1 convolutions on 8 x 8 pixels and a linear layer, all without biases."
    net = nn.Sequential()
    net.add_module("first", nn.Conv2d(3, 40, 1, bias=False))
    net.add_module("relu", nn.ReLU())
    net.add_module("second", nn.Conv2d(40, 8, 1, bias=False))
    net.add_module("flatten", nn.Flatten())
    net.add_module("last", nn.Linear(8 * 64, 5, bias=False))
    return net


def three_cost(kinds, chip=SMALL, batch=2):
    "The cost of the three layers with these kinds; all others analog."
    return model_cost(three_layers(), torch.zeros(batch, 3, 8, 8), chip, Placement(kinds))


def tiles(name, size=16):
    rows, cols, _ = LAYERS[name]
    return math.ceil(rows / size) * math.ceil(cols / size)


# ---- one matrix ----------------------------------------------------------------------------------


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["int8", "fp16", "fp32"]))
@settings(max_examples=20, deadline=None)
def test_a_digital_layer_has_the_closed_form(inputs, outputs, name):
    energy = {"int8": 0.3, "fp16": 1.5, "fp32": 4.6}[name] * PJ
    area = {"int8": 419, "fp16": 3000, "fp32": 11884}[name] * 1e-6
    size = {"int8": 1, "fp16": 2, "fp32": 4}[name]
    chip = SMALL
    if name != "int8":
        chip = replace(SMALL, digital=replace(HOROWITZ_UNIT, float_format=name))
    kind = "int8" if name == "int8" else "float"
    net = nn.Conv2d(inputs, outputs, 1, bias=False)
    cost = model_cost(net, torch.zeros(1, inputs, 3, 2), chip, Placement(default=kind))
    [part] = cost.parts.itertuples()
    macs = 6 * inputs * outputs
    moved = size * (6 * inputs + 6 * outputs + inputs * outputs)
    assert part.kind == kind
    assert (part.macs, part.weights, part.tiles) == (macs, inputs * outputs, 0)
    assert part.energy == pytest.approx(macs * energy)
    assert part.latency == pytest.approx(macs / 256e9)
    assert part.memory_energy == pytest.approx(moved * 12.5 * PJ)
    assert part.area == pytest.approx(inputs * outputs * size * 8 * 119 / 153e6)
    system = cost.system.iloc[0]
    assert system.area == pytest.approx(part.area + 256 * area)
    assert system.energy == pytest.approx(part.energy + part.memory_energy)
    assert system.edap == pytest.approx(system.energy * system.latency * system.area)
    assert system.analog_share == 0
    assert len(cost.layers) == 0
    assert cost.total[["tiles", "energy", "latency", "chips"]].to_numpy().tolist() == [[0] * 4]


@given(st.integers(1, 90), st.integers(1, 90))
@settings(max_examples=10, deadline=None)
def test_an_analog_layer_has_the_closed_form(inputs, outputs):
    net = nn.Conv2d(inputs, outputs, 1, bias=False)
    cost = model_cost(net, torch.zeros(1, inputs, 3, 2), SMALL)
    [part] = cost.parts.itertuples()
    deep = math.ceil(inputs / 16)
    n = deep * math.ceil(outputs / 16)
    assert part.kind == "analog"
    assert part.tiles == n
    assert part.area == pytest.approx(0.5 * n)
    assert part.latency == pytest.approx(6e-7)
    assert part.energy == pytest.approx(6e-9 * n + 6 * outputs * (deep - 1) * 0.4 * PJ)
    assert part.memory_energy == pytest.approx(6 * (inputs + outputs) * 12.5 * PJ)
    assert cost.system.analog_share.item() == 1


def test_a_convolution_reads_each_pixel_once():
    net = nn.Conv2d(2, 3, 3, padding=1, groups=1, bias=False)
    cost = model_cost(net, torch.zeros(4, 2, 5, 5), SMALL)
    moved = 2 * 25 + 3 * 25
    assert cost.parts.memory_energy.item() == pytest.approx(moved * 12.5 * PJ)


def test_a_strided_convolution_reads_only_what_it_uses():
    net = nn.Conv2d(2, 3, 1, stride=2, bias=False)
    cost = model_cost(net, torch.zeros(1, 2, 8, 8), SMALL)
    assert cost.parts.memory_energy.item() == pytest.approx((2 * 16 + 3 * 16) * 12.5 * PJ)


def test_recurrent_matrices_move_inputs_and_gates_of_each_step():
    net = nn.LSTM(3, 5, bias=False)
    cost = model_cost(net, torch.zeros(7, 2, 3), SMALL, Placement(default="int8"), batch_dim=1)
    part = cost.parts.loc["LSTM.weight_hh_l0"]
    assert part.macs == 7 * 5 * 20
    assert part.memory_energy == pytest.approx((7 * 5 + 7 * 20 + 100) * 12.5 * PJ)
    assert cost.parts.kind["LSTM"] == "other"  # the gates
    assert not len(cost.layers)


def test_products_of_attention_are_int8():
    net = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
    x = torch.zeros(1, 5, 8)
    cost = model_cost(net, (x, x, x), SMALL, Placement({"out_proj": "int8"}))
    macs = 2 * 5 * 5 * 8
    assert cost.parts.macs["MultiheadAttention"] == macs
    assert cost.parts.latency["MultiheadAttention"] == pytest.approx(macs / 256e9)
    assert cost.parts.kind["out_proj"] == "int8"
    assert cost.parts.kind["MultiheadAttention.q_proj"] == "analog"


# ---- moving a layer ------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", LAYERS)
@pytest.mark.parametrize("others", [{}, {"first": "float"}, {"last": "int8"}])
def test_a_layer_in_int8_frees_its_tiles_and_pays_for_its_multiply_accumulates(moved, others):
    others = {name: kind for name, kind in others.items() if name != moved}
    before = three_cost(others)
    after = three_cost(others | {moved: "int8"})
    rows, cols, products = LAYERS[moved]
    assert before.total.tiles.item() - after.total.tiles.item() == tiles(moved)
    partial_sums = products * cols * (math.ceil(rows / 16) - 1)
    more = rows * cols * products * 0.3 * PJ - partial_sums * 0.4 * PJ
    gained = after.total.digital_energy.item() - before.total.digital_energy.item()
    assert gained == pytest.approx(more)
    assert set(before.layers.index) - set(after.layers.index) == {moved}
    lower = ["tiles", "mvms", "adc_conversions", "latency", "energy"]
    assert (after.total[lower] < before.total[lower]).all(axis=None)
    assert after.system.area.item() < before.system.area.item()
    assert after.system.analog_share.item() < before.system.analog_share.item()


@pytest.mark.parametrize("name", LAYERS)
def test_floating_point_is_dearer_than_int8(name):
    int8 = three_cost({name: "int8"}).system.iloc[0]
    fp32 = three_cost({name: "float"}).system.iloc[0]
    assert fp32.energy > int8.energy
    assert fp32.area > int8.area
    assert fp32.latency == int8.latency


def test_each_freed_core_of_hermes_is_larger_than_the_int8_layer_that_leaves_it():
    unit = HERMES.digital
    full_core = HERMES.rows * HERMES.cols * unit.memory_area
    assert full_core + unit.int8.area < HERMES.tile_area


@pytest.mark.parametrize("chip", ["hermes", "isaac"])
def test_a_placement_that_is_all_analog_changes_nothing(chip):
    x = torch.zeros(2, 3, 8, 8)
    plain = model_cost(three_layers(), x, chip)
    placed = model_cost(three_layers(), x, chip, Placement())
    for table in ("layers", "digital", "total", "parts", "system"):
        assert getattr(placed, table).equals(getattr(plain, table))


@pytest.mark.parametrize("kinds", [{}, {"first": "int8"}, {"second": "float", "last": "int8"}])
def test_the_system_is_the_sum_of_its_parts(kinds):
    cost = three_cost(kinds)
    system = cost.system.iloc[0]
    assert system.energy == pytest.approx(
        cost.total.energy.item() + cost.total.digital_energy.item() + cost.parts.memory_energy.sum()
    )
    assert system.latency == pytest.approx(cost.parts.latency.sum())
    assert cost.parts.tiles.sum() == cost.total.tiles.item()
    assert cost.parts.macs.sum() == sum(math.prod(shape) for shape in LAYERS.values())
    np.testing.assert_allclose(cost.shares.sum(), 1)
    share = cost.shares.macs.get("analog", 0)
    assert system.analog_share == pytest.approx(share)


@pytest.mark.parametrize("batch", [1, 3])
def test_costs_are_those_of_one_input(batch):
    kinds = {"first": "int8", "last": "float"}
    np.testing.assert_allclose(
        three_cost(kinds, batch=batch).system, three_cost(kinds).system, rtol=1e-12
    )


# ---- where a layer is ----------------------------------------------------------------------------


def test_the_kind_is_that_of_the_placement():
    kinds = three_cost({"*": "int8", "second": "float"}).parts.kind
    assert kinds.to_dict() == {
        "first": "int8",
        "relu": "other",
        "second": "float",
        "last": "int8",
    }


def test_a_shared_layer_is_placed_by_any_of_its_names():
    net = nn.Sequential()
    net.add_module("a", nn.Linear(4, 4))
    net.add_module("b", net.a)
    cost = model_cost(net, torch.zeros(1, 4), SMALL, Placement({"b": "int8"}))
    assert cost.parts.kind.to_dict() == {"a": "int8"}
    assert cost.parts.macs.item() == 2 * 16


@pytest.mark.parametrize("convert", ["to_analog", "aihwkit"])
def test_what_a_conversion_left_digital_is_in_floating_point(convert):
    net = three_layers()
    if convert == "to_analog":
        analog = to_analog(net, create_rpu_config(), digital=["first", "last"])
    else:
        analog = convert_to_analog(net, create_rpu_config(), exclude_modules=["first", "last"])
    cost = model_cost(analog, torch.zeros(2, 3, 8, 8), SMALL)
    expected = three_cost({"first": "float", "last": "float"})
    assert cost.parts.kind.to_dict() == expected.parts.kind.to_dict()
    np.testing.assert_allclose(cost.total, expected.total, rtol=1e-12)


def test_a_layer_of_a_mixed_network_is_what_it_is_computed_in():
    class Int8Linear(nn.Linear):
        computed_in = "int8"

    net = three_layers()
    analog = to_analog(net, create_rpu_config(), digital=["first", "last"])
    analog.last = Int8Linear(8 * 64, 5, bias=False)
    cost = model_cost(analog, torch.zeros(2, 3, 8, 8), SMALL)
    kinds = {"first": "float", "relu": "other", "second": "analog", "last": "int8"}
    assert cost.parts.kind.to_dict() == kinds


def test_a_placement_holds_for_an_analog_network_too():
    analog = to_analog(three_layers(), create_rpu_config())
    x = torch.zeros(2, 3, 8, 8)
    cost = model_cost(analog, x, SMALL, Placement({"second": "int8"}))
    assert cost.layers.index.tolist() == ["first", "last"]


def test_errors_name_what_is_wrong():
    with pytest.raises(ConfigError, match="'third' matches no module"):
        three_cost({"third": "int8"})
    with pytest.raises(ConfigError, match="'diana' does not compute in fp32"):
        three_cost({"first": "float"}, "diana")


# ---- what is not published -----------------------------------------------------------------------


def test_an_unknown_area_makes_area_and_product_unknown():
    for chip in (ISAAC, CHIPS["diana"], replace(SMALL, tile_area=None)):
        system = three_cost({"first": "int8"}, chip).system.iloc[0]
        assert math.isnan(system.area) and math.isnan(system.edap)
        assert math.isfinite(system.energy * system.latency)


def test_a_network_without_tiles_has_an_area_on_a_chip_of_unknown_tiles():
    everything = {name: "int8" for name in LAYERS}
    assert math.isnan(three_cost({}, ISAAC).system.area.item())
    assert math.isfinite(three_cost(everything, ISAAC).system.area.item())
