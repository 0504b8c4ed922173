"""What all panels share: one line of status, errors in it, and the names of 0.1.0."""

import subprocess
import sys

import pandas as pd
import pytest

from analognas.core import ConfigError
from analognas.widgets import base, controls
from analognas.widgets.base import Panel, PanelOutput, new_figure, table_html


class Echo(Panel):
    "Shows its text, or raises what it is told to raise."

    title = "Echo"

    def __init__(self):
        super().__init__({"text": controls.number_field("text", None, "any text")})
        self.error = None

    def views(self, settings):
        if self.error is not None:
            raise self.error
        figure = new_figure(2, 1)
        figure.subplots()
        yield PanelOutput(figure, pd.DataFrame([settings]), settings["text"])


@pytest.fixture
def panel():
    made = Echo()
    yield made
    made.close()


def test_no_line_of_a_table_ends_behind_a_plus_minus():
    html = table_html(pd.DataFrame({"acc (%)": ["84.4 ± 3.2"], "n": [2]}))
    assert "84.4 ±\u00a03.2" in html


def test_status_of_an_answer(panel):
    panel.controls["text"].value = "hello"
    assert panel.wait(30)
    assert panel.view.alt == "hello"
    assert panel.status.startswith("computed in")
    assert not panel.status_is_error


@pytest.mark.parametrize(
    "error, text, traceback",
    [
        (ConfigError("T_AVM must be at least 0."), "T_AVM must be at least 0.", []),
        (
            RuntimeError("no such file"),
            "RuntimeError: no such file",
            ["Echo: RuntimeError('no such file')"],
        ),
    ],
)
def test_errors_of_views_are_shown_as_status(panel, unexpected, error, text, traceback):
    panel.error = error
    panel.refresh()
    assert panel.wait(30)
    assert panel.status == text
    assert panel.status_is_error
    assert unexpected == traceback
    unexpected.clear()


def test_a_closed_panel_is_not_waited_for():
    panel = Echo()
    panel.controls["text"].value = "hello"
    assert panel.wait(30)
    panel.close()
    assert panel.wait(30)
    panel.refresh()
    assert panel.wait(30) is False
    assert panel.view.alt == "hello"


def test_a_panel_in_two_cells_keeps_both_snapshots_current(panel, monkeypatch):
    shown = []

    class Handle:
        def __init__(self):
            self.text = ""
            shown.append(self)

        def update(self, page):
            self.text = page.data

    def display(what, display_id=False):
        return Handle() if display_id else None

    monkeypatch.setattr(base, "display", display)
    panel._ipython_display_()
    panel._ipython_display_()
    panel.controls["text"].value = "hello"
    assert panel.wait(30)
    assert ['alt="hello"' in handle.text for handle in shown] == [True, True]


def test_status_line_is_escaped_and_announced(panel):
    panel.set_status("a < b")
    assert panel._status_line.value == '<span role="status" aria-live="polite">a &lt; b</span>'
    panel.set_status("no", error=True)
    assert panel._status_line.value == '<span role="alert" aria-live="polite">⚠ no</span>'


def test_error_text_has_the_notes_of_an_error():
    error = RuntimeError("the oven is cold")
    error.add_note("It is kept in runs/a.")
    assert base.error_text(error) == "RuntimeError: the oven is cold It is kept in runs/a."


@pytest.mark.parametrize(
    "old, new",
    [
        ("View", PanelOutput),
        ("Latest", base.LatestJobThread),
        ("slider", controls.slider),
        ("steps", controls.selection_slider),
        ("choice", controls.dropdown),
        ("number", controls.number_field),
        ("tick", controls.checkbox),
        ("button", controls.button),
    ],
)
def test_former_names_work_and_warn(old, new):
    with pytest.warns(DeprecationWarning):
        assert getattr(base, old) is new


def test_say_is_the_former_name_of_set_status(panel):
    with pytest.warns(DeprecationWarning, match="set_status"):
        panel.say("hello")
    assert panel.status == "hello"


ENDLESS = """
import atexit, threading
names = lambda: sorted({t.name for t in threading.enumerate()} & {"endless", "finished"})
atexit.register(lambda: print(names()))  # called after what the package registers
from analognas.widgets.base import LatestJobThread


def work(item):
    while item:
        yield


LatestJobThread(work, "endless").put(True)
LatestJobThread(work, "finished").close()
print(names())
"""


def test_a_thread_at_work_ends_before_python_does():
    "PyTorch aborts the process if Python ends while a thread computes."
    run = subprocess.run(
        [sys.executable, "-c", ENDLESS], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["['endless']", "[]"]
