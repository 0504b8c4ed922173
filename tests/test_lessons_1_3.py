"""The solutions of lessons 1 to 3 run where the lesson asks for them, and what they find is so."""

import ast
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

TUTORIALS = Path(__file__).resolve().parent.parent / "nbs" / "tutorials"
LESSONS = ("lesson_1_weights", "lesson_2_architecture", "lesson_3_search_space")
SOLUTION = re.compile(
    r"<details><summary>Solution</summary>\n\n```python\n(.*?)```\n.*</details>", re.DOTALL
)


def cells_of(name: str) -> list:
    return nbformat.read(TUTORIALS / f"{name}.ipynb", as_version=4).cells


def solutions_of(name: str) -> list[str]:
    "The code of the solutions, in order."
    return [
        m[1]
        for c in cells_of(name)
        if c.cell_type == "markdown"
        for m in [SOLUTION.fullmatch(c.source)]
        if m
    ]


def printed(name: str, tmp_path: Path) -> list[str]:
    "What the solutions print, each run after all cells before it, in one kernel."
    nb = nbformat.v4.new_notebook()
    for cell in cells_of(name):
        found = SOLUTION.fullmatch(cell.source) if cell.cell_type == "markdown" else None
        if found or cell.cell_type == "code":
            nb.cells.append(
                nbformat.v4.new_code_cell(
                    found[1] if found else cell.source, metadata={"solution": bool(found)}
                )
            )
    NotebookClient(nb, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    solved = [c for c in nb.cells if c.metadata["solution"]]
    return [
        "".join(o.text for o in c.outputs if o.output_type == "stream" and o.name == "stdout")
        for c in solved
    ]


def numbers(pattern: str, text: str) -> list[float]:
    return [float(x.replace(",", "")) for x in re.findall(pattern, text)]


@pytest.mark.parametrize("name", LESSONS)
def test_three_exercises_with_an_empty_cell_and_a_solution_each(name):
    cells = cells_of(name)
    empty = [
        i for i, c in enumerate(cells) if c.cell_type == "code" and c.source == "# your code here"
    ]
    assert len(empty) == 3 == len(solutions_of(name))
    for i, number in zip(empty, "123"):
        assert cells[i - 1].source.startswith(f"**{number}. ")
        assert SOLUTION.fullmatch(
            cells[i + 1].source
        )  # a blank line after <summary>: JupyterLab renders no fence without it
    for code in solutions_of(name):
        ast.parse(code)


@pytest.mark.parametrize("name", LESSONS)
def test_no_line_of_code_is_cut_at_the_edge_of_the_page(name):
    code = [c.source for c in cells_of(name) if c.cell_type == "code"] + solutions_of(name)
    assert [line for source in code for line in source.splitlines() if len(line) > 110] == []


@pytest.mark.parametrize("name", LESSONS)
def test_headings_stand_in_markdown(name):
    cells = cells_of(name)
    assert "## Exercises" in [
        line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines()
    ]
    assert not [
        c.source for c in cells if c.cell_type == "code" and re.search("^##", c.source, re.M)
    ]


@pytest.mark.parametrize("name", (*LESSONS, "teachers_guide"))
def test_saved_outputs_are_small_and_hold_no_widget_and_no_error(name):
    nb = nbformat.read(TUTORIALS / f"{name}.ipynb", as_version=4)
    assert "widgets" not in nb.metadata
    for output in (o for c in nb.cells if c.cell_type == "code" for o in c.outputs):
        assert output.output_type != "error" and output.get("name") != "stderr"
        data = output.get("data", {})
        assert "application/vnd.jupyter.widget-view+json" not in data
        assert all(
            len(str(v)) * 3 / 4 < 100_000 for v in data.values()
        )  # base64 is a third longer than what it encodes


@pytest.mark.slow
def test_lesson_1(tmp_path):
    share, pairs, bits = printed(LESSONS[0], tmp_path)
    # the polynomial of aihwkit's PCM model, Nandakumar et al. 2019, as a share of the target
    rows = np.array(
        [[float(x) for x in line.split()] for line in share.splitlines() if len(line.split()) == 2]
    )
    rows = rows[rows[:, 0] >= 5]  # below, conductances that would be negative are 0
    s = rows[:, 0] / 25
    assert np.allclose(
        rows[:, 1], 100 * (0.26348 + 1.9650 * s - 1.1731 * s**2) / rows[:, 0], rtol=0.06
    )
    one, two, four, eight = numbers(r"error ([\d.]+) µS", pairs)
    assert one > two > four > eight and 2.2 < one / eight < 8**0.5 + 0.1
    acc = numbers(r"bits: ([\d.]+)", bits)
    assert len(acc) == 7 and acc[0] < acc[-1] - 20 and max(acc[4:]) - min(acc[4:]) < 3


@pytest.mark.slow
def test_lesson_2(tmp_path):
    wider, trainings, sensitivity = printed(LESSONS[1], tmp_path)
    params = numbers(r"([\d,]+) parameters", wider)
    assert params[2] > 2 * params[1]
    assert (
        all(n >= 2 for n in numbers(r": (\d+) trainings", trainings))
        and trainings.count("trainings") == 6
    )
    assert sensitivity.startswith("keep digital: ")


@pytest.mark.slow
def test_lesson_3(tmp_path):
    stride, rule, fair = printed(LESSONS[2], tmp_path)
    sizes = re.search(r"(\d+) architectures, twice (\d+)", stride)
    assert int(sizes[1]) == 2 * int(sizes[2]) == 2 * 4 * (8 + 64 + 512)
    long, short = numbers(r"([\d.]+) µs", stride)
    assert long / short == pytest.approx(
        (2 * 64 + 1) / (2 * 16 + 1), rel=0.01
    )  # two convolutions on 8x8 or 4x4 pixels, one classifier
    widths = np.arange(4, 33, 4)
    a, b, c = np.meshgrid(widths, widths, widths)
    exact = [
        100 * (1 + (b <= 2 * a).mean() + ((b <= 2 * a) & (c <= 2 * b)).mean()) / 3,
        100 * ((b <= 2 * a) & (c <= 2 * b)).mean(),
    ]
    assert numbers(r"(\d+) %", rule) == pytest.approx(
        exact, abs=9
    )  # of 500 draws, a third of them of depth 3
    assert "64 times as likely" in fair
    assert numbers(r"ratio (\d+)", fair)[0] == pytest.approx(64, abs=6)
