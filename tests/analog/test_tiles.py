"Splitting, scaling, clipping and noise of weights, against aihwkit's own and closed forms."

import pytest
import torch
import torch.nn.functional as F
from aihwkit.nn import AnalogLinear
from aihwkit.simulator.parameters.enums import WeightClipType, WeightModifierType, WeightRemapType
from hypothesis import given
from hypothesis import strategies as st

from analognas.analog.hardware import create_rpu_config
from analognas.analog.tiles import (
    abs_max,
    apply_weight_modifier,
    as_kernel,
    clip_block_,
    clip_weights,
    initial_scale,
    remapped_scale,
    split_into_tiles,
    split_sizes,
)


@pytest.mark.parametrize("inputs, outputs, limit", [(45, 64, 23), (7, 5, 512), (100, 33, 10)])
def test_split_sizes_are_aihwkits(inputs, outputs, limit):
    # aihwkit makes an array of tiles even where one would do
    module = AnalogLinear(inputs, outputs, rpu_config=create_rpu_config(tile_size=limit))
    module = module.analog_module
    if hasattr(module, "in_sizes"):
        assert module.in_sizes == split_sizes(inputs, limit)
        assert module.out_sizes == split_sizes(outputs, limit)
    else:
        assert max(inputs, outputs) <= limit


@given(size=st.integers(1, 3000), limit=st.integers(0, 600))
def test_split_sizes_are_few_and_nearly_equal(size, limit):
    sizes = split_sizes(size, limit)
    assert sum(sizes) == size
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)
    if limit:
        assert max(sizes) <= limit
        assert len(sizes) == -(-size // limit)


@given(
    rows=st.integers(1, 40),
    channels=st.integers(1, 9),
    kernel=st.sampled_from([(), (1, 1), (3, 3), (2, 3)]),
    limit=st.integers(2, 30),
)
def test_tiles_together_are_the_whole_convolution(rows, channels, kernel, limit):
    size = 1
    for n in kernel:
        size *= n
    w = torch.arange(rows * channels * size, dtype=torch.float64).view(1, rows, -1)
    whole = torch.zeros(rows, channels, *kernel, dtype=torch.float64)
    for b in split_into_tiles(rows, channels * size, size, limit, limit):
        part = w[:, b.rows, b.cols]
        assert max(part.shape[1:]) <= limit
        whole[b.rows, b.channels] += as_kernel(part, b, kernel)
    assert torch.equal(whole.view(1, rows, -1), w)


def test_a_tile_that_holds_part_of_a_kernel_pads_with_zeros():
    b = split_into_tiles(1, 9, 9, 5, 5)[1]
    kernel = as_kernel(torch.ones(1, 1, 4), b, (3, 3))
    assert kernel.flatten().tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_abs_max_is_of_the_tile_or_of_each_output_and_never_0():
    w = torch.tensor([[[1.0, -3.0], [0.0, 0.0]]])
    assert abs_max(w, columnwise=False).flatten().tolist() == [3.0]
    assert abs_max(w, columnwise=True).flatten().tolist() == [3.0, 1.0]


@pytest.mark.parametrize("omega, expected", [(1.0, 4.0), (0.5, 8.0), (0.0, 1.0)])
def test_initial_scale_maps_the_largest_weight_to_omega(omega, expected):
    mapping = create_rpu_config().mapping
    mapping.weight_scaling_omega = omega
    scale = initial_scale(torch.tensor([[[1.0, -4.0], [2.0, 0.0]]]), mapping)
    assert scale.flatten().tolist() == [expected, expected]


@pytest.mark.parametrize("fixed", [-1.0, 0.05, 100.0])
def test_gaussian_clipping_is_two_sigma_or_the_fixed_value(fixed):
    clip = create_rpu_config().clip
    clip.fixed_value = fixed
    w = torch.randn(2, 30, 20, generator=torch.Generator().manual_seed(0))
    bound = 2 * w.std((1, 2), keepdim=True)
    if fixed > 0:
        bound = bound.clamp(max=fixed)
    assert torch.equal(clip_weights(w, clip), torch.minimum(torch.maximum(w, -bound), bound))


@pytest.mark.parametrize("fixed", [-1.0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_block_is_clipped_in_place_and_counted_as_a_change(dtype, fixed):
    "The compiled loop against the definition; other blocks keep their weights."
    clip = create_rpu_config().clip
    clip.fixed_value = fixed
    b = split_into_tiles(6, 20, 1, 4, 12)[-1]
    w = torch.randn(2, 6, 20, dtype=dtype, generator=torch.Generator().manual_seed(0))
    scale = 2 + torch.arange(6.0, dtype=dtype).view(2, 3, 1)
    expected = w.clone()
    part = w[:, b.rows, b.cols]
    expected[:, b.rows, b.cols] = clip_weights(part / scale, clip) * scale
    before = w._version
    clip_block_(w, b, scale, clip)
    assert w._version > before
    assert torch.allclose(w, expected, rtol=10 * torch.finfo(dtype).eps, atol=0)


def test_clipping_is_off_or_has_nothing_to_measure():
    clip = create_rpu_config().clip
    one_weight = torch.full((3, 1, 1), 5.0)
    assert clip_weights(one_weight, clip) is one_weight
    clip.type = WeightClipType.NONE
    w = torch.full((1, 2, 2), 5.0)
    assert clip_weights(w, clip) is w


def test_remapping_makes_the_largest_weight_1_again():
    remap = create_rpu_config().remap
    w = torch.tensor([[[0.5, -2.0], [0.25, 0.0]]])
    old = torch.full((1, 2, 1), 7.0)
    assert remapped_scale(w, old, remap).flatten().tolist() == [2.0, 2.0]
    remap.type = WeightRemapType.CHANNELWISE_SYMMETRIC
    assert remapped_scale(w, old, remap).flatten().tolist() == [2.0, 0.25]
    remap.type = WeightRemapType.NONE
    assert remapped_scale(w, old, remap) is old


@pytest.mark.parametrize("kind", ["ADD_NORMAL", "MULT_NORMAL", "DISCRETIZE", "NONE", "COPY"])
def test_gradients_ignore_the_modifier(kind):
    modifier = create_rpu_config().modifier
    modifier.type, modifier.res = WeightModifierType[kind], 0.1
    w = torch.randn(1, 4, 5).requires_grad_()
    changed = apply_weight_modifier(w, modifier)
    changed.sum().backward()
    assert torch.equal(w.grad, torch.ones_like(w))
    assert torch.equal(changed, w) == (kind in ("NONE", "COPY"))


@pytest.mark.parametrize("res, step", [(0.1, 0.2), (10, 0.2), (2, 1.0)])
def test_discretized_weights_are_the_nearest_multiples_of_the_step(res, step):
    modifier = create_rpu_config().modifier
    modifier.type, modifier.res = WeightModifierType.DISCRETIZE, res
    modifier.rel_to_actual_wmax = False
    w = torch.rand(1, 30, 30) * 2 - 1
    rounded = apply_weight_modifier(w, modifier)
    steps = rounded / step
    assert torch.allclose(steps, steps.round(), atol=1e-5)
    assert (rounded - w).abs().max() <= step / 2 + 1e-5
    assert F.relu(rounded).max() <= 1 + 1e-5


@pytest.mark.parametrize("kind", (WeightModifierType.ADD_NORMAL, WeightModifierType.MULT_NORMAL))
def test_noise_of_zero_draws_nothing(kind):
    modifier = create_rpu_config(modifier_std=0.0).modifier
    modifier.type = kind
    w = torch.randn(1, 3, 4)
    state = torch.get_rng_state()
    assert torch.equal(apply_weight_modifier(w, modifier), w)
    assert torch.equal(torch.get_rng_state(), state)
