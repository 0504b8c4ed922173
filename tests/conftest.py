"""What all tests share: hypothesis and PyTorch draw the same every time, and no example fails for being slow.

Tests in tests/browser need a browser and some minutes: `make test-browser` runs them. Where they are not run, the last lines say so."""

from pathlib import Path

import pytest
import torch
from browser.find_browser import find_browser
from hypothesis import HealthCheck, settings

BROWSER_TESTS = Path(__file__).resolve().parent / "browser"

settings.register_profile(
    "analognas",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("analognas")


@pytest.hookimpl(tryfirst=True)
def pytest_make_collect_report(collector):
    "Networks that a file makes while it is imported are the same each time."
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef):
    "What several tests share is the same, whichever of them comes first."
    if fixturedef.scope != "function":
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def same_draws():
    "PyTorch seeds its generator by chance: a test draws the same each time, and alone as in a run."
    torch.manual_seed(0)


def pytest_ignore_collect(collection_path, config):
    return True if collection_path == BROWSER_TESTS and find_browser()[0] is None else None


def pytest_terminal_summary(terminalreporter, config):
    asked = [
        Path(config.invocation_params.dir, arg.split("::")[0]).resolve() for arg in config.args
    ]
    why = find_browser()[1] or (
        "they are left to a command of their own" if "not browser" in config.option.markexpr else ""
    )
    if why and any(path == BROWSER_TESTS or path in BROWSER_TESTS.parents for path in asked):
        terminalreporter.write_sep("=", "browser tests were NOT run", yellow=True)
        terminalreporter.write_line(f"No panel and no lesson was opened in JupyterLab: {why}.")
        terminalreporter.write_line(
            "`make test-browser` sets a browser up, or says what to install, and runs them."
        )
