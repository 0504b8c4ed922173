"""Controls carry their label, their tooltip and their value."""

import ipywidgets as W
import pytest
from ipywidgets.widgets.widget import _instances

from analognas.widgets import controls


@pytest.mark.parametrize(
    "value, low, high, step, kind",
    [(2, 1, 5, 1, W.IntSlider), (2.0, 1, 5, 1, W.FloatSlider), (2, 1, 5, 0.5, W.FloatSlider)],
)
def test_a_slider_moves_in_whole_numbers_only_if_all_are(value, low, high, step, kind):
    slider = controls.slider("width", value, low, high, step, "channels")
    assert type(slider) is kind
    assert (slider.value, slider.min, slider.max, slider.step) == (value, low, high, step)
    assert (slider.description, slider.tooltip) == ("width", "channels")


@pytest.mark.parametrize("make", [controls.selection_slider, controls.dropdown])
def test_a_choice_shows_its_labels_and_holds_its_values(make):
    choice = make("time", 86400.0, [("1 second", 1.0), ("1 day", 86400.0)], "since programming")
    assert (choice.label, choice.value) == ("1 day", 86400.0)
    choice.label = "1 second"
    assert choice.value == 1.0


@pytest.mark.parametrize("value, text", [(None, ""), (2e6, "2e+06"), (0.5, "0.5"), (300, "300")])
def test_an_empty_number_field_means_no_limit(value, text):
    field = controls.number_field("parameters", value, "at most")
    assert field.value == text
    assert field.placeholder == "no limit"


def test_a_button_calls_without_arguments():
    calls = []
    controls.button("stop", "end the search", lambda: calls.append(1)).click()
    assert calls == [1]


def test_closing_leaves_no_widget_of_a_tree_open():
    before = set(_instances)
    box = W.VBox([W.HBox([controls.checkbox("noise", True, "on or off")]), W.Label("text")])
    assert set(_instances) > before
    controls.close_widgets(box)
    assert set(_instances) <= before
