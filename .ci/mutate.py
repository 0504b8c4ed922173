"""Draw mutants of modules with the operators of Cosmic Ray. Runs in an environment that has Cosmic Ray.

    python .ci/mutate.py NUMBER SEED MODULE... > mutants.json

A site is a place in a source text that an operator changes. Each site is drawn with the same
probability, and of the changes at a site one. Annotations are left out, and `is` in place of `==`,
which Python computes alike for small numbers. The draw hashes what the line says and not where it
stands, so that the sample stays when another part of a module changes.
"""

import ast
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

Place = tuple[int, int]  # line from 1, column from 0


def annotations(source: str) -> list[tuple[Place, Place]]:
    "Return where annotations begin and end: Python does not compute with them."
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
    ends = [n for n in found if n is not None]
    return [((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in ends]


def changes(source: str) -> Iterator[tuple[Place, Place, str, int]]:
    "Yield where each change begins and ends, its operator and its number among the operator's."
    tree = get_ast(source)
    without = annotations(source)
    for name in operator_names():
        if get_operator(name).arguments() or name.endswith(SAME):
            continue
        operator = get_operator(name)()
        places = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for number, (start, end) in enumerate(places):
            if not any(low <= start < high for low, high in without):
                yield start, end, name, number


# `is` instead of `==` changes nothing for small numbers and for None
SAME = ("_Eq_Is", "_Is_Eq", "_NotEq_IsNot", "_IsNot_NotEq")


def order(*parts: object) -> str:
    "Return a hash by which things are drawn."
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def sites(module: str, source: str, seed: int) -> Iterator[tuple[str, dict]]:
    "Yield for each site the hash that draws it, and one of its changes."
    by_place = defaultdict(list)
    for start, end, name, number in changes(source):
        by_place[start].append((name, number, end))
    lines = source.splitlines()
    seen: Counter[str] = Counter()
    for start in sorted(by_place):
        text = lines[start[0] - 1].strip()
        seen[text] += 1
        key = order(seed, module, text, seen[text])
        found = sorted(by_place[start])
        name, number, end = found[int(key[-8:], 16) % len(found)]
        place = {"key": key[:10], "module": module, "line": start[0], "last_line": end[0]}
        yield key, place | {"text": text, "operator": name, "number": number}


def with_source(mutant: dict) -> dict | None:
    "Return a mutant with its whole source text and what its line becomes; None if it is no Python."
    source = Path(mutant["module"]).read_text(encoding="utf-8")
    try:
        changed = mutate_code(source, get_operator(mutant["operator"])(), mutant["number"])
        compile(changed, mutant["module"], "exec")
    except (AttributeError, SyntaxError):  # Cosmic Ray cannot replace a dotted exception
        return None
    pairs = zip(source.splitlines(), changed.splitlines(), strict=False)
    becomes = next((new for old, new in pairs if old != new), "")
    return mutant | {"source": changed, "becomes": becomes.strip()}


def main(number: str, seed: str, *modules: str) -> None:
    "Print the drawn mutants as JSON."
    every = []
    for module in modules:
        every += sites(module, Path(module).read_text(encoding="utf-8"), int(seed))
    drawn = (with_source(mutant) for _, mutant in sorted(every, key=lambda pair: pair[0]))
    mutants = list(islice((mutant for mutant in drawn if mutant is not None), int(number)))
    json.dump({"sites": len(every), "mutants": mutants}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
