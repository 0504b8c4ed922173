"""The fast layers against aihwkit's torch tile: forward, gradients, input ranges, clipping and
remapping, over random shapes."""

import copy
from contextlib import nullcontext

import pytest
import torch
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters.enums import (
    RPUDataType,
    WeightClipType,
    WeightModifierType,
    WeightRemapType,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from analognas.analog.compiled import by_torch
from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogConv2d, AnalogLinear
from analognas.core import ConfigError

# relative, in double precision: there a rounding tie never falls differently because sums were
# added in another order
EXACT = 1e-9


def tiles(kit):
    module = kit.analog_module
    return module.array if hasattr(module, "array") else [[module]]


def apart(a, b):
    "Largest difference, relative to the largest value."
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-30))


@st.composite
def chips(draw):
    "A configuration without randomness, in double precision."
    config = create_rpu_config(
        out_noise=0.0,
        modifier_std=0.0,
        tile_size=draw(st.sampled_from([512, 40, 23, 7])),
        dac_bits=draw(st.integers(2, 9)),
        adc_bits=draw(st.integers(2, 9)),
    )
    config.runtime.data_type = RPUDataType.DOUBLE
    config.forward.out_bound = draw(st.sampled_from([10.0, 2.0, 0.7]))
    config.forward.inp_bound = draw(st.sampled_from([1.0, 1.0, 0.8]))
    config.forward.is_perfect = draw(st.sampled_from([False] * 5 + [True]))
    config.mapping.weight_scaling_columnwise = draw(st.booleans())
    config.mapping.learn_out_scaling, config.mapping.out_scaling_columnwise = (
        draw(st.booleans()),
        draw(st.booleans()),
    )
    config.remap.type = draw(
        st.sampled_from(
            [WeightRemapType.LAYERWISE_SYMMETRIC, WeightRemapType.CHANNELWISE_SYMMETRIC]
        )
    )
    ranges = config.pre_post.input_range
    ranges.enable, ranges.learn_input_range = (
        draw(st.sampled_from([True, True, False])),
        draw(st.booleans()),
    )
    ranges.decay, ranges.gradient_relative = draw(st.sampled_from([0.0, 0.01])), draw(st.booleans())
    ranges.input_min_percentage = draw(st.sampled_from([0.5, 0.995]))
    return config


@st.composite
def layers(draw):
    "A digital layer and an input for it."
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    inputs, outputs, bias = (
        draw(st.integers(1, 7)),
        draw(st.sampled_from([1, 4, 30])),
        draw(st.booleans()),
    )
    if draw(st.integers(0, 3)) == 0:
        layer, x = (
            nn.Linear(inputs * 9, outputs, bias),
            torch.randn(draw(st.integers(2, 6)), inputs * 9, generator=rng),
        )
    else:
        layer = nn.Conv2d(
            inputs,
            outputs,
            draw(st.sampled_from([1, 3, (3, 2), (1, 5)])),
            draw(st.sampled_from([1, 2, (2, 1)])),
            draw(st.sampled_from([0, 1, (2, 0)])),
            draw(st.sampled_from([1, 2])),
            bias=bias,
        )
        x = torch.randn(3, inputs, 9, 11, generator=rng)
    for p in layer.parameters():
        p.data = torch.randn(p.shape, generator=rng)
    return layer.double(), (x.relu() if draw(st.booleans()) else x).double()


def fast(layer, config):
    return (AnalogLinear if isinstance(layer, nn.Linear) else AnalogConv2d)(layer, config)


def engine(name):
    "Compiled loops where there is a loop, or PyTorch's calls throughout, as on a GPU."
    return by_torch() if name == "torch" else nullcontext()


@settings(max_examples=150, deadline=None)
@given(
    config=chips(), case=layers(), by=st.sampled_from(["loops", "loops, channels last", "torch"])
)
def test_forward_and_gradients_equal_aihwkits(config, case, by):
    with engine(by):
        forward_and_gradients_equal_aihwkits(config, case[0], in_layout(case[1], by))


def in_layout(x, by):
    return (
        x.contiguous(memory_format=torch.channels_last)
        if by.endswith("last") and x.ndim == 4
        else x
    )


def forward_and_gradients_equal_aihwkits(config, layer, x):
    theirs, ours = convert_to_analog(layer, config).train(), fast(layer, config).train()
    for _ in range(2):  # the second time with an input range that data has set
        xs = [x.clone().requires_grad_() for _ in range(2)]
        ys = [theirs(xs[0]), ours(xs[1])]
        g = torch.randn(ys[0].shape, generator=torch.Generator().manual_seed(0)).double()
        for y in ys:
            y.backward(g)
        assert apart(*ys) < EXACT and apart(xs[0].grad, xs[1].grad) < EXACT
    for b in ours.blocks:
        tile = tiles(theirs)[b.i][b.j]
        scale = tile.get_scales().view(-1, 1)
        assert (
            apart(tile.tile.weight.grad * scale, ours.weight.grad.flatten(1)[b.rows, b.cols])
            < EXACT
        )
        if tile.input_range is not None:
            assert apart(tile.input_range, ours.input_range[b.i, b.j]) < EXACT
            if tile.input_range.grad is not None:
                assert apart(tile.input_range.grad, ours.input_range.grad[b.i, b.j]) < EXACT
        if tile.out_scaling_alpha is not None:
            ours_g = (
                ours.out_scaling.grad[b.i, 0, b.rows]
                if ours.out_scaling.ndim == 4
                else ours.out_scaling.grad[b.i, b.j]
            )
            assert apart(tile.out_scaling_alpha.grad, ours_g.flatten()) < EXACT
    with torch.no_grad():
        assert apart(theirs.eval()(x), ours.eval()(x)) < EXACT


@settings(max_examples=25, deadline=None)
@given(
    config=chips(),
    case=layers(),
    optimizer=st.sampled_from(["SGD", "SGD foreach", "SGD fused"]),
    clip=st.sampled_from(
        [WeightClipType.LAYER_GAUSSIAN, WeightClipType.FIXED_VALUE, WeightClipType.NONE]
    ),
)
def test_training_steps_clip_and_remap_as_aihwkit_does(config, case, optimizer, clip):
    layer, x = case
    assume(
        all(
            tile.tile.weight.numel() > 1
            for row in tiles(convert_to_analog(layer, config))
            for tile in row
        )
    )  # one weight has no spread
    config.clip.type, config.clip.fixed_value = (
        clip,
        0.8 if clip == WeightClipType.FIXED_VALUE else -1.0,
    )
    theirs, ours = convert_to_analog(layer, config).train(), fast(layer, config).train()
    flags = {"SGD foreach": dict(foreach=True), "SGD fused": dict(fused=True)}.get(optimizer, {})
    steps = (
        AnalogSGD(theirs.parameters(), lr=0.01),
        torch.optim.SGD(ours.parameters(), lr=0.01, **flags),
    )
    for _ in range(3):
        for net, step in zip((theirs, ours), steps, strict=True):
            step.zero_grad()
            net(x).square().mean().backward()
            step.step()
    state = ours.state_dict()  # saving must see the clipped weights
    for b in ours.blocks:
        weight = tiles(theirs)[b.i][b.j].get_weights()[0]
        assert (
            apart(weight, state["weight"].flatten(1)[b.rows, b.cols]) < 1e-7
        )  # three steps may amplify what rounding left
    with torch.no_grad():
        assert apart(theirs.eval()(x), ours.eval()(x)) < 1e-6


def test_clipping_happens_once_a_step():
    """Neither copying, saving, loading nor evaluating clips again; that would shrink the weights a
    little each time."""
    torch.manual_seed(0)
    layer = AnalogLinear(nn.Linear(20, 10), create_rpu_config()).train()
    step = torch.optim.Adam(layer.parameters(), 0.1)
    layer(torch.randn(8, 20)).square().sum().backward()
    step.step()
    once = layer.state_dict()["weight"].clone()
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    for net in (layer, twin):
        net.train().eval().train()
        net(torch.randn(8, 20))
        assert torch.equal(net.state_dict()["weight"], once)
    assert float(once.abs().max() / once.std()) < 3


@pytest.mark.parametrize("groups, channels", [(2, 6), (6, 6)])
@pytest.mark.parametrize("tile_size", [512, 9])
@pytest.mark.parametrize("by", ["loops", "loops, channels last", "torch"])
def test_groups_are_convolutions_side_by_side(groups, channels, tile_size, by):
    with engine(by):
        groups_are_convolutions_side_by_side(groups, channels, tile_size, by)


def groups_are_convolutions_side_by_side(groups, channels, tile_size, by):
    torch.manual_seed(0)
    config = create_rpu_config(out_noise=0.0, modifier_std=0.0, tile_size=tile_size)
    config.runtime.data_type = RPUDataType.DOUBLE
    whole = nn.Conv2d(channels, 12, 3, padding=1, groups=groups).double()
    parts = [
        nn.Conv2d(channels // groups, 12 // groups, 3, padding=1).double() for _ in range(groups)
    ]
    for k, part in enumerate(parts):
        rows = slice(k * 12 // groups, (k + 1) * 12 // groups)
        part.weight.data, part.bias.data = (
            whole.weight.data[rows].clone(),
            whole.bias.data[rows].clone(),
        )
    ours, theirs = (
        AnalogConv2d(whole, config).train(),
        [convert_to_analog(p, config).train() for p in parts],
    )
    xs = [
        in_layout(
            torch.randn(4, channels, 7, 7).double() * torch.arange(1, channels + 1).view(-1, 1, 1),
            by,
        ).requires_grad_()
    ]
    xs.append(xs[0].detach().clone().requires_grad_())
    y, z = (
        ours(xs[0]),
        torch.cat([net(v) for net, v in zip(theirs, xs[1].chunk(groups, 1), strict=True)], 1),
    )
    g = torch.randn_like(y)
    y.backward(g)
    z.backward(g)
    assert apart(z, y) < EXACT and apart(xs[1].grad, xs[0].grad) < EXACT
    for k, net in enumerate(theirs):
        for b in ours.blocks:
            assert (
                apart(tiles(net)[b.i][b.j].input_range.grad, ours.input_range.grad[b.i, b.j, k])
                < EXACT
            )


def test_single_precision_differs_only_in_rounding_ties():
    """Adding in another order may tip a sum over the edge between two ADC steps: by one step, about
    once in 100,000 outputs."""
    torch.manual_seed(0)
    conv, config, x = (
        nn.Conv2d(16, 16, 3, padding=1),
        create_rpu_config(out_noise=0.0),
        torch.randn(32, 16, 32, 32),
    )
    theirs, ours = convert_to_analog(conv, config).eval(), AnalogConv2d(conv, config).eval()
    with torch.no_grad():
        difference = (theirs(x) - ours(x)).abs()
    step = (
        config.forward.out_res
        * 2
        * config.forward.out_bound
        * float(ours.input_range.detach().max() * ours.scale.max())
    )
    tipped = difference > 0.5 * step
    assert (
        tipped.float().mean() < 1e-4 and difference[tipped].max() < 1.001 * step
        if tipped.any()
        else True
    )
    assert difference[~tipped].max() <= 1e-6 * float(ours(x).abs().max())


def test_an_image_gets_its_answer_whatever_it_comes_with():
    "The answer does not depend on how a batch is cut, nor on the memory format."
    torch.manual_seed(0)
    conv, x = nn.Conv2d(8, 8, 3, padding=1).double(), torch.randn(300, 8, 32, 32).double()
    ours = AnalogConv2d(conv, create_rpu_config(out_noise=0.0)).eval()
    with torch.no_grad():
        whole = ours(x)
        assert apart(torch.cat([ours(v) for v in x.split(7)]), whole) < EXACT
        assert apart(ours(x.contiguous(memory_format=torch.channels_last)), whole) < EXACT
        assert apart(ours(x[0]), whole[0]) < EXACT


@pytest.mark.parametrize("learned", [False, True])
def test_state_dict_has_the_keys_of_release_0_1_0(learned):
    config = create_rpu_config()
    config.mapping.learn_out_scaling = learned
    keys = {"weight", "bias", "scale", "range_batches", "input_range"}
    if learned:
        keys.add("out_scaling")
    for layer in (nn.Linear(3, 2), nn.Conv2d(3, 2, 3)):
        assert set(to_analog(layer, config).state_dict()) == keys


# ---- noise ----------------------------------------------------------------------------------------------------------


def outputs(net, x, n):
    with torch.no_grad():
        return torch.stack([net(x) for _ in range(n)])


def test_output_noise_has_aihwkits_distribution():
    torch.manual_seed(0)
    conv, x = nn.Conv2d(3, 4, 3), torch.randn(2, 3, 8, 8)
    config = create_rpu_config(out_noise=0.3, adc_bits=16)
    ours, theirs = (
        outputs(net.eval(), x, 400)
        for net in (AnalogConv2d(conv, config), convert_to_analog(conv, config))
    )
    z = [(v - theirs.mean(0)) / theirs.std(0) for v in (ours, theirs)]
    assert (
        abs(float(z[0].mean()))
        < 5 * (2 / z[0].numel()) ** 0.5 + 5 * (1 / 400 / theirs[0].numel()) ** 0.5
    )
    assert abs(float(z[0].std()) - float(z[1].std())) < 0.02
    assert stats.ks_2samp(z[0].flatten()[::7].numpy(), z[1].flatten()[::7].numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    "kind", [WeightModifierType[k] for k in ("ADD_NORMAL", "MULT_NORMAL", "DISCRETIZE", "NONE")]
)
def test_weight_modifiers_have_aihwkits_distribution(kind):
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 5), torch.eye(6)
    config = create_rpu_config(out_noise=0.0, adc_bits=20, dac_bits=20)
    config.modifier.type, config.modifier.std_dev, config.modifier.res = kind, 0.1, 0.05
    config.pre_post.input_range.init_from_data = 0
    ours, theirs = (
        outputs(net.train(), x, 3000)
        for net in (AnalogLinear(layer, config), convert_to_analog(layer, config))
    )
    assert torch.allclose(
        ours.mean(0), theirs.mean(0), atol=float(6 * theirs.std(0).max() / 3000**0.5) + 1e-4
    )
    if kind in (WeightModifierType.DISCRETIZE, WeightModifierType.NONE):
        assert float(ours.std(0).max()) < 1e-6 and torch.allclose(ours[0], theirs[0], atol=1e-4)
    else:
        assert torch.allclose(ours.std(0), theirs.std(0), rtol=0.12, atol=1e-6)
        assert all(
            stats.ks_2samp(ours[:, 2, k].numpy(), theirs[:, 2, k].numpy()).pvalue > 1e-4
            for k in range(5)
        )


# ---- the compiled tile, and what is refused ------------------------------------------------------------------------------


def test_the_compiled_tile_agrees():
    torch.manual_seed(0)
    config = create_rpu_config(out_noise=0.0)
    compiled = InferenceRPUConfig(
        forward=config.forward, mapping=config.mapping, pre_post=config.pre_post
    )
    layer, x = nn.Linear(40, 20), torch.randn(500, 40)
    with torch.no_grad():
        theirs, ours = (
            convert_to_analog(layer, compiled).eval()(x),
            to_analog(layer, compiled).eval()(x),
        )
    step = config.forward.out_res * 20 * 3 * float(layer.weight.abs().max())
    differs = (theirs - ours).abs() > 1e-4 * step
    assert differs.float().mean() < 1e-3 and (theirs - ours).abs().max() < 1.01 * step


@pytest.mark.parametrize(
    "digital, shape, takes",
    [
        (nn.Linear(10, 3), (2, 11), 10),
        (nn.Linear(10, 3), (2, 9), 10),
        (nn.Conv2d(4, 2, 3), (1, 6, 8, 8), 4),
        (nn.Conv2d(4, 2, 3, groups=2), (6, 8, 8), 4),
    ],
)
def test_other_numbers_of_inputs_are_refused_as_torch_refuses_them(digital, shape, takes):
    with pytest.raises(RuntimeError):
        digital(torch.zeros(shape))
    with pytest.raises(ConfigError, match=f"takes {takes} inputs"):
        to_analog(digital, create_rpu_config("pcm")).eval()(torch.zeros(shape))
