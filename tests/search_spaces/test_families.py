"""Network families: one written outside the package, functions in place of a family, names and files."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analognas.bench.baselines import count_macs
from analognas.core import ConfigError, FileFormatError
from analognas.cost.model import hardware_cost
from analognas.plots.blocks import architecture_data
from analognas.search_spaces import families
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.families import (
    CellFamily,
    FunctionFamily,
    NetworkFamily,
    ResNetFamily,
    check_skeleton,
    register_family,
)
from analognas.search_spaces.hyperparameter import Hyperparameter
from analognas.search_spaces.layers import LayerShape
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import config_of


class Perceptrons:
    "A family without any base class: one hidden layer, every number by arithmetic."

    name = "perceptrons"
    can_build = True

    def __init__(self, bias=True):
        self.bias = bias

    def hyperparameters(self):
        return [Hyperparameter("hidden", "discrete", range=(8, 16, 600), mutation_group="width")]

    def build(self, config, input_dim, classes):
        inputs = int(np.prod(input_dim))
        hidden = torch.nn.Linear(inputs, config["hidden"], bias=self.bias)
        last = torch.nn.Linear(config["hidden"], classes, bias=self.bias)
        return torch.nn.Sequential(torch.nn.Flatten(), hidden, torch.nn.ReLU(), last)

    def static_metrics(self, columns, input_dim, classes):
        layers = list(self.crossbar_layers(columns, input_dim, classes))
        return {
            "params": sum(layer.params for layer in layers),
            "macs": sum(layer.macs for layer in layers),
            "depth": np.full(len(columns["hidden"]), 2),
            "widest": columns["hidden"],
        }

    def stats(self, columns, input_dim, classes):
        metrics = self.static_metrics(columns, input_dim, classes)
        return {name: metrics[name] for name in ("params", "macs", "depth")}

    def crossbar_layers(self, columns, input_dim, classes):
        hidden = columns["hidden"].astype(int)
        bias = int(self.bias)
        yield LayerShape("1", int(np.prod(input_dim)), hidden, 1, 1, bias)
        yield LayerShape("3", hidden, classes, 1, 1, bias)

    def arch_id(self, config):
        return f"perceptron of {config['hidden']}"

    def to_dict(self):
        return {"bias": self.bias}

    @classmethod
    def from_dict(cls, data):
        return cls(**data)


class BuiltOnly(NetworkFamily):
    "A family that only builds; the space counts what it builds."

    name = "built-only"

    def hyperparameters(self):
        return Perceptrons().hyperparameters()

    def build(self, config, input_dim, classes):
        return Perceptrons().build(config, input_dim, classes)


CONFIGS = [{"hidden": 8}, {"hidden": 600}]


@pytest.fixture
def registered():
    "Register both families for one test."
    known = dict(families.FAMILIES)
    register_family(Perceptrons)
    register_family(BuiltOnly)
    yield
    families.FAMILIES.clear()
    families.FAMILIES.update(known)


def parameters(space, config):
    return sum(p.numel() for p in space.build_network(config).parameters())


# ---- a family of one's own


@pytest.mark.parametrize("bias", [True, False])
def test_own_family_has_static_metrics(bias):
    space = ConfigSpace("digits", Perceptrons(bias))
    stats = space.stats(CONFIGS)
    assert stats["params"].tolist() == [parameters(space, c) for c in CONFIGS]
    assert stats["macs"].tolist() == [64 * 8 + 8 * 10, 64 * 600 + 600 * 10]
    assert space.static_metrics(space.columns(CONFIGS))["widest"].tolist() == [8, 600]


def test_own_family_metrics_are_features():
    names, matrix = ConfigSpace("digits", Perceptrons()).features(CONFIGS)
    assert names == ["hidden", "log10_params", "log10_macs", "depth", "widest"]
    assert matrix[:, -1].tolist() == [8, 600]


def test_a_feature_that_is_no_number_is_refused():
    "A tree would take NaN as a missing value and predict all the same."

    class Broken(Perceptrons):
        def static_metrics(self, columns, input_dim, classes):
            metrics = super().static_metrics(columns, input_dim, classes)
            return metrics | {"widest": np.array([8, np.nan])}

    with pytest.raises(ConfigError, match="NaN in 'widest'"):
        ConfigSpace("digits", Broken()).features(CONFIGS)


def test_own_family_has_hardware_cost():
    cost = hardware_cost(ConfigSpace("digits", Perceptrons()), CONFIGS)
    assert cost.tiles.tolist() == [2, 3 + 3]  # tiles of 256 x 256
    built = hardware_cost(ConfigSpace("digits", BuiltOnly()), CONFIGS)
    np.testing.assert_allclose(cost, built)


def test_own_family_arch_id_names_the_network():
    space = ConfigSpace("digits", Perceptrons())
    assert space.arch_id({"hidden": 8.0}) == "perceptron of 8"


@pytest.mark.usefixtures("registered")
def test_own_family_round_trips_as_json():
    space = ConfigSpace("digits", Perceptrons(bias=False))
    again = ConfigSpace.from_json(space.to_json())
    assert type(again.family) is Perceptrons
    assert again.family.bias is False
    assert again.to_dict() == space.to_dict() == json.loads(space.to_json())
    assert again.stats(CONFIGS)["params"].tolist() == space.stats(CONFIGS)["params"].tolist()


@pytest.mark.usefixtures("registered")
def test_registered_family_is_known_by_name():
    assert ConfigSpace("digits", "perceptrons").get_hyperparameters() == ["hidden"]


def test_unregistered_family_cannot_be_read():
    text = ConfigSpace("digits", Perceptrons()).to_json()
    with pytest.raises(FileFormatError, match="Unknown search space 'perceptrons'"):
        ConfigSpace.from_json(text)


@pytest.mark.parametrize("name", ["resnet-like", "nasbench201", "custom"])
def test_family_cannot_replace_one_of_the_package(name):
    taken = type("Taken", (BuiltOnly,), {"name": name})
    with pytest.raises(ConfigError, match=f"cannot be called '{name}'"):
        register_family(taken)


def test_family_that_only_builds_has_parameters():
    space = ConfigSpace("digits", BuiltOnly())
    assert space.stats(CONFIGS)["params"].tolist() == [parameters(space, c) for c in CONFIGS]
    assert space.arch_id(CONFIGS[0]) == space.key(CONFIGS[0])


def test_family_without_build_names_itself():
    space = ConfigSpace("digits", type("Half", (NetworkFamily,), {"name": "half"})())
    with pytest.raises(NotImplementedError, match="Half does not define `build`"):
        space.build_network({})


@pytest.mark.parametrize("what", [3, None, ["resnet-like"]])
def test_what_is_no_family_is_refused(what):
    with pytest.raises(ConfigError, match="neither the name of a search space nor a network fam"):
        ConfigSpace("digits", what)


def test_family_that_lacks_a_method_is_refused():
    half = type("Half", (), {"name": "half", "can_build": True})()
    with pytest.raises(ConfigError, match="it has no .*build.*crossbar_layers.*to_dict"):
        ConfigSpace("digits", half)


# ---- another first convolution


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_another_stem_is_built_counted_and_comes_back(kernel):
    "PyTorch counts the built network; the input keeps its height and width."
    space = ConfigSpace("CIFAR-10", ResNetFamily(stem_kernel=kernel))
    again = ConfigSpace.from_json(space.to_json())
    for config in space.sample_arch_uniformly(200, kernel):
        stats = {name: int(value[0]) for name, value in space.stats([config]).items()}
        if stats["macs"] > 2e7:
            continue
        network = space.build_network(config)
        assert network.stem[0].kernel_size == (kernel, kernel)
        assert network.stem(torch.zeros(1, 3, 32, 32)).shape[2:] == (32, 32)
        assert stats["params"] == sum(p.numel() for p in network.parameters())
        assert stats["macs"] == count_macs(network, (3, 32, 32))
        assert {name: int(v[0]) for name, v in again.stats([config]).items()} == stats
        layers = {layer.name: layer for layer in space.crossbar_layers([config])}
        assert layers["stem"].rows == 3 * kernel**2
        assert (
            architecture_data(space, config).params.iloc[0]
            == (3 * kernel**2 + 2) * config["out_channel0"]
        )


def test_the_stem_of_analognas_is_not_written_and_an_even_one_refused():
    assert ResNetFamily().to_dict() == {}
    assert ConfigSpace("CIFAR-10", ResNetFamily(7)).to_dict() == ConfigSpace("CIFAR-10").to_dict()
    with pytest.raises(ConfigError, match="stem_kernel must be odd; got 4"):
        ResNetFamily(4)


# ---- functions in place of a family


def linear(config, input_dim, classes):
    return torch.nn.Linear(input_dim[2], classes, bias=False)


@pytest.mark.parametrize("base", [ResNetFamily(), CellFamily()], ids=["resnet", "cells"])
def test_function_keeps_hyperparameters_and_identity_of_its_base(base):
    space = ConfigSpace("digits", base, linear)
    plain = ConfigSpace("digits", base)
    config = space.sample_arch(0)
    assert space.hyperparameters == plain.hyperparameters
    assert space.arch_id(config) == plain.arch_id(config)
    assert space.to_dict() == plain.to_dict()


def test_function_replaces_the_arithmetic_of_its_base():
    space = ConfigSpace("digits", network=linear)
    config = space.sample_arch(0)
    assert space.search_space == "resnet-like"
    assert space.stats([config])["params"].tolist() == [80]
    assert space.static_metrics(space.columns([config])) == {}


def test_function_is_given_again_when_a_space_is_read():
    text = NASBench201Space("digits", network=linear, channels=4).to_json()
    space = ConfigSpace.from_json(text, network=linear)
    assert type(space.family) is FunctionFamily
    assert space.family.base.skeleton["channels"] == 4
    assert space.stats([space.sample_arch(0)])["params"].tolist() == [80]


def test_custom_space_without_function_cannot_build():
    assert not ConfigSpace("digits", "custom").can_build
    assert ConfigSpace("digits", "custom", linear).can_build


def test_custom_space_with_settings_is_refused():
    data = ConfigSpace("digits", "custom").to_dict() | {"network": "os.system"}
    with pytest.raises(FileFormatError, match="has no settings; got network"):
        ConfigSpace.from_dict(data)


# ---- files of 0.1.0


@pytest.mark.parametrize(
    "search_space, rest",
    [
        ("resnet-like", {}),
        ("custom", {}),
        ("nasbench201", {"skeleton": {"channels": 8, "cells_per_stage": 2}}),
    ],
)
def test_space_as_written_by_0_1_0_is_read_and_written_unchanged(search_space, rest):
    data = {
        "search_space": search_space,
        "dataset": {"name": "digits", "input_dim": [1, 8, 8], "classes": 10},
        "hyperparameters": [
            {
                "name": "M",
                "type": "discrete",
                "range": None,
                "min_value": 1,
                "max_value": 5,
                "step": 1,
                "log": False,
                "active_from": None,
                "role": "depth",
            },
            {
                "name": "op",
                "type": "categorical",
                "range": ["a", "b"],
                "min_value": None,
                "max_value": None,
                "step": None,
                "log": False,
                "active_from": ["M", 3],
                "role": "other",
            },
        ],
    } | rest
    space = ConfigSpace.from_json(json.dumps(data))
    assert json.loads(space.to_json()) == space.to_dict() == data
    assert space["op"].condition == ("M", 3)
    assert space["M"].mutation_group == "depth"
    assert space.key({"M": 2, "op": "a"}) == '{"M": 2, "op": 0}'


def renumbered(cell):
    "Return a cell with nodes 1 and 2 exchanged, which needs that no edge joins them."
    edge_01, edge_02, edge_03, edge_12, edge_13, edge_23 = cell
    assert edge_12 == 1  # none
    return (edge_02, edge_01, edge_03, edge_12, edge_23, edge_13)


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_a_cell_with_renumbered_nodes_has_the_same_features(cell):
    cell[3] = 1
    space = NASBench201Space()
    first, second = (config_of(c) for c in (tuple(cell), renumbered(cell)))
    assert np.array_equal(space.features([first])[1], space.features([second])[1])


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6), st.integers(0, 4))
def test_an_edge_into_a_dead_end_changes_no_feature(cell, operation):
    cell[4] = cell[3] = 1  # node 1 leads nowhere
    other = [operation, *cell[1:]]
    space = NASBench201Space()
    found = space.features([config_of(cell), config_of(other)])[1]
    assert np.array_equal(*found)


def test_features_of_a_cell_do_not_depend_on_the_others():
    space = NASBench201Space()
    configs = space.sample_arch_uniformly(30, 0)
    together = space.features(configs)[1]
    assert np.array_equal(together[[7]], space.features(configs[7:8])[1])
    assert np.array_equal(together[::-1], space.features(configs[::-1])[1])


def shapes(space, config):
    return {name: tuple(t.shape) for name, t in space.build_network(config).state_dict().items()}


def test_widening_factors_that_round_to_the_same_widths_have_the_same_features():
    space = ConfigSpace("CIFAR-10")
    config = space.sample_arch(0)
    for name, value in {"M": 2, "out_channel0": 8, "R1": 1, "R2": 1, "widenfact1": 0.7}.items():
        config = space.with_value(config, name, value)
    same = space.with_value(config, "widenfact1", 0.75)  # 8 / 0.7 and 8 / 0.75 round to 11
    other = space.with_value(config, "widenfact1", 0.8)  # to 10
    assert shapes(space, config) == shapes(space, same) != shapes(space, other)
    features = space.features([config, same, other])[1]
    assert np.array_equal(features[0], features[1])
    assert not np.array_equal(features[0], features[2])


def test_choices_of_training_stay_features_of_a_cell():
    space = NASBench201Space()
    space.add_training_hyperparameter("hwa_lr", "continuous", 0.01, 0.1)
    configs = [config_of((2, 1, 0, 1, 2, 1)) | {"hwa_lr": lr} for lr in (0.02, 0.05)]
    names, features = space.features(configs)
    assert features[:, names.index("hwa_lr")].tolist() == [0.02, 0.05]
    others = np.delete(features, names.index("hwa_lr"), axis=1)
    assert np.array_equal(*others)


# Table of the ResNet-like space: AnalogNAS, IEEE EDGE 2023
PUBLISHED = {
    "out_channel0": [8, 12, 16, 32, 48, 64],
    "M": [1, 2, 3, 4, 5],
    **{f"R{m}": list(range(1, 17)) for m in range(1, 6)},
    **{f"convblock{m}": [1, 2] for m in range(1, 6)},
    **{f"widenfact{m}": [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8] for m in range(1, 6)},
    **{f"B{m}": [1, 2, 3, 4, 5] for m in range(1, 6)},
}


def test_the_22_hyperparameters_have_the_published_values():
    found = {h.name: list(h.values) for h in ResNetFamily().hyperparameters()}
    assert found.keys() == PUBLISHED.keys()
    assert all(found[name] == pytest.approx(PUBLISHED[name]) for name in PUBLISHED)


def test_groups_depend_on_their_number():
    conditions = {h.name: h.condition for h in ResNetFamily().hyperparameters()}
    for name, condition in conditions.items():
        group = int(name[-1]) if name not in ("out_channel0", "M") else 1
        assert condition == (("M", group) if group > 1 else None)


def test_width_and_depth_are_mutated_apart():
    groups = {h.name.rstrip("012345"): h.mutation_group for h in ResNetFamily().hyperparameters()}
    width = {name for name, group in groups.items() if group == "width"}
    assert width == {"out_channel", "widenfact", "B"}
    assert set(groups.values()) == {"width", "depth"}


def test_cells_have_the_published_skeleton():
    assert CellFamily().skeleton == check_skeleton() == {"channels": 16, "cells_per_stage": 5}
