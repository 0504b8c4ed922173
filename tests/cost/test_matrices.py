"""Matrices of modules: their weights are those of PyTorch's parameters."""

import pytest
from torch import nn

from analognas.cost.matrices import find_layer

LAYERS = [
    nn.Linear(5, 7),
    nn.Conv1d(4, 6, 3, groups=2),
    nn.Conv2d(4, 8, (3, 2), groups=4),
    nn.Conv3d(2, 3, 2),
    nn.ConvTranspose1d(4, 6, 3, groups=2),
    nn.ConvTranspose2d(4, 6, 3),
    nn.LSTM(3, 5, 2, bidirectional=True, proj_size=2),
    nn.GRU(3, 5, 2),
    nn.RNN(3, 5, bidirectional=True),
    nn.LSTMCell(3, 5),
    nn.GRUCell(3, 5),
    nn.RNNCell(3, 5),
]


@pytest.mark.parametrize("module", LAYERS, ids=lambda m: type(m).__name__)
def test_matrices_hold_every_weight_once(module):
    matrices = find_layer(module).matrices
    held = sum(m.count * m.weights for m in matrices.values())
    assert held == sum(p.numel() for p in module.parameters() if p.ndim > 1)


def test_attention_has_its_output_projection_as_a_module():
    attention = nn.MultiheadAttention(8, 2)
    held = sum(m.weights for m in find_layer(attention).matrices.values())
    assert held == attention.in_proj_weight.numel()
    assert find_layer(attention.out_proj).matrices[""].weights == 64


@pytest.mark.parametrize("module", [nn.BatchNorm2d(4), nn.Embedding(3, 4), nn.ReLU()])
def test_other_modules_have_none(module):
    assert find_layer(module) is None


def test_a_recurrent_layer_that_is_made_of_layers_is_priced_by_them():
    lstm = nn.LSTM(3, 5)
    lstm.tiles = nn.ModuleDict({"ih": nn.Linear(3, 20)})
    assert find_layer(lstm) is None
