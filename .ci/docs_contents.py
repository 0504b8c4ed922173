"""What the documentation consists of: pages, their sections, and what the reference lists.

Code is read, not run. `docs_pages.py` hands all this to mkdocs.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from gate import modules, source_notebook
from readme import DIRECTIVE, HIDE

# Packages and modules in reading order, and what their part of the navigation is called.
SECTIONS = {
    "core": "Records",
    "search_spaces": "Search spaces",
    "datasets": "Data",
    "cost": "Cost",
    "analog": "Analog hardware",
    "training": "Training and labels",
    "evaluators": "Evaluators",
    "search_algorithms": "Search",
    "testing": "Testing",
    "plots": "Figures",
    "widgets": "Panels",
    "bench": "Benchmarks",
    "doctor": "Command line",
    "lab": "Command line",
    "page": "Command line",
    "demo": "Command line",
    "commands": "Command line",
    "cli": "Command line",
}
# Pages about the whole in this order, others after them.
FIRST = ("how_it_fits_together", "glossary", "benchmarks", "trust")
# Lessons in this order, those of one kind by number.
LESSONS = ("starter_notebook", "lesson_", "nas_search_demo", "teachers_guide")
TO_NOTEBOOK = re.compile(r"(\]\((?![a-z]+:)[^)\s#]+)\.ipynb\b")  # a link in Markdown
SHORT = 3  # lines of imports that are shown; longer cells are folded


def cells(notebook: Path) -> list[dict]:
    "Return the cells of a notebook, each with its source as one text."
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in found]


def title(notebook: Path) -> str:
    "Return the first heading of a notebook. `ValueError` if there is none."
    for cell in cells(notebook):
        found = re.search(r"^#\s+(.+)$", cell["source"], re.MULTILINE)
        if cell["cell_type"] == "markdown" and found:
            return found.group(1)
    raise ValueError(f"{notebook} has no title: a first line that begins with '# '.")


def for_readers(
    notebook: Path,
    home: str = "",  # address of the folder that holds the folder of this notebook
) -> None:
    """Remove hidden cells and nbdev's directives, mark cells of imports, mend links; in place.

    With `home`, links that leave the notebook's folder lead there: what they name is no page."""
    nb = json.loads(notebook.read_text(encoding="utf-8"))
    shown = [cell for cell in cells(notebook) if not HIDE.search(cell["source"])]
    for cell in shown:
        cell["source"] = DIRECTIVE.sub("", cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = for_pages(cell["source"], home)
        cell["metadata"]["imports"] = cell["cell_type"] == "code" and only_imports(cell["source"])
    nb["cells"] = [cell for cell in shown if cell["source"].strip()]
    notebook.write_text(json.dumps(nb), encoding="utf-8")


def for_pages(text: str, home: str) -> str:
    "Return Markdown whose links lead to pages; those to the folder above lead to `home`, if given."
    if home:
        text = text.replace("](../", f"]({home}/")
    return TO_NOTEBOOK.sub(r"\1.html", text)


def only_imports(source: str) -> bool:
    "Is a cell nothing but imports, and long enough to be in a reader's way?"
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic of IPython
        return False
    imports = [isinstance(statement, ast.Import | ast.ImportFrom) for statement in body]
    return all(imports) and len(source.strip().splitlines()) > SHORT


def package(notebook: Path, nbs: Path) -> str:
    "Return the package that a notebook of the library is about, as folder or file name says."
    if notebook.parent != nbs:
        return notebook.relative_to(nbs).parts[0]
    return re.sub(r"^\d+_", "", notebook.stem).partition(".")[0]


def in_sections(items: list[tuple[str, dict]]) -> list[dict]:
    "Group pairs of package and entry by section, in reading order; unknown packages come last."
    unknown = sorted({name for name, _ in items} - SECTIONS.keys())
    sections: dict[str, list[dict]] = {}
    for name in [*SECTIONS, *unknown]:
        entries = [entry for package, entry in items if package == name]
        if entries:
            sections.setdefault(SECTIONS.get(name, name), []).extend(entries)
    return [{section: entries} for section, entries in sections.items()]


def in_order(
    notebooks: Iterable[Path],
    order: Sequence[str],  # how the names begin
) -> list[Path]:
    "Return notebooks in a given order; those of one kind, and unknown ones at the end, by name."

    def place(notebook: Path) -> tuple[int, str]:
        starts = [i for i, start in enumerate(order) if notebook.stem.startswith(start)]
        return min(starts, default=len(order)), notebook.stem

    return sorted(notebooks, key=place)


def navigation(
    root: Path,  # of the repository
    nbs: Path,  # the notebooks, or a copy of them
) -> list[dict]:
    "Return mkdocs's navigation: start, lessons, library, reference."

    def entry(notebook: Path) -> dict:
        return {title(notebook): notebook.relative_to(nbs).as_posix()}

    numbered = [p for p in sorted(nbs.rglob("[0-9]*.ipynb")) if p.parent.name != "tutorials"]
    others = [p for p in nbs.glob("[!0-9]*.ipynb") if p.name != "index.ipynb"]
    lessons = in_order((nbs / "tutorials").glob("*.ipynb"), LESSONS)
    library = [(package(p, nbs), entry(p)) for p in numbered]
    reference = [
        (name.split(".")[1], {name.rpartition(".")[2]: f"reference/{name}.md"})
        for name in map(dotted, modules(root))
    ]
    return [
        {"Start": [{"First page": "index.ipynb"}, *map(entry, in_order(others, FIRST))]},
        {"Lessons": [*map(entry, lessons)]},
        {"Library": in_sections(library)},
        {"Reference": [{"Public names": "reference/index.md"}, *in_sections(reference)]},
    ]


def dotted(path: Path) -> str:
    "Return a module's name: `analognas.core` for analognas/core.py."
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def syntax(path: Path) -> ast.Module:
    "Return the syntax tree of a file."
    return ast.parse(path.read_text(encoding="utf-8"))


def listed(path: Path) -> list[str]:
    "Return `__all__` of a module; nothing if there is none."
    for statement in syntax(path).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return ast.literal_eval(statement.value)
    return []


@cache
def offered(root: Path) -> set[tuple[str, str]]:
    'Return module and name of all that an `__init__` of the library imports; "*" for everything.'
    found = set()
    for init in (root / "analognas").rglob("__init__.py*"):  # and the stubs of lazy ones
        home = dotted(init.relative_to(root))
        for node in ast.walk(syntax(init)):
            found.update(imported(node, home))
    return found


def imported(node: ast.AST, home: str) -> Iterator[tuple[str, str]]:
    "Yield module and name of what a `from` imports, or what a table of lazy imports names."
    if isinstance(node, ast.ImportFrom):
        base = home if node.level else ""
        module = ".".join(filter(None, [base, node.module]))
        yield from ((module, alias.name) for alias in node.names)
    elif isinstance(node, ast.Dict):
        pairs = [*zip(node.keys, node.values, strict=True)]
        literal = [pair for pair in pairs if all_constant(pair)]
        yield from ((f"{home}.{where.value}", name.value) for name, where in literal)


def all_constant(nodes: tuple[ast.AST | None, ...]) -> bool:
    "Are these all literals?"
    return all(isinstance(node, ast.Constant) for node in nodes)


def public(root: Path, path: Path) -> list[str]:
    "Return the names of a module that an `__init__` offers, in the module's order."
    here = {name for module, name in offered(root) if module == dotted(path)}
    return [name for name in listed(root / path) if name in here or "*" in here]


def definitions(path: Path) -> dict[str, ast.AST]:
    "Return the functions and classes of a module by name."
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name: node for node in syntax(path).body if isinstance(node, kinds)}


def members(root: Path, path: Path) -> tuple[list[str], list[str]]:
    """Return the names that a module's page shows, and those that it calls internal.

    First what an `__init__` offers, then the other functions and classes of `__all__`, then its
    constants. Internal is what has no underscore and is not in `__all__` (nbdev: `#| exporti`)."""
    defined, names, first = definitions(root / path), listed(root / path), public(root, path)
    others = [name for name in names if name not in first]
    code = [name for name in others if name in defined]
    constants = [name for name in others if name not in defined]
    internal = [name for name in defined if name not in names and not name.startswith("_")]
    return [*first, *code, *constants], internal


def reference_page(root: Path, path: Path) -> str:
    "Return the page of a module, in Markdown, for mkdocstrings to fill in."
    name = dotted(path)
    shown, internal = members(root, path)
    lines = [f"# {name}", "", f"::: {name}", "    options:", f"      members: {shown or False}"]
    if internal:
        lines += ["", "## Internal", "", "Not public: this may change at any time."]
    for each in internal:
        lines += [
            "",
            f"::: {name}.{each}",
            "    options:",
            "      show_root_heading: true",
            "      heading_level: 3",
        ]
    return "\n".join([*lines, "", *origin(root, path)]) + "\n"


def origin(root: Path, path: Path) -> Iterator[str]:
    "Yield a line that links to the notebook which a module is made from."
    notebook = source_notebook(root, path)
    if notebook is not None:
        link = f"../{notebook.relative_to('nbs').as_posix()}"
        yield f"Written in the notebook [{title(root / notebook)}]({link})."


def first_sentence(node: ast.AST) -> str:
    "Return how a docstring begins."
    text = ast.get_docstring(node) or ""
    return re.split(r"(?<=[.?])\s|\n\n", text, maxsplit=1)[0].replace("\n", " ")


def public_names(root: Path) -> str:
    "Return the page that lists every public name with its first sentence, in Markdown."
    items = [
        (path.parts[1].removesuffix(".py"), line)
        for path in modules(root)
        for line in summaries(root, path)
    ]
    lines = ["# Public names", "", "What the packages offer, and where it is defined."]
    for section in in_sections(items):
        [(name, entries)] = section.items()
        lines += ["", f"## {name}", "", *entries]
    return "\n".join(lines) + "\n"


def summaries(root: Path, path: Path) -> Iterator[str]:
    "Yield a line for each public function or class of a module."
    defined = definitions(root / path)
    for name in public(root, path):
        if name in defined:
            link = f"[`{name}`][{dotted(path)}.{name}]"
            yield f"- {link}, `{dotted(path)}`: {first_sentence(defined[name])}"


def reference_pages(root: Path) -> dict[str, str]:
    "Return all pages of the reference, in Markdown, by name."
    pages = {dotted(path): reference_page(root, path) for path in modules(root)}
    return pages | {"index": public_names(root)}
