"""Makes README.md from nbs/index.ipynb. Figures go to nbs/images/index_*; links are made to work from the top folder.

python .ci/readme.py
"""

import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

DIRECTIVE = re.compile(r"^\s*#\s*\|.*\n?", re.MULTILINE)  # nbdev's `#| export` and the like
HIDE = re.compile(r"^\s*#\s*\|\s*hide\s*$", re.MULTILINE)
CODE = r"```.*?```|`[^`\n]*`"
# Code, which is left alone; or the opening and the target of a Markdown or HTML link
LINK = re.compile(CODE + r"""|(\]\(|(?:src|href)=["'])([^)"'\s#]+)""", re.DOTALL)


def relink(text: str, root: Path) -> str:
    """Markdown written for nbs/, with the targets of its links named from the top folder.

    A missing target is an error."""

    def target(match: re.Match) -> str:
        opening, link = match.groups()
        if link is None or re.match(r"[a-z]+:", link):  # code; https:, mailto:
            return match.group()
        path = (root / "nbs" / link).resolve()
        if not path.exists():
            raise FileNotFoundError(
                f"nbs/index.ipynb links to {link!r}, which does not exist beside it."
            )
        return opening + path.relative_to(root.resolve()).as_posix()

    return LINK.sub(target, text)


def is_progress(output: dict) -> bool:
    "Is an output of a cell a progress bar or a message beside it, which a page has no use for?"
    widget = "application/vnd.jupyter.widget-view+json"
    return output.get("name") == "stderr" or widget in output.get("data", {})


def make_readme(root: Path) -> dict[str, bytes]:
    "README.md and its figures: path from `root` -> content. Needs nbs/index.ipynb; writes nothing."
    nb = nbformat.read(root / "nbs" / "index.ipynb", as_version=4)
    nb.cells = [cell for cell in nb.cells if not HIDE.search(cell.source)]
    for cell in nb.cells:
        cell.source = (
            relink(cell.source, root)
            if cell.cell_type == "markdown"
            else DIRECTIVE.sub("", cell.source)
        )
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not is_progress(o)]
    nb.cells = [cell for cell in nb.cells if cell.source.strip()]
    nb.metadata["language_info"] = {
        "name": "python"
    }  # nbdev_clean removes it; nbconvert marks code blocks with it
    resources = {"unique_key": "index", "output_files_dir": "nbs/images"}
    text, resources = MarkdownExporter().from_notebook_node(nb, resources)
    return {"README.md": (text.strip() + "\n").encode(), **resources["outputs"]}


def figures(root: Path) -> set[str]:
    "The figures of an earlier README.md that are there now."
    return {path.relative_to(root).as_posix() for path in (root / "nbs" / "images").glob("index_*")}


def write_readme(root: Path) -> None:
    "Write README.md and its figures; remove figures that it no longer has."
    files = make_readme(root)
    for name in figures(root) - set(files):
        (root / name).unlink()
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


if __name__ == "__main__":
    write_readme(Path(__file__).resolve().parent.parent)
