"""Panels under a user's hands: they render, answer the keyboard, and leave a picture behind."""

import nbformat
import pandas as pd
import pytest
from lab_page import WAIT, PanelOnPage

from analognas.widgets.base import _SNAPSHOT, PanelOutput, new_figure

pytestmark = pytest.mark.browser
PARABOLA = """
import numpy as np
import pandas as pd
from analognas.widgets import controls
from analognas.widgets.base import Panel, PanelOutput, new_figure

class Parabola(Panel):
    "The smallest panel."
    title = "A parabola"

    def __init__(self):
        tooltip = "factor before x², without unit"
        super().__init__({"steepness": controls.slider("steepness", 1.0, 0.0, 3.0, 0.1, tooltip)})

    def views(self, settings):
        figure = new_figure(4, 2)
        x = np.linspace(-1, 1, 50)
        figure.subplots().plot(x, settings["steepness"] * x**2)
        alt = f"A parabola that rises to {settings['steepness']:g} at both ends."
        yield PanelOutput(figure, pd.DataFrame([settings]), alt)

panel = Parabola()
panel
"""
PANELS = {
    "Parabola": PARABOLA,
    "SpaceExplorer": "from analognas.widgets.space_explorer import SpaceExplorer\npanel = SpaceExplorer()\npanel",
    "DriftExplorer": "from analognas.widgets.drift_explorer import DriftExplorer\npanel = DriftExplorer(n_rep=1)\npanel",
    "MappingExplorer": "from analognas.widgets.mapping_explorer import MappingExplorer\npanel = MappingExplorer(n_rep=1)\npanel",
    "Compare": "from analognas.widgets.compare import Compare\npanel = Compare()\npanel",
}
DASHBOARD = """
import time
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.widgets.search_dashboard import SearchDashboard

class Slow(XGBoostEvaluator):
    "A search that is not over before anybody has pressed pause."
    def query_pop(self, configs):
        time.sleep(0.2)
        return super().query_pop(configs)

panel = SearchDashboard(evaluator=Slow())
panel
"""
SILENT = {
    "SpaceExplorer": "sample within",
    "MappingExplorer": "front",
}  # how the label of a control begins that the picture does not depend on


@pytest.mark.parametrize("name", PANELS)
def test_panel_renders_answers_keys_and_leaves_a_snapshot(name, lab, open_notebook):
    "One opening for everything: to open a notebook takes longer than all the rest."
    notebook = open_notebook(lab.write(f"{name}.ipynb", PANELS[name], WAIT))
    notebook.run_cell(0)
    assert notebook.errors() == []
    panel = PanelOnPage(notebook)
    notebook.shot(f"panel_{name}")
    controls_and_figure_are_visible_together(panel)
    tab_reaches_every_control_in_reading_order(panel)
    every_control_changes_what_is_shown(panel, SILENT.get(name))
    notebook.shot(f"panel_{name}_moved")
    the_snapshot_outlives_kernel_and_page(panel, open_notebook)


def test_search_from_start_to_stop(lab, open_notebook):
    notebook = open_notebook(
        lab.write(
            "SearchDashboard.ipynb",
            DASHBOARD,
            WAIT,
            "print('the kernel is free')",
            "len(panel.view.table)",
        )
    )
    notebook.run_cell(0)
    assert notebook.errors() == []
    panel = PanelOnPage(notebook)
    panel.until_says("^ready")
    notebook.shot("panel_SearchDashboard")
    controls_and_figure_are_visible_together(panel)
    tab_reaches_every_control_in_reading_order(panel)
    panel.control("generations").press("End")  # long enough for all that follows
    press = lambda name: panel.root.get_by_role("button", name=name, exact=True).click()
    press("start")
    panel.until_says("^running: [1-9]")
    assert notebook.run_cell(2) == "the kernel is free\n"
    before = panel.shown()
    panel.until_changed(before)  # it grows by itself
    assert panel.status().startswith("running")
    press("pause")
    panel.until_says("^paused at [1-9]")
    notebook.shot("panel_SearchDashboard_paused")
    press("continue")
    panel.until_says("^running")
    press("stop")
    panel.until_says("^stopped at [1-9]")
    notebook.shot("panel_SearchDashboard_stopped")
    assert int(notebook.run_cell(3)) > 0
    the_snapshot_outlives_kernel_and_page(panel, open_notebook)


def test_snapshot_from_elsewhere_is_shown_before_anything_is_run(lab, open_notebook):
    """JupyterLab does not trust a notebook that it did not save itself, and takes styles and
    scripts out of what it shows."""
    figure = new_figure(4, 2)
    figure.subplots()
    view = PanelOutput(figure, pd.DataFrame({"a": [1]}), "an empty picture")
    html = f"{_SNAPSHOT}{view._repr_html_()}</div>"
    path = lab.write("elsewhere.ipynb", "panel")
    nb = nbformat.read(lab.root / path, as_version=4)
    nb.cells[0].outputs = [nbformat.v4.new_output("display_data", {"text/html": html})]
    nbformat.write(nb, lab.root / path)
    notebook = open_notebook(path)
    picture = notebook.page.get_by_alt_text("an empty picture")
    picture.wait_for()
    assert picture.evaluate("e => e.naturalWidth") == 400
    assert (
        "Run the cell to bring the panel back" in notebook.page.locator(".jp-Notebook").inner_text()
    )


def controls_and_figure_are_visible_together(panel):
    "In a window of usual size controls and picture are on the screen together, and nothing is cut."
    picture, all_of_it = panel.root.locator("img").first.bounding_box(), panel.root.bounding_box()
    assert picture["y"] - all_of_it["y"] < 0.5 * panel.page.viewport_size["height"]
    assert panel.cut() == []


def tab_reaches_every_control_in_reading_order(panel):
    controls = panel.controls()
    handles = [control.element_handle() for control in controls]
    controls[0].focus()
    reached = []
    for _ in controls:
        reached.append(
            next(
                (
                    i
                    for i, h in enumerate(handles)
                    if h.evaluate("e => e === document.activeElement")
                ),
                None,
            )
        )
        panel.page.keyboard.press("Tab")
    assert reached == list(range(len(controls))), [panel.label(control) for control in controls]
    boxes = [control.bounding_box() for control in controls]
    for a, b in zip(boxes, boxes[1:]):
        below, beside = b["y"] + b["height"] / 2 > a["y"], b["x"] >= a["x"] + a["width"] - 1
        assert below or beside, f"Tab jumps back from {a} to {b}"


def every_control_changes_what_is_shown(panel, silent):
    for control in reversed(panel.controls()):  # those at the top bring other controls
        label, kind = panel.label(control), panel.kind(control)
        if kind in ("number", "button") or silent and label.startswith(silent):
            continue
        panel.until_at_rest()  # so that what changes next is not an answer's second thought
        before = panel.shown()
        panel.move(control)
        panel.until_changed(before, f"{label!r} changes nothing")


def the_snapshot_outlives_kernel_and_page(panel, open_notebook):
    notebook, still = panel.notebook, panel.page.locator(".analognas-still")
    assert still.count() == 1 and not still.is_visible()
    panel.until_at_rest()
    alt = panel.root.locator("img").get_attribute("alt")
    assert alt and still.locator("img").get_attribute("alt") == alt
    assert notebook.errors() == []  # nor has a thread printed any
    notebook.restart_kernel()
    still.wait_for()  # takes the place of a panel that nobody answers any more
    assert not panel.root.is_visible()
    assert "widgets" not in notebook.save().metadata
    # ipywidgets says this about the panel's own output, whose widgets ended with their kernel. The still is there for just that case.
    again = open_notebook(notebook.path, expected="^Error: widget model not found")
    still = again.page.locator(".analognas-still")
    again.until(
        "![...document.querySelectorAll('.jp-OutputArea-output')].some(e => "
        "e.innerText.includes('Loading widget'))"
    )
    assert still.is_visible() and still.locator("img").get_attribute("alt") == alt
    assert still.locator("img").evaluate("e => e.naturalWidth") > 100
    assert "Error displaying widget" not in again.page.locator(".jp-Notebook").inner_text()
    again.shot(f"panel_{notebook.path.removesuffix('.ipynb')}_reopened")
