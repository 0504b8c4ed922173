"""The container image, the dev container and Binder install what settings.ini asks for, and keep the token."""

import json
import re
import stat
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from analognas.doctor import EXTRAS

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
BINDER = ROOT / ".binder"


def settings() -> dict[str, str]:
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return dict(parser["DEFAULT"])


def instruction(name: str) -> list[str]:
    "The arguments of an instruction, each time it stands in the Dockerfile; lines are joined."
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", joined, re.MULTILINE)


def extras(text: str) -> set[str]:
    return set(re.search(r"\.\[([\w,]+)\]", text).group(1).split(","))


def test_the_image_has_a_python_that_the_package_admits():
    [base] = [arg for arg in instruction("ARG") if arg.startswith("BASE=")]
    version = re.fullmatch(r"BASE=python:(\d+\.\d+)-slim", base).group(1)
    admitted = SpecifierSet(f">={settings()['min_python']},<3.15")
    assert admitted.contains(version)
    assert (ROOT / ".python-version").read_text(encoding="utf-8").strip() == version
    assert (BINDER / "runtime.txt").read_text(encoding="utf-8").strip() == f"python-{version}"


def test_the_image_installs_the_pinned_versions_and_extras_that_exist():
    [install] = [run for run in instruction("RUN") if '".[' in run]
    assert "-c .constraints.txt" in install
    assert extras(install) <= set(EXTRAS)
    assert {"bench", "lessons"} <= extras(install)


def test_torch_comes_from_the_index_of_the_build_variable_in_the_pinned_version():
    [torch] = [run for run in instruction("RUN") if "TORCH_INDEX_URL" in run]
    assert '--index-url "$TORCH_INDEX_URL" -c .constraints.txt torch torchvision' in torch
    assert "TORCH_INDEX_URL=" in instruction("ARG")


def test_every_file_that_the_image_copies_exists_and_is_not_ignored():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    admitted = {line[1:] for line in lines if line.startswith("!")}
    copied = [
        word for arg in instruction("COPY") if "--from" not in arg for word in arg.split()[:-1]
    ]
    assert len(copied) > 8
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert set(copied) == admitted


def test_what_setup_reads_is_copied():
    "setup.py reads settings.ini and README.md, and installs the lessons, the alias and the licences."
    copied = " ".join(instruction("COPY"))
    for name in (
        "settings.ini",
        "README.md",
        "nbs/tutorials",
        "analogainas.py",
        "LICENSE",
        "NOTICE",
    ):
        assert name in copied


def test_the_server_runs_without_root_with_its_token_and_is_checked():
    [user] = instruction("USER")
    [command] = instruction("CMD")
    assert int(user) > 0
    assert "token" not in command.lower() and "password" not in command.lower()
    assert json.loads(command)[:2] == ["analognas", "lab"]
    [check] = instruction("HEALTHCHECK")
    assert "http://127.0.0.1:8888/api" in check
    assert instruction("EXPOSE") == ["8888"]


def test_the_described_command_shows_the_port_to_this_machine_only():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for text in (DOCKERFILE, readme):
        assert "-p 127.0.0.1:8888:8888" in text
        assert re.search(r"-p 8888", text) is None


def test_the_dev_container_builds_the_same_image_and_forwards_its_port():
    dev = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    place = ROOT / ".devcontainer"
    assert (place / dev["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (place / dev["build"]["context"]).resolve() == ROOT
    assert dev["forwardPorts"] == [8888]
    assert f"--create-home --uid 1000 {dev['remoteUser']}" in DOCKERFILE


def test_binder_installs_what_the_image_does():
    text = (BINDER / "requirements.txt").read_text(encoding="utf-8")
    [install] = [run for run in instruction("RUN") if '".[' in run]
    assert extras(text) == extras(install)
    [constraints] = re.findall(r"^-c (.*)$", text, re.MULTILINE)
    assert (BINDER / constraints).resolve() == ROOT / ".constraints.txt"


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", ".ci/image", ".ci/versions.py"])
def test_no_host_of_a_registry_is_named(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"https?://(?!127\.0\.0\.1)[\w.]+", text) == []


def test_lessons_can_be_written_by_the_user():
    prepared = " ".join(instruction("RUN"))
    assert "chown learner:learner /home/learner/lessons" in prepared
    assert instruction("VOLUME") == ["/home/learner/lessons"]
    assert not (ROOT / "Dockerfile").stat().st_mode & stat.S_IXUSR
