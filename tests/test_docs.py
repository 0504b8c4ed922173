"""The documentation: what comments say is read as nbdev reads it, and every page has its place."""

import importlib.util
import json
import shutil
from pathlib import Path

import docments
import docs_contents
import gate
import pytest
from fastcore.docments import docments as nbdev_docments

ROOT = Path(__file__).resolve().parent.parent

FUNCTIONS = {
    "as nbdev writes it": """
def f(model,                   # an analog network
      times: list[float],      # seconds since programming, "ascending" # or not
      n: int = 10,             # repeats
      ) -> dict[str, float]:   # percent
    "Measure."
""",
    "as ruff formats it": """
def f(
    g: float = max(1, 2),  # conductance, microsiemens
    *,
    seed: int | None = None,
    noise: bool = True,  # with read noise?
) -> float:  # conductance then
    # not about any of them
    return g
""",
    "in one line": """
def f(x: float = 1.0) -> float:  # percent
    return x
""",
    "above": """
def f(
    # shape (N, C, H, W)
    x,
    # class indices,
    # shape (N,)
    y=(1,
       2),
):
    return x, y
""",
    "stars": """
def f(a, /, b: str,       # path
      *args: int,         # sizes
      **how: object,      # handed on
      ):
    pass
""",
    "without a word": "def f(a, b=2):\n    return a\n",
}


def run(source: str, folder: Path):
    "Execute the source of `f` as a module that `inspect` can read."
    path = folder / "module_of_f.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("module_of_f", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.f


@pytest.mark.parametrize("source", FUNCTIONS.values(), ids=FUNCTIONS)
def test_comments_of_a_function_are_what_nbdev_reads(source, tmp_path):
    said = docments.function_comments(source.strip())
    told = nbdev_docments(run(source.strip(), tmp_path), args_kwargs=True)
    flat = {name: " ".join(text.split()) for name, text in told.items() if text}
    assert said == flat


@pytest.mark.parametrize(
    "head, said",
    [
        ("def f(times, n):  # times: seconds", {"times": "seconds"}),
        ("def f(a, b=1):  # points", {"b": "points"}),
        ("def f(self, timeout: float) -> None:  # seconds", {"timeout": "seconds"}),
        ("def f(path: str,\n      **how) -> Self:  # handed on", {"how": "handed on"}),
        ("def f(\n    *,  # None: the preset's\n    bits: int = 8,\n):", {}),
    ],
)
def test_comments_that_nbdev_reads_otherwise(head, said):
    assert docments.function_comments(f"{head}\n    return 1\n") == said


def test_a_method_is_read_however_far_it_is_indented():
    source = "    @property\n    def f(self) -> float:  # volts\n        return 1.0\n"
    assert docments.function_comments(source) == {"return": "volts"}


def test_comments_of_fields():
    source = """
class Record(NamedTuple):
    "Words."
    acc: float           # percent
    times: tuple = (     # not here, where it begins
        1, 2)            # seconds
    # above, in two
    # lines
    n: int = 1
    other = 3            # no annotation is needed
    x[0] = 1             # no name
"""
    said = {
        "acc": "percent",
        "times": "seconds",
        "n": "above, in two lines",
        "other": "no annotation is needed",
    }
    assert docments.field_comments(source.strip()) == said


def test_comments_of_constants():
    source = "DAY = 86_400  # seconds\na, b = 1, 2  # two\nDAY += 1  # no\nx: int = 3  # three\n"
    assert docments.constant_comments(source) == {"DAY": "seconds", "x": "three"}


def pages(sections: list) -> list[str]:
    "Return all pages of a navigation."
    found = []
    for entry in sections:
        [content] = entry.values()
        found += pages(content) if isinstance(content, list) else [content]
    return found


def test_every_notebook_and_every_module_is_in_the_navigation_once():
    found = pages(docs_contents.navigation(ROOT, ROOT / "nbs"))
    nbs = [path.relative_to("nbs") for path in gate.notebooks(ROOT) if path.parts[0] == "nbs"]
    notebooks = {path.as_posix() for path in nbs}
    reference = {f"reference/{name}.md" for name in docs_contents.reference_pages(ROOT)}
    assert sorted(found) == sorted(notebooks | reference)


def test_pages_about_the_whole_come_in_the_order_of_reading():
    start = docs_contents.navigation(ROOT, ROOT / "nbs")[0]
    wanted = ["index", "how_it_fits_together", "glossary", "benchmarks", "trust"]
    assert pages([start]) == [f"{name}.ipynb" for name in wanted]


def test_links_lead_to_pages_or_to_the_repository(tmp_path):
    web = "[web](https://example.org/a.ipynb)"
    source = (
        f"[licence](../LICENSE), [core](00_core.ipynb#units), [one](tutorials/one.ipynb), {web}"
    )
    path = tmp_path / "index.ipynb"
    path.write_text(
        json.dumps({"cells": [{"cell_type": "markdown", "metadata": {}, "source": source}]})
    )
    docs_contents.for_readers(path, "https://example.org/main")
    [cell] = docs_contents.cells(path)
    assert cell["source"].split(", ") == [
        "[licence](https://example.org/main/LICENSE)",
        "[core](00_core.html#units)",
        "[one](tutorials/one.html)",
        web,
    ]


def test_links_of_lessons_to_the_library_lead_to_its_pages():
    assert docs_contents.for_pages("[core](../00_core.ipynb)", "") == "[core](../00_core.html)"


def test_no_part_of_the_library_lacks_a_section():
    library = docs_contents.navigation(ROOT, ROOT / "nbs")[2]["Library"]
    titles = [title for section in library for title in section]
    assert set(titles) <= set(docs_contents.SECTIONS.values())


@pytest.mark.parametrize(
    "name, expected",
    [
        ("59_search_algorithms.worker", "search_algorithms"),
        ("00_core", "core"),
        ("search_spaces/10_config_space", "search_spaces"),
    ],
)
def test_the_package_of_a_notebook(name, expected, tmp_path):
    assert docs_contents.package(tmp_path / f"{name}.ipynb", tmp_path) == expected


@pytest.fixture
def library(tmp_path) -> Path:
    "A small package: what its `__init__` offers, what `__all__` lists, the rest."
    files = {
        "__init__.py": '_WHERE = {"Worker": "search.worker"}\n',
        "search/__init__.py": "from .worker import give_up\nfrom .figures import *\n",
        "search/figures.py": '__all__ = ["draw"]\ndef draw(): "Draw."\n',
        "search/worker.py": '__all__ = ["LIMIT", "Patience", "Worker", "give_up"]\nLIMIT = 3\n'
        'class Patience: ...\nclass Worker:\n    "Search. And more."\n'
        'def give_up(): "Stop."\ndef helper(): ...\ndef _hidden(): ...\n',
    }
    for name, source in files.items():
        path = tmp_path / "analognas" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return tmp_path


def test_public_names_come_first_and_internal_ones_last(library):
    shown, internal = docs_contents.members(library, Path("analognas/search/worker.py"))
    assert shown == ["Worker", "give_up", "Patience", "LIMIT"]
    assert internal == ["helper"]


def test_a_star_offers_all_that_a_module_lists(library):
    assert docs_contents.public(library, Path("analognas/search/figures.py")) == ["draw"]


def test_a_summary_is_a_link_and_the_first_sentence(library):
    first, _ = docs_contents.summaries(library, Path("analognas/search/worker.py"))
    name = "analognas.search.worker"
    assert first == f"- [`Worker`][{name}.Worker], `{name}`: Search."


def test_long_cells_of_imports_are_marked_and_nothing_else(tmp_path):
    sources = [
        "#| export\nimport a\nimport b\nimport c\nfrom d import (e,\n    f)",
        "import a",
        "import a\nimport b\nimport c\nx = 1\ny = 2",
        "%time import a\n\n\n\n1",
    ]
    kept = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [kept | {"source": source.splitlines(keepends=True)} for source in sources]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}}))
    docs_contents.for_readers(path)
    marks = [cell["metadata"]["imports"] for cell in docs_contents.cells(path)]
    assert marks == [True, False, False, False]
    assert docs_contents.cells(path)[0]["source"].startswith("import a")


def test_hidden_cells_are_left_out(tmp_path):
    notebooks = [ROOT / path for path in gate.notebooks(ROOT)]
    hiding = [path for path in notebooks if "#| hide" in path.read_text(encoding="utf-8")]
    path = Path(shutil.copy(hiding[0], tmp_path))
    docs_contents.for_readers(path)
    assert len(docs_contents.cells(path)) < len(docs_contents.cells(hiding[0]))
    assert not any("#|" in cell["source"] for cell in docs_contents.cells(path))
