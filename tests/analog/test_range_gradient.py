"The four terms of the gradient of an input range, each against its definition on single copies."

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from analognas.analog.compiled import by_torch
from analognas.analog.converters import ConverterConfig
from analognas.analog.hardware import create_rpu_config
from analognas.analog.operations import ConvOp, LinearOp, TileKernel
from analognas.analog.range_gradient import (
    clip_stats,
    full_range_passes,
    grad_clipping,
    grad_decay,
    grad_division,
    grad_scale,
    range_gradient,
)

R = 1.5
OP = ConvOp((3, 2), (2, 1), (1, 0), (1, 2), 1)
TILE = TileKernel(3, (3, 2))
PCM = ConverterConfig.from_io(create_rpu_config().forward)
RULE = SimpleNamespace(
    gradient_relative=False, gradient_scale=1.0, decay=0.01, input_min_percentage=0.995
)


@pytest.fixture(params=["loops", "loops, channels last", "torch"])
def case(request):
    "Activations, gradients, weights, and what `clip_stats` returns of them."
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 7, 8, generator=rng, dtype=torch.float64)
    if request.param.endswith("last"):
        x = x.contiguous(memory_format=torch.channels_last)
    w = torch.randn(5, 3, 3, 2, generator=rng, dtype=torch.float64)
    gy = torch.randn(OP.forward(x, w).shape, generator=rng, dtype=torch.float64)
    gx, _ = OP.backward(gy, x, w, True, False)
    r = torch.tensor([R], dtype=torch.float64)
    with by_torch() if request.param == "torch" else nullcontext():
        stats, masked, _ = clip_stats(x, r, gx.clone(), gy, w, TILE, OP)
    return SimpleNamespace(x=x, w=w, gy=gy, gx=gx, r=r, stats=stats, masked=masked)


def copies_of(case):
    "Value and gradient of every copy of an input, padding left out."
    windows = OP.windows(case.x).flatten()
    gradients = OP.windows_grad(case.gy, case.w).flatten()
    return zip(windows.tolist(), gradients.tolist(), strict=True)


def test_term_2_divides_every_input(case):
    expected = -sum(g * max(-R, min(R, v)) / R for v, g in copies_of(case))
    assert float(grad_division(case.stats)) == pytest.approx(expected)


def test_term_3_takes_the_minimum_for_every_copy(case):
    clipped = [(v, g) for v, g in copies_of(case) if abs(v) >= R]
    expected = sum(min(0.0, g if v > 0 else -g) for v, g in clipped)
    assert expected < 0
    assert float(grad_clipping(case.stats, case.r, True, RULE)) == pytest.approx(expected)


def test_term_3_is_relative_to_the_range_where_asked(case):
    relative = SimpleNamespace(**vars(RULE) | {"gradient_relative": True, "gradient_scale": 0.5})
    plain = grad_clipping(case.stats, case.r, True, RULE)
    assert torch.allclose(grad_clipping(case.stats, case.r, True, relative), plain * R * 0.5)


def test_term_3_is_0_where_the_dac_clips_before_the_range_ends(case):
    io = create_rpu_config().forward
    io.inp_bound = 0.8
    c = ConverterConfig.from_io(io)
    passes = full_range_passes(c, torch.float64)
    assert not passes
    assert float(grad_clipping(case.stats, case.r, passes, RULE)) == 0.0


def test_term_4_counts_copies(case):
    n_clipped = sum(abs(v) >= R for v, _ in copies_of(case))
    assert float(case.stats.count) == n_clipped


@pytest.mark.parametrize("clipped, expected", [(0, 0.01 * R), (4, 0.01 * R), (6, 0.0)])
def test_term_4_shrinks_the_range_while_hardly_anything_is_clipped(clipped, expected):
    stats = SimpleNamespace(count=torch.tensor([float(clipped)]))
    got = grad_decay(stats, torch.tensor([R]), 1000, RULE)  # 0.5 % is 5 of 1000
    assert float(got) == pytest.approx(expected)


def test_a_clipped_input_passes_no_gradient(case):
    expected = torch.where(case.x.abs() >= R, 0.0, case.gx)
    assert torch.allclose(case.masked, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("path", ["loops", "torch"])
def test_term_1_is_the_gradient_times_the_adcs_output(groups, path):
    rng = torch.Generator().manual_seed(0)
    gy = torch.randn(4, 6, 5, 5, generator=rng, dtype=torch.float64)
    codes = torch.randint(-127, 128, (4, 6, 5, 5), generator=rng).to(torch.int8)
    outputs = codes.double() * (10 / 127)
    expected = [float((a * b).sum()) for a, b in zip(gy.chunk(groups, 1), outputs.chunk(groups, 1))]
    with by_torch() if path == "torch" else nullcontext():
        got = grad_scale(gy, codes, groups, PCM)
    assert got.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("path", ["loops", "torch"])
def test_term_1_clips_where_the_bound_is_between_two_codes(groups, layout, path):
    c = ConverterConfig(False, 0.1, 1.0, out_step=0.3, out_bound=1.0, out_noise=0.0)
    rng = torch.Generator().manual_seed(0)
    gy = torch.randn(4, 6, 5, 5, generator=rng, dtype=torch.float64)
    codes = torch.randint(-4, 5, (4, 6, 5, 5), generator=rng).to(torch.int8)
    outputs = (codes.double() * 0.3).clamp(-1.0, 1.0)
    expected = [float((a * b).sum()) for a, b in zip(gy.chunk(groups, 1), outputs.chunk(groups, 1))]
    gy, codes = (v.contiguous(memory_format=layout) for v in (gy, codes))
    with by_torch() if path == "torch" else nullcontext():
        got = grad_scale(gy, codes, groups, c)
    assert got.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("path", ["loops", "torch"])
@pytest.mark.parametrize("outputs", [3, 5])
@pytest.mark.parametrize("with_gx", [False, True])
def test_sums_of_a_linear_layer_are_those_over_its_inputs(path, outputs, with_gx):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(4, 7, generator=rng, dtype=torch.float64) * 2
    w = torch.randn(outputs, 7, generator=rng, dtype=torch.float64)
    gy = torch.randn(4, outputs, generator=rng, dtype=torch.float64)
    gx = gy @ w
    clipped = x.abs() >= R
    r = torch.tensor([R], dtype=torch.float64)
    with by_torch() if path == "torch" else nullcontext():
        given = gx.clone() if with_gx else None
        stats, _, _ = clip_stats(x, r, given, gy, w, TileKernel(7, ()), LinearOp())
    assert float(stats.dot) == pytest.approx(float((gx * x.clamp(-R, R) / R).sum()))
    assert float(stats.grad) == pytest.approx(float((x.sign() * gx).clamp(max=0)[clipped].sum()))
    assert float(stats.count) == int(clipped.sum())


def test_the_gradient_is_the_sum_of_the_four_terms(case):
    term_1 = torch.tensor([2.5], dtype=torch.float64)
    n = OP.windows(case.x).numel()
    parts = (
        term_1
        + grad_division(case.stats)
        + grad_clipping(case.stats, case.r, True, RULE)
        + grad_decay(case.stats, case.r, n, RULE)
    )
    got = range_gradient(term_1, case.stats, case.x, case.r, TILE, OP, PCM, RULE)
    assert torch.allclose(got, parts)


@pytest.mark.parametrize("path", ["loops", "torch"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 3])
def test_sums_are_the_same_without_the_inputs_gradient(path, layout, groups):
    rng = torch.Generator().manual_seed(0)
    op = OP._replace(groups=groups)
    x = torch.randn(4, 3, 7, 8, generator=rng, dtype=torch.float64)
    x = x.contiguous(memory_format=layout)
    w = torch.randn(6, 3 // groups, 3, 2, generator=rng, dtype=torch.float64)
    gy = torch.randn(op.forward(x, w).shape, generator=rng, dtype=torch.float64)
    gx, _ = op.backward(gy, x, w, True, False)
    r = torch.full((groups,), R, dtype=torch.float64)
    tile = TileKernel(3 // groups, (3, 2))
    with by_torch() if path == "torch" else nullcontext():
        expected, _, _ = clip_stats(x, r, gx, gy, w, tile, op)
        stats, masked, _ = clip_stats(x, r, None, gy, w, tile, op)
    assert masked is None
    for name in ("dot", "grad", "count"):
        assert torch.allclose(getattr(stats, name), getattr(expected, name), rtol=1e-12)
