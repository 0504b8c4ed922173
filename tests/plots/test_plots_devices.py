"""Devices, noise and ranges against aihwkit's own path, closed forms of its papers, and layers
unfolded by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from aihwkit.inference.converter.conductance import DualPairConductanceConverter
from aihwkit.inference.noise.pcm import PCMLikeNoiseModel
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.noise import torch_seed
from analognas.analog.programming import drift, program
from analognas.analog.sensitivity import layer_sensitivity
from analognas.core import DAY, DRIFT_TIMES, HOUR, MONTH, SECOND, ConfigError
from analognas.plots import devices as D

PRESETS = ("pcm", "hermes", "reram", "ideal")


def matrix(rows=40, cols=50, seed=0):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("t", (SECOND, MONTH))
def test_reads_have_the_distribution_of_aihwkits_apply_noise(preset, t):
    "aihwkit goes from weights to weights; in units of conductance it must say the same."
    w, model = matrix(), create_rpu_config(preset).noise_model
    ours = pd.concat([D.conductance_data(w, preset, t, seed=s) for s in range(3)])
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


def test_programming_of_a_pair_in_closed_form():
    """One device is at the target, the other rests at 0 and can only err upwards: half a normal
    distribution."""
    n, share = 20_000, 0.6
    data = D.conductance_data(torch.tensor([1.0] + [share] * n), "pcm").iloc[1:]
    missed, resting = data.programmed - data.target, 0.26348
    std = 0.26348 + 1.9650 * share - 1.1731 * share**2
    np.testing.assert_allclose(data.target, share * 25, rtol=1e-6)
    assert missed.mean() == pytest.approx(-resting / np.sqrt(2 * np.pi), abs=4 * std / np.sqrt(n))
    assert missed.std() == pytest.approx(
        np.sqrt(std**2 + resting**2 * (0.5 - 0.5 / np.pi)), rel=4 / np.sqrt(2 * n)
    )


def test_reram_relaxation_and_reading_in_closed_form():
    """Falcone's CMO/HfOx: mean and spread of the loss are linear in ln t, reads scatter with log10
    of the conductance."""
    n = 20_000
    weights = torch.cat([torch.tensor([-1.0, 1.0]), torch.zeros(n)])
    data = D.conductance_data(weights, create_rpu_config("reram", prog_noise_scale=0), DAY).iloc[2:]
    lost, spread = data.drifted - data.target, 0.04201137 * np.log(DAY) + 0.41183342
    assert data.target.iloc[0] == pytest.approx((9 + 88.199997) / 2)
    assert lost.mean() == pytest.approx(-0.08900206 * np.log(DAY), abs=4 * spread / np.sqrt(n))
    assert lost.std() == pytest.approx(spread, rel=4 / np.sqrt(2 * n))
    read = 0.0277316483 * np.log10(data.drifted) * np.sqrt(np.log((DAY + 1e-6) / 2e-6))
    assert ((data.read - data.drifted) / read).std() == pytest.approx(1, rel=4 / np.sqrt(2 * n))


@pytest.mark.parametrize("preset", PRESETS)
def test_seed_shape_and_generators(preset):
    w, state = matrix(4, 5), torch.get_rng_state()
    data = D.conductance_data(w, preset)
    assert list(data) == ["target", "programmed", "drifted", "read"] and len(data) == 20
    as_array = D.conductance_data(w.reshape(2, 2, 5).numpy(), create_rpu_config(preset))
    pd.testing.assert_frame_equal(data, as_array)
    assert data.equals(D.conductance_data(w, preset, seed=1)) == (preset == "ideal")
    D.device_drift_data(preset, n_devices=2)
    D.noise_data(preset, n_targets=3, n_devices=5)
    assert torch.equal(state, torch.get_rng_state())


@given(st.sampled_from(PRESETS), st.integers(-8, 8), st.integers(0, 5))
def test_units_of_the_weights_do_not_matter(preset, power, seed):
    small, large = (
        D.conductance_data(matrix(3, 4, seed) * k, preset, seed=seed) for k in (1.0, 2.0**power)
    )
    pd.testing.assert_frame_equal(small, large, rtol=1e-5)


def test_no_time_no_drift():
    data = D.conductance_data(matrix(), "pcm", t_inference=0)
    np.testing.assert_array_equal(data.drifted, data.programmed)
    assert not data.read.equals(data.drifted)


@pytest.mark.parametrize("preset, t0", (("pcm", 20.0), ("hermes", 300.0)))
def test_every_device_follows_its_power_law(preset, t0):
    data = D.device_drift_data(preset, n_devices=20, times=(0, *DRIFT_TIMES))
    g0 = data[data.t_inference == 0].set_index("device").g
    expected = g0[data.device].to_numpy() * ((data.t_inference + t0) / t0) ** -data.nu
    np.testing.assert_allclose(data.g, expected, rtol=1e-5)
    assert (data.groupby("device").nu.nunique() == 1).all() and len(data) == 60 * 5


def test_exponents_of_pcm_have_the_published_mean_and_spread():
    n, shares = 5000, np.array([0.01, 0.1, 0.5, 1.0])
    data = D.device_drift_data("pcm", targets=25 * shares, n_devices=n, times=(SECOND,))
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
    assert (mean[0], std[0]) == (
        pytest.approx(folded.mean(), rel=0.02),
        pytest.approx(folded.std(), rel=0.05),
    )


def test_reram_loses_the_same_in_each_decade_and_has_no_exponent():
    data = D.device_drift_data(
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


def test_hermes_noise_in_closed_form():
    """Programming: a cubic (two devices a polarity).

    Reading: the Nature Electronics chip's 1/f fit, of devices that do not drift."""
    part = by_source(D.noise_data("hermes"), "programming")
    s = part.target / 20.7
    np.testing.assert_allclose(
        part["std"], 0.16603222 + 4.71806468 * s - 8.48101252 * s**2 + 4.68961419 * s**3, rtol=0.05
    )
    data = D.noise_data(
        create_rpu_config("hermes", prog_noise_scale=0, drift_scale=0), times=(HOUR, MONTH)
    )
    for t in (HOUR, MONTH):
        part = by_source(data, "read", t)
        s = part.target / 20.7
        q = 0.0069 * s**3 - 0.0280 * s**2 + 0.0211 * s + 0.0123
        np.testing.assert_allclose(
            part["std"], part.target * q * np.sqrt(np.log((t + 300 + 512e-9) / 1024e-9)), rtol=0.05
        )


def test_spread_of_drift_in_closed_form():
    """With q = (t + t0) / t0, to first order in the spread of the exponent: g ln(q) q^-nu std(nu);
    PCM devices of large conductance."""
    data = D.noise_data(create_rpu_config("pcm", prog_noise_scale=0), times=(HOUR,))
    part = by_source(data, "drift")
    part = part[part.target > 0.5 * 25]
    ratio = (HOUR + 20) / 20
    np.testing.assert_allclose(
        part["std"], part.target * np.log(ratio) * ratio**-0.049 * 0.008, rtol=0.06
    )


@pytest.mark.parametrize("name", ("prog_noise_scale", "read_noise_scale", "drift_scale"))
def test_each_scale_moves_its_own_source(name):
    source = {
        "prog_noise_scale": "programming",
        "read_noise_scale": "read",
        "drift_scale": "drift",
    }[name]
    tables = {
        k: D.noise_data(create_rpu_config("pcm", **{name: k}), n_targets=3, n_devices=50)
        for k in (0.0, 1.0)
    }
    std = {k: table.groupby("source")["std"].sum() for k, table in tables.items()}
    assert std[0.0][source] == 0 and (std[1.0] > 0).all() and (std[0.0].drop(source) > 0).all()


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
def test_ranges_of_a_convolution_against_unfolding(groups, stride):
    torch.manual_seed(0)
    conv, x = (
        nn.Conv2d(4, 6, 3, padding=1, stride=stride, groups=groups),
        2 * torch.randn(8, 4, 10, 10),
    )
    row = D.range_data(to_analog(conv), x).iloc[0]
    clipped, adc, weight = unfolded(conv, x, 3.0, 10.0)
    assert row.layer == "the layer" and row.input_range == 3.0
    assert (row.inputs_clipped, row.weight_mean) == (pytest.approx(clipped), pytest.approx(weight))
    assert row.adc_used == pytest.approx(adc, rel=0.01)  # the DAC's rounding
    assert row.adc_levels == 2 * round(row.adc_used * 127) + 1  # 8 bits: codes from -127 to 127


def test_ranges_of_many_tiles_and_of_small_bounds():
    """Tiles of 8 x 8: each sum covers 8 inputs.

    With a bound of 0.5 the ADC clips, and its range is used to the full."""
    torch.manual_seed(0)
    linear, x = nn.Linear(16, 16, bias=False), torch.randn(50, 16)
    config = create_rpu_config(tile_size=8)
    config.forward.out_bound = 0.5
    row = D.range_data(to_analog(linear, config), x).iloc[0]
    parts = []
    for rows in (slice(0, 8), slice(8, 16)):
        for cols in (slice(0, 8), slice(8, 16)):
            w = linear.weight.detach()[rows, cols]
            parts.append((x[:, cols] / 3).clamp(-1, 1) @ (w / w.abs().max()).T)
    assert row.sums_clipped == pytest.approx(
        float((torch.cat(parts).abs() > 0.5).float().mean()), abs=0.01
    )
    assert row.adc_used == 1.0 and row.adc_levels == 255


def test_ranges_are_of_what_the_devices_hold_and_leave_the_network_alone():
    torch.manual_seed(0)
    net = to_analog(nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))).train()
    net[1].eval()
    x, state = torch.randn(30, 10), torch.get_rng_state()
    before = D.range_data(net, x)
    assert [m.training for m in net] == [True, False, True] and torch.equal(
        state, torch.get_rng_state()
    )
    assert not any(m._forward_pre_hooks for m in net.modules())
    pd.testing.assert_frame_equal(before, D.range_data(net, x))
    assert before.layer.tolist() == ["0", "2"]
    program(net)
    drift(net, MONTH)
    assert (
        D.range_data(net, x).weight_mean < 0.8 * before.weight_mean
    ).all()  # drift made them small
    with pytest.raises(RuntimeError):
        D.range_data(net, torch.randn(3, 9))
    assert not any(m._forward_pre_hooks for m in net.modules())


def sensitivity_table():
    torch.manual_seed(0)
    net, x = (
        nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)),
        torch.randn(60, 6).clamp(-3, 3),
    )
    return layer_sensitivity(to_analog(net), (x, net(x).argmax(1)), n_rep=2), D.range_data(
        to_analog(net), x
    )


def test_all_figures_draw_where_they_are_told_and_say_what_they_show():
    table, ranges = sensitivity_table()
    plt.close("all")
    conductances = D.conductance_data(matrix(), "pcm")
    jobs = [
        (D.plot_conductances, D.alt_conductances, conductances),
        (D.plot_conductance_histogram, D.alt_conductances, conductances),
        (D.plot_device_drift, D.alt_device_drift, D.device_drift_data(n_devices=3)),
        (D.plot_device_drift, D.alt_device_drift, D.device_drift_data("reram", n_devices=1)),
        (D.plot_noise, D.alt_noise, D.noise_data(n_devices=20)),
        (D.plot_sensitivity, D.alt_sensitivity, table),
        (D.plot_ranges, D.alt_ranges, ranges),
    ]
    for plot, alt, data in jobs:
        figure = Figure(layout="constrained")
        ax = figure.subplots()
        assert plot(data, ax) is ax
        figure.canvas.draw()
        assert (
            ax.get_xlabel()
            and ax.get_ylabel()
            and alt(data).endswith(".")
            and "nan" not in alt(data)
        )
    assert plt.get_fignums() == []
    assert len(plot(ranges).get_figure().axes) == 1 and len(plt.get_fignums()) == 1
    plt.close("all")


def test_numbers_in_pictures_and_words():
    table, _ = sensitivity_table()
    table = table.assign(acc_loss=[0.04, -1.26], share=[0.25, 0.75])
    ax = D.plot_sensitivity(table, Figure().subplots())
    assert [bar.get_width() for bar in ax.patches] == [25, 75]
    assert [t.get_text() for t in ax.texts] == ["accuracy ±0.0 points", "accuracy +1.3 points"]
    assert "2 75 % (accuracy +1.3 points), 0 25 % (accuracy ±0.0 points)" in D.alt_sensitivity(
        table
    )

    data = pd.DataFrame(
        {
            "target": [-3.0, 4.0],
            "programmed": [-3.0, 5.0],
            "drifted": [-1.5, 2.0],
            "read": [-1.5, 2.0],
        }
    )
    assert (
        "programmed 0.71 µS, drifted 1.77 µS, read 1.77 µS. On average 50 % of the target is left."
        in D.alt_conductances(data)
    )
    points = {
        line.get_label(): line.get_ydata()
        for line in D.plot_conductances(data, Figure().subplots(), difference=True).lines
    }
    np.testing.assert_allclose(points["programmed"], [0, 1])

    ax = D.plot_device_drift(seen := D.device_drift_data(n_devices=4), Figure().subplots())
    assert len(ax.lines) == 3 and [len(c.get_segments()) for c in ax.collections] == [4, 4, 4]
    np.testing.assert_allclose(
        ax.lines[0].get_ydata(), seen[seen.target == 20].groupby("t_inference").g.mean()
    )
    np.testing.assert_allclose(
        ax.collections[1].get_segments()[2], seen[seen.device == 6][["t_inference", "g"]]
    )
    assert ax.get_ylim()[1] > seen.g.max()


def test_very_many_weights_are_drawn_thinned():
    data = D.conductance_data(matrix(300, 300), "ideal")
    assert len(D.plot_conductances(data, Figure().subplots()).lines[1].get_xdata()) <= D.DRAWN


def test_bad_input_is_named():
    two_pairs = create_rpu_config(
        noise_model=PCMLikeNoiseModel(g_converter=DualPairConductanceConverter(f_lst=[1.0, 2.0]))
    )
    bad = [
        (lambda: D.conductance_data([[0.1, float("inf")]]), "weights must be finite"),
        (lambda: D.conductance_data([]), "at least one"),
        (lambda: D.conductance_data([1.0], "pmc"), "Did you mean 'pcm'"),
        (lambda: D.conductance_data([1.0], 3), "got int"),
        (lambda: D.conductance_data([1.0], t_inference=-1), "t_inference must be"),
        (lambda: D.conductance_data([1.0, 1.0], "reram"), "all equal"),
        (lambda: D.conductance_data([1.0], two_pairs), "DualPairConductanceConverter uses 4"),
        (lambda: D.device_drift_data(targets=[26.0]), "at most 25; got 26"),
        (lambda: D.device_drift_data(targets=[2.0, 2.0]), "none twice"),
        (lambda: D.device_drift_data(targets=[]), "at least one conductance"),
        (lambda: D.device_drift_data(n_devices=0), "n_devices"),
        (lambda: D.device_drift_data(times=(5.0, 1.0)), "ascending"),
        (lambda: D.noise_data(n_targets=1), "n_targets"),
        (lambda: D.noise_data("reram", times=()), "at least one time"),
        (lambda: D.plot_sensitivity(pd.DataFrame({"share": [1.0]})), "acc_loss"),
        (lambda: D.range_data(nn.Linear(2, 2), torch.ones(1, 2)), "no analog layers"),
    ]
    for call, message in bad:
        with pytest.raises(ConfigError, match=message):
            call()
