"""Which browser the tests in this folder drive.

python tests/browser/find_browser.py              says which, or what is missing
python tests/browser/find_browser.py --install    installs one first, where that can be done without asking
"""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
ADVICE = """Install one, then run `make test-browser` again:
  sudo apt install chromium, sudo dnf install chromium, brew install --cask chromium
  or, without administrator's rights: .venv/bin/playwright install chromium"""


@functools.cache
def find_browser() -> tuple[str | None, str]:
    "The program of a Chromium or Chrome, and why there is none."
    if not all(importlib.util.find_spec(name) for name in ("playwright", "pytest_playwright")):
        return None, "playwright and pytest-playwright are not installed (the extra `browser`)"
    installed = [*filter(None, map(shutil.which, NAMES)), *filter(os.path.exists, PLACES)]
    if not installed:
        from playwright.sync_api import sync_playwright

        with (
            sync_playwright() as p
        ):  # what `playwright install chromium` has put into the user's cache
            installed = [*filter(os.path.exists, [p.chromium.executable_path])]
    return (installed[0], "") if installed else (None, "there is no Chromium or Chrome")


def install() -> None:
    "With Debian's or Ubuntu's own tool, if we may."
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update"], check=True)
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", "chromium"], check=True
        )
        find_browser.cache_clear()


if __name__ == "__main__":
    program, why = find_browser()
    if program is None and "--install" in sys.argv[1:]:
        install()
        program, why = find_browser()
    if program is None:
        sys.exit(f"Browser tests cannot run: {why}.\n{ADVICE}")
    print(f"Browser: {Path(program)}")
