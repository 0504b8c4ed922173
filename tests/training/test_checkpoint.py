"""What a checkpoint holds comes back to the last bit; a file of another measurement or a damaged one does not."""

import logging

import pytest
import torch
from torch import nn

from analognas.core import ConfigError
from analognas.training.checkpoint import DIGITAL, HARDWARE_AWARE, Checkpoint

ABOUT = {"network": "a", "seed": 1}


def network():
    model = nn.Linear(3, 2)
    return model, torch.optim.Adam(model.parameters(), lr=0.1)


def step(model, optimizer):
    "Train on random inputs of the global generator."
    optimizer.zero_grad()
    model(torch.randn(8, 3)).square().mean().backward()
    optimizer.step()


def opened(path, about=ABOUT, **kwargs):
    checkpoint = Checkpoint(path, **kwargs)
    checkpoint.open(about)
    return checkpoint


@pytest.fixture
def path(tmp_path):
    return tmp_path / "c.pt"


def test_training_goes_on_with_the_same_weights_moments_and_random_numbers(path):
    torch.manual_seed(0)
    model, optimizer = network()
    step(model, optimizer)
    opened(path).keep(DIGITAL, 1, model, optimizer)
    step(model, optimizer)
    torch.manual_seed(99)
    other, its_optimizer = network()
    assert opened(path).resume(DIGITAL, other, its_optimizer) == 1
    step(other, its_optimizer)
    assert torch.equal(other.weight, model.weight)


def test_another_phase_begins_at_its_start(path):
    model, optimizer = network()
    opened(path).keep(DIGITAL, 3, model, optimizer)
    before = model.weight.clone()
    assert opened(path).resume(HARDWARE_AWARE, model, optimizer) == 0
    assert torch.equal(model.weight, before)


def test_a_file_of_another_measurement_is_refused_and_kept(path):
    model, optimizer = network()
    opened(path).keep(DIGITAL, 1, model, optimizer)
    kept = path.read_bytes()
    with pytest.raises(ConfigError, match='another measurement.*"seed": 1.*"seed": 2'):
        opened(path, ABOUT | {"seed": 2})
    assert path.read_bytes() == kept


@pytest.mark.parametrize("part", [0, 100, -1])
def test_a_damaged_file_starts_over_and_says_so(path, caplog, part):
    model, optimizer = network()
    opened(path).keep(DIGITAL, 1, model, optimizer)
    path.write_bytes(path.read_bytes()[:part])
    with caplog.at_level(logging.WARNING, logger="analognas"):
        assert opened(path).resume(DIGITAL, model, optimizer) == 0
    assert "c.pt cannot be read" in caplog.text and "starts over" in caplog.text


def test_time_of_killed_processes_counts(path):
    first = opened(path)
    first.state["seconds"] = 100.0
    first.write()
    assert opened(path).seconds >= 100.0


def test_progress_is_reported_after_every_write_and_the_file_goes_at_the_end(path):
    places = []
    checkpoint = opened(path, after_epoch=lambda: places.append(checkpoint.place))
    checkpoint.keep(DIGITAL, 1, *network())
    checkpoint.write(phase="reading", epoch=0, acc=[80.0, 81.0])
    assert places == ["digital, epoch 1, repeat 0", "reading, epoch 0, repeat 2"]
    assert checkpoint.epochs == 1
    checkpoint.drop()
    assert not path.exists()


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = opened(None)
    checkpoint.keep(DIGITAL, 1, *network())
    checkpoint.drop()
    assert list(tmp_path.iterdir()) == []
