"""Builds wheel and source distribution into dist/, and tries them where nothing else is.

    python .ci/release.py

1. Build from a copy of the files that git knows or would add, in an environment that pip makes
   for it; the wheel from the source distribution, so that the latter is complete.
2. Compare with the repository: the package, lessons, licence and notice are in and as they are
   there; tests, the library's notebooks and strangers are not.
3. Install each without its requirements into an empty environment, and import it.
4. Lend that environment the packages of this one; run the command line, the doctor, a search.
5. Write what it was tried with beside the distributions: a bill of materials (CycloneDX) and the
   licences of the requirements; and compare with known advisories, where they can be had.
"""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path, PurePosixPath

from gate import tracked
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LICENCES = ("LICENSE", "NOTICE")
# No extra of the package: they need other versions of what it needs.
TOOLS = ("cyclonedx-bom>=7", "pip-licenses>=5", "pip-audit>=2.9")
# What setup.py and the package's metadata are made from; pip cannot build without them.
SOURCES = (
    "setup.py",
    "settings.ini",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
)
# Needs none of the package's requirements.
BARE = """
import sys, importlib.metadata, analognas
assert analognas.__version__ == importlib.metadata.version("analognas")
assert analognas.__file__.startswith(sys.prefix), analognas.__file__
import analogainas
assert analogainas is analognas
print("import analognas", analognas.__version__)
"""
# The public contract, small: needs weights and label sets from the wheel, and the requirements.
WHOLE = """
from analognas import ConfigSpace, EAOptimizer, Worker, XGBoostEvaluator
optimizer = EAOptimizer(XGBoostEvaluator(), population_size=10, nb_iter=2)
worker = Worker(ConfigSpace("digits"), optimizer=optimizer, runs=1)
worker.search()
worker.result_summary()
"""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    "Run a program, without this process's PYTHONPATH and the like; its failure ends this one."
    print("$", *[str(part) if "\n" not in str(part) else "..." for part in command], flush=True)
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=env)
    if done.returncode:
        sys.exit(f"{command[0]} ended with exit status {done.returncode}.")


def copy_tracked(root: Path, target: Path) -> None:
    "Copy the files that git knows or would add, and nothing that it ignores."
    for path in tracked(root):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, target / path)


def build(root: Path, dist: Path, *options: str) -> tuple[Path, Path]:
    "Build both distributions into an emptied `dist`; returns the paths of wheel and source."
    shutil.rmtree(dist, ignore_errors=True)
    with tempfile.TemporaryDirectory() as tmp:
        copy_tracked(root, Path(tmp))
        run(sys.executable, "-m", "build", "--quiet", *options, "--outdir", dist, tmp)
    [wheel], [source] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return wheel, source


def wheel_files(wheel: Path) -> dict[str, bytes]:
    "What a wheel holds, by name."
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def source_files(source: Path) -> dict[str, bytes]:
    "What a source distribution holds, by name below its one folder."
    with tarfile.open(source) as archive:
        files = [member for member in archive if member.isfile()]
        return {below_first(file.name): archive.extractfile(file).read() for file in files}


def below_first(name: str) -> str:
    "A path less its first part."
    return name.partition("/")[2]


def wanted_in_wheel(root: Path, stem: str) -> dict[str, Path]:
    "Name in the wheel -> file of the repository. `stem`: NAME-VERSION."
    wanted = {path.as_posix(): path for path in package_files(root)}
    for lesson in lessons(root):
        wanted[f"{stem}.data/data/share/analognas/lessons/{lesson.name}"] = lesson
    for name in LICENCES:
        wanted[f"{stem}.dist-info/licenses/{name}"] = Path(name)
    return wanted


def wanted_in_source(root: Path) -> dict[str, Path]:
    "Name in the source distribution -> file of the repository: the same names."
    others = [Path(name) for name in (*LICENCES, *SOURCES)]
    return {path.as_posix(): path for path in [*package_files(root), *lessons(root), *others]}


def package_files(root: Path) -> list[Path]:
    "All files of the package and the module of the old name, as paths from `root`."
    return [path for path in tracked(root) if path.parts[0] in ("analognas", "analogainas.py")]


def lessons(root: Path) -> list[Path]:
    "The notebooks that `analognas lab` copies, as paths from `root`."
    return [path for path in tracked(root) if path.match("nbs/tutorials/*.ipynb")]


def differences(
    root: Path,
    found: dict[str, bytes],  # name in the distribution -> content
    wanted: dict[str, Path],  # name in the distribution -> path from `root`
    made: tuple[str, ...],  # patterns of what the build adds
) -> Iterator[str]:  # a line for each thing to mend
    "Compare a distribution with the repository."
    for name in sorted(wanted.keys() - found.keys()):
        yield f"{name} is missing."
    for name in sorted(found.keys() - wanted.keys()):
        if not any(PurePosixPath(name).match(pattern) for pattern in made):
            yield f"{name} should not be there."
    for name in sorted(found.keys() & wanted.keys()):
        if found[name] != (root / wanted[name]).read_bytes():
            yield f"{name} is not {wanted[name]} of the repository."


def check_metadata(raw: bytes, version: str) -> Iterator[str]:
    "Does METADATA follow the core metadata specification, and say what settings.ini says?"
    try:
        metadata = Metadata.from_email(raw, validate=True)
    except ExceptionGroup as e:
        yield from (f"METADATA: {problem}" for problem in e.exceptions)
        return
    if str(metadata.version) != version:
        yield f"METADATA: version {metadata.version}; settings.ini says {version}."
    if metadata.license_expression != "Apache-2.0" or set(metadata.license_files) != set(LICENCES):
        yield f"METADATA: licence {metadata.license_expression} in {metadata.license_files}."


def problems(root: Path, wheel: Path, source: Path) -> list[str]:
    "Everything to mend in two distributions, one line each."
    version = read_version(root)
    stem = f"analognas-{version}"
    in_wheel, in_source = wheel_files(wheel), source_files(source)
    info = [f"{stem}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "*.txt")]
    added = ("PKG-INFO", "setup.cfg", "analognas.egg-info/*")
    found = [*differences(root, in_wheel, wanted_in_wheel(root, stem), tuple(info))]
    found += check_metadata(in_wheel.get(f"{stem}.dist-info/METADATA", b""), version)
    return found + [*differences(root, in_source, wanted_in_source(root), added)]


def read_version(root: Path) -> str:
    "The version in settings.ini."
    settings = ConfigParser(delimiters=["="])
    settings.read(root / "settings.ini", encoding="utf-8")
    return settings["DEFAULT"]["version"]


def list_contents(distribution: Path, names: Iterable[str]) -> None:
    "Print what a distribution holds: modules by number, all other files by name."
    names = sorted(names)
    others = [name for name in names if not name.endswith(".py")]
    size = distribution.stat().st_size / 1e6
    print(f"\n{distribution.name}: {size:.1f} MB, {len(names) - len(others)} modules and")
    print("\n".join(f"    {name}" for name in others), flush=True)


def empty_environment(folder: Path) -> Path:
    "Make a virtual environment that holds pip and nothing else; returns its interpreter."
    venv.create(folder, with_pip=True, clear=True)
    return folder / "bin" / "python"


def lend_packages(folder: Path) -> None:
    "Let an environment import what is installed here. Its own packages stand before."
    there = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    Path(there, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


def try_alone(distribution: Path, folder: Path) -> Path:
    "Install without requirements and import; returns the environment's interpreter."
    python = empty_environment(folder)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--no-deps", distribution, cwd=folder)
    run(python, "-c", BARE, cwd=folder)
    return python


def try_whole(python: Path) -> None:
    "Run the command line, the doctor, a search and the copy of the lessons."
    folder = python.parent.parent
    lend_packages(folder)
    run(python.with_name("analognas"), "--help", cwd=folder)
    run(python.with_name("analognas"), "doctor", cwd=folder)
    run(python, "-c", WHOLE, cwd=folder)
    run(python.with_name("analognas"), "lab", "--folder", "lessons", "--", "--version", cwd=folder)


def needed(name: str, found: set[str] | None = None) -> set[str]:
    "The packages that a package needs here, and those that they need, without extras."
    found = set() if found is None else found
    found.add(canonicalize_name(name))
    try:
        texts = requires(name) or []
    except PackageNotFoundError:
        return found
    for wanted in map(Requirement, texts):
        here = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if here and canonicalize_name(wanted.name) not in found:
            needed(wanted.name, found)
    return found


def tools(folder: Path) -> Path:
    "Make an environment with `TOOLS`; returns the folder of its programs."
    python = empty_environment(folder)
    run(python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *TOOLS)
    return python.parent


def write_materials(programs: Path, dist: Path, version: str) -> None:
    "Write the bill of materials of this environment, and the licences of what the package needs."
    bill = dist / f"analognas-{version}.cdx.json"
    run(
        programs / "cyclonedx-py",
        "environment",
        "--output-format=JSON",
        "--output-reproducible",
        f"--output-file={bill}",
        sys.executable,
    )
    shown = subprocess.run(
        [programs / "pip-licenses", f"--python={sys.executable}", "--format=csv", "--with-system"],
        capture_output=True,
        text=True,
        check=True,
    )
    licences = licences_of(shown.stdout, needed("analognas"))
    (dist / f"analognas-{version}-licences.csv").write_text(licences, encoding="utf-8")
    count = len(json.loads(bill.read_text(encoding="utf-8"))["components"])
    print(f"{bill.name}: {count} packages; {len(licences.splitlines()) - 1} of them are needed.")


def licences_of(table: str, names: set[str]) -> str:
    "Return the lines about these packages of a table of name, version and licence (CSV)."
    kept = io.StringIO()
    writer = csv.writer(kept, lineterminator="\n")
    for i, row in enumerate(csv.reader(io.StringIO(table))):
        if i == 0 or (row and canonicalize_name(row[0]) in names):
            writer.writerow(row)
    return kept.getvalue()


def audit(programs: Path) -> None:
    "Compare the packages here with known advisories; ends this process if one is affected."
    done = subprocess.run(
        [
            programs / "pip-audit",
            "--format=json",
            "--progress-spinner=off",
            f"--path={sysconfig.get_path('purelib')}",
        ],
        capture_output=True,
        text=True,
    )
    message, affected = audit_result(done.stdout, done.stderr)
    print(message)
    if affected:
        sys.exit("A package has a known weakness. Raise its version in settings.ini.")


def audit_result(output: str, errors: str) -> tuple[str, bool]:
    "Return what an audit found as text, and whether a package is affected."
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = re.sub(r"\s+", " ", errors)[-200:]
        return f"NOT audited: the advisories could not be had here ({reason}).", False
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        return f"NOT audited: the index here has no advisories ({len(packages)} packages).", False
    lines = [f"{len(audited)} of {len(packages)} packages compared with known advisories."]
    for package in audited:
        for weakness in package["vulns"]:
            fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
            lines.append(
                f"  {package['name']} {package['version']}: {weakness['id']}, mended in {fixed}"
            )
    return "\n".join(lines), len(lines) > 1


def release(root: Path, dist: Path) -> None:
    "Build, compare and try."
    wheel, source = build(root, dist)
    list_contents(wheel, wheel_files(wheel))
    list_contents(source, source_files(source))
    found = problems(root, wheel, source)
    if found:
        sys.exit("\n".join(found))
    with tempfile.TemporaryDirectory() as tmp:
        try_alone(source, Path(tmp, "source"))
        try_whole(try_alone(wheel, Path(tmp, "wheel")))
        programs = tools(Path(tmp, "tools"))
        write_materials(programs, dist, read_version(root))
        audit(programs)
    print(f"\nIn order: {wheel.name} and {source.name}, in {dist}")


if __name__ == "__main__":
    release(ROOT, ROOT / "dist")
