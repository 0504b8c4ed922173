"""A hook of mkdocs: the order of the pages, one page of reference for each module, and notebooks without nbdev's directives.

    mkdocs build -f .ci/mkdocs.yml
"""
import json
import re
import shutil
import sys
import tempfile
from itertools import groupby
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from readme import DIRECTIVE, HIDE  # mkdocs does not look for modules beside a hook

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = ("starter_notebook", "lesson_", "nas_search_demo", "teachers_guide")  # in this order, lessons by number


def title(notebook: Path) -> str:
    "The first heading of a notebook."
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown" and (found := re.search(r"^#\s+(.+)$", "".join(cell["source"]), re.MULTILINE)):
            return found.group(1)
    raise ValueError(f"{notebook} has no title: a first line that begins with '# '.")


def modules() -> list[str]:
    "All modules of the library, as dotted names."
    found = sorted((ROOT / "analognas").rglob("*.py"))
    return [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in found if p.name not in ("__init__.py", "_modidx.py")]


def for_readers(notebook: Path) -> None:
    "Remove hidden cells and nbdev's directives, in place."
    nb = json.loads(notebook.read_text(encoding="utf-8"))
    nb["cells"] = [c for c in nb["cells"] if not HIDE.search("".join(c["source"]))]
    for cell in nb["cells"]:
        cell["source"] = DIRECTIVE.sub("", "".join(cell["source"]))
    nb["cells"] = [c for c in nb["cells"] if c["source"].strip()]
    notebook.write_text(json.dumps(nb), encoding="utf-8")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    "A copy of the notebooks for readers, and the navigation."
    nbs = Path(tempfile.mkdtemp(prefix="analognas-docs-")) / "nbs"
    shutil.copytree(ROOT / "nbs", nbs, ignore=shutil.ignore_patterns("runs", ".ipynb_checkpoints", "*.py"))
    for notebook in nbs.rglob("*.ipynb"):
        for_readers(notebook)
    config.docs_dir = str(nbs)
    place = lambda p: next((i for i, start in enumerate(TUTORIALS) if p.stem.startswith(start)), len(TUTORIALS))
    lessons = sorted((nbs / "tutorials").glob("*.ipynb"), key=lambda p: (place(p), p.stem))
    entry = lambda p: {title(p): p.relative_to(nbs).as_posix()}
    page = lambda m: {m.rpartition(".")[2]: f"reference/{m}.md"}
    package = lambda m: (m.split(".")[1:-1] or ["analognas"])[0]
    config.nav = [{"First page": "index.ipynb"}, {"Lessons": [entry(p) for p in lessons]},
                  {"The library": [entry(p) for p in sorted(nbs.glob("[0-9]*.ipynb"))]},
                  {"Reference": [{name: [page(m) for m in group]} for name, group in groupby(sorted(modules(), key=package), package)]}]
    return config


def on_post_build(config: MkDocsConfig) -> None:
    "The copy has served."
    shutil.rmtree(Path(config.docs_dir).parent)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    "The pages of the reference."
    for module in modules():
        files.append(File.generated(config, f"reference/{module}.md", content=f"# {module}\n\n::: {module}\n"))
    return files
