"""Layers in int8 against integer arithmetic, ranges from data, and gradients."""

import copy

import pytest
import torch
from torch import nn

from analognas.analog.int8 import as_int8, input_grid, observe_ranges, rounded_weight
from analognas.core import ConfigError

LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (7, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, groups=2, padding=1), (2, 4, 9)),
    "conv2d": (
        lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="reflect"),
        (2, 3, 8, 8),
    ),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    "transposed1d": (lambda: nn.ConvTranspose1d(3, 2, 3, stride=2), (2, 3, 5)),
    "transposed2d": (lambda: nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False), (2, 4, 5, 5)),
}


@pytest.fixture(params=LAYERS)
def case(request):
    torch.manual_seed(1)
    make, shape = LAYERS[request.param]
    x = torch.randn(shape)
    return make(), x, (float(x.min()), float(x.max()))


def exact_outputs(layer, x, bounds):
    "Return the outputs by whole numbers in double precision."
    exact = copy.deepcopy(layer).double()
    scale, zero = input_grid(*bounds)
    levels = ((x.double() / scale).round() + zero).clamp(-128, 127) - zero
    axis = int("Transpose" in type(layer).__name__)
    w = exact.weight.detach()
    steps = w.abs().amax([d for d in range(w.ndim) if d != axis], keepdim=True) / 127
    exact.weight = nn.Parameter((w / steps).round() * steps)
    return exact(levels * scale).detach()


def test_layer_equals_integer_arithmetic(case):
    layer, x, bounds = case
    got = as_int8(layer, bounds)(x).detach()
    assert torch.allclose(got.double(), exact_outputs(layer, x, bounds), atol=2e-5)


def test_parameters_are_shared_and_names_stay(case):
    layer, _, bounds = case
    made = as_int8(layer, bounds)
    assert made.weight is layer.weight
    assert set(made.state_dict()) - set(layer.state_dict()) == {"input_scale", "input_zero"}


def test_as_digital_is_the_layer_again(case):
    layer, x, bounds = case
    again = as_int8(layer, bounds).as_digital()
    assert type(again) is type(layer)
    assert set(again.state_dict()) == set(layer.state_dict())
    assert torch.equal(again(x), layer(x))


def test_weights_take_at_most_255_values():
    w = rounded_weight(torch.randn(3, 1000), 0)
    assert all(len(row.unique()) <= 255 for row in w)


def test_weights_of_a_channel_may_all_be_zero():
    assert torch.equal(rounded_weight(torch.zeros(2, 3), 0), torch.zeros(2, 3))


def test_zero_is_a_level_of_every_grid():
    for bounds in ((0.3, 2.0), (-2.0, -0.3), (-1.0, 3.0), (0.0, 0.0)):
        scale, zero = input_grid(*bounds)
        assert scale > 0
        assert -128 <= zero <= 127


def test_inputs_outside_the_range_are_clipped():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    made = as_int8(layer, (0.0, 1.0))
    assert made(torch.tensor([[5.0], [-5.0]])).flatten().tolist() == pytest.approx([1.0, 0.0])


def test_gradients_pass_through_the_rounding():
    layer = nn.Linear(6, 5)
    x = torch.rand(7, 6, requires_grad=True)
    as_int8(layer, (0.0, 1.0))(x).sum().backward()
    expected = layer.weight.detach().sum(0).expand(7, 6)
    assert torch.allclose(x.grad, expected, atol=0.02)
    assert layer.weight.grad.abs().sum() > 0


def test_ranges_do_not_depend_on_the_batch_size():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(50, 4)
    layers = {"first": net[0], "last": net[2]}
    whole, parts = observe_ranges(net, layers, x), observe_ranges(net, layers, x, 7)
    assert all(whole[name] == pytest.approx(parts[name], rel=1e-5) for name in layers)


def test_ranges_leave_no_hook():
    net = nn.Sequential(nn.Linear(4, 2))
    observe_ranges(net, {"0": net[0]}, torch.randn(5, 4))
    assert not net[0]._forward_pre_hooks


def test_layer_that_is_not_called_is_named():
    net = nn.Sequential(nn.Linear(4, 2))
    with pytest.raises(ConfigError, match="does not call spare"):
        observe_ranges(net, {"spare": nn.Linear(4, 2)}, torch.randn(5, 4))


def test_infinite_input_is_named():
    net = nn.Sequential(nn.Linear(1, 1))
    with pytest.raises(ConfigError, match="inputs of 0 are not finite"):
        observe_ranges(net, {"0": net[0]}, torch.tensor([[float("inf")]]))


def test_layer_without_int8_form_is_named():
    with pytest.raises(ConfigError, match="mix is a Bilinear"):
        as_int8(nn.Bilinear(2, 2, 2), (0.0, 1.0), "mix")


@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.ConvTranspose1d(3, 2, 3, stride=2), (2, 3, 5)),
        (nn.ConvTranspose2d(3, 2, 3, stride=2), (2, 3, 5, 4)),
    ],
)
def test_a_wanted_output_size_is_that_of_the_digital_layer(layer, shape):
    x = torch.randn(shape)
    sizes = [size + 1 for size in layer(x).shape[2:]]
    assert as_int8(layer, (-3.0, 3.0))(x, sizes).shape == layer(x, sizes).shape


class Upsampled(nn.Module):
    "Call a transposed convolution with two arguments."

    def __init__(self):
        super().__init__()
        self.conv = nn.ConvTranspose1d(1, 1, 2, stride=2)

    def forward(self, x):
        return self.conv(x, [2 * x.shape[-1] + 1])


def test_the_range_is_that_of_the_first_argument():
    net = Upsampled()
    x = torch.linspace(-2, 3, 8).view(2, 1, 4)
    found = observe_ranges(net, {"conv": net.conv}, x)
    assert found["conv"] == pytest.approx((-2.0, 3.0))
