"""Old names and arguments: they work, they warn, and anything else is an error."""

import pytest

from analognas.core import ConfigError, errors
from analognas.core.deprecated import RenamedAttribute, renamed, renamed_arguments


def test_renamed_finds_a_name_of_another_module_and_warns_with_both_names():
    find = renamed("analognas.here", {"BadConfig": "core.errors:ConfigError"})
    with pytest.warns(
        DeprecationWarning, match="analognas.here.BadConfig is now analognas.core.errors.Config"
    ):
        assert find("BadConfig") is ConfigError


def test_renamed_finds_a_name_of_the_same_module():
    find = renamed(errors.__name__, {"BadConfig": "ConfigError"})
    with pytest.warns(DeprecationWarning):
        assert find("BadConfig") is ConfigError


def test_renamed_refuses_a_name_that_never_existed():
    with pytest.raises(AttributeError, match="'analognas.here' has no attribute 'other'"):
        renamed("analognas.here", {})("other")


class Lamp:
    lumens = RenamedAttribute("brightness")

    @renamed_arguments(percent=("brightness", lambda percent: percent / 100), lux="brightness")
    def __init__(self, brightness=1.0):
        self.brightness = brightness


def test_renamed_attribute_returns_the_new_one_and_warns():
    with pytest.warns(DeprecationWarning, match="Lamp.lumens is now Lamp.brightness"):
        assert Lamp(0.5).lumens == 0.5


def test_renamed_arguments_passes_the_value_on_and_warns():
    with pytest.warns(DeprecationWarning, match="The argument lux is now brightness"):
        assert Lamp(lux=0.25).brightness == 0.25


def test_renamed_arguments_converts_the_value():
    with pytest.warns(DeprecationWarning):
        assert Lamp(percent=50).brightness == 0.5


def test_renamed_arguments_refuses_both_names_at_once():
    with pytest.raises(TypeError, match="brightness is given twice"):
        Lamp(brightness=1.0, lux=0.5)
