"""The ResNet-like family: arithmetic against networks that were built, run, traced and converted."""

import numpy as np
import pytest
import torch
from aihwkit.nn import AnalogConv2d, AnalogLinear
from aihwkit.nn.conversion import convert_to_analog
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torch.utils.flop_counter import FlopCounterMode

from analognas.analog.hardware import create_rpu_config
from analognas.core import ConfigError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.resnet_macro_architecture import Network, ResidualBlock
from analognas.search_spaces.resnet_stats import BASIC, HYPERPARAMETERS
from analognas.search_spaces.resnet_stats import resnet_static_metrics as metrics_of_columns


def static_metrics(configs, *shape):
    "Return the static metrics of a list of configs."
    return metrics_of_columns({n: np.array([c[n] for c in configs]) for n in configs[0]}, *shape)


WEIGHTED = (nn.Conv2d, nn.Linear)


@st.composite
def small_configs(draw):
    "A config of few channels and blocks, drawn evenly over numbers of groups and kinds of block."
    config = {"out_channel0": draw(st.sampled_from([1, 3, 8, 12])), "M": draw(st.integers(1, 5))}
    for m in range(1, 6):
        config |= {
            f"R{m}": draw(st.integers(1, 3)),
            f"convblock{m}": draw(st.sampled_from([1, 2])),
            f"widenfact{m}": draw(st.sampled_from([0.5, 0.55, 0.7, 0.8, 1.0])),
            f"B{m}": draw(st.integers(1, 3)),
        }
    return config


SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20))


@given(small_configs(), SHAPES, st.integers(2, 12))
@settings(max_examples=20)
def test_params_and_macs_are_those_of_the_network_built(config, shape, classes):
    stats = {k: int(v[0]) for k, v in static_metrics([config], shape, classes).items()}
    if stats["params"] > 300_000 or stats["macs"] > 3e7:
        config, stats = (
            config | {"M": 1},
            {k: int(v[0]) for k, v in static_metrics([config | {"M": 1}], shape, classes).items()},
        )
    net = Network(config, shape, classes).eval()
    counted = []

    def count(module, inputs, output):  # uses of each weight: one per output pixel, or one
        counted.append(module.weight.numel() * (output[0, 0].numel() if output.ndim == 4 else 1))

    for m in net.modules():
        if isinstance(m, WEIGHTED):
            m.register_forward_hook(count)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        out = net(torch.zeros(1, *shape))
    assert out.shape == (1, classes)
    assert stats["params"] == sum(p.numel() for p in net.parameters())
    assert stats["macs"] == sum(counted) == flops.get_total_flops() / 2


def longest_path(net):
    "Weighted layers on the longest path through the traced graph."
    modules, depth = dict(net.named_modules()), {}
    for node in fx.symbolic_trace(net).graph.nodes:
        weighted = node.op == "call_module" and isinstance(modules[node.target], WEIGHTED)
        depth[node] = max((depth[n] for n in node.all_input_nodes), default=0) + weighted
    return max(depth.values())


@given(small_configs())
@settings(max_examples=15)
def test_depth_is_the_longest_path_of_the_traced_network(config):
    assert static_metrics([config], (1, 8, 8), 3)["depth"][0] == longest_path(
        Network(config, (1, 8, 8), 3)
    )


def test_a_population_is_counted_like_its_members():
    configs = ConfigSpace().sample_arch_uniformly(40, 0)
    together = static_metrics(configs)
    for i, c in enumerate(configs):
        alone = static_metrics([c])
        assert all(alone[k][0] == together[k][i] for k in ("params", "macs", "depth"))


@given(small_configs(), st.data())
@settings(max_examples=15)
def test_groups_that_do_not_exist_change_nothing(config, data):
    config = config | {"M": data.draw(st.integers(1, 2))}
    idle = {
        f"{h}{m}": data.draw(st.sampled_from([0, 1, 7]))
        for h in ("R", "convblock", "widenfact", "B")
        for m in range(config["M"] + 1, 6)
    }
    nets = []
    for c in (config, config | idle):
        torch.manual_seed(0)
        nets.append(Network(c, (1, 6, 6), 3).state_dict())
    assert nets[0].keys() == nets[1].keys() and all(
        torch.equal(nets[0][k], nets[1][k]) for k in nets[0]
    )
    a, b = static_metrics([config, config | idle], (1, 6, 6), 3)["macs"]
    assert a == b


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


@given(small_configs())
@settings(max_examples=5)
def test_every_weight_becomes_analog(config):
    config = config | {"M": min(config["M"], 3), "out_channel0": 4}
    net = Network(config, (1, 6, 6), 3)
    analog = convert_to_analog(net, create_rpu_config())
    layers = {n: type(m) for n, m in analog.named_modules()}
    for name, module in net.named_modules():
        if isinstance(module, WEIGHTED):
            assert layers[name] is (AnalogConv2d if isinstance(module, nn.Conv2d) else AnalogLinear)
    assert not any(type(m) in WEIGHTED for m in analog.modules())
    assert analog.eval()(torch.zeros(2, 1, 6, 6)).shape == (2, 3)


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


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_missing_name_is_named(name):
    config = {k: v for k, v in BASE.items() if k != name}
    for use in (lambda: Network(config), lambda: static_metrics([config])):
        with pytest.raises(ConfigError, match=f"needs {name}, which"):
            use()


@given(small_configs())
@settings(max_examples=15)
def test_static_metrics_are_those_of_the_network_built(config):
    metrics = {k: v[0] for k, v in static_metrics([config], (1, 8, 8)).items()}
    net = Network(config, (1, 8, 8), 3)
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert metrics["layers"] == len(convs)
    assert metrics["tiles"] == sum(
        -(-m.weight[0].numel() // 512) * -(-m.out_channels // 512) for m in convs
    )
    head = next(m for m in net.modules() if isinstance(m, torch.nn.Linear))
    assert metrics["last_width"] == head.in_features
    active = range(1, config["M"] + 1)
    blocks = [
        (config[f"convblock{m}"], config[f"B{m}"]) for m in active for _ in range(config[f"R{m}"])
    ]
    assert metrics["blocks"] == len(blocks)
    assert metrics["bottleneck_share"] == pytest.approx(
        sum(k == 2 for k, _ in blocks) / len(blocks)
    )
    assert metrics["mean_branches"] == pytest.approx(sum(b for _, b in blocks) / len(blocks))
    assert metrics["max_branches"] == max(b for _, b in blocks)


def test_tiles_are_as_many_as_aihwkit_makes():
    wide = (
        ConfigSpace("digits").sample_arch_uniformly(1, 0)[0]
        | {"M": 2, "out_channel0": 64}
        | {
            f"{k}{m}": v
            for m in (1, 2)
            for k, v in {"R": 1, "convblock": 1, "widenfact": 0.5, "B": m}.items()
        }
    )
    net = convert_to_analog(Network(wide, (1, 8, 8), 3), create_rpu_config())
    tiles = [len(list(m.analog_tiles())) for m in net.modules() if isinstance(m, AnalogConv2d)]
    assert max(tiles) > 1  # some layer does not fit on one
    assert static_metrics([wide], (1, 8, 8))["tiles"][0] == sum(tiles)


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
