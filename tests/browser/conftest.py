"""One JupyterLab and one browser for all tests of a process; a fresh page for every notebook."""

import shutil
from pathlib import Path

import pytest
from find_browser import find_browser
from lab_page import Lab, NotebookPage

TUTORIALS = Path(__file__).resolve().parents[2] / "nbs" / "tutorials"


@pytest.fixture(scope="session")
def browser_type_launch_args():
    # Root has no sandbox in a container; a container's /dev/shm may be too small for pictures.
    return {
        "executable_path": find_browser()[0],
        "args": ["--no-sandbox", "--disable-dev-shm-usage"],
    }


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("jupyterlab")
    shutil.copytree(
        TUTORIALS, home / "tutorials", ignore=shutil.ignore_patterns("runs", ".ipynb_checkpoints")
    )
    lab = Lab(home / "tutorials", home)
    yield lab
    lab.close()


@pytest.fixture
def open_notebook(lab, new_context):
    "Opens a notebook in a fresh page. In the end nothing may have been wrong on any page."
    pages = []

    def open_(path: str, expected: str | None = None) -> NotebookPage:
        if pages:
            pages[
                -1
            ].close()  # two pages on one kernel hear each other's messages, and complain about them
        context = new_context(viewport={"width": 1400, "height": 1000})
        pages.append(NotebookPage(context.new_page(), lab, path, expected))
        return pages[-1]

    yield open_
    if pages:
        pages[-1].close()
    assert [problem for page in pages for problem in page.problems] == []
