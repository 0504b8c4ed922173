"""What a stranger looks for in a repository is there, says what the project says elsewhere, and parses."""
import hashlib
import importlib.metadata
import re
from configparser import ConfigParser
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # SHA-256 of apache.org's LICENSE-2.0.txt
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
    wanted = ("AnalogNAS:", "AnalogNAS-Bench:", "NAS-Bench-201:", "PyTorch toolkit", "Acceleration Kit")
    assert [name for name in wanted if name not in titles] == []
    for reference in references:
        assert reference["authors"] and reference["year"] and reference["url"].startswith("https://")
        assert DOI.fullmatch(reference.get("doi", "10.0000/none")), reference["doi"]
