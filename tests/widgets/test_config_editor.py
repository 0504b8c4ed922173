"""Controls for hyperparameters, and hyperparameters as text."""

import pytest
from ipywidgets.widgets.widget import _instances as live_widgets

from analognas.core import ConfigError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.hyperparameter import Hyperparameter
from analognas.widgets.config_editor import (
    ConfigEditor,
    add_hyperparameter_text,
    hyperparameter_control,
)
from analognas.widgets.controls import close_widgets


@pytest.mark.parametrize(
    "type, text, said",
    (
        ("discrete", "1 to 5", "x: discrete, 1 to 5 in steps of 1"),
        ("continuous", "-1.5 to 2e1", "x: continuous, -1.5 to 20.0"),
        ("continuous", "0.1 to 0.9 step 0.1", "x: continuous, 0.1 to 0.9 in steps of 0.1"),
        ("discrete", "8,4, 16", "x: discrete, one of 4, 8, 16"),
        ("categorical", "relu, gelu", "x: categorical, one of relu, gelu"),
        ("categorical", "relu", "x: categorical, one of relu"),
    ),
)
def test_add_hyperparameter_text(type, text, said):
    space = ConfigSpace(search_space="custom")
    add_hyperparameter_text(space, "x", type, text)
    assert str(space["x"]) == said


@pytest.mark.parametrize(
    "type, text, said",
    (
        ("discrete", "", "must read like"),
        ("discrete", ",", "must read like"),
        ("discrete", "5 to 1", "min_value 5 above max_value 1"),
        ("discrete", "0.5 to 3", "whole number"),
        ("continuous", "a, b", "finite number"),
        ("categorical", "1 to 3", "values listed"),
        ("discrete", "1 to 5 step 0", "above 0"),
        ("discrete", "3, 3", "none twice"),
        ("discrete", "1 to 1000000000", "1,000,000"),
    ),
)
def test_add_hyperparameter_text_refuses_bad_values(type, text, said):
    with pytest.raises(ConfigError, match=said):
        add_hyperparameter_text(ConfigSpace(search_space="custom"), "x", type, text)


def test_hyperparameter_control_can_be_closed_alone():
    before = len(live_widgets)
    close_widgets(
        hyperparameter_control(
            Hyperparameter("lr", "continuous", min_value=1e-4, max_value=1, log=True), 1e-2
        )
    )
    assert len(live_widgets) == before


@pytest.mark.parametrize(
    "scope, name, type, text, said",
    (
        ("training", "hwa_lr", "continuous", "0.01 to 0.1", "hwa_lr: continuous, 0.01 to 0.1"),
        ("training", "augment", "categorical", "True, False", "augment: categorical, one of True"),
        ("hardware", "adc_bits", "discrete", "4, 8", "adc_bits: discrete, one of 4, 8"),
    ),
)
def test_add_hyperparameter_text_of_training_and_chip(scope, name, type, text, said):
    space = ConfigSpace(search_space="custom")
    add_hyperparameter_text(space, name, type, text, scope)
    assert str(space[name]).startswith(said) and space.names_in(scope) == [name]
    with pytest.raises(ConfigError, match=f"Unknown {scope} hyperparameter 'x'"):
        add_hyperparameter_text(space, "x", "discrete", "1 to 2", scope)


def test_editor_groups_by_what_hyperparameters_belong_to():
    space = ConfigSpace(search_space="custom")
    space.add_hardware_hyperparameter("adc_bits", "discrete", 4, 8)
    space.add_hyperparameter("width", "discrete", 1, 4)
    space.add_training_hyperparameter("epochs", "discrete", 1, 4)
    editor = ConfigEditor(lambda: None)
    editor.show(space, {"adc_bits": 5, "width": 2, "epochs": 3})
    shown = [getattr(w, "description", "") or w.value for w in editor.box.children]
    assert shown == [
        "<b>architecture</b>",
        "width",
        "<b>training</b>",
        "epochs",
        "<b>hardware</b>",
        "adc_bits",
    ]
    assert editor.config == {"adc_bits": 5, "width": 2, "epochs": 3}


def test_a_menu_shows_none_like_any_category():
    space = ConfigSpace(search_space="custom")
    space.add_hyperparameter_range("norm", "categorical", ["batch", None, True])
    editor = ConfigEditor(lambda: None)
    editor.show(space, {"norm": None})
    menu = editor.controls["norm"]
    for index, value in enumerate(["batch", None, True]):
        editor.config = {"norm": value}
        assert menu.index == index and editor.config == {"norm": value}
    menu.index = 1
    assert menu.label == "None" and editor.config == {"norm": None}


def test_a_placement_is_added_by_names_of_layers():
    space = ConfigSpace("digits")
    add_hyperparameter_text(space, "stem*, head", "categorical", "analog, int8", "placement")
    h = space["stem*, head"]
    assert (h.scope, h.modules, h.range) == ("placement", ("stem*", "head"), ("analog", "int8"))
    with pytest.raises(ConfigError, match="A placement is categorical"):
        add_hyperparameter_text(space, "head", "discrete", "analog, int8", "placement")
    with pytest.raises(ConfigError, match="no layer of any"):
        add_hyperparameter_text(space, "haed", "categorical", "analog, int8", "placement")


def test_editor_shows_the_placement_last_as_menus():
    space = ConfigSpace(search_space="custom")
    space.add_placement_hyperparameter("fc", kinds=["analog", "int8", "float"])
    space.add_hyperparameter("width", "discrete", 1, 4)
    editor = ConfigEditor(lambda: None)
    editor.show(space, {"fc": "int8", "width": 2})
    shown = [getattr(w, "description", "") or w.value for w in editor.box.children]
    assert shown == ["<b>architecture</b>", "width", "<b>placement</b>", "fc"]
    menu = editor.controls["fc"]
    assert [label for label, _ in menu.options] == ["analog", "int8", "float"]
    assert "what computes these layers" in menu.tooltip
    menu.value = "float"
    assert editor.config == {"fc": "float", "width": 2}
