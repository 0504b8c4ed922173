"""Candidates for the panels: what can become one, and under which name."""

import pytest
from torch import nn

from analognas.core import ConfigError
from analognas.datasets.load import load_dataset
from analognas.training.protocol import Protocol, train_and_measure
from analognas.widgets.candidates import (
    as_candidates,
    default_space,
    label_candidates,
    name_candidates,
    small_resnet,
)

QUICK = Protocol(epochs=1, hwa_epochs=1, max_train=512)


def test_as_candidates_takes_networks_measurements_and_candidates(hardened):
    config = small_resnet(8)
    measured = train_and_measure(
        default_space(config), config, load_dataset("digits"), QUICK, progress=False
    )
    candidates = as_candidates(
        {"network": hardened.model, "measured": measured, "candidate": hardened}, hardened.data
    )
    assert [c.name for c in candidates] == ["network", "measured", "candidate"]
    assert candidates[1].record is measured.drift


def test_as_candidates_takes_one_candidate(hardened):
    assert as_candidates(hardened)[0].model is hardened.model


def test_as_candidates_refuses_a_name_used_twice(hardened):
    with pytest.raises(ConfigError, match="name of its own"):
        as_candidates([hardened, hardened])


def test_label_candidates_numbers_those_without_a_name(hardened):
    config = small_resnet(8)
    assert list(label_candidates([config, hardened])) == ["candidate 1", "hardened"]


@pytest.mark.parametrize(
    "bad, message",
    [
        ("narrow", "must be a config"),
        ([], "at least one candidate"),
        (nn.Linear(2, 2), "its test data"),
        (3, "mapping from names; got int"),
        ({}, "at least one candidate"),
        ({"out_channel0": 3}, "'M' is missing"),
    ],
)
def test_name_candidates_refuses_what_cannot_be_one(bad, message):
    with pytest.raises(ConfigError, match=message):
        name_candidates(bad)
