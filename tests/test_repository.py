"""What a stranger looks for in a repository is there, parses, and agrees with the project."""

import hashlib
import importlib
import importlib.metadata
import re
import sys
from configparser import ConfigParser
from pathlib import Path

import deprecations
import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
# SHA-256 of the licence as apache.org publishes it, LICENSE-2.0.txt
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
DOI = re.compile(r"10\.\d{4,9}/\S+")


def settings() -> dict[str, str]:
    "What settings.ini says of the project."
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return dict(parser["DEFAULT"])


def citation() -> dict:
    "CITATION.cff as plain data."
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_license_is_the_text_of_apache_2_0():
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0


def test_notice_names_every_label_set_and_every_weight():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    label_sets = (ROOT / "analognas" / "training" / "label_sets").glob("*.csv")
    weights = (ROOT / "analognas" / "evaluators" / "weights").glob("*/weights.ubj")
    named = [path.relative_to(ROOT) for path in label_sets]
    named += [path.parent.relative_to(ROOT) for path in weights]
    assert len(named) >= 7
    assert [path for path in named if path.as_posix() not in notice] == []


def test_notice_holds_the_whole_licence_of_aihwkit():
    files = importlib.metadata.files("aihwkit")
    [path] = [file for file in files if file.match("aihwkit-*.dist-info/licenses/LICENSE.txt")]
    permission = path.read_text().partition("Permission is hereby granted")[2].split()
    assert len(permission) > 100
    assert " ".join(permission) in " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())


def test_citation_agrees_with_settings():
    cff, config = citation(), settings()
    assert cff["cff-version"] == "1.2.0"
    assert str(cff["version"]) == config["version"]
    assert cff["repository-code"] == config["git_url"]
    assert cff["authors"] == [{"name": config["author"]}]


def test_citation_has_the_work_that_analognas_builds_on():
    references = citation()["references"]
    titles = " | ".join(reference["title"] for reference in references)
    wanted = ("AnalogNAS:", "AnalogNAS-Bench:", "NAS-Bench-201:", "toolkit", "Acceleration Kit")
    assert [name for name in wanted if name not in titles] == []
    for reference in references:
        assert reference["authors"]
        assert reference["year"]
        assert reference["url"].startswith("https://")
        assert DOI.fullmatch(reference.get("doi", "10.0000/none")), reference["doi"]


def test_versions_agree():
    version = settings()["version"]
    head = (ROOT / "analognas" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in head
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_changelog_lists_every_module_that_moved_and_every_name_that_was_renamed():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text == deprecations.with_section(text, ROOT), "Run: make export"
    assert "| `analognas.evaluators.shipped` | `analognas.evaluators.pretrained` |" in text


def test_names_of_the_changelog_are_those_that_the_modules_find():
    "Read from the code, and imported."
    for old, new in list(deprecations.all_renamed(ROOT).items()):
        module, _, name = old.rpartition(".")
        home, _, successor = new.rpartition(".")
        with pytest.warns(DeprecationWarning, match=re.escape(f"{old} is now {new}")):
            found = getattr(importlib.import_module(module), name)
        assert found is getattr(importlib.import_module(home), successor)


def make_targets() -> set[str]:
    "Every target that the Makefile declares."
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    [names] = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    return set(names.split())


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_a_page_are_targets_of_make(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.MULTILINE)
    assert set(named) <= make_targets()


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_page_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [link for link in links if not link.startswith("https://")]
    assert [link for link in local if not (ROOT / name).parent.joinpath(link).exists()] == []


def workflows() -> list[Path]:
    "The workflows for hosted CI."
    return sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def commands(workflow: Path) -> list[str]:
    "Every shell command of a workflow."
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    steps = [step for job in jobs for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def test_every_yaml_file_parses():
    files = [
        *(ROOT / ".github").rglob("*.yml"),
        ROOT / ".pre-commit-config.yaml",
        ROOT / "CITATION.cff",
    ]
    assert len(files) == 8
    for file in files:
        assert isinstance(yaml.safe_load(file.read_text(encoding="utf-8")), dict), file


@pytest.mark.parametrize("workflow", workflows(), ids=lambda path: path.stem)
def test_workflow_runs_targets_of_make_and_nothing_else(workflow):
    for command in commands(workflow):
        program, target, *_ = command.split(maxsplit=2)
        assert program == "make", command
        assert target in {*make_targets(), "${{"}, command  # "${{": from the matrix


def test_nightly_targets_exist():
    nightly = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())
    targets = nightly["jobs"]["nightly"]["strategy"]["matrix"]["target"]
    assert set(targets) <= make_targets()


@pytest.mark.parametrize("workflow", workflows(), ids=lambda path: path.stem)
def test_workflow_takes_package_indexes_from_variables(workflow):
    env = yaml.safe_load(workflow.read_text(encoding="utf-8"))["env"]
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        assert env[name] == f"${{{{ vars.{name} }}}}"
    assert "://" not in workflow.read_text(encoding="utf-8")


def test_hosted_tests_run_on_every_supported_python():
    "The matrix is what the package's own metadata admits."
    admitted = SpecifierSet(importlib.metadata.metadata("analognas")["Requires-Python"])
    wanted = [f"3.{minor}" for minor in range(20) if admitted.contains(f"3.{minor}")]
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert ci["jobs"]["test"]["strategy"]["matrix"]["python"] == wanted


def test_bug_reports_ask_for_the_doctor():
    form = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug_report.yml").read_text(encoding="utf-8")
    fields = {field["id"]: field for field in yaml.safe_load(form)["body"]}
    assert "`analognas doctor`" in fields["doctor"]["attributes"]["label"]
    assert fields["doctor"]["validations"]["required"]


def test_hooks_run_what_is_installed():
    "Each hook's program is one that requirements bring, or a script of the repository."
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    [repo] = config["repos"]
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        program, *arguments = hook["entry"].split()
        assert Path(sys.executable).with_name(Path(program).name).exists(), program
        scripts = [argument for argument in arguments if argument.endswith(".py")]
        assert all((ROOT / script).is_file() for script in scripts)
