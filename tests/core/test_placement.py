"""Which modules are analog, int8 or floating point: matching, order, plain data."""

import copy
import json
import pickle

import pytest

from analognas.core import ConfigError, Placement

NAMES = ["conv1", "blocks.0.conv1", "blocks.0.conv2", "blocks.1.conv1", "fc"]


def test_default_is_analog():
    assert set(Placement().kinds(NAMES).values()) == {"analog"}


def test_entry_holds_for_what_a_module_contains():
    kinds = Placement({"blocks.0": "int8"}).kinds(NAMES)
    assert [name for name, kind in kinds.items() if kind == "int8"] == NAMES[1:3]


def test_pattern_matches_as_in_file_names():
    kinds = Placement({"blocks.*.conv1": "float"}).kinds(NAMES)
    assert [name for name, kind in kinds.items() if kind == "float"] == [NAMES[1], NAMES[3]]


def test_last_matching_entry_holds():
    assert Placement({"*": "int8", "fc": "float"}).kind("fc") == "float"
    assert Placement({"fc": "float", "*": "int8"}).kind("fc") == "int8"


def test_shared_module_goes_by_any_of_its_names():
    assert Placement({"head": "int8"}).kind("encoder", "head") == "int8"


def test_order_of_entries_is_part_of_the_record():
    assert Placement({"*": "int8", "fc": "float"}) != Placement({"fc": "float", "*": "int8"})


def test_equal_placements_have_equal_hashes():
    first, second = (Placement({"fc": "int8"}, "float") for _ in range(2))
    assert first == second
    assert len({first, second}) == 1


def test_dict_survives_json_with_sorted_keys():
    placement = Placement({"z": "int8", "a": "float"}, default="int8")
    text = json.dumps(placement.to_dict(), sort_keys=True)
    assert Placement.from_dict(json.loads(text)) == placement


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))],  # noqa: S301
)
def test_copies_are_equal(duplicate):
    placement = Placement({"fc": "int8"})
    assert duplicate(placement) == placement


def test_entries_cannot_be_changed():
    with pytest.raises(TypeError):
        Placement({"fc": "int8"}).modules["fc"] = "float"


def test_given_dict_is_copied():
    modules = {"fc": "int8"}
    placement = Placement(modules)
    modules["fc"] = "float"
    assert placement.kind("fc") == "int8"


def test_check_names_the_pattern_that_matches_nothing():
    with pytest.raises(ConfigError, match="'blocks.2' matches no module"):
        Placement({"blocks.2": "int8"}).check(NAMES)


def test_check_accepts_modules_around_the_names():
    Placement({"blocks.1": "int8", "blocks": "float"}).check(NAMES)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Placement({"fc": "digital"}),
        lambda: Placement(default="fp16"),
        lambda: Placement({"": "int8"}),
        lambda: Placement([("fc", "int8")]),
        lambda: Placement.from_dict({"modules": [["fc", "int8"], ["fc", "float"]]}),
        lambda: Placement.from_dict({"modules": ["fc"]}),
        lambda: Placement.from_dict({"layers": {}}),
    ],
)
def test_wrong_values_are_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_restricted_keeps_what_matches_in_order():
    placement = Placement({"fc": "int8", "blocks.9": "float", "blocks": "float"}, "int8")
    kept = placement.restricted(NAMES)
    assert list(kept.modules) == ["fc", "blocks"] and kept.default == "int8"
    kept.check(NAMES)
    assert kept.kinds(NAMES) == placement.kinds(NAMES)


@pytest.mark.parametrize("pair", [["fc"], ["fc", "int8", "float"], "ab", {"fc": "int8"}])
def test_entries_of_another_form_are_shown(pair):
    with pytest.raises(ConfigError, match="pairs of name and kind") as error:
        Placement.from_dict({"modules": [pair]})
    assert repr(pair) in str(error.value)
