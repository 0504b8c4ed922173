"""Writes the names of earlier releases and their successors into CHANGELOG.md, from the code that makes them work.

python .ci/deprecations.py

Code is read, not run: `MOVED` of the package, and the tables that modules give to `renamed`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

START = "<!-- written by .ci/deprecations.py -->\n"
END = "<!-- end -->\n"


def moved_modules(root: Path) -> dict[str, str]:
    "Return old and new name of each module that has moved."
    tree = ast.parse((root / "analognas" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MOVED":
            return ast.literal_eval(node.value)
    return {}


def module_name(root: Path, path: Path) -> str:
    "Return the dotted name of a module's file."
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def renamed_names(root: Path, path: Path) -> Iterator[tuple[str, str]]:
    "Yield old and new dotted name of each name that a module's table for `renamed` holds."
    module = module_name(root, path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        is_call = isinstance(node, ast.Call) and ast.unparse(node.func) == "renamed"
        if not is_call or not isinstance(node.args[1], ast.Dict):
            continue
        for old, new in ast.literal_eval(node.args[1]).items():
            where, _, name = new.rpartition(":")
            home = f"analognas.{where}" if where else module
            yield f"{module}.{old}", f"{home}.{name}"


def all_renamed(root: Path) -> dict[str, str]:
    "Return old and new name of everything that was renamed."
    pairs: dict[str, str] = {}
    for path in sorted((root / "analognas").rglob("*.py")):
        pairs |= renamed_names(root, path)
    return pairs


def rows(pairs: dict[str, str]) -> list[str]:
    "Return a Markdown table of old and new names."
    lines = ["| until 0.1.0 | now |", "|---|---|"]
    return lines + [f"| `{old}` | `{new}` |" for old, new in sorted(pairs.items())]


def section(root: Path) -> str:
    "Return what CHANGELOG.md lists."
    lines = ["Modules:", "", *rows(moved_modules(root)), "", "Names:", "", *rows(all_renamed(root))]
    return "\n" + "\n".join(lines) + "\n\n"


def with_section(text: str, root: Path) -> str:
    "Return the text of CHANGELOG.md with the tables as they should be."
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return before + START + section(root) + END + after


def write_changelog(root: Path) -> None:
    "Bring CHANGELOG.md up to date."
    path = root / "CHANGELOG.md"
    path.write_text(with_section(path.read_text(encoding="utf-8"), root), encoding="utf-8")


if __name__ == "__main__":
    write_changelog(Path(__file__).resolve().parent.parent)
