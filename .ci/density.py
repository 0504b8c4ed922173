"""Finds lines that a reader has to unpack: several assignments in one, comprehensions in comprehensions."""

import ast
from collections.abc import Iterator

MAX_LEVELS = 2  # of a comprehension: its `for`s and those of comprehensions inside it
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def dense_lines(source: str) -> Iterator[tuple[int, str]]:
    "Yield line and complaint for each statement of a source text that is too dense."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and packs_unrelated(node):
            yield node.lineno, "several assignments in one. Write one a line"
        elif isinstance(node, COMPREHENSIONS) and levels(node) > MAX_LEVELS:
            yield node.lineno, "a comprehension nested more than once. Name its parts"


def packs_unrelated(node: ast.Assign) -> bool:
    """Is this `a, b = x, y`, where no value depends on a target?

    `a, b = b, a` and `low, high = min(low, x), max(high, x)` belong together."""
    target = node.targets[0]
    if not (isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)):
        return False
    return not written_names(target) & read_names(node.value)


def written_names(target: ast.Tuple) -> set[str]:
    "Return the targets of an assignment as source text: names, attributes, items."
    return {ast.unparse(element) for element in target.elts}


def read_names(value: ast.Tuple) -> set[str]:
    "Return every expression inside a value as source text."
    return {ast.unparse(part) for part in ast.walk(value) if isinstance(part, ast.expr)}


def levels(node: ast.AST) -> int:
    "Return how many `for`s stand inside one another in a comprehension."
    inside = max((levels(child) for child in ast.iter_child_nodes(node)), default=0)
    if isinstance(node, COMPREHENSIONS):
        return len(node.generators) + inside
    return inside
