"""The table of covered lines and branches."""

from collections import Counter

import covered
import pytest


def counts(*numbers):
    return Counter(dict(zip(covered.COUNTS, numbers, strict=True)))


def test_shares_are_of_lines_of_branches_and_of_both():
    assert covered.shares(counts(8, 10, 1, 4)) == [0.8, 0.25, pytest.approx(9 / 14)]


def test_a_module_without_branches_has_them_all():
    assert covered.shares(counts(5, 5, 0, 0)) == [1.0, 1.0, 1.0]


@pytest.fixture
def modules(monkeypatch):
    "Three modules of two packages, one of them hardly tested."
    found = {
        "core/a.py": counts(90, 100, 9, 10),
        "core/b.py": counts(10, 100, 0, 10),
        "cli.py": counts(50, 50, 2, 2),
    }
    monkeypatch.setattr(covered, "summaries", lambda: found)
    return found


def test_packages_are_added_up_and_low_modules_are_named(modules, capsys):
    assert covered.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["(top", "level)", "50", "2"]
    assert lines[2].split() == ["core", "200", "20", "50.0%", "45.0%", "49.5%"]
    assert lines[3].split()[0] == "all"
    assert [line.split()[0] for line in lines[6:]] == ["core/b.py"]


def test_a_package_over_90_percent_is_no_error(modules, capsys):
    modules["core/b.py"] = counts(99, 100, 10, 10)
    assert covered.main() == 0
    assert "No module is under 90%." in capsys.readouterr().out
