"""Benches at their smallest size: each is run by the command line and prints one JSON object."""

import json

import pytest

from analognas.cli import main
from analognas.core import DRIFT_TIMES
from analognas.training.protocol import Protocol


@pytest.fixture
def bench_json(capsys):
    "Run `analognas bench NAME --json`, and return what it printed, which has to be one object."

    def run(name: str, *options: str) -> dict:
        assert main(["bench", name, "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def short_protocol() -> Protocol:
    "A training of seconds."
    return Protocol(
        epochs=1,
        hwa_epochs=1,
        hwa_batch_size=32,
        max_train=64,
        max_test=32,
        n_rep=2,
        t_inference=DRIFT_TIMES,
    )
