"""Lessons 4 to 10 and the search demonstration: their form, their solutions, and the script beside the demonstration."""

import base64
import json
import re
import runpy
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIALS = Path(__file__).resolve().parent.parent / "nbs" / "tutorials"
LESSONS = (
    "lesson_4_evaluator",
    "lesson_5_optimizer",
    "lesson_6_from_search_to_chip",
    "lesson_7_pareto",
    "lesson_8_your_own_network",
    "lesson_9_which_layers_stay_digital",
    "lesson_10_a_chip_for_this_network",
    "lesson_11_analog_is_not_quantisation",
    "nas_search_demo",
)
DEMO = "nas_search_demo"


def read(name: str):
    return nbformat.read(TUTORIALS / f"{name}.ipynb", as_version=4)


def is_solution(cell) -> bool:
    return cell.cell_type == "markdown" and "<summary>Solution</summary>" in cell.source


def solutions(nb) -> list[str]:
    "The fenced code of each solution."
    return [
        code
        for cell in nb.cells
        if is_solution(cell)
        for code in re.findall(r"^```python\n(.*?)^```$", cell.source, re.S | re.M)
    ]


def printed(nb) -> str:
    "All text that the saved notebook shows as output."
    outputs = [o for cell in nb.cells if cell.cell_type == "code" for o in cell.outputs]
    return "\n".join(
        o.get("text", "") or str(o.get("data", {}).get("text/plain", "")) for o in outputs
    )


@pytest.mark.parametrize("name", LESSONS)
def test_three_exercises_each_with_an_empty_cell_and_a_solution(name):
    cells, nb = read(name).cells, read(name)
    exercises = [
        i
        for i, c in enumerate(cells)
        if c.cell_type == "markdown" and re.search(r"^\*\*[123]\. ", c.source, re.M)
    ]
    assert len(exercises) == 3 and len(solutions(nb)) == 3
    for i in exercises:
        assert cells[i + 1].cell_type == "code" and cells[i + 1].source == "# your turn"
        assert is_solution(cells[i + 2])
        # Markdown inside HTML is only rendered between blank lines.
        assert re.fullmatch(
            r"<details><summary>Solution</summary>\n\n```python\n.*\n```\n\n(.*\n\n)?</details>",
            cells[i + 2].source,
            re.S,
        )


@pytest.mark.parametrize("name", LESSONS)
def test_no_line_of_code_is_cut_at_the_edge_of_the_page(name):
    nb = read(name)
    code = [c.source for c in nb.cells if c.cell_type == "code"] + solutions(nb)
    assert [line for source in code for line in source.splitlines() if len(line) > 110] == []


@pytest.mark.parametrize("name", LESSONS)
def test_a_goal_in_two_lines_and_a_picture_among_the_first_cells(name):
    nb = read(name)
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert any("image/png" in o.get("data", {}) for c in code[:4] for o in c.outputs)
    if name.startswith("lesson"):
        assert re.search(
            r"^\*\*You will be able to\*\* .+\n.*\*\*You will have\*\* .+", nb.cells[0].source, re.M
        )


@pytest.mark.parametrize("name", LESSONS)
def test_saved_pictures_are_small_and_nothing_else_is_saved(name):
    nb = read(name)
    assert "widgets" not in nb.metadata
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            assert len(base64.b64decode(data.get("image/png", ""))) < 100_000
            assert "application/vnd.jupyter.widget-view+json" not in data
            assert output.get("name") != "stderr", "a warning or a progress bar was saved"


@pytest.mark.parametrize("name", LESSONS)
def test_every_decimal_number_in_prose_is_one_that_is_printed_or_set(name):
    nb = read(name)
    known = printed(nb) + "".join(c.source for c in nb.cells if c.cell_type == "code")
    for cell in nb.cells:
        if cell.cell_type == "markdown" and not is_solution(cell):
            prose = re.sub(r"`[^`]*`|\([^)]*\)\S*\.ipynb|\*\*\d\. ", "", cell.source)
            assert [n for n in re.findall(r"\d+\.\d+", prose) if n not in known] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_solutions_run_after_the_lesson(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nb = read(name)
    nb.cells += [nbformat.v4.new_code_cell(code) for code in solutions(nb)]
    NotebookClient(nb, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.mark.slow
def test_lesson_8_goes_on_without_its_extra_and_prints_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nb = read("lesson_8_your_own_network")
    missing = ("mnist1d.data", "torchvision.models.mobilenetv3")
    code = f"import sys\n\nsys.modules |= dict.fromkeys({missing})"
    nb.cells.insert(0, nbformat.v4.new_code_cell(code))  # an import of None is an ImportError
    NotebookClient(nb, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "mnist1d is missing" in printed(nb)
    assert "torchvision is missing" in printed(nb)
    assert printed(nb).count('pip install "analognas[lessons]"') == 2


@pytest.fixture
def run_script(monkeypatch):
    "Run the script beside the demonstration as `python nas_search_demo.py` does."

    def run(*options):
        script = str(TUTORIALS / f"{DEMO}.py")
        monkeypatch.setattr(sys, "argv", [script, *map(str, options), "--search-only"])
        runpy.run_path(script, run_name="__main__")

    return run


def test_the_script_finds_what_the_notebook_finds(tmp_path, monkeypatch, run_script):
    monkeypatch.chdir(tmp_path)
    run_script("--seed", 0, "--out", tmp_path / "demo")
    cells = [c.source for c in read(DEMO).cells if c.cell_type == "code"]
    wanted = [c for c in cells if re.search(r"^(import|SEED =|evaluator =|LIMITS =)", c, re.M)]
    scope: dict = {}
    for code in wanted:
        exec(code, scope)  # the notebook's own cells
    worker = scope["worker"]
    script = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert script == json.loads(json.dumps(worker.summary()))
    settings = [
        json.loads((folder / "settings.json").read_text())
        for folder in (tmp_path / "demo", worker.directory.path)
    ]
    assert settings[0] == settings[1]
    assert (tmp_path / "demo" / "search.png").stat().st_size > 0


def test_the_script_refuses_in_one_line(tmp_path, run_script, capsys):
    (tmp_path / "taken").write_text("something else")
    with pytest.raises(SystemExit) as end:
        run_script("--out", tmp_path / "taken")
    assert end.value.code == 2
    assert re.fullmatch(r"nas_search_demo.py: .*already in use.*\n", capsys.readouterr().err)
