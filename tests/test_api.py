"""The public names: what packages offer can be imported, is seen by type checkers, and is cheap."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import analognas

ROOT = Path(analognas.__file__).parent
STUBS = sorted(ROOT.rglob("__init__.pyi"))
# Words that a public docstring may begin with; a new one is added on purpose.
VERBS = set(
    """Add Build Check Compute Convert Copy Declare Define Describe Discard Draw Evaluate Fail
    Hold Let Limit Load Look Make Move Predict Program Propose Put Raise Rank Read Record
    Return Run Search Set Show Train Wait Warn Write Yield""".split()
)


def stub_names(stub):
    "Return pairs of module and name of a stub."
    nodes = [n for n in ast.parse(stub.read_text()).body if isinstance(n, ast.ImportFrom)]
    return [(node.module, alias.name) for node in nodes for alias in node.names]


@pytest.mark.parametrize("stub", STUBS, ids=[stub.parent.name for stub in STUBS])
def test_each_offered_name_is_the_one_that_its_module_defines(stub):
    package = f"analognas.{stub.parent.name}"
    for module, name in stub_names(stub):
        defined = getattr(importlib.import_module(f"{package}.{module}"), name)
        assert getattr(importlib.import_module(package), name) is defined


def properties(node):
    "Return the public properties of a class."
    functions = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]
    return [n for n in functions if "property" in "".join(map(ast.unparse, n.decorator_list[:1]))]


def public_definitions(stub):
    "Yield name and node of the public functions, classes and their properties."
    for module, name in stub_names(stub):
        tree = ast.parse((stub.parent / f"{module}.py").read_text())
        defined = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        for node in [n for n in defined if n.name == name]:
            yield name, node
            yield from ((f"{name}.{member.name}", member) for member in properties(node))


@pytest.mark.parametrize("stub", STUBS, ids=[stub.parent.name for stub in STUBS])
def test_a_public_docstring_begins_with_a_verb(stub):
    first = {name: (ast.get_docstring(n) or "-").split()[0] for name, n in public_definitions(stub)}
    assert {name for name, word in first.items() if word not in VERBS} == set()


def test_what_type_checkers_see_at_the_top_is_what_is_loaded():
    [block] = [
        node
        for node in ast.parse((ROOT / "__init__.py").read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == analognas._WHERE
    assert all(hasattr(analognas, name) for name in seen)


# What other packages define does not matter here, and takes most of the time.
MYPY = """[mypy]
follow_imports = skip
[mypy-analognas.*]
follow_imports = silent
[mypy-numpy.*,torch.*,pandas.*]
follow_imports_for_stubs = True
"""


def test_type_checkers_know_the_public_names(tmp_path):
    (tmp_path / "mypy.ini").write_text(MYPY)
    program = tmp_path / "program.py"
    program.write_text(
        "from analognas import ConfigSpace\n"
        "from analognas.search_algorithms import Worker\n"
        "reveal_type(ConfigSpace)\nreveal_type(Worker)\n"
        "from analognas.evaluators import NoSuchEvaluator\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini"]
    environment = os.environ | {"MYPYPATH": str(ROOT.parent)}
    run = subprocess.run(
        [*command, str(program)], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert "-> analognas.search_spaces.config_space.ConfigSpace" in run.stdout
    assert "-> analognas.search_algorithms.worker.Worker" in run.stdout
    assert 'has no attribute "NoSuchEvaluator"' in run.stdout


@pytest.mark.parametrize("package", ["core", "search_spaces", "cost", "datasets", "evaluators"])
def test_a_package_loads_nothing_heavy_before_it_is_used(package):
    code = f"import sys, analognas.{package}; print({{'torch', 'aihwkit', 'xgboost'}} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_a_name_that_a_package_does_not_offer_is_an_attribute_error():
    with pytest.raises(AttributeError, match="NoSuchOptimizer"):
        importlib.import_module("analognas.search_algorithms").NoSuchOptimizer


def test_an_old_name_of_the_costs_is_found_in_their_package():
    with pytest.warns(DeprecationWarning, match="cost.model"):
        from analognas.cost import find_chip
    assert find_chip("hermes").name
