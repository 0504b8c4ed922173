"""Device and layer tables against aihwkit's own path, closed forms of its papers, and layers unfolded
by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from aihwkit.inference.converter.conductance import DualPairConductanceConverter
from aihwkit.inference.noise.pcm import PCMLikeNoiseModel
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from analognas.analog.characterize import (
    conductance_data,
    device_drift_data,
    layer_errors,
    noise_data,
    range_data,
    tile_weights,
)
from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.noise import torch_seed
from analognas.analog.programming import analog_layers, drift, program
from analognas.core import DAY, DRIFT_TIMES, HOUR, MONTH, SECOND, ConfigError, HardwareConfig

PRESETS = ("pcm", "hermes", "reram", "ideal")


def matrix(rows=40, cols=50, seed=0):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("t", (SECOND, MONTH))
def test_conductance_data_reads_have_the_distribution_of_aihwkits_apply_noise(preset, t):
    "aihwkit goes from weights to weights; scaled to conductances, both must agree."
    w = matrix()
    model = create_rpu_config(preset).noise_model
    ours = pd.concat([conductance_data(w, preset, t, seed=s) for s in range(3)])
    scale = (model.g_max - model.g_converter.g_min) / float(
        w.max() - w.min() if preset == "reram" else w.abs().max()
    )
    theirs = []
    for s in range(3):
        with torch_seed(100 + s):
            theirs.append((model.apply_noise(w, t) - w) * scale)
    theirs = torch.cat(theirs).flatten().numpy()
    missed = (ours.read - ours.target).to_numpy()
    if preset == "ideal":
        np.testing.assert_allclose(missed, 0, atol=1e-12)
        np.testing.assert_allclose(theirs, 0, atol=1e-5)
        return
    assert stats.ks_2samp(missed, theirs).pvalue > 1e-3
    big = np.abs(np.tile(w.flatten(), 3)) > 1
    assert stats.ks_2samp(missed[big], theirs[big]).pvalue > 1e-3


def test_conductance_data_of_a_pair_matches_the_closed_form_of_programming():
    """One device is at the target, the other rests at 0 and can only err upwards: half a normal
    distribution."""
    n, share = 20_000, 0.6
    data = conductance_data(torch.tensor([1.0] + [share] * n), "pcm").iloc[1:]
    missed = data.programmed - data.target
    resting = 0.26348
    std = 0.26348 + 1.9650 * share - 1.1731 * share**2
    np.testing.assert_allclose(data.target, share * 25, rtol=1e-6)
    assert missed.mean() == pytest.approx(-resting / np.sqrt(2 * np.pi), abs=4 * std / np.sqrt(n))
    assert missed.std() == pytest.approx(
        np.sqrt(std**2 + resting**2 * (0.5 - 0.5 / np.pi)), rel=4 / np.sqrt(2 * n)
    )


def test_conductance_data_of_reram_matches_the_closed_forms_of_relaxation_and_reading():
    """Falcone's CMO/HfOx: mean and spread of the loss are linear in ln t, reads scatter with log10
    of the conductance."""
    n = 20_000
    weights = torch.cat([torch.tensor([-1.0, 1.0]), torch.zeros(n)])
    data = conductance_data(weights, create_rpu_config("reram", prog_noise_scale=0), DAY).iloc[2:]
    lost = data.drifted - data.target
    spread = 0.04201137 * np.log(DAY) + 0.41183342
    assert data.target.iloc[0] == pytest.approx((9 + 88.199997) / 2)
    assert lost.mean() == pytest.approx(-0.08900206 * np.log(DAY), abs=4 * spread / np.sqrt(n))
    assert lost.std() == pytest.approx(spread, rel=4 / np.sqrt(2 * n))
    read = 0.0277316483 * np.log10(data.drifted) * np.sqrt(np.log((DAY + 1e-6) / 2e-6))
    assert ((data.read - data.drifted) / read).std() == pytest.approx(1, rel=4 / np.sqrt(2 * n))


@pytest.mark.parametrize("preset", PRESETS)
def test_seed_repeats_and_torch_generators_are_left_alone(preset):
    w = matrix(4, 5)
    state = torch.get_rng_state()
    data = conductance_data(w, preset)
    assert list(data) == ["target", "programmed", "drifted", "read"]
    assert len(data) == 20
    as_array = conductance_data(w.reshape(2, 2, 5).numpy(), create_rpu_config(preset))
    pd.testing.assert_frame_equal(data, as_array)
    assert data.equals(conductance_data(w, preset, seed=1)) == (preset == "ideal")
    device_drift_data(preset, n_devices=2)
    noise_data(preset, n_targets=3, n_devices=5)
    assert torch.equal(state, torch.get_rng_state())


@given(st.sampled_from(PRESETS), st.integers(-8, 8), st.integers(0, 5))
def test_conductance_data_ignores_the_unit_of_the_weights(preset, power, seed):
    small, large = (
        conductance_data(matrix(3, 4, seed) * k, preset, seed=seed) for k in (1.0, 2.0**power)
    )
    pd.testing.assert_frame_equal(small, large, rtol=1e-5)


def test_conductance_data_at_time_zero_has_no_drift():
    data = conductance_data(matrix(), "pcm", t_inference=0)
    np.testing.assert_array_equal(data.drifted, data.programmed)
    assert not data.read.equals(data.drifted)


@pytest.mark.parametrize("preset, t0", (("pcm", 20.0), ("hermes", 300.0)))
def test_device_drift_data_follows_the_power_law_of_each_device(preset, t0):
    data = device_drift_data(preset, n_devices=20, times=(0, *DRIFT_TIMES))
    g0 = data[data.t_inference == 0].set_index("device").g
    expected = g0[data.device].to_numpy() * ((data.t_inference + t0) / t0) ** -data.nu
    np.testing.assert_allclose(data.g, expected, rtol=1e-5)
    assert (data.groupby("device").nu.nunique() == 1).all()
    assert len(data) == 60 * 5


def test_device_drift_data_of_pcm_has_the_published_exponents():
    n, shares = 5000, np.array([0.01, 0.1, 0.5, 1.0])
    data = device_drift_data("pcm", targets=25 * shares, n_devices=n, times=(SECOND,))
    mean, std = (data.groupby("target").nu.agg(f).to_numpy() for f in ("mean", "std"))
    wanted = (
        np.clip(-0.0155 * np.log(shares) + 0.0244, 0.049, 0.1),
        np.clip(-0.0125 * np.log(shares) - 0.0059, 0.008, 0.045),
    )
    np.testing.assert_allclose(
        mean[1:], wanted[0][1:], rtol=0.02
    )  # the smallest target's distribution is folded at 0
    np.testing.assert_allclose(std[1:], wanted[1][1:], rtol=0.05)
    folded = stats.foldnorm(wanted[0][0] / wanted[1][0], scale=wanted[1][0])
    assert mean[0] == pytest.approx(folded.mean(), rel=0.02)
    assert std[0] == pytest.approx(folded.std(), rel=0.05)


def test_device_drift_data_of_reram_loses_the_same_in_each_decade():
    data = device_drift_data(
        "reram", targets=(30.0, 60.0), n_devices=20, times=(10.0, 100.0, 1000.0)
    )
    assert data.nu.isna().all()
    g = data.pivot(index="device", columns="t_inference", values="g")
    np.testing.assert_allclose(g[10.0] - g[100.0], g[100.0] - g[1000.0], atol=1e-4)


def by_source(data, source, t=None):
    part = data[
        (data.source == source) & (data.t_inference == (data.t_inference if t is None else t))
    ]
    return part[part.target >= 0.3 * part.target.max()]  # where no conductance is cut off at 0


def test_noise_data_of_hermes_matches_the_closed_forms():
    """Programming: a cubic (two devices a polarity).

    Reading: the Nature Electronics chip's 1/f fit, of devices that do not drift."""
    part = by_source(noise_data("hermes"), "programming")
    s = part.target / 20.7
    np.testing.assert_allclose(
        part["std"], 0.16603222 + 4.71806468 * s - 8.48101252 * s**2 + 4.68961419 * s**3, rtol=0.05
    )
    data = noise_data(
        create_rpu_config("hermes", prog_noise_scale=0, drift_scale=0), times=(HOUR, MONTH)
    )
    for t in (HOUR, MONTH):
        part = by_source(data, "read", t)
        s = part.target / 20.7
        q = 0.0069 * s**3 - 0.0280 * s**2 + 0.0211 * s + 0.0123
        np.testing.assert_allclose(
            part["std"], part.target * q * np.sqrt(np.log((t + 300 + 512e-9) / 1024e-9)), rtol=0.05
        )


def test_noise_data_matches_the_closed_form_of_the_spread_of_drift():
    """With q = (t + t0) / t0, to first order in the spread of the exponent: g ln(q) q^-nu std(nu);
    PCM devices of large conductance."""
    data = noise_data(create_rpu_config("pcm", prog_noise_scale=0), times=(HOUR,))
    part = by_source(data, "drift")
    part = part[part.target > 0.5 * 25]
    ratio = (HOUR + 20) / 20
    np.testing.assert_allclose(
        part["std"], part.target * np.log(ratio) * ratio**-0.049 * 0.008, rtol=0.06
    )


@pytest.mark.parametrize("name", ("prog_noise_scale", "read_noise_scale", "drift_scale"))
def test_noise_data_each_scale_changes_its_own_source(name):
    source = {
        "prog_noise_scale": "programming",
        "read_noise_scale": "read",
        "drift_scale": "drift",
    }[name]
    tables = {
        k: noise_data(create_rpu_config("pcm", **{name: k}), n_targets=3, n_devices=50)
        for k in (0.0, 1.0)
    }
    std = {k: table.groupby("source")["std"].sum() for k, table in tables.items()}
    assert std[0.0][source] == 0
    assert (std[1.0] > 0).all()
    assert (std[0.0].drop(source) > 0).all()


def unfolded(layer, x, r, out_bound):
    """Clipped share, share of the ADC's range, mean weight of a convolution on one tile of each
    group: by unfolding, without rounding."""
    w = layer.weight.detach()
    groups, clipped = layer.groups, (x.abs() > r).float().mean()
    sums = []
    for wg, xg in zip(w.chunk(groups), x.chunk(groups, 1), strict=True):
        columns = F.unfold(
            (xg / r).clamp(-1, 1), layer.kernel_size, padding=layer.padding, stride=layer.stride
        )
        sums.append(torch.einsum("ok,nkl->nol", wg.flatten(1) / wg.abs().max(), columns).flatten())
    weights = torch.cat([(wg / wg.abs().max()).abs().flatten() for wg in w.chunk(groups)])
    return (
        float(clipped),
        float(torch.cat(sums).abs().quantile(0.999)) / out_bound,
        float(weights.mean()),
    )


@pytest.mark.parametrize("groups, stride", ((1, 1), (2, 2)))
def test_range_data_of_a_convolution_matches_unfolding(groups, stride):
    torch.manual_seed(0)
    conv, x = (
        nn.Conv2d(4, 6, 3, padding=1, stride=stride, groups=groups),
        2 * torch.randn(8, 4, 10, 10),
    )
    row = range_data(to_analog(conv), x).iloc[0]
    clipped, adc, weight = unfolded(conv, x, 3.0, 10.0)
    assert row.layer == "the layer"
    assert row.input_range == 3.0
    assert row.inputs_clipped == pytest.approx(clipped)
    assert row.weight_mean == pytest.approx(weight)
    assert row.adc_used == pytest.approx(adc, rel=0.01)  # the DAC's rounding
    assert row.adc_levels == 2 * round(row.adc_used * 127) + 1  # 8 bits: codes from -127 to 127


def test_range_data_of_many_tiles_and_a_small_bound():
    """Tiles of 8 x 8: each sum covers 8 inputs.

    With a bound of 0.5 the ADC clips, and its range is used to the full."""
    torch.manual_seed(0)
    linear, x = nn.Linear(16, 16, bias=False), torch.randn(50, 16)
    config = create_rpu_config(tile_size=8)
    config.forward.out_bound = 0.5
    row = range_data(to_analog(linear, config), x).iloc[0]
    parts = []
    for rows in (slice(0, 8), slice(8, 16)):
        for cols in (slice(0, 8), slice(8, 16)):
            w = linear.weight.detach()[rows, cols]
            parts.append((x[:, cols] / 3).clamp(-1, 1) @ (w / w.abs().max()).T)
    assert row.sums_clipped == pytest.approx(
        float((torch.cat(parts).abs() > 0.5).float().mean()), abs=0.01
    )
    assert row.adc_used == 1.0
    assert row.adc_levels == 255


def test_range_data_uses_programmed_weights_and_leaves_the_network_alone():
    torch.manual_seed(0)
    net = to_analog(nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))).train()
    net[1].eval()
    x = torch.randn(30, 10)
    state = torch.get_rng_state()
    before = range_data(net, x)
    assert [m.training for m in net] == [True, False, True]
    assert torch.equal(state, torch.get_rng_state())
    assert not any(m._forward_pre_hooks for m in net.modules())
    pd.testing.assert_frame_equal(before, range_data(net, x))
    assert before.layer.tolist() == ["0", "2"]
    program(net)
    drift(net, MONTH)
    assert (
        range_data(net, x).weight_mean < 0.8 * before.weight_mean
    ).all()  # drift made them small
    with pytest.raises(RuntimeError):
        range_data(net, torch.randn(3, 9))
    assert not any(m._forward_pre_hooks for m in net.modules())


def test_conductance_data_takes_hardware_as_name_record_and_rpu_config():
    w = matrix(4, 5)
    hardware = HardwareConfig.from_preset("hermes", g_max=15.0)
    data = conductance_data(w, hardware)
    pd.testing.assert_frame_equal(data, conductance_data(w, create_rpu_config(hardware)))
    assert data.target.abs().max() == pytest.approx(15.0)


def test_layer_errors_match_the_weights_put_together_by_hand():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 12, 3), nn.Flatten(), nn.Linear(48, 5))
    analog = to_analog(
        net, create_rpu_config(read_noise_scale=0.0, drift_compensation=False, tile_size=8)
    )
    with torch_seed(0):
        program(analog)
        drift(analog, DAY)
    errors = layer_errors(analog)
    for name, layer in analog_layers(analog).items():
        w = layer.matrix()[0].detach()
        held = torch.zeros_like(w)
        for b, state in zip(layer.blocks, layer.tile_states):
            held[b.rows, b.cols] = state.weights[0] * layer.scale[b.i, 0, b.rows]
        assert errors[name] == pytest.approx(100 * float((held - w).norm() / w.norm()), rel=1e-4)


def test_layer_errors_of_an_earlier_time():
    torch.manual_seed(0)
    analog = to_analog(nn.Sequential(nn.Linear(20, 10)))
    program(analog)
    drift(analog, SECOND)
    earlier = tile_weights(analog)
    errors = layer_errors(analog)
    drift(analog, MONTH)
    pd.testing.assert_series_equal(layer_errors(analog, earlier), errors)
    assert not layer_errors(analog).equals(errors)


def test_layer_errors_needs_a_programmed_network():
    with pytest.raises(ConfigError, match="0 is not programmed"):
        layer_errors(to_analog(nn.Sequential(nn.Linear(2, 2))))


TWO_PAIRS = DualPairConductanceConverter(f_lst=[1.0, 2.0])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: conductance_data([[0.1, float("inf")]]), "weights must be finite"),
        (lambda: conductance_data([]), "at least one"),
        (lambda: conductance_data([1.0], "pmc"), "Did you mean 'pcm'"),
        (lambda: conductance_data([1.0], 3), "got int"),
        (lambda: conductance_data([1.0], t_inference=-1), "t_inference must be"),
        (lambda: conductance_data([1.0, 1.0], "reram"), "all equal"),
        (
            lambda: conductance_data(
                [1.0], create_rpu_config(noise_model=PCMLikeNoiseModel(g_converter=TWO_PAIRS))
            ),
            "DualPairConductanceConverter uses 4",
        ),
        (lambda: device_drift_data(targets=[26.0]), "at most 25; got 26"),
        (lambda: device_drift_data(targets=[2.0, 2.0]), "none twice"),
        (lambda: device_drift_data(targets=[]), "at least one conductance"),
        (lambda: device_drift_data(n_devices=0), "n_devices"),
        (lambda: device_drift_data(times=(5.0, 1.0)), "ascending"),
        (lambda: noise_data(n_targets=1), "n_targets"),
        (lambda: noise_data(n_devices=2.5), "n_devices must be a whole number"),
        (lambda: noise_data("reram", times=()), "at least one time"),
        (lambda: range_data(nn.Linear(2, 2), torch.ones(1, 2)), "no analog layers"),
    ],
)
def test_bad_input_raises_an_error_that_names_it(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


# ---- ranges of every kind of layer ---------------------------------------------------------------


def test_range_data_of_convolutions_matches_their_unfolded_inputs():
    torch.manual_seed(0)
    x = 2 * torch.randn(5, 3, 12)
    row = range_data(to_analog(nn.Conv1d(3, 4, 3, padding=1, stride=2)), x).iloc[0]
    flat = to_analog(nn.Conv2d(3, 4, (1, 3), padding=(0, 1), stride=(1, 2)))
    torch.manual_seed(0)
    assert row.inputs_clipped == pytest.approx(float((x.abs() > 3).float().mean()))
    assert range_data(flat, x.unsqueeze(2)).iloc[0].inputs_clipped == row.inputs_clipped


def test_range_data_of_a_padded_convolution_includes_the_padding():
    torch.manual_seed(0)
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 6.0
    circular = to_analog(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))
    # 36 inputs, of which four are the same corner
    assert range_data(circular, x).iloc[0].inputs_clipped == pytest.approx(4 / 36)


def test_range_data_of_a_three_dimensional_convolution():
    torch.manual_seed(0)
    x = 2 * torch.randn(2, 2, 4, 5, 6)
    layer = nn.Conv3d(2, 3, 2, bias=False)
    row = range_data(to_analog(layer), x).iloc[0]
    sums = F.conv3d((x / 3).clamp(-1, 1), layer.weight / layer.weight.abs().max())
    assert row.adc_used == pytest.approx(float(sums.abs().quantile(0.999)) / 10, rel=0.01)


@pytest.mark.parametrize("kind, dims", ((nn.ConvTranspose1d, 1), (nn.ConvTranspose2d, 2)))
def test_range_data_of_a_transposed_convolution(kind, dims):
    torch.manual_seed(0)
    x = 2 * torch.randn(4, 3, *[6] * dims)
    row = range_data(to_analog(kind(3, 2, 3, 2)), x).iloc[0]
    assert row.inputs_clipped == pytest.approx(float((x.abs() > 3).float().mean()))


def test_range_data_of_an_lstm_is_of_all_steps():
    torch.manual_seed(0)
    lstm = nn.LSTM(4, 5)
    x = 2 * torch.randn(7, 3, 4)
    config = create_rpu_config("ideal", dac_bits=20, adc_bits=20)  # exact, with converters
    data = range_data(to_analog(lstm, config), x).set_index("layer")
    hidden = torch.cat([torch.zeros(1, 3, 5), lstm(x.clamp(-3, 3))[0][:-1]])
    assert list(data.index) == ["tiles.ih_l0", "tiles.hh_l0"]
    for name, inputs in (("ih", x), ("hh", hidden)):
        row = data.loc[f"tiles.{name}_l0"]
        assert row.inputs_clipped == pytest.approx(float((inputs.abs() > 3).float().mean()))
        used = float(inputs.abs().quantile(0.999)) / 3
        assert row.dac_used == pytest.approx(min(used, 1.0), abs=1e-3)


def test_range_data_of_attention_has_a_row_for_each_projection():
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    data = range_data(to_analog(encoder), torch.randn(3, 5, 8))
    names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"]
    assert data.layer.tolist() == [*names, "linear1", "linear2"]
    assert data.notna().all().all()


def test_range_data_of_a_shared_layer_is_one_row():
    torch.manual_seed(0)
    linear = nn.Linear(4, 4)
    x = torch.cat([torch.full((1, 4), 6.0), torch.ones(1, 4)])
    data = range_data(to_analog(nn.Sequential(linear, nn.Hardtanh(), linear)), x)
    assert len(data) == 1
    assert data.inputs_clipped[0] == 4 / 16


def test_range_data_refuses_nan_and_no_inputs():
    network = to_analog(nn.Linear(3, 2))
    with pytest.raises(ConfigError, match="NaN"):
        range_data(network, torch.tensor([[1.0, torch.nan, 1.0]]))
    with pytest.raises(ConfigError, match="no rows"):
        range_data(network, torch.zeros(0, 3))
