"""Reading a layer at each step of a pass, against calling it at each step."""

import pytest
import torch
from aihwkit.simulator.parameters.enums import WeightRemapType
from torch import nn
from torch.utils.checkpoint import checkpoint

from analognas.analog.compiled import by_torch
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogLinear
from analognas.analog.programming import program
from analognas.analog.steps import EachStep, StepTiles, step_tiles


def quiet(**settings):
    "A chip without randomness, whose input ranges are set and clip some inputs."
    config = create_rpu_config(out_noise=0.0, modifier_std=0.0, **settings)
    ranges = config.pre_post.input_range
    ranges.init_from_data = 0
    ranges.init_value = 0.6
    ranges.decay = 0.0
    return config


def square_layer(config=None, size=12):
    torch.manual_seed(0)
    return AnalogLinear(nn.Linear(size, size).double(), config or quiet()).train()


def after_steps(read, x, steps=4):
    for _ in range(steps):
        x = torch.tanh(2 * read(x))
    return x


def gradients(layer, read, x):
    "Output and all gradients."
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y = after_steps(read, x)
    y.square().sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def with_learned_scale(config):
    config.mapping.learn_out_scaling = True
    config.mapping.out_scaling_columnwise = True


def with_columns(config):
    config.remap.type = WeightRemapType.CHANNELWISE_SYMMETRIC


def without_ranges(config):
    config.pre_post.input_range.enable = False


def with_fixed_ranges(config):
    config.pre_post.input_range.learn_input_range = False


def with_low_adc_bound(config):
    config.forward.out_bound = 0.5


SETTINGS = (with_learned_scale, with_columns, without_ranges, with_fixed_ranges, with_low_adc_bound)


@pytest.mark.parametrize("tile_size", [512, 7])
@pytest.mark.parametrize("change", SETTINGS)
def test_outputs_and_gradients_are_those_of_calls(change, tile_size):
    config = quiet(tile_size=tile_size)
    change(config)
    layer = square_layer(config)
    x = torch.randn(3, 12, dtype=torch.float64)
    by_calls = gradients(layer, layer, x)
    assert_same(gradients(layer, StepTiles(layer), x), by_calls)


def test_outputs_and_gradients_are_those_of_calls_without_compiled_loops():
    layer = square_layer()
    x = torch.randn(3, 12, dtype=torch.float64)
    with by_torch():
        by_calls = gradients(layer, layer, x)
        assert_same(gradients(layer, StepTiles(layer), x), by_calls)


def test_frozen_weights_pass_the_gradient_of_the_input():
    layer = square_layer().requires_grad_(False)
    x = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)
    by_calls = torch.autograd.grad(after_steps(layer, x).sum(), x)
    assert_same(torch.autograd.grad(after_steps(StepTiles(layer), x).sum(), x), by_calls)


def test_a_backward_pass_for_inputs_alone_leaves_nothing_behind():
    layer = square_layer()
    x = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)
    wanted = [layer.weight, layer.input_range]
    by_calls = torch.autograd.grad(after_steps(layer, x).sum(), wanted)
    y = after_steps(StepTiles(layer), x).sum()
    torch.autograd.grad(y, x, retain_graph=True)
    assert_same(torch.autograd.grad(y, wanted, retain_graph=True), by_calls)
    assert_same(torch.autograd.grad(y, wanted), by_calls)


def test_steps_that_the_loss_does_not_use_add_nothing():
    layer = square_layer()
    x = torch.randn(3, 12, dtype=torch.float64)
    by_calls = torch.autograd.grad(layer(x).sum(), layer.weight)
    read = StepTiles(layer)
    used = read(x).sum()
    read(2 * x)
    assert_same(torch.autograd.grad(used, layer.weight), by_calls)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointed_passes_have_the_same_gradients(use_reentrant):
    layer = square_layer()
    x = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)
    after_steps(layer, x).sum().backward()
    by_calls = layer.weight.grad
    layer.zero_grad()

    def one_pass(x):
        return after_steps(StepTiles(layer), x)

    checkpoint(one_pass, x, use_reentrant=use_reentrant).sum().backward()
    assert_same([layer.weight.grad], [by_calls])


def test_a_second_derivative_is_refused():
    layer = square_layer()
    x = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)
    (gx,) = torch.autograd.grad(after_steps(StepTiles(layer), x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gx.sum().backward()


def test_evaluation_reads_the_programmed_weights():
    layer = square_layer(create_rpu_config(out_noise=0.0)).eval()
    program(layer)
    x = torch.randn(3, 12, dtype=torch.float64)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert_same([StepTiles(layer)(x)], [layer(x)])


def test_ranges_are_set_after_the_pass_from_all_inputs():
    layer = square_layer(create_rpu_config())
    before = layer.input_range.item()
    read = StepTiles(layer)
    inputs = [torch.randn(3, 12, dtype=torch.float64) for _ in range(3)]
    for x in inputs:
        read(x)
    assert layer.input_range.item() == before
    read.end()
    wanted = layer.rpu_config.pre_post.input_range.init_std_alpha * torch.cat(inputs).std()
    assert layer.input_range.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize(
    "register",
    ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"],
)
def test_layers_with_hooks_and_others_are_called(register):
    layer = square_layer()
    assert isinstance(step_tiles(layer), StepTiles)
    getattr(layer, register)(lambda *_: None)
    assert isinstance(step_tiles(layer), EachStep)
    assert isinstance(step_tiles(nn.Linear(3, 3)), EachStep)
