"""The tool that changes the code to see whether tests notice: what it changes, and what it runs."""

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


def test_every_module_that_is_changed_has_tests():
    missing = [module for module in mutants.module_files() if not mutants.test_files(module)]
    assert missing == []
