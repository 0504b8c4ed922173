"""Each kind of fast layer against aihwkit's layer of that name, or against the digital one on the
ideal chip."""

import itertools
import re

import pytest
import torch
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters.enums import RPUDataType
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogConv1d, AnalogConv3d
from analognas.core import ConfigError


def relative_error(a, b):
    "Largest difference, relative to the largest value."
    return float((a - b).detach().abs().max() / a.detach().abs().max().clamp(min=1e-30))


def input_for(digital, rng, size=8, n=3):
    if isinstance(digital, nn.Linear):
        return torch.randn(n, digital.in_features, generator=rng)
    dims = digital.weight.ndim - 2
    shape = [size + d for d in range(dims)]
    return torch.randn(n, digital.in_channels, *shape, generator=rng)


def aihwkit_weight_grads(theirs):
    "Gradients of the whole matrix, (outputs, inputs)."
    module = theirs.analog_module
    columns = module.array if hasattr(module, "array") else [[module]]
    parts = [
        torch.cat([t.tile.weight.grad * t.get_scales().view(-1, 1) for t in column])
        for column in columns
    ]
    return torch.cat(parts, 1)


def unfolded(x, conv):
    "Windows of a padded input as rows, (N, *positions, C * K)."
    pads = [p for p in reversed(conv.padding) for _ in range(2)]
    windows = nn.functional.pad(x, pads)
    dims = len(conv.kernel_size)
    for d in range(dims):
        extent = conv.dilation[d] * (conv.kernel_size[d] - 1) + 1
        windows = windows.unfold(2 + d, extent, conv.stride[d])[..., :: conv.dilation[d]]
    return windows.movedim(1, dims + 1).flatten(dims + 1)


FAST = {nn.Conv1d: AnalogConv1d, nn.Conv3d: AnalogConv3d}
GEOMETRIES = [
    (nn.Conv1d, dict(kernel_size=3)),
    (nn.Conv1d, dict(kernel_size=4, stride=2, padding=3, dilation=2)),
    (nn.Conv3d, dict(kernel_size=(2, 3, 3), padding=(1, 0, 2))),
    (nn.Conv3d, dict(kernel_size=3, stride=(2, 1, 2), padding=1, dilation=(1, 2, 1))),
]


@pytest.mark.parametrize("kind, geometry", GEOMETRIES)
@pytest.mark.parametrize("tile_size", [512, 10])
def test_convolutions_equal_aihwkits_tiles_on_unfolded_inputs(kind, geometry, tile_size):
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    config = create_rpu_config(out_noise=0.0, modifier_std=0.0, tile_size=tile_size)
    config.runtime.data_type = RPUDataType.DOUBLE
    digital = kind(3, 5, **geometry).double()
    matrix = nn.Linear(digital.weight[0].numel(), 5).double()
    matrix.weight.data = digital.weight.data.flatten(1)
    matrix.bias.data = digital.bias.data
    theirs = convert_to_analog(matrix, config).train()
    ours = FAST[kind](digital, config).train()
    x = input_for(digital, rng).double()
    for _ in range(2):  # the second time with an input range that data has set
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        rows = unfolded(inputs[0], digital)
        outputs = [theirs(rows).movedim(-1, 1), ours(inputs[1])]
        gradient = torch.randn(outputs[0].shape, generator=rng).double()
        for y in outputs:
            y.backward(gradient)
        assert relative_error(*outputs) < 1e-6
        assert relative_error(inputs[0].grad, inputs[1].grad) < 1e-5
    assert relative_error(aihwkit_weight_grads(theirs), ours.weight.grad.flatten(1)) < 1e-5
    assert relative_error(theirs.analog_module.bias.grad, ours.bias.grad) < 1e-5


@pytest.mark.parametrize("kind, geometry", [GEOMETRIES[0], GEOMETRIES[2]])
def test_convolutions_equal_aihwkits_layers_of_that_name(kind, geometry):
    """aihwkit has them on its compiled tile only, in single precision: without rounding, because
    there a sum that was added in another order may tip over the edge between two ADC steps."""
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    config = create_rpu_config(out_noise=0.0, dac_bits=None, adc_bits=None, modifier_std=0.0)
    compiled = InferenceRPUConfig(
        forward=config.forward, mapping=config.mapping, pre_post=config.pre_post
    )
    digital = kind(3, 5, **geometry)
    nets = (convert_to_analog(digital, compiled).eval(), to_analog(digital, compiled).eval())
    x = input_for(digital, rng).clamp(-2, 2)  # that tile passes the gradients of clipped inputs
    inputs = [x.clone().requires_grad_() for _ in nets]
    outputs = [net(x) for net, x in zip(nets, inputs, strict=True)]
    gradient = torch.randn(outputs[0].shape, generator=rng)
    for y in outputs:
        y.backward(gradient)
    assert type(nets[0]).__name__ == type(nets[1]).__name__
    assert relative_error(*outputs) < 1e-6
    assert relative_error(inputs[0].grad, inputs[1].grad) < 1e-5


MODES = ("zeros", "reflect", "replicate", "circular")
CONVOLUTIONS = [
    (kind, dict(kernel_size=kernel, padding=padding, padding_mode=mode, groups=groups))
    for kind, mode in itertools.product((nn.Conv1d, nn.Conv2d, nn.Conv3d), MODES)
    for kernel, padding, groups in ((3, 1, 1), (4, "same", 2), (3, "same", 4), (2, "valid", 1))
]
TRANSPOSED = [
    (kind, dict(kernel_size=3, groups=groups, **geometry))
    for kind in (nn.ConvTranspose1d, nn.ConvTranspose2d)
    for groups in (1, 2, 4)
    for geometry in (
        dict(),
        dict(stride=2, padding=1, output_padding=1),
        dict(stride=3, padding=2, dilation=2),
        dict(stride=1, dilation=3, output_padding=2),
    )
]
OTHERS = [
    (nn.Conv2d, dict(kernel_size=(2, 5), padding="same", dilation=(3, 1))),
    (nn.ConvTranspose2d, dict(kernel_size=(1, 4), stride=(1, 3), padding=(0, 2), bias=False)),
]


@pytest.mark.parametrize("kind, geometry", CONVOLUTIONS + TRANSPOSED + OTHERS)
def test_the_ideal_chip_computes_as_the_digital_layer(kind, geometry):
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    digital = kind(4, 8, **geometry).double()
    analog = to_analog(digital, create_rpu_config("ideal"))
    x = input_for(digital, rng).double().clamp(-0.9, 0.9)  # within the input range
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [net.eval()(v) for net, v in zip((digital, analog), inputs, strict=True)]
    gradient = torch.randn(outputs[0].shape, generator=rng).double()
    for y in outputs:
        y.backward(gradient)
    assert relative_error(*outputs) < 1e-6
    assert relative_error(inputs[0].grad, inputs[1].grad) < 1e-5
    assert relative_error(digital.weight.grad, analog.weight.grad) < 1e-5
    with torch.no_grad():
        assert relative_error(outputs[0][0], analog(x[0])) < 1e-6  # without a batch dimension


def test_output_size_of_a_transposed_convolution_is_pytorchs():
    torch.manual_seed(0)
    digital = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1).eval()
    analog = to_analog(digital, create_rpu_config("ideal"))
    x = torch.rand(2, 2, 5, 5) / 2
    with torch.no_grad():
        assert torch.allclose(analog(x, output_size=[10, 9]), digital(x, [10, 9]), atol=1e-5)


ALL_KINDS = [
    nn.Linear(4, 3),
    nn.Conv1d(4, 4, 3),
    nn.Conv2d(4, 4, 3, padding="same", groups=4),
    nn.Conv3d(4, 4, 3, padding=1, padding_mode="circular"),
    nn.ConvTranspose1d(4, 4, 3),
    nn.ConvTranspose2d(4, 4, 3, 2, groups=2),
]


@pytest.mark.parametrize("digital", ALL_KINDS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("preset", ["pcm", "ideal"])
def test_a_batch_of_0_has_pytorchs_shape_and_gradients(digital, preset):
    x = input_for(digital, torch.Generator().manual_seed(0), n=0)
    analog = to_analog(digital, create_rpu_config(preset))
    for mode in (True, False):
        y = analog.train(mode)(x)
        assert y.shape == digital(x).shape
        y.sum().backward()
        assert float(analog.weight.grad.abs().max()) == 0


@pytest.mark.parametrize("digital", ALL_KINDS, ids=lambda layer: type(layer).__name__)
def test_one_example_without_a_batch_has_the_outputs_of_a_batch_of_one(digital):
    x = input_for(digital, torch.Generator().manual_seed(0), size=6, n=1)
    analog = to_analog(digital, create_rpu_config(out_noise=0.0)).eval()
    y = analog(x[0])
    assert y.shape == digital(x[0]).shape
    assert torch.equal(y, analog(x)[0])


@pytest.mark.parametrize("digital", ALL_KINDS[1:], ids=lambda layer: type(layer).__name__)
def test_a_flattened_input_is_refused_by_its_shape(digital):
    analog = to_analog(digital)
    shape = (36,) if digital.weight.ndim == 3 else (2, 36)
    with pytest.raises(ConfigError, match=re.escape(str(shape))):
        analog(torch.zeros(shape))


@pytest.mark.parametrize("digital", ALL_KINDS, ids=lambda layer: type(layer).__name__)
def test_strided_weights_are_computed_like_others(digital):
    x = input_for(digital, torch.Generator().manual_seed(0))
    config = create_rpu_config(out_noise=0.0)
    want = to_analog(digital, config).eval()(x)
    strided = to_analog(digital, config).eval()
    w = strided.weight.data
    strided.weight.data = w.transpose(0, -1).contiguous().transpose(0, -1)
    assert not strided.weight.is_contiguous()
    assert torch.equal(strided(x), want)
