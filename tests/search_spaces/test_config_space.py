"""The search space: counted by enumeration, canonical forms, distances, neighbours, errors and what a reader sees."""

import html
import itertools
import json
import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from analognas.core import DATASETS, ConfigError, DatasetInfo, FileFormatError
from analognas.evaluators.base_evaluator import Prediction
from analognas.search_algorithms.candidates import (
    crossover,
    crossover_pair,
    enumerate_configs,
    mutate,
)
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.history import History
from analognas.search_algorithms.report import progress_table
from analognas.search_algorithms.run_directory import EVALUATIONS, PREDICTION_COLUMNS
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.configs import check_name, read_columns
from analognas.search_spaces.families import CellFamily
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.scopes import CHECKED_SCOPES
from analognas.training.label_store import Record, _table
from analognas.training.labels import TARGETS

PLAIN = {int, float, str, bool, type(None)}
NAMES = ["out_channel0", "M"] + [
    f"{h}{m}" for m in range(1, 6) for h in ("R", "convblock", "widenfact", "B")
]


@st.composite
def spaces(draw, max_size=4):
    """A small space: up to three ordered hyperparameters, and children that are active from some
    value of one of them."""
    space = ConfigSpace("digits", "custom")
    for i in range(draw(st.integers(1, 3))):
        kind, low, n = (
            draw(st.sampled_from(["grid", "discrete", "listed"])),
            draw(st.integers(-2, 3)),
            draw(st.integers(1, max_size)),
        )
        if kind == "grid":
            space.add_hyperparameter(
                f"p{i}", "continuous", low / 2, low / 2 + 0.1 * (n - 1), step=0.1
            )
        elif kind == "discrete":
            space.add_hyperparameter(f"p{i}", "discrete", low, low + 2 * (n - 1), step=2)
        else:
            space.add_hyperparameter_range(f"p{i}", "discrete", [low + k * k for k in range(n)])
    for i in range(draw(st.integers(0, 3))):
        parent = draw(
            st.sampled_from(
                [
                    h
                    for h in space.hyperparameters
                    if h.condition is None and h.type != "categorical"
                ]
            )
        )
        when = draw(
            st.none()
            | st.sampled_from(parent.values).map(lambda v, parent=parent: (parent.name, v))
            | st.just((parent.name, 99))
        )
        values = draw(st.sampled_from([["a", "b", "c"], [0, 1], [5], ["x"]]))
        kind = "categorical" if isinstance(values[0], str) or draw(st.booleans()) else "discrete"
        space.add_hyperparameter_range(f"c{i}", kind, values, condition=when)
    return space


def everything(space):
    "Every config, also those that differ only in what is inactive."
    return [
        dict(zip(space.get_hyperparameters(), values))
        for values in itertools.product(*(h.values for h in space.hyperparameters))
    ]


def meaning(space, config):
    "A config as the set of what matters in it: a second definition of `canonical`."
    return frozenset(
        (h.name, config[h.name])
        for h in space.hyperparameters
        if h.condition is None or config[h.condition[0]] >= h.condition[1]
    )


# ---- counting and canonical forms -----------------------------------------------------------------------------------


@given(spaces())
def test_size_is_the_number_of_different_architectures(space):
    assert space.compute_cs_size() == len({meaning(space, c) for c in everything(space)})


@given(spaces(3))
def test_canonical_form_is_idempotent_and_key_means_the_same(space):
    by_key = {}
    for c in everything(space):
        canonical = space.canonical(c)
        space.validate(canonical)
        assert (
            space.canonical(canonical) == canonical
            and list(canonical) == space.get_hyperparameters()
        )
        assert space.key(c) == space.key(canonical) and json.loads(space.key(c)) == canonical
        by_key.setdefault(space.key(c), set()).add(meaning(space, c))
    assert all(len(meanings) == 1 for meanings in by_key.values())
    assert len(by_key) == len(set().union(*by_key.values()))


def test_equal_configs_have_equal_keys():
    "However a number is written, and within what counts as allowed, an architecture has one key."
    space = ConfigSpace()
    c = space.sample_arch(0)
    for other in (
        c | {"R1": float(c["R1"])},
        c | {"R1": np.int64(c["R1"])},
        c | {"widenfact1": np.float64(c["widenfact1"])},
        dict(reversed(c.items())),
    ):
        space.validate(other)
        assert space.key(other) == space.key(c)
    grid = c | {"widenfact1": 0.55}
    space.validate(grid | {"widenfact1": 0.5 + 0.05 + 1e-12})
    assert space.key(grid | {"widenfact1": 0.5 + 0.05 + 1e-12}) == space.key(grid)


def test_published_names_and_size():
    space = ConfigSpace("CIFAR-10")
    assert (
        space.get_hyperparameters() == NAMES
        and type(space.get_hyperparameters()) is list
        and len(space) == 22
    )
    assert space.compute_cs_size() == 6 * sum((16 * 2 * 7 * 5) ** M for M in range(1, 6))


# ---- draws ----------------------------------------------------------------------------------------------------------


@given(spaces(), st.integers(0, 2**32))
def test_draws_are_valid_canonical_plain_and_repeatable(space, seed):
    draws = space.sample_arch_uniformly(5, seed)
    assert draws == space.sample_arch_uniformly(5, seed)
    for c in draws:
        space.validate(c)
        assert (
            space.canonical(c) == c
            and json.loads(json.dumps(c)) == c
            and {type(v) for v in c.values()} <= PLAIN
        )


def test_resnet_draws_are_plain():
    space = ConfigSpace()
    for c in space.sample_arch_uniformly(200, 0):
        assert json.loads(json.dumps(c)) == c and {type(v) for v in c.values()} <= {int, float}


def test_every_number_of_groups_is_as_likely():
    space = ConfigSpace()
    draws = space.sample_arch_uniformly(3000, 1)
    assert chisquare([v for _, v in sorted(Counter(c["M"] for c in draws).items())]).pvalue > 1e-3
    assert set(Counter(c["M"] for c in draws)) == {1, 2, 3, 4, 5}
    for name in ("out_channel0", "R1", "convblock1", "widenfact1", "B1"):
        counts = Counter(c[name] for c in draws)
        assert (
            set(counts) == set(space[name].values)
            and chisquare(list(counts.values())).pvalue > 1e-3
        )


def test_a_generator_goes_on_and_a_seed_starts_again():
    space, rng = ConfigSpace(), np.random.default_rng(0)
    assert [space.sample_arch(rng), space.sample_arch(rng)] == space.sample_arch_uniformly(2, 0)
    assert space.sample_arch_uniformly(0) == []
    for bad in (-1, 1.5, "3"):
        with pytest.raises(ConfigError, match="n must be a whole number"):
            space.sample_arch_uniformly(bad)


@given(spaces())
def test_features_are_one_number_per_hyperparameter_and_one_per_category(space):
    configs = space.sample_arch_uniformly(4, 0)
    X = space.encode(configs)
    assert X.shape == (4, len(space.feature_names)) and np.isfinite(X).all()
    assert space.encode([]).shape == (0, len(space.feature_names))
    for row, c in zip(X, configs):
        for f, x in zip(space.feature_names, row):
            name, _, category = f.partition("=")
            if category:
                h = space[name]
                assert x == (
                    str(c[name]) == category
                    and (h.condition is None or c[h.condition[0]] >= h.condition[1])
                )
            else:
                assert x == c[name]


# ---- nearness -------------------------------------------------------------------------------------------------------


@given(spaces(3), st.integers(0, 2**32))
def test_neighbours_are_valid_distinct_and_differ_in_one_thing_that_matters(space, seed):
    config = space.sample_arch(seed)
    near = space.neighbours(config)
    keys = [space.key(c) for c in near]
    assert len(set(keys)) == len(keys) and space.key(config) not in keys
    for c in near:
        space.validate(c)
        assert c == space.canonical(c)
        both = [n for n in c if space.is_active(n, c) and space.is_active(n, config)]
        assert sum(c[n] != config[n] for n in both) == 1
        assert space.key(config) in [space.key(b) for b in space.neighbours(c)] or any(
            space.is_active(n, c) != space.is_active(n, config) for n in c
        )  # new groups start in the middle


def test_neighbours_never_touch_an_inactive_group_alone():
    space = ConfigSpace()
    for config in space.sample_arch_uniformly(30, 0):
        for c in space.neighbours(config):
            changed = {n for n in c if c[n] != config[n]}
            assert "M" in changed or len(changed) == 1
            assert all(
                not n[-1].isdigit() or n == "out_channel0" or int(n[-1]) <= max(c["M"], config["M"])
                for n in changed
            )


@given(spaces(3))
def test_distance_is_symmetric_bounded_and_0_for_the_same_architecture_only(space):
    configs = everything(space)[:12]
    for a, b in itertools.product(configs, configs):
        d = space.distance(a, b)
        assert 0 <= d <= 1 and math.isclose(d, space.distance(b, a))
        assert (d == 0) == (space.key(a) == space.key(b))
        assert d <= space.distance(a, configs[0]) + space.distance(configs[0], b) + 1e-9


def test_distance_forgives_what_validate_forgives():
    space = ConfigSpace()
    c = space.sample_arch(0)
    near = c | {"out_channel0": c["out_channel0"] + 1e-11}
    space.validate(near)
    assert space.distance(c, near) < 1e-9


# ---- travel ---------------------------------------------------------------------------------------------------------


@given(spaces())
def test_a_space_travels_as_json(space):
    again = ConfigSpace.from_json(space.to_json())
    assert (
        again.hyperparameters == space.hyperparameters
        and again.info == space.info
        and again.to_json() == space.to_json()
    )
    assert again.sample_arch_uniformly(3, 0) == space.sample_arch_uniformly(3, 0)


@pytest.mark.parametrize(
    "space",
    [NASBench201Space(), NASBench201Space("digits", channels=4, cells_per_stage=1)],
    ids=["16x5", "4x1"],
)
def test_a_space_comes_back_as_what_it_was(space):
    "`ConfigSpace.from_json` restores the family with its settings."
    again, configs = ConfigSpace.from_json(space.to_json()), space.sample_arch_uniformly(3, 0)
    assert type(again.family) is CellFamily
    assert again.family.skeleton == space.skeleton
    assert again.stats(configs)["params"].tolist() == space.stats(configs)["params"].tolist()
    assert again.to_json() == space.to_json()


def test_numpy_numbers_travel():
    "As in `DatasetInfo(name, x.shape[1:], y.max() + 1)`."
    space = ConfigSpace(DatasetInfo("mine", tuple(np.array([1, 8, 8])), np.int64(3)), "custom")
    space.add_hyperparameter("p", "discrete", np.int64(1), np.int64(4))
    space.add_hyperparameter_range(
        "c", "categorical", np.array([1, 2]), condition=("p", np.int64(2))
    )
    assert ConfigSpace.from_json(space.to_json()).hyperparameters == space.hyperparameters


def edits(text):
    "The text of a space, damaged in different ways."
    good = json.loads(text)
    yield from ("", "null", "[]", "3", "{}", text[:-1], text[:50], '"x"')
    for key in good:
        yield json.dumps({k: v for k, v in good.items() if k != key})
        yield json.dumps(good | {key: None})
        yield json.dumps(good | {key: 3})
        yield json.dumps(good | {key: "x"})
    yield json.dumps(good | {"hyperparameters": [{"name": "x"}]})
    yield json.dumps(
        good
        | {"hyperparameters": [{"name": "x", "type": "integer", "min_value": 1, "max_value": 2}]}
    )
    yield json.dumps(good | {"hyperparameters": good["hyperparameters"] * 2})
    yield json.dumps(good | {"dataset": {"name": "x", "input_dim": [1, 2], "classes": 2}})


TEXTS = list(edits(ConfigSpace("digits").to_json()))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_damaged_text_is_a_format_error(text):
    with pytest.raises(FileFormatError, match="not a search space"):
        ConfigSpace.from_json(text)


# ---- change ---------------------------------------------------------------------------------------------------------


@given(st.permutations(NAMES), st.integers(0, 22))
def test_any_number_of_hyperparameters_can_be_removed(names, n):
    space = ConfigSpace()
    for name in names[:n]:
        space.remove_hyperparameter(name)
    assert space.get_hyperparameters() == [n_ for n_ in NAMES if n_ not in names[:n]]
    for c in space.sample_arch_uniformly(3, 0):
        space.validate(c)
    assert space.compute_cs_size() >= 1 and repr(space)


def test_what_depended_on_a_removed_one_is_always_active():
    space = ConfigSpace()
    space.remove_hyperparameter("M")
    assert space.compute_cs_size() == 6 * 1120**5
    assert all(c["R5"] > 0 for c in space.sample_arch_uniformly(20, 0))
    with pytest.raises(ConfigError, match="needs M"):
        space.build_network(space.sample_arch(0))


def test_many_hyperparameters_can_be_added():
    space = ConfigSpace("digits")
    for i in range(200):
        space.add_hyperparameter(f"extra{i}", "continuous", 0, 1)
    assert space.compute_cs_size() == ConfigSpace("digits").compute_cs_size() * 101**200
    c = space.sample_arch(0)
    assert len(c) == 222
    assert space.build_network(c)(torch.zeros(1, 1, 8, 8)).shape == (
        1,
        10,
    )  # what the family does not know is left alone
    assert "extra199" in repr(space) and "extra199" in space._repr_html_()


def test_a_space_for_another_dataset_is_its_own():
    space = ConfigSpace("digits")
    other = space.for_dataset("VWW")
    other.add_hyperparameter("dropout", "continuous", 0, 1)
    assert "dropout" not in space.get_hyperparameters() and "dropout" in other.get_hyperparameters()
    assert (space.dataset, other.dataset) == ("digits", "VWW")


# ---- errors name the offender ---------------------------------------------------------------------------------------

CONFIG = ConfigSpace().sample_arch(3)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"B6": 1}, "'B6' is not a hyperparameter of this space"),
        ({1: 1}, "1 is not a hyperparameter"),
        ({"B1": 6}, "B1 = 6 is not allowed (B1: discrete, 1 to 5"),
        ({"B1": 0}, "B1 = 0 is not allowed"),
        ({"B1": 1.5}, "B1 = 1.5"),
        ({"B1": math.nan}, "B1 = nan"),
        ({"B1": "1"}, "B1 = '1'"),
        ({"B1": None}, "B1 = None"),
        ({"B1": True}, "B1 = True"),
        ({"B1": [1]}, "B1 = [1]"),
        ({"widenfact1": 0.52}, "widenfact1 = 0.52"),
        ({"widenfact1": 0.85}, "widenfact1 = 0.85"),
        (
            {"out_channel0": 17},
            "out_channel0 = 17 is not allowed (out_channel0: discrete, one of 8, 12, 16, 32, 48, "
            "64)",
        ),
        ({"M": 6}, "M = 6"),
        ({"M": 0}, "M = 0"),
        ({"M": "2"}, "M = '2'"),
        ({"M": None}, "M = None"),
        ({"M": math.nan}, "M = nan"),
        ({"M": 2, "R2": 0}, "R2 = 0"),
    ],
)
def test_validate_names_the_offender(change, says):
    with pytest.raises(ConfigError) as e:
        ConfigSpace().validate(CONFIG | change)
    assert says in str(e.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_name_is_named_unless_it_has_no_effect(name):
    assert 1 < CONFIG["M"] < 5
    lacking = {k: v for k, v in CONFIG.items() if k != name}
    space = ConfigSpace("digits")
    if name[-1] in "12345" and int(name[-1]) > CONFIG["M"]:
        space.validate(lacking)
        assert space.key(lacking) == space.key(CONFIG)
        assert space.stats([lacking])["params"] == space.stats([CONFIG])["params"]
        return
    for ask in (space.validate, space.key, space.split, space.build_network):
        with pytest.raises(ConfigError, match=f"{name!r} is missing"):
            ask(lacking)


def test_a_config_as_a_search_prints_it_is_complete():
    space = ConfigSpace("digits")
    printed = {name: v for name, v in CONFIG.items() if space.is_active(name, CONFIG)}
    assert len(printed) == 2 + 4 * CONFIG["M"] < 22
    assert str(space.build_network(printed)) == str(space.build_network(CONFIG))
    for ask in (space.stats, lambda c: {"": space.features(c)[1]}, space.columns):
        one, other = ask([CONFIG, printed]), ask([CONFIG, CONFIG])
        assert all(np.array_equal(one[k], other[k]) for k in other)
    with pytest.raises(ConfigError, match="config: 'out_channel0' is missing; 'R1' is missing"):
        space.build_network({"M": 1})


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError, match="(?s)B1 = 9.*R1 = 99|R1 = 99.*B1 = 9"):
        ConfigSpace().validate(CONFIG | {"B1": 9, "R1": 99})


@pytest.mark.parametrize("bad", [None, 3, "M", [1], [("M", 1)]])
def test_a_config_is_a_dict(bad):
    with pytest.raises(ConfigError, match=f"got {type(bad).__name__}"):
        ConfigSpace().validate(bad)


def test_names_and_parents_are_checked():
    space = ConfigSpace()
    for what, says in [
        (
            lambda: space.add_hyperparameter("M", "discrete", 1, 2),
            "already has a hyperparameter 'M'",
        ),
        (
            lambda: space.add_hyperparameter_range("R1", "discrete", [1]),
            "already has a hyperparameter 'R1'",
        ),
        (lambda: space.remove_hyperparameter("R6"), "Unknown hyperparameter 'R6'"),
        (lambda: space["R6"], "Unknown hyperparameter 'R6'"),
        (
            lambda: space.add_hyperparameter("x", "discrete", 1, 2, condition=("N", 1)),
            "Unknown hyperparameter 'N'",
        ),
        (
            lambda: space.add_hyperparameter("x", "discrete", 1, 2, condition=("x", 1)),
            "Unknown hyperparameter 'x'",
        ),
        (
            lambda: space.add_hyperparameter("x", "discrete", 1, 2, condition=("R2", [17, 1])),
            "'x' cannot depend on 'R2' being 17: (R2: discrete, 1 to 16",
        ),
        (
            lambda: space.add_hyperparameter("x", "discrete", 1, 2, condition=("M", [])),
            "must list at least one value",
        ),
        (
            lambda: space.add_hyperparameter("x", "discrete", 1, 2, condition="M"),
            "condition of 'x' must be a pair",
        ),
        (lambda: space.add_hyperparameter("x", "floating", 1, 2), "Unknown type"),
        (lambda: ConfigSpace("CIFAR10"), "Did you mean 'CIFAR-10'?"),
        (lambda: ConfigSpace("digits", "resnet"), "Did you mean 'resnet-like'?"),
        (lambda: ConfigSpace("digits", "custom").build_network({}), "cannot build networks"),
    ]:
        with pytest.raises(ConfigError) as e:
            what()
        assert says in str(e.value)
    assert space.get_hyperparameters() == NAMES  # a refused change changes nothing


# ---- conditions of any depth ---------------------------------------------------------------------------------------

CATEGORIES = [["a", "b", None], [None, True, "x"], [1, 2, 3], [0.5, "half"], [False, "on"]]


@st.composite
def deep_spaces(draw):
    "Up to six hyperparameters, each of which may depend on any one before it."
    space = ConfigSpace("digits", "custom")
    for i in range(draw(st.integers(1, 6))):
        condition = None
        if i and draw(st.booleans()):
            parent = draw(st.sampled_from(space.hyperparameters))
            some = st.lists(st.sampled_from(parent.values), min_size=1, unique_by=repr)
            one = st.sampled_from(parent.values)
            condition = (parent.name, draw(one if draw(st.booleans()) else some))
        if draw(st.booleans()):
            values = draw(st.sampled_from(CATEGORIES))
            space.add_hyperparameter_range(f"h{i}", "categorical", values, condition=condition)
        else:
            space.add_hyperparameter(f"h{i}", "discrete", 0, 2, condition=condition)
    return space


def in_effect(space, config):
    """The names and values that matter in a config, read off the JSON of the space: a second
    implementation of conditions."""
    declared = {h["name"]: h for h in json.loads(space.to_json())["hyperparameters"]}

    def active(name):
        condition = declared[name]["active_from"]
        if condition is None:
            return True
        parent, wanted = condition
        if not active(parent):
            return False
        if isinstance(wanted, list):
            return json.dumps(config[parent]) in map(json.dumps, wanted)
        return config[parent] >= wanted

    return frozenset((name, repr(config[name])) for name in declared if active(name))


@given(deep_spaces())
def test_deep_conditions_decide_canonical_form_and_number(space):
    by_key = {}
    for config in everything(space):
        space.validate(config)
        canonical = space.canonical(config)
        assert space.canonical(canonical) == canonical
        assert json.loads(space.key(config)) == canonical
        assert {n for n in config if space.is_active(n, config)} == {
            n for n, _ in in_effect(space, config)
        }
        by_key.setdefault(space.key(config), set()).add(in_effect(space, config))
    assert all(len(meanings) == 1 for meanings in by_key.values())
    assert space.compute_cs_size() == len(by_key) == len(set().union(*by_key.values()))


@given(deep_spaces())
def test_deep_conditions_survive_json_whatever_the_order(space):
    data = space.to_dict()
    assert json.loads(json.dumps(data)) == data
    again = ConfigSpace.from_dict(data)
    assert again.hyperparameters == space.hyperparameters and again.to_dict() == data
    turned = ConfigSpace.from_dict(data | {"hyperparameters": data["hyperparameters"][::-1]})
    assert turned.hyperparameters == space.hyperparameters[::-1]
    config = space.sample_arch(0)
    assert turned.canonical(config) == config


@given(deep_spaces(), st.integers(0, 2**32))
def test_deep_conditions_in_columns_and_matrix(space, seed):
    configs = space.sample_arch_uniformly(6, seed)
    columns, matrix = space.columns(configs), space.encode(configs)
    for i, config in enumerate(configs):
        assert [columns[n][i] for n in config] == list(config.values())
        active = dict(in_effect(space, config))
        for feature, x in zip(space.feature_names, matrix[i]):
            name, _, category = feature.partition("=")
            if not category:
                assert x == config[name]
            else:
                assert x == (name in active and str(config[name]) == category)


@given(deep_spaces(), st.integers(0, 2**32))
def test_deep_conditions_in_steps_and_children(space, seed):
    rng = np.random.default_rng(seed)
    a, b = space.sample_arch_uniformly(2, rng)
    near = space.neighbours(a)
    made = [crossover(space, a, b, rng), mutate(space, a, None, rng), *near]
    made += crossover_pair(space, a, b, rng)
    for config in made:
        space.validate(config)
        assert config == space.canonical(config)
    assert space.key(a) not in map(space.key, near) and len(set(map(space.key, near))) == len(near)
    for config in near:
        both = dict(in_effect(space, a)).keys() & dict(in_effect(space, config)).keys()
        assert sum(repr(config[n]) != repr(a[n]) for n in both) == 1
    assert 0 <= space.distance(a, b) <= 1 and space.distance(a, a) == 0


@given(deep_spaces())
def test_enumeration_is_each_architecture_once(space):
    found = enumerate_configs(space)
    assert len(found) == space.compute_cs_size() == len(set(map(space.key, found)))
    assert all(space.canonical(config) == config for config in found)


def test_draws_of_a_deep_space_follow_the_tree():
    "Each value is drawn evenly, and what follows from it: 1/2 conv, 1/4 no pooling, 1/8 each size."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter_range("kind", "categorical", ["conv", "pool"])
    space.add_hyperparameter_range("pool", "categorical", ["max", None], condition=("kind", "pool"))
    space.add_hyperparameter_range("size", "discrete", [2, 3], condition=("pool", ["max"]))
    counts = Counter(map(space.key, space.sample_arch_uniformly(4000, 0)))
    keys = ['["conv", 0, 0]', '["pool", null, 0]', '["pool", "max", 2]', '["pool", "max", 3]']
    seen = [counts[space.key(dict(zip(space.get_hyperparameters(), json.loads(k))))] for k in keys]
    assert sum(seen) == 4000
    assert chisquare(seen, [2000, 1000, 500, 500]).pvalue > 1e-3


def test_a_cycle_is_named():
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter_range("a", "categorical", [1, 2])
    space.add_hyperparameter("b", "discrete", 1, 2, condition=("a", [1]))
    data = space.to_dict()
    data["hyperparameters"][0]["active_from"] = ["b", [1]]
    with pytest.raises(FileFormatError, match="Conditions form a cycle: a -> b -> a"):
        ConfigSpace.from_dict(data)
    data["hyperparameters"][0]["active_from"] = ["a", [1]]
    with pytest.raises(FileFormatError, match="Conditions form a cycle: a -> a"):
        ConfigSpace.from_dict(data)


def test_a_removed_parent_leaves_its_children_and_without_takes_them_along():
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter_range("a", "categorical", ["x", "y"])
    space.add_hyperparameter("b", "discrete", 1, 2, condition=("a", "x"))
    space.add_hyperparameter("c", "discrete", 1, 2, condition=("b", 2))
    assert space.without(["a"]).get_hyperparameters() == []
    assert space.without(["b"]).get_hyperparameters() == ["a"]
    space.remove_hyperparameter("a")
    assert space["b"].condition is None and space["c"].condition == ("b", 2)


# ---- names of the toolkit's own columns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["method", "run", "acc_1d", "feasible", "score", "seed", "acc_60", "std_1", "rung"]
)
def test_reserved_names_are_refused_when_declared_and_open_when_saved(name):
    space = ConfigSpace("digits", "custom")
    for add in (
        lambda: space.add_hyperparameter(name, "discrete", 1, 2),
        lambda: space.add_hyperparameter_range(name, "categorical", ["a"]),
    ):
        with pytest.raises(ConfigError, match=f"cannot be called '{name}'"):
            add()
    space.add_hyperparameter("width", "discrete", 1, 2)
    data = json.loads(space.to_json().replace("width", name))
    assert ConfigSpace.from_dict(data).get_hyperparameters() == [name]


def test_every_column_of_the_toolkits_tables_is_reserved():
    "The columns are read off tables that the toolkit makes."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("width", "discrete", 1, 9)
    history = History(space, Constraints())
    history.add([{"width": 3}], Prediction(1.0, 1.0, 1.0, False))
    found = set(history.to_frame()) | set(EVALUATIONS.key) | set(PREDICTION_COLUMNS)
    acc = {"t_inference": [1.0, 86400.0], "acc": [[1.0, 2.0], [2.0, 3.0]]}
    result = acc | dict.fromkeys((*TARGETS, "acc_digital", "acc_hwa"), 1.0)
    found |= set(_table([Record({"width": 3}, 0, result, 1.0, 0)], [{}]))
    found |= set(progress_table(history.to_frame().assign(method="search", run=0)))
    for name in found - {"width"}:
        with pytest.raises(ConfigError, match="cannot be called"):
            check_name(name)
    fields = [name for scope in CHECKED_SCOPES.values() for name in scope.kinds]
    for name in fields:
        check_name(name)


# ---- what a reader sees ---------------------------------------------------------------------------------------------

NASTY = st.text(st.sampled_from("ab<>&\"', =\n"), min_size=1, max_size=8)


@given(st.lists(NASTY, min_size=1, max_size=4, unique=True))
def test_text_and_html_hold_every_name_and_html_is_escaped(names):
    space = ConfigSpace(DatasetInfo("<b>&mine", (1, 8, 8), 3), "custom")
    for name in names:
        space.add_hyperparameter_range(name, "categorical", ["<i>", "&"])
    page = space._repr_html_()
    rows = re.findall(r"<td><code>(.*?)</code></td><td>(.*?)</td><td>(.*?)</td>", page, re.DOTALL)
    assert [tuple(map(html.unescape, row)) for row in rows] == [
        (n, "categorical", "one of <i>, &") for n in names
    ]
    assert not set(re.findall(r"</?(\w+)", page)) - {
        "p",
        "table",
        "thead",
        "tr",
        "th",
        "tbody",
        "td",
        "code",
    }
    assert all(n in repr(space) for n in names)


def test_the_published_space_shows_every_name():
    space = ConfigSpace("KWS")
    for text in (repr(space), space._repr_html_()):
        assert all(name in text for name in NAMES) and "1x49x10" in text and "12 classes" in text


# ---- networks and their cost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATASETS)
def test_networks_fit_the_dataset(name):
    space = ConfigSpace(name)
    info, smallest = (
        space.info,
        min(space.sample_arch_uniformly(100, 0), key=lambda c: space.stats([c])["params"][0]),
    )
    assert space.build_network(smallest).eval()(torch.zeros(2, *info.input_dim)).shape == (
        2,
        info.classes,
    )


def test_a_row_of_a_data_frame_is_a_config():
    """pandas turns whole numbers into floats where a row mixes both; such a config is allowed, so
    it has a cost and a network."""
    space = ConfigSpace("digits")
    config = min(space.sample_arch_uniformly(50, 0), key=lambda c: space.stats([c])["params"][0])
    row = pd.DataFrame([config]).iloc[0].to_dict()
    assert {type(v) for v in row.values()} == {float}
    space.validate(row)
    assert {k: v.tolist() for k, v in space.stats([row]).items()} == {
        k: v.tolist() for k, v in space.stats([config]).items()
    }
    assert (
        sum(p.numel() for p in space.build_network(row).parameters())
        == space.stats([config])["params"][0]
    )


def test_ones_own_network_gets_the_config_and_the_task():
    seen = []

    def build(config, input_dim, classes):
        seen.append((config, input_dim, classes))
        return torch.nn.Linear(config["p"], 7, bias=False)

    space = ConfigSpace(DatasetInfo("mine", (2, 3, 4), 5), "custom", build)
    space.add_hyperparameter("p", "discrete", 1, 4)
    assert space.stats([{"p": 3}, {"p": 4}])["params"].tolist() == [21, 28]
    assert seen[0] == ({"p": 3}, (2, 3, 4), 5)
    with pytest.raises(ConfigError, match="p = 5"):
        space.build_network({"p": 5})


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_columns_are_the_canonical_forms_however_values_are_written(seed):
    """The quick way (plain values), the careful way (numpy values, leftovers of groups that do not
    exist), and `canonical` itself agree."""
    space = ConfigSpace("digits")
    space.add_hyperparameter_range(
        "activation", "categorical", range=("relu", "gelu", "1"), condition=("M", 3)
    )
    space.add_hyperparameter("dropout", "continuous", 0.0, 0.5)
    space.add_hyperparameter("rank", "discrete", 1, 1000, log=True)
    rng = np.random.default_rng(seed)
    canonical = space.sample_arch_uniformly(7, rng)
    loose = [
        dict(reversed({n: space[n].default_value if v == 0 else v for n, v in c.items()}.items()))
        for c in canonical
    ]
    odd = [
        {
            n: v if isinstance(v, str) else np.float64(v + 1e-12 * (n != "dropout"))
            for n, v in c.items()
        }
        for c in canonical
    ]
    assert read_columns(space.hyperparameters, canonical) is not None
    assert read_columns(space.hyperparameters, loose) is not None
    assert read_columns(space.hyperparameters, odd) is None
    for configs in (canonical, loose, odd):
        columns = space.columns(configs)
        assert list(columns) == space.get_hyperparameters()
        for n, column in columns.items():
            assert column.tolist() == [c[n] for c in canonical], n
            assert column.dtype == (object if n == "activation" else float)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"M": True}, "M = True"),
        ({"R1": "3"}, "R1 = '3'"),
        ({"B1": 9}, "B1 = 9"),
        ({"R1": None}, "R1 = None"),
        ({"R1": [1]}, "R1 = "),
        ({"widenfact1": 0.57}, "widenfact1 = 0.57"),
        ({"B6": 1}, "'B6' is not"),
        ({"M": float("nan")}, "M = nan"),
    ],
)
def test_one_bad_config_among_many_is_named(change, message):
    space = ConfigSpace("digits")
    configs = space.sample_arch_uniformly(20, 0)
    configs[13] = configs[13] | change
    for ask in (space.columns, space.stats, space.features, space.encode):
        with pytest.raises(ConfigError, match=message):
            ask(configs)
    lacking = [*configs[:13], {k: v for k, v in configs[13].items() if k != "M"}]
    with pytest.raises(ConfigError, match="'M' is missing"):
        space.columns(lacking)
    with pytest.raises(ConfigError, match="A config is a dict"):
        space.columns([["M", 1]])


def test_a_category_that_is_written_like_an_inactive_value_is_not_taken_for_one():
    "Found by Hypothesis: the canonical form writes 0 for what does not matter, and 0 may be a category."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("depth", "discrete", 0, 1)
    space.add_hyperparameter_range("kind", "categorical", [0, 1], condition=("depth", 1))
    rows = space.encode([{"depth": 0, "kind": 0}, {"depth": 1, "kind": 0}, {"depth": 1, "kind": 1}])
    assert rows.tolist() == [[0, 0, 0], [1, 1, 0], [1, 0, 1]]


# ---- names of 0.1.0 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new",
    [
        ("network", "build_network"),
        ("traits", "static_metrics"),
        ("analog_layers", "crossbar_layers"),
        ("network_id", "arch_id"),
    ],
)
def test_old_method_warns_and_is_the_new_one(old, new):
    space = ConfigSpace("digits")
    with pytest.warns(DeprecationWarning, match=f"ConfigSpace.{old} is now ConfigSpace.{new}"):
        method = getattr(space, old)
    assert method == getattr(space, new)


def test_old_property_warns():
    with pytest.warns(DeprecationWarning, match="builds_networks is now ConfigSpace.can_build"):
        assert ConfigSpace("digits").builds_networks


def test_old_arguments_of_hyperparameters_warn():
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("depth", "discrete", 1, 4)
    with pytest.warns(DeprecationWarning, match="active_from is now condition"):
        space.add_hyperparameter("width", "discrete", 1, 4, active_from=("depth", 2))
    with pytest.warns(DeprecationWarning, match="role is now mutation_group"):
        space.add_hyperparameter_range("kind", "categorical", "ab", role="width")
    assert space["width"].condition == ("depth", 2)
    assert space["kind"].mutation_group == "width"


@pytest.mark.parametrize("scoped", [False, True])
def test_every_row_of_the_html_table_has_a_cell_for_each_title(scoped):
    space = ConfigSpace("digits")
    if scoped:
        space.add_hardware_hyperparameter("tile_size", "discrete", range=[128, 256])
    page = space._repr_html_()
    titles = page.count("<th>")
    assert titles == (5 if scoped else 4)
    rows = page.split("<tbody>")[1].split("</tr>")[:-1]
    assert len(rows) == len(space)
    assert {row.count("<td>") for row in rows} == {titles}
