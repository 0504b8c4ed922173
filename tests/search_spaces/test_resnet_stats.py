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
from analognas.search_spaces.resnet_macro_architecture import Network
from analognas.search_spaces.resnet_stats import HYPERPARAMETERS
from analognas.search_spaces.resnet_stats import resnet_static_metrics as metrics_of_columns


def static_metrics(configs, *shape):
    "Return the static metrics of a list of configs."
    return metrics_of_columns({n: np.array([c[n] for c in configs]) for n in configs[0]}, *shape)


WEIGHTED = (nn.Conv2d, nn.Linear)


BASE = {n: 0 for n in HYPERPARAMETERS} | dict(out_channel0=16, M=1, R1=2, widenfact1=0.5, B1=2)


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


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_a_missing_name_is_named(name):
    config = {k: v for k, v in BASE.items() if k != name}
    for use in (lambda: Network(config), lambda: static_metrics([config])):
        with pytest.raises(ConfigError, match=f"needs {name}, which"):
            use()


def width_of(block):
    "Return the number of channels that leave a block: those of its last convolution."
    return [m.out_channels for m in block.modules() if isinstance(m, nn.Conv2d)][-1]


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
    widths = [width_of(block) for group in net.groups for block in group]
    assert metrics["mean_width"] == pytest.approx(sum(widths) / len(blocks))


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
