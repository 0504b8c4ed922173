"""Stages of training for mappings, and weights that are kept in half precision."""

import pytest
import torch
from torch import nn

from analognas.analog.convert import to_analog
from analognas.bench.mapping_training import (
    Stage,
    read_weights,
    sample,
    save_weights,
    train_stage,
)
from analognas.core import FileFormatError, Placement


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(48, 3, 2, 2, generator=generator)
    return x, torch.randint(3, (48,), generator=generator)


def brief(**changes):
    return Stage(**({"epochs": 1, "lr": 0.1, "batch_size": 16, "augment": False} | changes))


@pytest.mark.parametrize("placement", [("analog", "int8"), Placement({"1": "int8"})])
def test_train_stage_trains_every_layer(network, pictures, placement):
    model = to_analog(network)
    train_stage(model, network, pictures, brief(placement=placement))
    assert not torch.equal(model[1].weight, network[1].weight)
    assert not torch.equal(model[3].weight, network[3].weight)


def test_train_stage_repeats_with_the_same_seed(network, pictures):
    twice = [train_stage(to_analog(network), network, pictures, brief(), seed=3) for _ in range(2)]
    assert torch.equal(twice[0][1].weight, twice[1][1].weight)


def test_train_stage_leaves_the_teacher_as_it_was(network, pictures):
    before = network[1].weight.clone()
    train_stage(to_analog(network), network, pictures, brief())
    assert torch.equal(network[1].weight, before)


def test_sample_draws_different_pictures(pictures):
    x, y = sample(pictures, 20, 0)
    assert x.shape == (20, 3, 2, 2) and len(y) == 20
    assert len(torch.unique(x.flatten(1), dim=0)) == 20


def test_sample_of_all_keeps_all(pictures):
    x, _ = sample(pictures, None, 0)
    assert len(torch.unique(torch.cat([x, pictures[0]]).flatten(1), dim=0)) == 48


def test_weights_come_back_in_half_precision(network, tmp_path):
    model = to_analog(network)
    state = read_weights(save_weights(model, tmp_path / "made" / "weights.npz"))
    model.load_state_dict(state)
    assert torch.equal(model[1].weight, network[1].weight.half().float())
    assert torch.equal(model[1].bias, network[1].bias)


def test_weights_that_would_be_unpickled_are_refused(network, tmp_path):
    path = tmp_path / "weights.npz"
    torch.save(network.state_dict(), path)
    with pytest.raises(FileFormatError, match="holds no weights"):
        read_weights(path)
