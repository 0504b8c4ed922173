"The page answers to its own machine and token, starts few kernels, and loads nothing from elsewhere."

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from analognas.page import POLICY, is_loopback, without_outside_files

NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "id": "a", "metadata": {}, "source": "open('visited', 'w')",
         "outputs": [], "execution_count": None}
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    "tag",
    [
        '<link rel="stylesheet" href="https://cdn.example/all.css" type="text/css" />',
        "<script src='http://cdn.example/require.js'></script>",
    ],
)
def test_files_from_elsewhere_are_left_out(tag):
    assert without_outside_files(f"<p>a</p>{tag}<p>b</p>") == "<p>a</p><p>b</p>"


def test_own_files_and_text_stay():
    page = '<link href="static/a.css"><a href="https://example.org">https://example.org</a>'
    assert without_outside_files(page) == page


def test_the_browser_is_told_to_load_nothing_from_elsewhere():
    assert "default-src 'self'" in POLICY and "http" not in POLICY


@pytest.mark.parametrize(
    "address, local", [("localhost", True), ("127.1.2.3", True), ("::1", True), ("0.0.0.0", False)]
)
def test_an_address_is_local_or_not(address, local):
    assert is_loopback(address) is local


def answer(address, **headers):
    "Return status and text of a page."
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as page:
            return page.status, page.read().decode(), dict(page.headers), page.url
    except urllib.error.HTTPError as e:
        return e.code, "", {}, address


def listens_to(port):
    "Return the addresses at which somebody listens, by the system's table."
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    found = [line.split()[1].split(":") for line in lines if line.split()[3] == "0A"]
    return {
        ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
        for address, at in found
        if int(at, 16) == port
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net/tcp")
def test_a_page_of_voila(tmp_path):
    (tmp_path / "shown.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "analognas.page", str(tmp_path / "shown.ipynb")]
    options = ["--no-browser", "--port=8877", "--Page.max_kernels=1", f"--Page.folder={tmp_path}"]
    server = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    try:
        address = next(found for line in server.stderr if (found := re.search(r"http\S+", line)))[0]
        assert "token=" in address
        assert listens_to(8877) == {"127.0.0.1"}
        assert "/login" in answer(address.partition("?")[0])[3]
        assert answer(address, Host="elsewhere.example")[0] == 403
        status, text, headers, _ = answer(address)
        assert status == 200 and headers["Content-Security-Policy"] == POLICY
        assert not re.search(r"<(link|script)[^>]*(href|src)=.https?:", text)
        assert (tmp_path / "visited").exists()
        assert answer(address)[0] == 503  # the first visitor's kernel is still there
    finally:
        server.terminate()
        server.wait()
