"""Modules that a placement names: they exist in some network of the space, or are refused."""

import pytest
import torch

from analognas.core import ConfigError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.network_modules import build_outline, names_with_matrices


def deep(config, input_dim, classes):
    "As many hidden layers as the config says."
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 8)]
    layers += [torch.nn.Linear(8, 8) for _ in range(config["depth"])]
    return torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(8, classes))


def own_space():
    space = ConfigSpace("digits", "custom", deep)
    space.add_hyperparameter("depth", "discrete", 0, 6, mutation_group="depth")
    return space


@pytest.mark.parametrize(
    "make", [lambda: ConfigSpace("digits"), lambda: NASBench201Space("digits")]
)
def test_outline_has_the_names_of_the_network_and_no_memory(make):
    space = make()
    drawn = space.sample_arch_uniformly(20, 0)
    config = min(drawn, key=lambda c: space.stats([c])["params"][0])
    outline, network = build_outline(space, config), space.build_network(config)
    assert names_with_matrices(outline) == names_with_matrices(network)
    assert {p.device.type for p in outline.parameters()} == {"meta"}


def test_building_leaves_the_generator_as_it_was():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    own_space().add_placement_hyperparameter("1")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_layer_of_deep_networks_alone_can_be_named():
    space = own_space()
    space.add_placement_hyperparameter("7", condition=("depth", 6))
    space.add_placement_hyperparameter("6")
    assert space.split({"depth": 2, "7": "int8", "6": "int8"}).placement == {"6": "int8"}


@pytest.mark.parametrize(
    "pattern, near",
    [("12", "'12' is no layer of any of 9 networks"), ("0", "'0' is no layer"), ("Linear*", "1")],
)
def test_a_layer_that_no_network_has_is_refused(pattern, near):
    space = own_space()
    with pytest.raises(ConfigError) as e:
        space.add_placement_hyperparameter("odd", ["1", pattern])
    assert near in str(e.value) and len(space) == 1


def test_a_layer_is_looked_for_where_the_choice_is_active():
    with pytest.raises(ConfigError, match="'7' is no layer"):
        own_space().add_placement_hyperparameter("7", condition=("depth", [1, 2]))


@pytest.mark.parametrize("condition", [("depth", 2), ("depth", [1, 2, 4])])
def test_a_layer_of_some_networks_with_the_choice_is_found(condition):
    "Index 7 is a layer in networks of depth 4 and of depth 6."
    space = own_space()
    space.add_placement_hyperparameter("7", condition=condition)
    assert space.names_in("placement") == ["7"]


def test_placements_come_after_what_the_network_needs():
    space = ConfigSpace("digits", "custom", deep)
    with pytest.raises(ConfigError, match="hyperparameters of the architecture first"):
        space.add_placement_hyperparameter("1")


def test_a_space_without_networks_takes_any_name():
    space = ConfigSpace("digits", "custom")
    space.add_placement_hyperparameter("anything")
    assert space.names_in("placement") == ["anything"]
