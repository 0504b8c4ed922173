"""The first pages: what README.md claims is what the library's own records hold."""

import re
from pathlib import Path

import pytest

from analognas.bench.search import load_search_bench
from analognas.training.plans import PLANS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIMIZERS = {
    "**`BOptimizer`**": "bo",
    "**`PredictorGuided`**": "predictor_guided",
    "Optuna, Gaussian process": "optuna_gp",
    "Optuna, TPE": "optuna_tpe",
    "random search": "random_search",
}


def rows_of_results() -> dict[str, list[str]]:
    "Return the table of results in README.md: name to the other cells, without bold marks."
    rows = [
        line.strip("| ").split(" | ")
        for line in README.splitlines()
        if " ± " in line and line[0] == "|"
    ]
    return {name: [cell.replace("**", "") for cell in cells] for name, *cells in rows}


@pytest.mark.parametrize("name, key", OPTIMIZERS.items(), ids=OPTIMIZERS.values())
def test_readme_shows_the_regrets_that_the_bench_recorded(name, key):
    found = load_search_bench()
    regrets = [
        f"{found['regret'][key][n]:.2f} ± {found['error'][key][n]:.2f}" for n in ("100", "200")
    ]
    assert rows_of_results()[name] == [*regrets, str(found["seeds"][key])]


def test_readme_shows_no_other_results():
    assert rows_of_results().keys() == OPTIMIZERS.keys()


def test_readme_shows_what_the_ten_lines_print():
    code, output = re.search(r"```python\n(.*?)```\n(.*?)\n\n\n", README, re.DOTALL).groups()
    assert code.strip().endswith("worker.result_summary()")
    assert re.search(r"predicted 1-day accuracy \d+\.\d\d %", output)
    assert "Traceback" not in output


def test_readme_is_short_and_says_what_it_is_at_once():
    words = README.split()
    assert len(words) < 850
    assert "neural architecture search" in " ".join(words[:20]).lower()
    assert "![" in " ".join(words[:120])


def test_the_plan_that_readme_names_exists():
    [plan] = re.findall(r"--plan (\w+)", README)
    assert [name for name, plans in PLANS.items() if plan in plans]
