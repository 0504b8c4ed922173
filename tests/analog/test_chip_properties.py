"""What holds for every network and every chip: exactness without noise, growing errors with noise, the power
law of drift, what compensation restores, and how repeats narrow an interval."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.measure import accuracy, measure_drift
from analognas.analog.noise import torch_seed
from analognas.analog.programming import analog_layers, drift, program
from analognas.core import DAY, MONTH

SEEDS = st.integers(0, 2**31)
T_0 = 20.0  # seconds; aihwkit's PCM model begins to drift then (Nandakumar et al., ICECS 2019)
N_INPUTS = 24
NO_NOISE = {"prog_noise_scale": 0.0, "read_noise_scale": 0.0}


class Residual(nn.Module):
    "Add a convolution's output to its input."

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x):
        return x + self.conv(x)


@st.composite
def layers(draw, channels: int):
    "A block of a network, and its channels: a convolution or a residual, a norm, an activation."
    kernel = draw(st.sampled_from([1, 3]))
    if draw(st.booleans()):
        block = [Residual(channels, kernel)]
    else:
        wider = channels * draw(st.integers(1, 3))
        groups = draw(st.sampled_from([1, channels]))
        stride = draw(st.integers(1, 2))
        block = [nn.Conv2d(channels, wider, kernel, stride, kernel // 2, groups=groups)]
        channels = wider
    if draw(st.booleans()):
        block.append(nn.BatchNorm2d(channels))
    return [*block, draw(st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU]))()], channels


@st.composite
def networks(draw):
    "A convolutional network with random weights, and inputs of it."
    torch.manual_seed(draw(SEEDS))
    channels = draw(st.integers(1, 3))
    x = torch.randn(N_INPUTS, channels, 6, 6)
    blocks = []
    for _ in range(draw(st.integers(1, 3))):
        block, channels = draw(layers(channels))
        blocks += block
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 4))
    return net.eval(), x


matrices = st.tuples(st.integers(1, 12), st.integers(1, 12), SEEDS)


def linear(rows: int, columns: int, seed: int) -> nn.Linear:
    "Return a layer with random weights of both signs and sizes."
    torch.manual_seed(seed)
    layer = nn.Linear(columns, rows, bias=False)
    nn.init.normal_(layer.weight)
    return layer.eval()


def on_tiles(model, t: float) -> tuple[torch.Tensor, torch.Tensor]:
    "Return weights of the first layer's first tile at a time, and the factor of compensation."
    drift(model, t)
    state = next(iter(analog_layers(model).values())).tile_states[0]
    return state.weights[0].clone(), state.alpha.clone()


def outputs(model, x, seed: int, t: float) -> torch.Tensor:
    "Return what a chip that is programmed with a seed computes at a time."
    with torch_seed(seed), torch.no_grad():
        program(model)
        drift(model, t)
        return model(x)


# ---- without noise --------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(networks(), st.integers(2, 40), SEEDS)
def test_an_ideal_chip_has_the_digital_accuracy_exactly(case, tile_size, seed):
    net, x = case
    y = torch.randint(4, (N_INPUTS,), generator=torch.Generator().manual_seed(seed))
    chip = to_analog(net, create_rpu_config("ideal", tile_size=tile_size))
    record = measure_drift(chip, (x, y), n_rep=2, seed=seed, progress=False)
    assert (record.acc == accuracy(net, x, y)).all()


@settings(max_examples=25)
@given(matrices, st.floats(0.1, 2), st.lists(st.floats(1, 1e8), min_size=2, max_size=4))
def test_drift_without_noise_is_a_power_of_time_for_every_weight(matrix, scale, times):
    config = create_rpu_config("pcm", **NO_NOISE, drift_scale=scale, drift_compensation=False)
    model = to_analog(linear(*matrix), config)
    program(model)
    programmed, _ = on_tiles(model, 0)
    exponents = []
    for t in times:
        now, _ = on_tiles(model, t)
        exponents.append(torch.log(now / programmed) / np.log((t + T_0) / T_0))
    moved = programmed.abs() > 1e-3  # of the largest; a smaller one is lost in single precision
    for exponent in exponents:
        bound = 1e-5 / np.log((min(times) + T_0) / T_0)
        assert torch.allclose(exponent[moved], exponents[0][moved], atol=bound, rtol=1e-4)
    assert (exponents[0][moved] <= bound).all()  # a conductance decays


@settings(max_examples=25)
@given(matrices, st.floats(1, 1e8))
def test_compensation_restores_the_mean_of_the_weights(matrix, t):
    config = create_rpu_config("ideal", drift_scale=1.0, drift_compensation=True)
    model = to_analog(linear(*matrix), config)
    program(model)
    before, _ = on_tiles(model, 0)
    now, alpha = on_tiles(model, t)
    assert float((alpha * now).abs().mean()) == pytest.approx(float(before.abs().mean()), rel=1e-4)
    assert float(now.abs().mean()) < float(before.abs().mean())


@settings(max_examples=25)
@given(matrices, st.floats(1, 1e8))
def test_compensation_per_column_restores_the_mean_of_each_output(matrix, t):
    config = create_rpu_config("ideal", drift_scale=1.0, drift_compensation="per_column")
    model = to_analog(linear(*matrix), config)
    program(model)
    before, _ = on_tiles(model, 0)
    now, alpha = on_tiles(model, t)
    restored = (alpha.view(-1, 1) * now).abs().mean(1)
    large = before.abs().mean(1) > 1e-3  # aihwkit divides by no less than 1e-4
    assert torch.allclose(restored[large], before.abs().mean(1)[large], rtol=1e-4)


# ---- with noise -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knob", ["prog_noise_scale", "read_noise_scale", "out_noise"])
@settings(max_examples=8)
@given(networks(), st.floats(0.05, 0.5), SEEDS)
def test_more_noise_moves_the_outputs_further(knob, case, scale, seed):
    net, x = case
    with torch.no_grad():
        digital = net(x)
    errors = []
    for value in (scale, 3 * scale):
        chip = to_analog(net, create_rpu_config("ideal", **{knob: value})).eval()
        moved = [(outputs(chip, x, seed + i, DAY) - digital).square().mean() for i in range(8)]
        errors.append(float(torch.stack(moved).mean()))
    assert 0 < errors[0] < errors[1]


@settings(max_examples=8)
@given(networks(), SEEDS)
def test_more_noise_never_helps_the_accuracy_on_average(case, seed):
    net, x = case
    with torch.no_grad():
        y = net(x).argmax(1)  # the digital network is right everywhere
    means = []
    errors = []
    for scale in (0.5, 2.0, 8.0):
        noise = {"prog_noise_scale": scale, "read_noise_scale": scale}
        chip = to_analog(net, create_rpu_config("ideal", **noise))
        acc = measure_drift(chip, (x, y), (DAY, MONTH), 10, seed, progress=False).acc.mean(1)
        means.append(acc.mean())
        errors.append(acc.std(ddof=1) / len(acc) ** 0.5)
    for low, high in ((0, 1), (1, 2)):
        assert means[high] <= means[low] + 4 * np.hypot(errors[low], errors[high])


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    "Return minus the mean squared error: more is better."
    return -float((outputs - targets).square().mean())


@pytest.fixture(scope="module")
def many_repeats():
    "A metric of 384 chips of one network, and its network and data."
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.randn(16, 6)
    with torch.no_grad():
        data = x, net(x)
    chip = to_analog(net, create_rpu_config())
    record = measure_drift(chip, data, (DAY,), 384, progress=False, metric=squared_error)
    return record.acc[:, 0], chip, data


@pytest.mark.parametrize("n", [4, 16])
def test_the_variance_of_a_mean_over_repeats_falls_as_1_over_n(many_repeats, n):
    values, _, _ = many_repeats
    means = values.reshape(-1, n).mean(1)
    ratio = means.var(ddof=1) * n / values.var(ddof=1)
    freedom = len(means) - 1
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], freedom) / freedom
    assert low / 1.5 < ratio < high * 1.5  # the values are not normal


def test_half_the_width_takes_four_times_the_repeats(many_repeats):
    values, chip, data = many_repeats
    width = 1.96 * values.std(ddof=1) / 24**0.5  # that of about 24 repeats
    counts = []
    for stop_width in (width, width / 2):
        record = measure_drift(
            chip, data, (DAY,), 384, progress=False, stop_width=stop_width, metric=squared_error
        )
        counts.append(len(record.acc))
    assert 2 < counts[1] / counts[0] < 8
