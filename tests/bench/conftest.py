"""Benches at their smallest size: each is run by the command line and prints one JSON object."""

import json

import pytest

from analognas.cli import main


@pytest.fixture
def bench_json(capsys):
    "Run `analognas bench NAME --json`, and return what it printed, which has to be one object."

    def run(name: str, *options: str) -> dict:
        assert main(["bench", name, "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    return run
