"""Every notebook of the tutorials, opened in JupyterLab and run from top to bottom."""

from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[2] / "nbs" / "tutorials"
pytestmark = pytest.mark.browser
LESSONS = sorted(path.name for path in TUTORIALS.glob("*.ipynb"))


def test_the_lessons_are_found():
    assert "starter_notebook.ipynb" in LESSONS


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs(name, open_notebook):
    notebook = open_notebook(name)
    notebook.run_all(patience=600)
    notebook.until(
        "[...document.querySelectorAll('.analognas-panel')].every(panel => "
        "panel.querySelector('img'))"
    )
    assert notebook.errors() == []
    notebook.shot(name.removesuffix(".ipynb"), whole=True)
