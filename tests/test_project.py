"""The project's own order: the gate catches what it is there to catch, and packaging says what settings.ini says."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import gate
import pytest
import readme
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

# a PNG
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def notebook(*sources: str, metadata: dict | None = None) -> str:
    """A clean notebook as nbdev would leave it; a source that begins like a heading, `# Core`, is a
    Markdown cell."""
    cells = []
    for n, source in enumerate(sources):
        cell = {
            "cell_type": "markdown",
            "id": f"cell{n}",
            "metadata": {},
            "source": source.splitlines(keepends=True),
        }
        if not re.match(r"# \w", source):
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        cells.append(dict(sorted(cell.items())))
    kernel = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    nb = {"cells": cells, "metadata": metadata or kernel, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(nb, indent=1, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def export(root: Path) -> None:
    "What `make export` does."
    for tool in ("nbdev_clean", "nbdev_export"):
        subprocess.run(
            [Path(sys.executable).with_name(tool)], cwd=root, check=True, capture_output=True
        )
    if (root / "nbs" / "index.ipynb").exists():
        readme.write_readme(root)


@pytest.fixture
def tree(tmp_path) -> Path:
    "A small project in order: two modules, the second built on the first, and a first page."
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for name in ("settings.ini", ".gitignore"):
        write(tmp_path / name, (ROOT / name).read_text())
    write(tmp_path / "analognas" / "__init__.py", '__version__ = "0.1.0"\n')
    write(tmp_path / "analognas" / "core" / "__init__.py", "from .units import DAY\n")
    write(tmp_path / "analognas" / "analog" / "__init__.pyi", "from .drift import WEEK as WEEK\n")
    write(
        tmp_path / "nbs" / "core" / "10_units.ipynb",
        notebook("#| default_exp core.units", "# Units", "#| export\nDAY = 86_400"),
    )
    write(
        tmp_path / "nbs" / "analog" / "10_drift.ipynb",
        notebook(
            "#| default_exp analog.drift",
            "# Drift",
            "#| export\nfrom analognas import __version__\nfrom analognas.core.units import DAY",
            "#| export\nWEEK = 7 * DAY",
        ),
    )
    write(tmp_path / "nbs" / "index.ipynb", notebook("# Tree", "WEEK = 7"))
    export(tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_tree_in_order_passes(tree):
    assert (tree / "analognas" / "analog" / "drift.py").exists() and (tree / "README.md").exists()
    assert gate.problems(tree) == []


def hand_edit(root):
    edit(root / "analognas" / "analog" / "drift.py", "WEEK = 7 * DAY", "WEEK = 8 * DAY")


def not_exported(root):
    edit(root / "nbs" / "analog" / "10_drift.ipynb", "WEEK = 7 * DAY", "WEEK = 8 * DAY")


def not_clean(root):
    run = notebook("WEEK = 7").replace('"execution_count": null', '"execution_count": 3')
    write(root / "nbs" / "20_more.ipynb", run)


def same_module_twice(root):
    write(
        root / "nbs" / "20_again.ipynb",
        notebook("#| default_exp core.units", "#| export\nDAY = 86_400"),
    )


def no_notebook(root):
    (root / "nbs" / "core" / "10_units.ipynb").unlink()


def written_by_hand(root):
    write(root / "analognas" / "extra.py", "x = 1\n")


def widget_state(root):
    write(
        root / "nbs" / "tutorials" / "a.ipynb",
        notebook("x = 1", metadata={"widgets": {"state": {}}}),
    )


def too_large(root):
    write(root / "nbs" / "big.ipynb", notebook(f"x = '{'a' * gate.MAX_NOTEBOOK}'"))


def long_line(root):
    write(
        root / "nbs" / "20_long.ipynb",
        notebook("#| default_exp cli", f"#| export\nx = '{'a' * 100}'"),
    )
    export(root)


def packed(root):
    more = notebook("#| default_exp cli", "#| export\na, b = 1, 2\na, b = b, a")
    write(root / "nbs" / "20_packed.ipynb", more)
    export(root)


def nested(root):
    cell = "#| export\nonce = [x for y in [[1]] for x in y]\nmore = [[x for x in y if [z for z in y]] for y in [[1]]]"
    write(root / "nbs" / "20_nested.ipynb", notebook("#| default_exp cli", cell))
    export(root)


def long_module(root):
    many = "\n".join(f"X{n} = {n}" for n in range(gate.MAX_MODULE))
    write(root / "nbs" / "20_many.ipynb", notebook("#| default_exp cli", f"#| export\n{many}"))
    export(root)


def backwards(root):
    write(
        root / "nbs" / "analog" / "05_early.ipynb",
        notebook(
            "#| default_exp analog.early",
            "#| export\ndef late():\n    from analognas.analog.drift import WEEK\n    return WEEK",
        ),
    )
    export(root)


def from_the_top(root):
    write(
        root / "nbs" / "20_top.ipynb",
        notebook("#| default_exp cli", "#| export\nfrom analognas import ConfigSpace"),
    )
    export(root)


def upwards(root):
    write(
        root / "nbs" / "core" / "20_up.ipynb",
        notebook("#| default_exp core.up", "#| export\nfrom analognas.analog.drift import WEEK"),
    )
    export(root)


def not_offered(root):
    write(root / "analognas" / "analog" / "__init__.pyi", "")


def offered_but_internal(root):
    source = notebook("#| default_exp analog.drift", "# Drift", "#| exporti\nWEEK = 604_800")
    write(root / "nbs" / "analog" / "10_drift.ipynb", source)
    export(root)


def in_no_layer(root):
    write(root / "nbs" / "20_new.ipynb", notebook("#| default_exp new", "#| export\nx = 1"))
    export(root)


def no_number(root):
    write(root / "nbs" / "plain.ipynb", notebook("#| default_exp cli", "#| export\nx = 1"))
    export(root)


def stale_readme(root):
    edit(root / "nbs" / "index.ipynb", "# Tree", "# Forest")


def readme_by_hand(root):
    (root / "README.md").write_text("# Mine\n")


def left_over_figure(root):
    write(root / "nbs" / "images" / "index_9_0.png", "old")


def no_index(root):
    (root / "nbs" / "index.ipynb").unlink()


def dead_link(root):
    edit(root / "nbs" / "index.ipynb", "# Tree", "# Tree [gone](tutorials/gone.ipynb)")


def dead_link_to_a_notebook(root):
    edit(
        root / "nbs" / "analog" / "10_drift.ipynb",
        "# Drift",
        "# Drift [after](11_after.ipynb#units)",
    )


def dead_address(root):
    address = "https://github.com/analognas/analognas/blob/main/nbs/11_after.ipynb"
    edit(root / "nbs" / "analog" / "10_drift.ipynb", "# Drift", f"# Drift [after]({address})")


def named_by_place(root):
    edit(root / "nbs" / "analog" / "10_drift.ipynb", "# Drift", "# Drift is in the next\\nnotebook")


def docstring_by_place(root):
    write(root / "nbs" / "20_a.ipynb", notebook("def f():\n    'See the table above.'"))


def named_without_a_link(root):
    edit(root / "nbs" / "analog" / "10_drift.ipynb", "# Drift", "# Drift, see `10_units`")


VIOLATIONS = [
    (
        hand_edit,
        gate.check_fresh,
        "analognas/analog/drift.py is not what its notebook exports. Run: make export",
    ),
    (
        not_exported,
        gate.check_fresh,
        "analognas/analog/drift.py is not what its notebook exports. Run: make export",
    ),
    (not_clean, gate.check_fresh, "nbs/20_more.ipynb is not clean. Run: make export"),
    (
        same_module_twice,
        gate.check_default_exp,
        "nbs/20_again.ipynb and nbs/core/10_units.ipynb both export to core.units.",
    ),
    (
        no_notebook,
        gate.check_orphans,
        "analognas/core/units.py is made from nbs/core/10_units.ipynb, which does not exist.",
    ),
    (written_by_hand, gate.check_orphans, "analognas/extra.py is not made from a notebook."),
    (widget_state, gate.check_widget_state, "nbs/tutorials/a.ipynb holds saved widget state."),
    (too_large, gate.check_size, "nbs/big.ipynb has 1.5 MB, more than 1.5."),
    (
        long_line,
        gate.check_line_length,
        "nbs/20_long.ipynb: line of 106 characters; break it at 100: x = 'aaa",
    ),
    (packed, gate.check_density, "analognas/cli.py:7 has several assignments in one."),
    (nested, gate.check_density, "analognas/cli.py:8 has a comprehension nested more than once."),
    (
        long_module,
        gate.check_module_length,
        "lines, more than 450. Split nbs/20_many.ipynb into two notebooks.",
    ),
    (
        backwards,
        gate.check_direction,
        "imports analognas.analog.drift.WEEK, whose notebook 10 does not stand before 5.",
    ),
    (
        upwards,
        gate.check_direction,
        "imports analognas.analog.drift.WEEK, but 'analog' is no layer before 'core'",
    ),
    (not_offered, gate.check_public, "exports WEEK, which analognas/analog does not offer."),
    (
        offered_but_internal,
        gate.check_public,
        "analognas/analog offers WEEK, which analognas/analog/drift.py does not export",
    ),
    (in_no_layer, gate.check_direction, "analognas/new.py is in no layer. Add 'new' to LAYERS"),
    (from_the_top, gate.check_direction, "imports analognas.ConfigSpace, which is not one module."),
    (
        no_number,
        gate.check_direction,
        "nbs/plain.ipynb exports analognas/cli.py but has no number.",
    ),
    (
        stale_readme,
        gate.check_readme,
        "README.md is not what nbs/index.ipynb makes. Run: make export",
    ),
    (
        readme_by_hand,
        gate.check_readme,
        "README.md is not what nbs/index.ipynb makes. Run: make export",
    ),
    (
        left_over_figure,
        gate.check_readme,
        "nbs/images/index_9_0.png is not what nbs/index.ipynb makes.",
    ),
    (no_index, gate.check_readme, "nbs/index.ipynb is missing"),
    (dead_link, gate.check_readme, "links to 'tutorials/gone.ipynb', which does not exist"),
    (
        dead_link,
        gate.check_links,
        "nbs/index.ipynb links to 'tutorials/gone.ipynb', which does not exist",
    ),
    (
        dead_link_to_a_notebook,
        gate.check_links,
        "nbs/analog/10_drift.ipynb links to '11_after.ipynb', which does not",
    ),
    (dead_address, gate.check_links, "blob/main/nbs/11_after.ipynb', which does not exist"),
    (
        named_by_place,
        gate.check_references,
        "nbs/analog/10_drift.ipynb says 'next notebook', wrong as soon",
    ),
    (docstring_by_place, gate.check_references, "nbs/20_a.ipynb says 'table above', wrong as soon"),
    (
        named_without_a_link,
        gate.check_references,
        "nbs/analog/10_drift.ipynb names '10_units' without a link.",
    ),
]


@pytest.mark.parametrize(
    "break_it, check, message", VIOLATIONS, ids=[v[0].__name__ for v in VIOLATIONS]
)
def test_each_violation_is_caught(tree, break_it, check, message):
    break_it(tree)
    found = list(check(tree))
    assert len(found) == 1 and message in found[0] and "\n" not in found[0]
    assert found[0] in gate.problems(tree)  # the check is one of those that are run


def test_links_that_lead_somewhere_and_code_are_let_through(tree):
    address = "https://github.com/analognas/analognas"
    write(
        tree / "nbs" / "tutorials" / "a.ipynb",
        notebook(
            f"# A: [core](../core/10_units.ipynb#Units), [core]({address}/blob/main/nbs/core/10_units.ipynb), "
            "[here](#A), "
            f"[all]({address}/tree/main/nbs), [settings](../../settings.ini), "
            "[web](https://example.org/00_x.ipynb), "
            "`f[0](x)`, the table above\n\n```\nopen 99_gone.ipynb\n```"
        ),
    )
    assert [*gate.check_links(tree), *gate.check_references(tree)] == []


def test_gate_leaves_the_tree_alone(tree):
    not_clean(tree)
    hand_edit(tree)
    before = {p: p.read_bytes() for p in tree.rglob("*") if p.is_file() and ".git" not in p.parts}
    assert gate.problems(tree)
    assert before == {
        p: p.read_bytes() for p in tree.rglob("*") if p.is_file() and ".git" not in p.parts
    }


def test_gate_as_a_program(tree):
    "It ends with 1 exactly when it has something to say, on stderr."

    def run():
        return subprocess.run(
            [sys.executable, tree / ".ci" / "gate.py"], capture_output=True, text=True
        )

    for name in ("gate.py", "density.py", "readme.py"):
        write(tree / ".ci" / name, (ROOT / ".ci" / name).read_text())
    assert (run().returncode, run().stdout, run().stderr) == (0, "", "")
    hand_edit(tree)
    broken = run()
    assert (broken.returncode, broken.stdout) == (1, "") and broken.stderr.startswith(
        "analognas/analog/drift.py is not"
    )


def test_readme_from_notebook(tree):
    write(tree / "nbs" / "images" / "plan.png", "a figure drawn by hand")
    write(tree / "nbs" / "tutorials" / "start.ipynb", notebook("x = 1"))
    write(
        tree / "nbs" / "index.ipynb",
        notebook(
            "#| hide\nsecret = 1",
            "#| default_exp nothing",
            "# See [start](tutorials/start.ipynb#top), [packing](../settings.ini), "
            "[web](https://example.org/x) and "
            '`f[0](x)`; <img src="images/plan.png"> ![plan](images/plan.png)',
            "#| echo: true\nplot()",
        ),
    )
    nb = json.loads((tree / "nbs" / "index.ipynb").read_text())
    bar = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "0"},
        "text/plain": "search: 0%",
    }
    nb["cells"][-1]["outputs"] = [
        {"output_type": "stream", "name": "stderr", "text": "search: 50%"},
        {"output_type": "display_data", "metadata": {}, "data": bar},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": PIXEL}},
    ]
    write(tree / "nbs" / "index.ipynb", json.dumps(nb))
    readme.write_readme(tree)
    text = (tree / "README.md").read_text()
    for part in (
        "[start](nbs/tutorials/start.ipynb#top)",
        "[packing](settings.ini)",
        "(https://example.org/x)",
        "`f[0](x)`",
        '<img src="nbs/images/plan.png">',
        "![plan](nbs/images/plan.png)",
        "```python\nplot()\n```",
    ):
        assert part in text
    assert not re.search("secret|default_exp|echo|search:", text)
    [figure] = re.findall(r"\((nbs/images/index_\S+\.png)\)", text)
    assert (tree / figure).read_bytes().startswith(b"\x89PNG")

    write(tree / "nbs" / "index.ipynb", notebook("# No figure"))
    readme.write_readme(tree)
    assert not (tree / figure).exists() and (tree / "nbs" / "images" / "plan.png").exists()


def settings() -> dict[str, list[Requirement]]:
    'Extra ("" for none) -> its requirements, read from settings.ini without setup.py.'
    found = re.findall(
        r"^(?:(\w+)_)?requirements = (.+)$", (ROOT / "settings.ini").read_text(), re.MULTILINE
    )
    assert found
    return {extra: [Requirement(line) for line in lines.split()] for extra, lines in found}


def test_every_requirement_reaches_the_metadata():
    installed = [Requirement(line) for line in importlib.metadata.requires("analognas")]
    for extra, wanted in settings().items():
        active = {
            (r.name, r.specifier)
            for r in installed
            if (
                r.marker is None or r.marker.evaluate({"extra": ""})
                if extra == ""
                else r.marker
                and r.marker.evaluate({"extra": extra})
                and not r.marker.evaluate({"extra": ""})
            )
        }
        here = [r for r in wanted if r.marker is None or r.marker.evaluate()]
        assert active == {(r.name, r.specifier) for r in here}, extra


def test_constraints_meet_the_requirements():
    lines = [
        line
        for line in (ROOT / ".constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    pins = {}
    for line in lines:
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), f"not an exact pin: {line}"
        name, version = line.split("==")
        pins[canonicalize_name(name)] = version
    wanted = settings()
    for requirement in (
        wanted[""]
        + wanted["bench"]
        + wanted["bo"]
        + wanted["distributed"]
        + wanted["lessons"]
        + wanted["moo"]
        + wanted["dev"]
    ):
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), (
            f"{requirement} does not admit the pinned {version}"
        )


def python(code: str) -> str:
    "What a fresh interpreter prints."
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_bare_import_is_light():
    heavy = {"torch", "aihwkit", "xgboost", "pandas", "matplotlib", "sklearn", "scipy"}
    assert python(f"import sys, analognas; print(sorted({heavy} & set(sys.modules)))") == "[]"


@pytest.mark.parametrize("order", ["analogainas, analognas", "analognas, analogainas"])
def test_old_name_is_the_same_modules(order):
    first, second = order.split(", ")
    code = f"""
import {first}.search_spaces.config_space, {second}.search_spaces.config_space
import sys, analognas, analogainas
import analogainas.search_spaces.config_space as old, analognas.search_spaces.config_space as new
from analogainas.search_spaces.config_space import ConfigSpace
print(analogainas is analognas, old is new)
print(ConfigSpace is new.ConfigSpace, analogainas.search_spaces.config_space is new)
print(sys.modules["analogainas.search_spaces"] is sys.modules["analognas.search_spaces"])
print(new.__name__, new.__spec__.name, ConfigSpace.__module__)
"""
    name = "analognas.search_spaces.config_space"
    assert python(code) == f"True True\nTrue True\nTrue\n{name} {name} {name}"
