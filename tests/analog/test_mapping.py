"""Which weights a mapped layer computes with: its own, lent ones, or programmed ones."""

import torch
from torch import nn
from torch.func import functional_call

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.programming import program


def test_a_layer_is_read_only_while_it_is_programmed_and_in_evaluation():
    layer = to_analog(nn.Sequential(nn.Linear(5, 4))).eval()
    assert layer[0].is_read_only is False
    program(layer)
    assert layer[0].is_read_only is True
    assert layer.train()[0].is_read_only is False


def test_a_lent_weight_is_mapped_anew():
    "With the scale of the layer's own weights, a hundred times larger ones would not fit."
    torch.manual_seed(0)
    digital = nn.Linear(5, 4, bias=False)
    chip = create_rpu_config(out_noise=0.0)
    layer = to_analog(nn.Sequential(digital), chip).eval()
    lent = nn.Parameter(100 * digital.weight.detach().flip(0))
    larger = nn.Linear(5, 4, bias=False)
    larger.weight = lent
    x = torch.randn(3, 5)
    with torch.no_grad():
        expected = to_analog(nn.Sequential(larger), chip).eval()(x)
        assert torch.equal(functional_call(layer, {"0.weight": lent}, (x,)), expected)
