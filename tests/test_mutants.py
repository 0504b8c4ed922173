"""The tool that changes the code to see whether tests notice: what it changes, and what it runs."""

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import mutants
import pytest

SOURCE = """
import functools

LIMIT = 3


@functools.cache
def double(x):
    if x > LIMIT:
        return 2 * x
    return x


class Counter:
    start = 1

    def count(self, items):
        return self.start + sum(1 for item in items if item)
"""


SHARING = """
import functools

import pytest


@functools.cache
def cached():
    return 1


def made():
    return 2


@pytest.fixture(scope="module")
def shared():
    return made()


def test_a(shared):
    assert cached() == 1


def test_b(shared):
    assert cached() == 1


def test_c():
    pass
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize(
    "old, new, names",
    [
        ("2 * x", "3 * x", ["double"]),
        ("x > LIMIT", "x >= LIMIT", ["double"]),
        ("sum(1 for", "sum(2 for", ["Counter.count"]),
        ("2 * x", "2 * x", []),
    ],
)
def test_a_change_in_a_function_is_found_there(module, old, new, names):
    changed = mutants.changed_functions(module, SOURCE.replace(old, new))
    assert [name for name, _ in changed] == names


@pytest.mark.parametrize(
    "old, new",
    [("LIMIT = 3", "LIMIT = 4"), ("start = 1", "start = 0"), ("@functools.cache\n", "\n")],
)
def test_a_change_outside_functions_is_imported_anew(module, old, new):
    assert mutants.changed_functions(module, SOURCE.replace(old, new)) is None


@pytest.mark.parametrize("line, lines", [(4, {4}), (9, {9}), (10, {10}), (8, {7, 8}), (18, {18})])
def test_the_statement_around_a_change_has_no_inner_statements(module, line, lines):
    assert mutants.statement_lines(module, {"line": line}) == lines


def test_a_changed_function_takes_the_place_of_the_original(module):
    namespace = {}
    exec(compile(SOURCE, str(module), "exec", dont_inherit=True), namespace)
    functions = mutants.functions_of(module)
    changed = mutants.changed_functions(module, SOURCE.replace("2 * x", "3 * x"))
    assert mutants.replaceable(functions, changed)
    ((key, code),) = changed.items()
    functions[key][0].__code__ = code
    assert namespace["double"](5) == 15


def test_dead_weak_proxies_in_the_process_are_passed_over(module):
    "Other tests leave some behind, and asking one for its class raises `ReferenceError`."
    thing = type("Thing", (), {})()
    proxy = weakref.proxy(thing)
    del thing
    with pytest.raises(ReferenceError):
        isinstance(proxy, int)
    assert any(each is proxy for each in gc.get_objects())
    assert mutants.functions_of(module) == {}
    assert mutants.caches_of(module) == []


def test_every_module_that_is_changed_has_tests():
    missing = [module for module in mutants.module_files() if not mutants.test_files(module)]
    assert missing == []


def test_lines_of_caches_and_shared_fixtures_count_for_every_test_that_uses_them(tmp_path):
    "In a process of its own: tests are run inside of it."
    (tmp_path / "test_sharing.py").write_text(SHARING)
    program = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(Path(mutants.__file__).parent)!r})
import mutants
path = Path("test_sharing.py").resolve()
reached = mutants.Reached(path)

class Watching:
    def pytest_collection_finish(self, session):
        reached.watch(f for same in mutants.functions_of(path).values() for f in same)

mutants.run_pytest([str(path)], reached, Watching())
lines = {{name[-1]: test["lines"] for name, test in reached.tests.items()}}
print(json.dumps(lines), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = json.loads(done.stderr.splitlines()[-1])
    inside = {
        name: SHARING.splitlines().index(name) + 1 for name in ("    return 1", "    return 2")
    }
    for line in inside.values():
        assert [name for name in "abc" if line in lines[name]] == ["a", "b"]
