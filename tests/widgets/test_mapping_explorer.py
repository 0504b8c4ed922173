"""The switches of the panel, its buttons and its search; the picture in words."""

import pytest
from ipywidgets.widgets.widget import _instances as live_widgets

from analognas.core import ConfigError, Placement
from analognas.widgets.mapping_explorer import (
    MAX_NAME,
    MappingExplorer,
    _short,
    explore_mapping,
    mapping_output,
)
from analognas.widgets.mapping_model import MappingModel

WAIT = 120  # seconds, until a test has failed


@pytest.fixture
def panel(hardened):
    made = MappingExplorer(hardened, n_rep=2)
    yield made
    made.close()


def test_the_panel_ends_where_the_plain_function_is(panel, hardened):
    last = panel.model.names[-1]
    panel.set_kinds({last: "int8"})
    assert panel.wait(WAIT), panel.status
    plain = explore_mapping(hardened, Placement({last: "int8"}), n_rep=2)
    assert panel.view.table.equals(plain.table)
    assert panel.view.alt == plain.alt


def test_the_table_has_the_ends_beside_the_mapping(hardened):
    table = explore_mapping(hardened, n_rep=2).table
    assert table.mapping.tolist() == ["this mapping", "all analog", "all int8"]
    assert table.iloc[0, 1:].tolist() == table.iloc[1, 1:].tolist()  # all analog is the default
    assert table["analog (% of MACs)"].tolist() == ["100", "100", "0"]
    assert table.tiles.tolist()[2] == "0"


def test_words_name_every_layer_and_its_kind(hardened):
    model = MappingModel(hardened, n_rep=1)
    kinds = ("float", *model.uniform("analog")[1:])
    alt = mapping_output(model.estimate(kinds, 1, None)).alt
    for name, kind in zip(model.names, kinds, strict=True):
        assert f"{name} {kind}" in alt


def test_each_layer_has_a_switch_with_its_full_name_in_the_tooltip(panel):
    assert list(panel.controls) == panel.model.names
    for name, switch in panel.controls.items():
        assert name in switch.tooltip
        assert [kind for _, kind in switch.options] == ["analog", "int8", "float"]


@pytest.mark.parametrize(
    "name, short",
    (
        ("head.3", "head.3"),
        ("groups.0.0.shortcut.0", "…0.0.shortcut.0"),
        ("a" * 30, "…" + "a" * (MAX_NAME - 1)),
    ),
)
def test_long_names_begin_behind_a_dot(name, short):
    assert _short(name) == short


def test_buttons_set_all_switches_in_one_refresh(panel):
    asked = []
    panel.refresh = lambda: asked.append(panel.settings)
    for kind, label in (("int8", "all int8"), ("analog", "all analog")):
        [click] = [b for b in panel._left.children[0].children if b.description == label]
        click.click()
        assert asked == [dict.fromkeys(panel.model.names, kind)]
        asked.clear()


def test_unknown_layers_are_refused_and_change_nothing(panel):
    before = panel.settings
    with pytest.raises(ConfigError, match="no layer 'nowhere'; there are stem.0"):
        panel.set_kinds({"stem.0": "int8", "nowhere": "int8"})
    assert panel.settings == before
    with pytest.raises(ConfigError, match="matches no module"):
        explore_mapping(panel.model.candidate, Placement({"nowhere": "int8"}), n_rep=1)


def test_a_mapping_of_the_front_moves_the_switches(panel):
    panel.toggle_search()
    panel.wait_for_search(WAIT)
    assert panel.status.startswith("Found "), panel.status
    panel._front.index = 1
    point = panel._search.result.points[0]
    percent = f"{point.values['acc_1d']:.1f} ± {point.spread['acc_1d std']:.1f} %, "
    assert panel._front.label == f"{percent}{100 * point.values['analog_share']:.3g} % analog"
    assert panel.settings == point.kinds
    assert panel.placement.kinds(panel.model.names) == point.kinds


def test_a_search_that_is_stopped_leaves_the_panel_working(panel):
    panel.toggle_search()
    panel.toggle_search()
    panel.wait_for_search(WAIT)
    assert panel.status_is_error and "stopped" in panel.status
    panel.set_kinds({panel.model.names[0]: "float"})
    assert panel.wait(WAIT) and panel.view is not None


def test_several_networks_are_refused(hardened):
    with pytest.raises(ConfigError, match="those of one network; got 2"):
        MappingExplorer([hardened, hardened.model], hardened.data)


def test_close_leaves_no_widget(hardened):
    before = set(live_widgets)
    made = MappingExplorer(hardened, n_rep=1)
    made.toggle_search()
    made.close()
    assert set(live_widgets) <= before
