"""Converters against their textbook definition in exact arithmetic, against aihwkit, and the loops
against PyTorch's calls."""

import math
from contextlib import nullcontext
from fractions import Fraction

import pytest
import torch
from aihwkit.simulator.parameters import IOParameters
from aihwkit.simulator.parameters.enums import AnalogMVType
from hypothesis import given
from hypothesis import strategies as st

from analognas.analog.compiled import by_torch
from analognas.analog.converters import (
    ConverterConfig,
    adc_code_dtype,
    apply_adc_,
    dac,
    max_dac_level,
    normalize_input,
    within,
)
from analognas.analog.hardware import create_rpu_config
from analognas.analog.noise import torch_seed

PCM = ConverterConfig.from_io(create_rpu_config().forward)


def converters(bits=8, **fields):
    io = create_rpu_config(dac_bits=bits, adc_bits=bits, out_noise=0.0).forward
    for name, value in fields.items():
        setattr(io, name, value)
    return ConverterConfig.from_io(io)


def test_pcm_has_254_steps_on_either_side():
    assert PCM.inp_step == pytest.approx(2 / 254)
    assert PCM.out_step == pytest.approx(20 / 254)
    assert (PCM.inp_bound, PCM.out_bound, PCM.out_noise) == (1.0, 10.0, 0.04)


@pytest.mark.parametrize("res", [254, 1 / 254])
def test_a_resolution_is_a_share_or_a_number_of_steps(res):
    assert converters(inp_res=res).inp_step == pytest.approx(2 / 254)


def test_no_noise_is_drawn_for_a_negative_one():
    assert converters(out_noise=-1.0).out_noise == 0.0


@pytest.mark.parametrize("off", [-1, 0])
def test_no_bound_and_no_resolution(off):
    c = converters(inp_bound=off, inp_res=off, out_bound=off, out_res=off)
    assert c.inp_bound == c.out_bound == float("inf")
    assert c.inp_step == c.out_step == 0.0
    assert not c.adc_rounds


@pytest.mark.parametrize("ideal", [{"is_perfect": True}, {"mv_type": AnalogMVType.IDEAL}])
def test_perfect_converters_change_nothing(ideal):
    io = IOParameters(out_noise=0.5, **ideal)
    c = ConverterConfig.from_io(io)
    x = torch.randn(5, 4) * 100
    assert c.perfect
    assert c.out_noise == 0.0
    assert torch.equal(dac(x, None, c), x)
    assert torch.equal(apply_adc_(x.clone(), torch.ones(1), c).y, x)


def level(x, r, step):
    "The DAC of one activation, in fractions: clip to the range, round half to even, in steps."
    share = min(max(Fraction(x) / Fraction(r), Fraction(-1)), Fraction(1))
    return float(round(share / step) * step)


@pytest.mark.parametrize("path", ["loops", "torch"])
@given(
    xs=st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=8),
    r=st.sampled_from([0.5, 1.0, 2.0]),
    bits=st.integers(2, 8),
)
def test_dac_rounds_and_clips_by_definition(path, xs, r, bits):
    c = converters(bits)
    x = torch.tensor([xs], dtype=torch.float64)
    step = Fraction(2, 2**bits - 2)
    expected = [level(v, r, step) for v in xs]
    if path == "torch":
        with by_torch():
            got = dac(x, torch.tensor([r], dtype=torch.float64), c)
    else:
        got = dac(x, torch.tensor([r], dtype=torch.float64), c)
    for a, b, v in zip(got[0].tolist(), expected, xs, strict=True):
        halfway = abs(abs(Fraction(v) / Fraction(r) / step) % 1 - Fraction(1, 2)) < 1e-9
        assert a == pytest.approx(b, abs=1e-12) or halfway


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("r", [1.0, 2.5, 0.37, -1.5, 1e-20, 1e-37, 1e37, 0.0, math.inf, math.nan])
def test_the_dacs_loop_rounds_like_divisions_at_ties(r, bits, dtype):
    c = converters(bits)
    levels = torch.arange(-300, 300, dtype=dtype)
    ties = (levels + 0.5) * c.inp_step * r
    special = torch.tensor([0.0, math.inf, -math.inf, math.nan, 1e-45, 1e38], dtype=dtype)
    below = torch.nextafter(ties, ties - abs(ties))
    above = torch.nextafter(ties, ties + abs(ties))
    x = torch.cat([ties, below, above, special]).view(1, -1)
    ranges = torch.tensor([r], dtype=dtype)
    with by_torch():
        expected = dac(x, ranges, c)
    torch.testing.assert_close(dac(x, ranges, c), expected, rtol=0, atol=0, equal_nan=True)


def test_nan_passes_the_dac_and_the_adc():
    x = torch.full((2, 3), torch.nan)
    assert bool(dac(x, torch.ones(1), PCM).isnan().all())
    assert bool(apply_adc_(x.clone(), torch.ones(1), converters()).y.isnan().all())


def test_normalize_input_has_a_range_for_each_group():
    x = torch.tensor([[1.0, -3.0, 1.0, -3.0]])
    got = normalize_input(x, torch.tensor([2.0, 4.0]))
    assert got.tolist() == [[0.5, -1.0, 0.25, -0.75]]
    assert normalize_input(x, None) is x


@pytest.mark.parametrize(
    "step, bound, expected", [(0.0, 0.9, 0.9), (0.25, 9.0, 1.0), (0.4, 9.0, 0.8), (0.4, 0.5, 0.5)]
)
def test_max_dac_level_is_a_level_within_the_bound(step, bound, expected):
    assert max_dac_level(1.0, step, bound, torch.float64) == pytest.approx(expected)


@pytest.mark.parametrize(
    "bits, dtype", [(4, torch.int8), (8, torch.int8), (12, torch.int16), (16, torch.int16)]
)
def test_codes_have_the_smallest_type(bits, dtype):
    steps = 2**bits - 2  # from -bound to bound
    assert adc_code_dtype(converters(out_res=steps), torch.float32) == (dtype, steps // 2)


@pytest.mark.parametrize(
    "fields", [{"out_res": -1}, {"out_bound": -1}, {"is_perfect": True}, {"out_res": 2**17 - 2}]
)
def test_unbounded_codes_and_those_beyond_16_bits_keep_their_type(fields):
    kept = adc_code_dtype(converters(**fields), torch.float32)
    assert kept == (torch.float32, float("inf"))


@pytest.mark.parametrize("bound", [10.0, 0.5, 1e-3])
@pytest.mark.parametrize("outputs", [1, 3, 6])
@pytest.mark.parametrize("noise", [0.0, 0.04])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_adcs_loop_equals_pytorchs_calls(bound, outputs, noise, layout):
    c = converters(out_bound=bound, out_noise=noise)
    rng = torch.Generator().manual_seed(0)
    y = (2 * torch.randn(3, 6, 40, 41, generator=rng)).contiguous(memory_format=layout)
    factor = torch.rand(outputs, generator=rng)
    with torch_seed(1):
        loop = apply_adc_(y.clone(), factor, c, for_training=True)
    if noise:
        return check_against_its_codes(loop, factor, c)
    with by_torch():
        calls = apply_adc_(y.clone(), factor, c, for_training=True)
    assert torch.equal(loop.y, calls.y)
    assert torch.equal(loop.codes, calls.codes)
    saturated = loop.saturated
    if saturated is None:
        saturated = torch.zeros_like(calls.saturated)
    assert torch.equal(saturated, calls.saturated)


def check_against_its_codes(read, factor, c):
    "With noise, which differs between the paths: outputs are codes times step times factor."
    by_output = factor.repeat_interleave(6 // len(factor)).view(-1, 1, 1)
    expected = (read.codes * c.out_step).clamp(-c.out_bound, c.out_bound) * by_output
    assert torch.allclose(read.y, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("path", ["loops", "torch"])
@pytest.mark.parametrize("below", [-0.9, 0.0, 0.4, 0.6, 0.9, 1.1])
def test_an_output_near_the_adcs_bound_passes_the_gradient_as_pytorchs_clamp(path, below):
    c = converters()
    near = c.out_bound - below * c.out_step
    y = torch.tensor([[near, -near, 0.0, 0.0]], dtype=torch.float64)
    clamped = ((y / c.out_step).round() * c.out_step).requires_grad_()
    clamped.clamp(-c.out_bound, c.out_bound).sum().backward()
    with by_torch() if path == "torch" else nullcontext():
        saturated = apply_adc_(y.clone(), torch.ones(1).double(), c, for_training=True).saturated
    passes = torch.ones_like(y) if saturated is None else (~saturated).to(y)
    assert torch.equal(passes, clamped.grad)


def test_only_training_keeps_codes():
    read = apply_adc_(torch.randn(2, 3), torch.ones(1), PCM)
    assert read.codes is None
    assert read.saturated is None


@pytest.mark.parametrize("value", [-2.0, -1.0, -0.5, 0.0, 1.0, 1.5])
def test_within_is_the_mask_of_pytorchs_clamp(value):
    v = torch.tensor([value], requires_grad=True)
    v.clamp(-1.0, 1.0).sum().backward()
    assert within(v.detach(), 1.0).item() == bool(v.grad)
