"""PyTorch's path through a tile, a GPU's, against the compiled loops: values and gradients.

However many inputs are clipped: none, as of digits, whose pixels reach 1.85 standard deviations;
some; all. The loops themselves are tested against aihwkit in test_layers.py."""

import copy
from contextlib import nullcontext
from unittest import mock

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from analognas.analog import range_gradient
from analognas.analog.compiled import PART, by_torch
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogConv2d, AnalogLinear

LAYERS = {
    "plain": (nn.Conv2d(4, 6, 3, padding=1), 512),
    "strided, dilated": (nn.Conv2d(4, 6, (3, 2), (2, 1), (0, 2), (1, 2)), 512),
    "cut through a kernel": (nn.Conv2d(4, 6, 3, padding=1), 10),
    "groups": (nn.Conv2d(4, 6, 3, 2, 1, groups=2), 512),
    "groups, cut": (nn.Conv2d(4, 8, 3, 1, 1, groups=2), 7),
    "depthwise": (nn.Conv2d(4, 4, 3, 1, 1, groups=4), 512),
    "1x1": (nn.Conv2d(4, 6, 1), 512),
    "1x1, strided": (nn.Conv2d(4, 6, 1, 2), 512),
    "linear": (nn.Linear(30, 6), 512),
    "linear, cut": (nn.Linear(30, 6), 7),
}
RANGES = {"no": 4.0, "some": 1.0, "all": 0.2}  # inputs lie between 0.25 and 3.5, of either sign
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-11}  # relative; the loops add in another order


def layer_of(name, dtype=torch.float32, input_range=None):
    "A layer in training without noise, its input range set."
    digital, tile_size = LAYERS[name]
    config = create_rpu_config(out_noise=0.0, modifier_std=0.0, tile_size=tile_size)
    config.pre_post.input_range.init_from_data = 0
    kind = AnalogLinear if isinstance(digital, nn.Linear) else AnalogConv2d
    layer = kind(copy.deepcopy(digital).to(dtype), config).train()
    if input_range is not None:
        with torch.no_grad():
            layer.input_range.fill_(input_range)
    return layer


def inputs_for(name, dtype=torch.float32, n=5, last=False):
    shape = (n, 30) if name.startswith("linear") else (n, 4, 8, 9)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eighths = (8 * drawn.abs().clamp(0.25, 3.5)).round()
    x = (drawn.sign() * eighths / 8).to(dtype)  # exact in every type
    return x.contiguous(memory_format=torch.channels_last) if last and x.ndim == 4 else x


def gradients(layer, x):
    """The output, and the gradients of the input and of every parameter that wants one.

    That of the input range is what is left of sums that may cancel: relative to what one can be."""
    x = x.detach().clone().requires_grad_()
    y = layer(x)
    gy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    y.backward(gy)
    wanted = {k: p.grad for k, p in layer.named_parameters() if p.requires_grad}
    found = {"y": y.detach(), "x": x.grad} | wanted
    if "input_range" in found:
        one_sum = gy.double().norm() * y.detach().double().norm() / layer.input_range.detach()
        of_it = (found["input_range"] / one_sum).double().flatten()
        found["input_range"] = torch.cat([of_it, torch.ones(1)])
    return found


def apart(a, b):
    "Largest difference, relative to the largest value; infinite if there is NaN."
    apart = float((a - b).abs().max() / a.abs().max().clamp(min=1e-30))
    return apart if apart == apart else float("inf")


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("clipped", RANGES)
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("last", [False, True])
def test_pytorchs_path_equals_the_loops(name, clipped, dtype, last):
    x = inputs_for(name, dtype, last=last)
    loops = gradients(layer_of(name, dtype, RANGES[clipped]), x)
    with by_torch():
        calls = gradients(layer_of(name, dtype, RANGES[clipped]), x)
    share = float((x.abs() >= RANGES[clipped]).double().mean())
    assert {"no": share == 0, "some": 0 < share < 1, "all": share == 1}[clipped]
    assert torch.equal(loops["y"], calls["y"]) and calls.keys() == loops.keys()
    errors = {k: apart(loops[k], calls[k]) for k in loops}
    assert max(errors.values()) < CLOSE[dtype], errors
    assert bool(loops["input_range"][:-1].any())


@pytest.mark.parametrize("name", ["cut through a kernel", "groups", "linear"])
@pytest.mark.parametrize("out_bound", [1.0, 1e-3])
def test_an_adc_that_clips_little_or_everything(name, out_bound):
    found = []
    for path in (nullcontext(), by_torch()):
        layer = layer_of(name, torch.float64, 1.0)
        layer.rpu_config.forward.out_bound = out_bound
        with path:
            found.append(gradients(layer, inputs_for(name, torch.float64)))
    assert max(apart(found[0][k], found[1][k]) for k in found[0]) < 1e-11


@pytest.mark.parametrize("name", ["plain", "groups, cut", "linear"])
@pytest.mark.parametrize("frozen", ["weight", "input_range", "both"])
@pytest.mark.parametrize("clipped", RANGES)
@pytest.mark.parametrize("path", ["loops", "torch"])
def test_gradients_that_nobody_wants_change_nothing_else(name, frozen, clipped, path):
    x = inputs_for(name)
    all_of_them = gradients(layer_of(name, input_range=RANGES[clipped]), x)
    layer = layer_of(name, input_range=RANGES[clipped])
    parts = {"weight", "input_range"} if frozen == "both" else {frozen}
    for part in parts:
        getattr(layer, part).requires_grad_(False)
    with by_torch() if path == "torch" else nullcontext():
        found = gradients(layer, x)
    assert found.keys() == all_of_them.keys() - parts
    assert max(apart(all_of_them[k], found[k]) for k in found) < 1e-5


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("clipped", RANGES)
def test_low_precision_points_where_double_precision_does(name, dtype, clipped):
    "Without rounding in the converters, which would put both on different steps."
    found = []
    for kind in (torch.float64, dtype):
        layer = layer_of(name, kind, RANGES[clipped])
        layer.rpu_config.forward.inp_res = layer.rpu_config.forward.out_res = -1
        found.append(gradients(layer, inputs_for(name, kind)))
    errors = {k: apart(exact, found[1][k].double()) for k, exact in found[0].items()}
    assert max(errors.values()) < 0.05, errors


@pytest.mark.parametrize("name", LAYERS)
def test_pieces_are_as_good_as_the_whole(name):
    "However many images the memory allows at a time."
    x, found = inputs_for(name, torch.float64), []
    for many in (1, 3000, range_gradient.CLIP_CHUNK):
        with mock.patch.object(range_gradient, "CLIP_CHUNK", many), by_torch():
            found.append(gradients(layer_of(name, torch.float64, 1.0), x))
    whole = found.pop()
    assert max(apart(whole[k], pieces[k]) for pieces in found for k in whole) < 1e-12


class Largest(TorchDispatchMode):
    "Remembers how many values the largest tensor has that a call returns."

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [v for v in tree_leaves(out) if isinstance(v, torch.Tensor)]
        sizes = [v.untyped_storage().nbytes() // v.itemsize for v in made]
        self.values = max([self.values, *sizes])
        return out


@pytest.mark.parametrize("name", ["plain", "groups", "linear"])
def test_memory_is_bounded(name):
    "Without the bound, a 3 x 3 convolution would hold nine times its input."
    layer, x = layer_of(name, input_range=1.0), inputs_for(name, n=40)
    with (
        mock.patch.object(range_gradient, "CLIP_CHUNK", x.numel()),
        by_torch(),
        Largest() as largest,
    ):
        y = layer(x)
        y.backward(torch.ones_like(y))
    assert largest.values <= 1.7 * x.numel()  # 1.5 of padding in the small images


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("path", ["loops", "torch"])
def test_a_batch_of_nothing(name, path):
    "Shapes are those of the digital layer, gradients 0, and nothing is learned of the inputs."
    layer, digital = layer_of(name), LAYERS[name][0].float()
    layer.rpu_config.pre_post.input_range.init_from_data = 5
    layer.rpu_config.pre_post.input_range.decay = 0.0
    before, x = layer.input_range.detach().clone(), inputs_for(name, n=0)
    with by_torch() if path == "torch" else nullcontext():
        found = gradients(layer, x)
        assert found["y"].shape == digital(x).shape == layer.eval()(x).shape
    assert torch.equal(layer.input_range, before) and not bool(layer.range_batches.any())
    found["input_range"] = layer.input_range.grad
    assert not any(bool(v.any()) for v in found.values())


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("clipped", RANGES)
@pytest.mark.parametrize("name", ["plain", "depthwise", "linear"])
def test_parts_on_several_threads_equal_pytorchs_path(name, clipped, last):
    layer = layer_of(name, torch.float64, RANGES[clipped])
    n = 10_000 if name == "linear" else 1500
    x = inputs_for(name, torch.float64, n=n, last=last)
    assert x.numel() > 2 * PART
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    ours = gradients(layer, x)
    torch.set_num_threads(before)
    layer.zero_grad()
    with by_torch():
        definition = gradients(layer, x)
    for key in definition:
        assert apart(definition[key], ours[key]) <= CLOSE[torch.float64], key
