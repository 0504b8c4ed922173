"""Networks of the ResNet-like family: every hyperparameter is honoured, the shortcut is a strided convolution."""

import numpy as np
import pytest
import torch
from torch import nn

from analognas.core import ConfigError
from analognas.search_spaces.resnet_macro_architecture import Network, ResidualBlock
from analognas.search_spaces.resnet_stats import BASIC, HYPERPARAMETERS


def kernels(net):
    return [
        m.kernel_size[0]
        for b in net.groups.modules()
        if isinstance(b, nn.ModuleList)
        for m in b.modules()
        if isinstance(m, nn.Conv2d)
    ]


BASE = {n: 0 for n in HYPERPARAMETERS} | dict(out_channel0=16, M=1, R1=2, widenfact1=0.5, B1=2)


def test_convblock_is_honoured():
    basic, bottleneck = (Network(BASE | {"convblock1": k}) for k in (1, 2))
    assert kernels(basic) == [3, 3] * 4  # two blocks of two branches
    assert kernels(bottleneck) == [1, 3, 1] * 4
    inner = [
        m.out_channels
        for m in bottleneck.groups.modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    assert inner == [8] * 4  # a quarter of 32 (He et al. 2016)


def test_width_and_branches_are_honoured():
    narrow, wide = (
        Network(BASE | {"convblock1": 1, "widenfact1": w, "B1": b}) for w, b in ((0.8, 1), (0.5, 5))
    )
    assert narrow.head[-1].in_features == 20 and wide.head[-1].in_features == 32
    assert len(narrow.groups[0][0].branches) == 1 and len(wide.groups[0][0].branches) == 5


@pytest.mark.parametrize("M, size", [(1, 16), (2, 8), (3, 4), (4, 4), (5, 4)])
def test_the_last_two_groups_halve_the_resolution_and_the_first_never(M, size):
    config = {"out_channel0": 4, "M": M} | {
        f"{h}{m}": v
        for m in range(1, 6)
        for h, v in dict(R=1, convblock=1, widenfact=0.8, B=1).items()
    }
    net = Network(config, (1, 16, 16), 2)
    assert net.groups(net.stem(torch.zeros(2, 1, 16, 16))).shape[-2:] == (size, size)


def test_branches_are_added():
    net = Network(
        BASE | {"convblock1": 1, "R1": 1, "B1": 3, "widenfact1": 1.0}, (1, 5, 5), 2
    ).eval()
    block, x = net.groups[0][0], torch.randn(2, 16, 5, 5)
    with torch.no_grad():
        assert torch.allclose(block(x), x + sum(branch(x) for branch in block.branches), atol=1e-5)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"M": 0}, "M must be"),
        ({"R1": 1.5}, "R1 must be"),
        ({"B1": 0}, "B1 must be"),
        ({"convblock1": 0}, "convblock must be 1"),
        ({"widenfact1": 0}, "widenfact1 must be"),
        ({"out_channel0": -8}, "out_channel0 must be"),
        ({"widenfact1": np.nan}, "widenfact1"),
    ],
)
def test_a_network_of_nonsense_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        Network(BASE | {"convblock1": 1} | change)


@pytest.mark.parametrize("c_in, size", [(11, 96), (8, 9), (3, 10)])
def test_the_shortcut_is_a_strided_convolution(c_in, size):
    """Against PyTorch's own strided 1x1 convolution in the layout that oneDNN handles well (its
    issue 6035: others crash or corrupt)."""
    block = ResidualBlock(BASIC, c_in, 14, branches=1, stride=2)
    plain = nn.Conv2d(c_in, 14, 1, stride=2, bias=False)
    plain.load_state_dict(block.shortcut[0].state_dict())
    block.shortcut[1], block.branches = nn.Identity(), nn.ModuleList()
    x = torch.randn(4, c_in, size, size + 1)
    outs = []
    for layer, layout in ((block, torch.channels_last), (plain, torch.contiguous_format)):
        inputs = x.clone().contiguous(memory_format=layout).requires_grad_()
        out = layer(inputs)
        (out * torch.linspace(-1, 1, out.shape[-1])).sum().backward()
        outs.append((out, inputs.grad))
    for a, b in zip(*outs, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert torch.allclose(block.shortcut[0].weight.grad, plain.weight.grad, rtol=1e-4, atol=1e-2)
