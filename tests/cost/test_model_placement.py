"""Costs of configs that keep layers digital, against the cost of the built network and counts by hand."""

import numpy as np
import pytest
import torch

from analognas.core import ConfigError
from analognas.core.placement import Placement
from analognas.cost.model import DIANA, HERMES, hardware_cost, layer_costs
from analognas.cost.networks import model_cost
from analognas.search_algorithms.constraints import static_quantities
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space


def two_layers(config, input_dim, classes):
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, config["hidden"], bias=False),
        torch.nn.Linear(config["hidden"], classes, bias=False),
    )


def own_space():
    space = ConfigSpace("digits", "custom", two_layers)
    space.add_hyperparameter("hidden", "discrete", 4, 300)
    space.add_placement_hyperparameter("first", "1", ["analog", "int8", "float"])
    return space


@pytest.mark.parametrize(
    "make", [lambda: ConfigSpace("digits"), lambda: NASBench201Space("digits")]
)
def test_tiles_are_those_of_the_built_network(make):
    plain, space = make(), make()
    patterns = {"ResNet": "*shortcut*", "NAS": "*"}
    pattern = patterns["NAS" if "edge" in str(plain.get_hyperparameters()) else "ResNet"]
    space.add_placement_hyperparameter("some", pattern)
    drawn = plain.sample_arch_uniformly(30, 1)
    config = min(drawn, key=lambda c: plain.stats([c])["params"][0])
    found = hardware_cost(space, [config | {"some": "int8"}, config | {"some": "analog"}])
    placement = Placement({pattern: "int8"})
    built = model_cost(plain.build_network(config), torch.zeros(1, 1, 8, 8), placement=placement)
    assert found.tiles[0] == built.total.tiles[0]
    assert found.mvms[0] == built.total.mvms[0]
    expected = hardware_cost(plain, [config]).iloc[0]
    for name in expected.index:
        assert found[name][1] == pytest.approx(expected[name])


def test_a_digital_layer_costs_its_products_and_its_weights():
    space = own_space()
    unit = HERMES.digital
    for kind, array in (("int8", unit.int8), ("float", unit.fp32)):
        found = hardware_cost(space, [{"hidden": 20, "first": kind}], HERMES).iloc[0]
        macs = 64 * 20
        energy = macs * array.energy + macs * array.size * unit.memory_energy
        assert found.energy == pytest.approx(energy + HERMES.mvm_energy)
        assert found.latency == pytest.approx(macs / array.rate + HERMES.mvm_time)
        assert found.tiles == found.mvms == 1  # the last layer


def test_rows_are_in_the_order_of_the_configs_also_with_chips_of_their_own():
    space = own_space()
    space.add_hardware_hyperparameter("tile_size", "discrete", range=[32, 256])
    configs = space.sample_arch_uniformly(12, 0)
    found = hardware_cost(space, configs)
    for i, config in enumerate(configs):
        size, hidden = config["tile_size"], config["hidden"]
        first = -(-64 // size) * -(-hidden // size) * (config["first"] == "analog")
        assert found.tiles[i] == first + -(-hidden // size) * -(-10 // size)


def test_layers_of_a_floor_plan_are_those_on_tiles():
    space = own_space()
    assert list(layer_costs(space, {"hidden": 8, "first": "analog"}).index) == ["1", "2"]
    assert list(layer_costs(space, {"hidden": 8, "first": "int8"}).index) == ["2"]
    space.add_placement_hyperparameter("last", "2")
    with pytest.raises(ConfigError, match="nothing to put on tiles"):
        layer_costs(space, {"hidden": 8, "first": "int8", "last": "int8"})


def test_no_config_has_no_cost():
    assert len(hardware_cost(own_space(), [])) == 0


def test_a_kind_that_the_chip_has_no_unit_for_is_named():
    with pytest.raises(ConfigError, match="does not compute in fp32"):
        hardware_cost(own_space(), [{"hidden": 8, "first": "float"}], DIANA)


def test_limits_of_a_search_count_what_is_on_tiles():
    space = own_space()
    configs = [{"hidden": 300, "first": kind} for kind in ("analog", "int8")]
    tiles = static_quantities(space, configs, ["tiles"])["tiles"]
    assert np.array_equal(tiles, [4, 2])
