"""Scopes: names and values are checked against the records, and a config is divided among them."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analognas.core import PRESETS, ConfigError, HardwareConfig, Placement, Protocol
from analognas.core.placement import KINDS
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.families import FunctionFamily, ResNetFamily
from analognas.search_spaces.hyperparameter import Hyperparameter
from analognas.search_spaces.scopes import NOT_CHOSEN, check_field


def both():
    "A small space with choices of all three kinds; what is chosen depends on another choice."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter_range("hidden", "discrete", [4, 8], mutation_group="width")
    space.add_training_hyperparameter("hwa_lr", "continuous", 0.001, 0.1, log=True)
    space.add_training_hyperparameter("augment", "categorical", range=[True, False])
    space.add_training_hyperparameter(
        "weight_decay", "continuous", 0.0, 0.1, condition=("augment", [False])
    )
    space.add_hardware_hyperparameter("adc_bits", "discrete", 4, 8)
    space.add_hardware_hyperparameter("preset", "categorical", range=["pcm", "reram"])
    space.add_hardware_hyperparameter(
        "g_max", "continuous", 20.0, 30.0, condition=("preset", ["pcm"])
    )
    return space


GOOD = {
    int: [4, 5],
    float: [0.25, 0.5],
    bool: [True, False],
    str: ["pcm", "hermes"],
    bool | str: [True, "per_column"],
}


@pytest.mark.parametrize(
    "scope, record, name",
    [
        (scope, record, f.name)
        for scope, record in (("training", Protocol), ("hardware", HardwareConfig))
        for f in fields(record)
        if f.name not in NOT_CHOSEN
    ],
)
def test_every_field_can_be_chosen_and_is_set(scope, record, name):
    kind = type(getattr(record(), name))
    values = [20.0, 25.0] if name == "g_max" else GOOD[kind]
    ordered = {int: "discrete", float: "continuous"}
    space = ConfigSpace("digits", "custom")
    add = getattr(space, f"add_{scope}_hyperparameter")
    add(name, ordered.get(kind, "categorical"), range=values)
    for value in values:
        parts = space.split({name: value})
        made = {"training": parts.protocol(Protocol()), "hardware": parts.chip(HardwareConfig())}
        expected = record(**{name: value}) if name != "preset" else PRESETS[value]
        assert made[scope] == expected


@pytest.mark.parametrize(
    "scope, name, kind, values, says",
    [
        ("training", "hwa_rate", "continuous", dict(min_value=0.1, max_value=1), "Allowed: 'epo"),
        ("training", "hwa_rl", "continuous", dict(min_value=0.1, max_value=1), "mean 'hwa_lr'"),
        ("training", "t_inference", "categorical", dict(range=["1"]), "Unknown training"),
        ("training", "adc_bits", "discrete", dict(range=[4]), "Unknown training"),
        ("training", "epochs", "discrete", dict(range=[-1, 3]), "'epochs' cannot be -1"),
        ("training", "epochs", "continuous", dict(min_value=1, max_value=3), "whole number"),
        ("training", "epochs", "categorical", dict(range=[1.0, 2.0]), "of type int; got 1.0"),
        ("training", "epochs", "categorical", dict(range=[None, 2]), "of type int; got None"),
        ("training", "hwa_lr", "continuous", dict(min_value=0.0, max_value=1.0), "cannot be 0.0"),
        ("training", "hwa_lr", "categorical", dict(range=["fast"]), "of type float; got 'fast'"),
        ("training", "augment", "categorical", dict(range=["yes"]), "of type bool"),
        ("training", "validation", "continuous", dict(range=[0.95]), "at most 0.9"),
        ("hardware", "adc_bit", "discrete", dict(range=[4]), "mean 'adc_bits'"),
        ("hardware", "adc_bits", "discrete", dict(min_value=1, max_value=8), "cannot be 1"),
        ("hardware", "adc_bits", "discrete", dict(min_value=2, max_value=99), "cannot be 25"),
        ("hardware", "preset", "categorical", dict(range=["pcm", "flash"]), "cannot be 'flash'"),
        (
            "hardware",
            "drift_compensation",
            "discrete",
            dict(range=[0, 1]),
            "of type bool or str; got 0",
        ),
    ],
)
def test_a_bad_declaration_is_refused_and_says_what_is_allowed(scope, name, kind, values, says):
    space = ConfigSpace("digits", "custom")
    with pytest.raises(ConfigError) as e:
        getattr(space, f"add_{scope}_hyperparameter")(name, kind, **values)
    assert says in str(e.value) and len(space) == 0


def test_a_limit_that_one_device_has_does_not_bind_the_others():
    space = ConfigSpace("digits", "custom")
    space.add_hardware_hyperparameter("g_max", "continuous", 5.0, 80.0)
    with pytest.raises(ConfigError, match="g_max"):
        space.split({"g_max": 5.0}).chip(PRESETS["reram"])
    assert space.split({"g_max": 5.0}).chip(PRESETS["pcm"]).g_max == 5.0


def test_an_architecture_cannot_depend_on_its_training():
    space = both()
    with pytest.raises(ConfigError, match="belongs to the architecture and cannot depend on"):
        space.add_hyperparameter("depth", "discrete", 1, 2, condition=("adc_bits", 6))


@given(st.integers(0, 2**32))
def test_parts_hold_what_is_active_and_nothing_else(seed):
    space = both()
    config = space.sample_arch(seed)
    parts = space.split(config)
    assert parts.architecture == {"hidden": config["hidden"]}
    expected = {"hwa_lr": config["hwa_lr"], "augment": config["augment"]}
    if not config["augment"]:
        expected["weight_decay"] = config["weight_decay"]
    assert parts.training == expected
    base = Protocol(epochs=3)
    assert parts.protocol(base) == replace(base, **expected)
    chip = parts.chip(PRESETS["hermes"])
    assert (chip.preset, chip.adc_bits) == (config["preset"], config["adc_bits"])
    assert chip.g_max == (config["g_max"] if chip.preset == "pcm" else PRESETS["reram"].g_max)


@given(st.integers(0, 2**32))
def test_the_network_is_the_same_and_the_evaluation_another(seed):
    space, plain = ConfigSpace("digits"), ConfigSpace("digits")
    space.add_training_hyperparameter("epochs", "discrete", 1, 9)
    space.add_hardware_hyperparameter("tile_size", "discrete", range=[64, 256])
    config = space.sample_arch(seed)
    other = config | {"epochs": config["epochs"] % 9 + 1}
    architecture = space.split(config).architecture
    assert space.arch_id(config) == space.arch_id(other) == plain.arch_id(architecture)
    assert space.key(config) != space.key(other)
    assert space.evaluation_id(config) != space.evaluation_id(other)
    for name, values in plain.stats([architecture]).items():
        assert space.stats([config])[name] == values
    assert [layer.macs for layer in space.crossbar_layers([config])] == [
        layer.macs for layer in plain.crossbar_layers([architecture])
    ]
    names, X = space.features([config])
    plain_names, plain_X = plain.features([architecture])
    assert [n for n in names if n in ("epochs", "tile_size")] == ["epochs", "tile_size"]
    rest = [i for i, name in enumerate(names) if name in plain_names]
    np.testing.assert_array_equal(X[:, rest], plain_X)


def test_a_network_function_gets_the_architecture_only():
    seen = []
    family = FunctionFamily(lambda config, input_dim, classes: seen.append(config))
    space = ConfigSpace("digits", family)
    space.add_hyperparameter("hidden", "discrete", 1, 4)
    space.add_training_hyperparameter("epochs", "discrete", 1, 9)
    space.build_network({"hidden": 2, "epochs": 3})
    assert seen == [{"hidden": 2}]


def test_scopes_survive_json_and_are_shown():
    space = both()
    again = ConfigSpace.from_json(space.to_json())
    assert again.hyperparameters == space.hyperparameters
    assert again.names_in("training") == ["hwa_lr", "augment", "weight_decay"]
    assert "<td>hardware</td>" in space._repr_html_()
    first = ConfigSpace("digits").to_dict()["hyperparameters"][0]
    assert "scope" not in first and ResNetFamily().hyperparameters()[0].scope == "architecture"


# ---- placement ----------------------------------------------------------------------------------


def placed():
    "A space whose networks cannot be built, so that any name is one of a layer."
    space = both()
    space.add_placement_hyperparameter("all", "*", ["analog", "int8", "float"])
    space.add_placement_hyperparameter("ends", ["stem", "head.0"], condition=("hidden", 8))
    space.add_placement_hyperparameter("head.0", kinds=["int8", "float"])
    return space


def test_placements_are_split_in_the_order_of_their_hyperparameters():
    space = placed()
    config = space.sample_arch(0) | {
        "hidden": 8,
        "all": "int8",
        "ends": "analog",
        "head.0": "float",
    }
    entries = space.split(space.canonical(config)).placement
    assert list(entries.items()) == [("*", "int8"), ("stem", "analog"), ("head.0", "float")]
    assert list(space.split(config | {"hidden": 4}).placement) == ["*", "head.0"]


def test_entries_of_a_config_stand_behind_those_that_are_given():
    parts = placed().split(
        placed().sample_arch(0) | {"hidden": 4, "all": "int8", "head.0": "float"}
    )
    given = Placement({"head.0": "analog", "body": "float"}, "float")
    assert parts.placed(given) == Placement(
        {"body": "float", "*": "int8", "head.0": "float"}, "float"
    )
    assert both().split(both().sample_arch(0)).placed() is None
    assert both().split(both().sample_arch(0)).placed(given) == given


def test_placements_survive_json_and_are_shown():
    space = placed()
    again = ConfigSpace.from_json(space.to_json())
    assert again.hyperparameters == space.hyperparameters
    assert again.names_in("placement") == ["all", "ends", "head.0"]
    assert "<td>placement</td>" in space._repr_html_()
    assert "for stem, head.0" in repr(space) and "for head.0" not in str(space["head.0"])
    plain = both().to_dict()["hyperparameters"]
    assert not any("modules" in data for data in plain)


@given(st.integers(0, 2**32))
def test_placements_are_features_and_are_mutated(seed):
    space = placed()
    config = space.sample_arch(seed)
    row = dict(zip(space.feature_names, space.encode([config])[0], strict=True))
    assert row[f"all={config['all']}"] == 1 and sum(row[f"all={k}"] for k in KINDS) == 1
    near = space.neighbours(config)
    others = [c["all"] for c in near if c["all"] != config["all"]]
    assert sorted([*others, config["all"]]) == sorted(KINDS)
    for neighbour in near:
        space.validate(neighbour)
        assert space.key(neighbour) != space.key(config)


def test_another_placement_is_another_evaluation_of_the_same_network():
    space = placed()
    config = space.canonical(space.sample_arch(1) | {"all": "int8"})
    other = config | {"all": "float"}
    assert space.arch_id(config) == space.arch_id(other)
    assert space.evaluation_id(config) != space.evaluation_id(other)


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"name": "seed"}, "cannot be called 'seed'"),
        ({"name": "fc", "kinds": ["int4", "int8"]}, "Unknown kind of 'fc' 'int4'"),
        ({"name": "fc", "kinds": []}, "must list at least one value"),
        ({"name": "fc", "modules": []}, "needs names or patterns of modules"),
        ({"name": "fc", "modules": ["a", 3]}, "needs names or patterns of modules"),
        ({"name": "fc", "modules": ""}, "needs names or patterns of modules"),
        ({"name": "all"}, "already has a hyperparameter 'all'"),
    ],
)
def test_a_bad_placement_is_refused(arguments, says):
    with pytest.raises(ConfigError) as e:
        placed().add_placement_hyperparameter(**arguments)
    assert says in str(e.value)


def test_only_a_placement_names_modules():
    h = Hyperparameter("hidden", "discrete", range=(4, 8), modules=("fc",))
    with pytest.raises(ConfigError, match="of the architecture cannot place modules"):
        check_field(h)
    with pytest.raises(ConfigError, match="must be categorical"):
        check_field(Hyperparameter("fc", "discrete", range=(1, 2), scope="placement"))


def test_an_architecture_cannot_depend_on_its_placement():
    with pytest.raises(ConfigError, match="belongs to the architecture and cannot depend on"):
        placed().add_hyperparameter("depth", "discrete", 1, 2, condition=("all", ["int8"]))
