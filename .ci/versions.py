"""Do the oldest and the newest admitted versions work? Installs them into an environment of their own and runs tests.

    python .ci/versions.py oldest                  the smallest version of each requirement in settings.ini
    python .ci/versions.py newest tests/core       the largest, and only these tests (any arguments of pytest)

uv resolves to the smallest versions; it is installed in --folder if there is none. About 8 GB of disk are needed, far
less with an index of CPU wheels of torch. Everything is in --folder, by default a temporary one. pip's variables for
indexes (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS) are handed on to uv.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = "Scripts" if os.name == "nt" else "bin"  # of an environment
# What the tests need; the other extras need a browser, a network or a documentation.
EXTRAS = ("aihwkit", "bench", "bo", "dev", "distributed", "lessons", "moo", "optuna")
RESOLUTION = {"oldest": "lowest-direct", "newest": "highest"}
UV_NAMES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
}
# Kernels, notebooks and the gate are those of the development environment, not of a user's.
TESTS = (
    "tests/core tests/search_spaces tests/cost tests/plots tests/analog tests/evaluators "
    "tests/search_algorithms tests/training tests/test_platforms.py"
).split()


def requirements() -> list[str]:
    "Return the requirements of the package and of the extras that its tests need."
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    names = ["requirements", *(f"{extra}_requirements" for extra in EXTRAS)]
    return [line for name in names for line in parser["DEFAULT"][name].split()]


def uv_environment(environ: dict[str, str]) -> dict[str, str]:
    "Return the variables of the process with pip's indexes under uv's names."
    given = {uv: environ[pip] for pip, uv in UV_NAMES.items() if environ.get(pip)}
    return {**given, **environ}


def find_uv(folder: Path, python: str) -> Path:
    "Return the program uv, installed in the folder if there is none."
    found = shutil.which("uv")
    if found is not None:
        return Path(found)
    place = folder / "uv"
    subprocess.run([python, "-m", "venv", place], check=True)
    programs = place / BIN
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    return programs / "uv"


def install(which: str, folder: Path, python: str) -> Path:  # the environment's Python
    "Make an environment with the oldest or newest admitted versions."
    uv = find_uv(folder, python)
    env = uv_environment(dict(os.environ))
    wanted = folder / "requirements.txt"
    folder.mkdir(parents=True, exist_ok=True)
    wanted.write_text("\n".join(requirements()) + "\n", encoding="utf-8")
    place = folder / which
    made = place / BIN / "python"
    subprocess.run([uv, "venv", "--allow-existing", "--python", python, place], check=True, env=env)
    command = [uv, "pip", "install", "--python", made, "--resolution", RESOLUTION[which]]
    subprocess.run([*command, "-r", wanted], check=True, env=env)
    subprocess.run([uv, "pip", "install", "--python", made, "--no-deps", ROOT], check=True, env=env)
    return made


def run_tests(python: Path, arguments: list[str]) -> int:
    "Run tests of the checkout, one thread a process; returns pytest's exit status."
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    chosen = ["-m", "not slow and not browser", *(arguments or TESTS)]
    return subprocess.run([python, "-m", "pytest", *chosen], cwd=ROOT, env=env).returncode


def main() -> int:
    "Install one set and run the tests."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=RESOLUTION)
    parser.add_argument("--folder", type=Path, help="where to make it, and to leave it")
    parser.add_argument("--python", default=sys.executable, help="the interpreter")
    args, for_pytest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        made = install(args.which, args.folder or Path(temporary), args.python)
        return run_tests(made, for_pytest)


if __name__ == "__main__":
    sys.exit(main())
