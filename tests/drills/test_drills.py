"""A few of each drill; `make drills` runs all of them as often as the table in nbs/trust.ipynb says."""

import pytest

from drills import __main__ as program
from drills.breaking import DRILLS, run_drill
from drills.ground import Ground

# Of searches, in a process that imports no torch: seconds in all.
CHEAP = (
    "kill_search", "sigint", "sigterm", "full_disk", "read_only", "removed", "renamed", "replaced",
    "shared", "pool_child_killed", "raises", "nan", "shape", "out_of_range", "clock",
)  # fmt: skip


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    with Ground(tmp_path_factory.mktemp("drills"), collections=False) as made:
        yield made


@pytest.mark.parametrize("name", CHEAP)
def test_a_search_survives(ground, name):
    outcome = run_drill(ground, name, DRILLS[name][3])
    assert outcome.times >= 1
    assert outcome.holds, outcome


@pytest.mark.slow
def test_searches_and_collections_survive_every_drill(capsys):
    assert program.main(["--share", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(DRILLS) + 2


@pytest.mark.parametrize(
    "lost, again, wrong, cell", [(0, 1, [], "yes"), (1, 0, [], "NO"), (0, 2, [], "NO")]
)
def test_the_table_reports_what_was_lost_or_done_twice(lost, again, wrong, cell):
    from drills.ground import Outcome

    outcome = Outcome("kill", 1, lost, again, 1, wrong)
    assert program.table([outcome])[-1].endswith(f"{cell} |")


def test_an_unknown_drill_is_refused(capsys):
    with pytest.raises(SystemExit):
        program.main(["kill_searches"])
    assert "unknown drills ['kill_searches']" in capsys.readouterr().err
