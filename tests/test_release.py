"""`make release` builds what the repository holds, and finds what should not be there."""

import zipfile
from pathlib import Path

import pytest
import release

ROOT = Path(__file__).resolve().parent.parent

STEM = f"analognas-{release.read_version(ROOT)}"
METADATA = f"{STEM}.dist-info/METADATA"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    "Wheel and source distribution, built with the setuptools that is installed here."
    return release.build(ROOT, tmp_path_factory.mktemp("dist"), "--no-isolation")


def repack(wheel: Path, target: Path, changes: dict[str, bytes | None]) -> Path:
    "Copy a wheel with files added or replaced, or left out where the content is None."
    files = release.wheel_files(wheel) | changes
    with zipfile.ZipFile(target / wheel.name, "w") as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    return target / wheel.name


def test_both_distributions_hold_what_the_repository_holds(built):
    assert release.problems(ROOT, *built) == []


def test_licence_types_weights_labels_and_lessons_are_in_the_wheel(built):
    "Named here once more, so that a rule that finds nothing does not pass."
    names = set(release.wheel_files(built[0]))
    wanted = {
        "analogainas.py",
        "analognas/py.typed",
        "analognas/training/label_sets/digits.csv",
        "analognas/evaluators/weights/nasbench201/weights.ubj",
        "analognas/search_spaces/nasbench201_zero_cost.npz",
        f"{STEM}.dist-info/licenses/LICENSE",
        f"{STEM}.dist-info/licenses/NOTICE",
        f"{STEM}.data/data/share/analognas/lessons/starter_notebook.ipynb",
    }
    assert wanted - names == set()
    assert [name for name in names if name.startswith(("tests/", "nbs/", ".ci/"))] == []


@pytest.mark.parametrize(
    "name, content, message",
    [
        (f"{STEM}.dist-info/licenses/LICENSE", None, "licenses/LICENSE is missing."),
        ("analognas/py.typed", None, "analognas/py.typed is missing."),
        ("tests/test_lab.py", b"", "tests/test_lab.py should not be there."),
        ("analognas/demo.py", b"x = 1", "demo.py is not analognas/demo.py of the repository."),
        (METADATA, b"Metadata-Version: 2.4\nName: analognas\n", "METADATA: "),
    ],
)
def test_what_is_wrong_with_a_wheel_is_named(built, tmp_path, name, content, message):
    wheel = repack(built[0], tmp_path, {name: content})
    [found] = release.problems(ROOT, wheel, built[1])
    assert message in found


@pytest.mark.parametrize(
    "old, new",
    [
        (b"License-Expression: Apache-2.0", b"License-Expression: MIT"),
        (f"Version: {release.read_version(ROOT)}".encode(), b"Version: 99.1"),
    ],
)
def test_metadata_that_contradicts_the_project_is_named(built, tmp_path, old, new):
    metadata = release.wheel_files(built[0])[METADATA]
    assert metadata.count(old) == 1
    wheel = repack(built[0], tmp_path, {METADATA: metadata.replace(old, new)})
    [found] = release.problems(ROOT, wheel, built[1])
    assert found.startswith("METADATA: ")
    assert new.split()[1].decode() in found


def test_an_empty_environment_imports_the_wheel_and_nothing_of_this_one(built, tmp_path):
    python = release.try_alone(built[0], tmp_path)
    with pytest.raises(SystemExit, match="exit status 1"):
        release.run(python, "-c", "import numpy", cwd=tmp_path)
    release.lend_packages(tmp_path)
    release.run(python, "-c", release.BARE + "import numpy", cwd=tmp_path)


def test_the_requirements_of_a_package_are_found_with_theirs():
    found = release.needed("analognas")
    assert {"analognas", "torch", "numpy", "ipywidgets", "traitlets"} <= found
    assert "pytest" not in found


def test_licences_are_those_of_what_is_needed():
    table = '"Name","Version","License"\n"NumPy","2","BSD, 3 clauses"\n"pytest","8","MIT"\n'
    assert (
        release.licences_of(table, {"numpy"}) == 'Name,Version,License\nNumPy,2,"BSD, 3 clauses"\n'
    )


WEAKNESS = '{"id": "PYSEC-1", "fix_versions": ["2"]}'


@pytest.mark.parametrize(
    "output, message, affected",
    [
        ("", "NOT audited: the advisories could not be had here (no network).", False),
        (
            '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}',
            "NOT audited: the index here has no advisories (1 packages).",
            False,
        ),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}',
            "1 of 1 packages compared with known advisories.",
            False,
        ),
        (
            f'{{"dependencies": [{{"name": "a", "version": "1", "vulns": [{WEAKNESS}]}}]}}',
            "1 of 1 packages compared with known advisories.\n  a 1: PYSEC-1, mended in 2",
            True,
        ),
    ],
)
def test_an_audit_says_what_it_found_and_whether_it_could_look(output, message, affected):
    assert release.audit_result(output, "no network") == (message, affected)
