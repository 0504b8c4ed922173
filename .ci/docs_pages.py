"""A hook of mkdocs: notebooks made for readers, the navigation, the pages of the reference.

mkdocs build -f .ci/mkdocs.yml
"""

import shutil
import sys
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CI = Path(__file__).resolve().parent
ROOT = CI.parent
sys.path.insert(0, str(CI))  # mkdocs does not look for modules beside a hook
from docs_contents import for_readers, navigation, reference_pages  # noqa: E402
from gate import own_pages  # noqa: E402


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    "Make a copy of the notebooks for readers, and the navigation."
    nbs = Path(tempfile.mkdtemp(prefix="analognas-docs-")) / "nbs"
    skipped = shutil.ignore_patterns("runs", ".ipynb_checkpoints", "*.py")
    shutil.copytree(ROOT / "nbs", nbs, ignore=skipped)
    home, _ = own_pages(ROOT)
    for notebook in nbs.rglob("*.ipynb"):
        top = notebook.parent == nbs
        for_readers(notebook, home.rstrip("/") if top else "")
    shutil.copy(CI / "docs.css", nbs)
    config.docs_dir = str(nbs)
    config.nav = navigation(ROOT, nbs)
    return config


def on_post_build(config: MkDocsConfig) -> None:
    "Remove the copy."
    shutil.rmtree(Path(config.docs_dir).parent)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    "Add the pages of the reference."
    for name, content in reference_pages(ROOT).items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files
