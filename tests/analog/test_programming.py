"""Programmed and drifted weights and compensation factors against aihwkit's: same distributions,
tile by tile."""

import copy

import numpy as np
import pytest
import torch
from aihwkit.inference import PCMLikeNoiseModel
from aihwkit.inference.converter.conductance import SingleDeviceConductanceConverter
from aihwkit.nn.conversion import convert_to_analog
from scipy import stats
from torch import nn

from analognas.analog.convert import to_aihwkit, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.programming import analog_layers, drift, program, reset_programming
from analognas.core import IDEAL_BITS, ConfigError

TIMES = (1.0, 3600.0, 86400.0, 2592000.0)


def chips(layer, config, t, n):
    "n chips by either engine: programmed weights, drifted weights, compensation factors."
    ours, theirs = (
        to_analog(layer, config).eval(),
        convert_to_analog(copy.deepcopy(layer), config).eval(),
    )
    tile, found = next(theirs.analog_tiles()), {"ours": [], "theirs": []}
    for _ in range(n):
        program(ours)
        programmed = ours.tile_states[0].weights[0].clone()
        drift(ours, t)
        found["ours"].append(
            (programmed, ours.tile_states[0].weights[0], ours.tile_states[0].alpha.flatten())
        )
        tile.program_weights()
        programmed = tile.tile.get_weights()
        tile.drift_weights(t)
        found["theirs"].append((programmed, tile.tile.get_weights(), tile.alpha.flatten()))
    return {k: [torch.stack(v) for v in zip(*rows, strict=True)] for k, rows in found.items()}


@pytest.mark.parametrize("t", TIMES)
def test_programming_drift_and_compensation_have_aihwkits_distribution(t):
    torch.manual_seed(int(t))
    found = chips(nn.Linear(12, 10), create_rpu_config(), t, 150)
    for ours, theirs in zip(found["ours"], found["theirs"], strict=True):
        assert torch.allclose(
            ours.mean(0), theirs.mean(0), atol=float(5.5 * theirs.std(0).max() * (2 / 150) ** 0.5)
        )
        assert abs(float(ours.std(0).mean() / theirs.std(0).mean()) - 1) < 0.25
        for k in range(0, ours[0].numel(), 17):
            assert (
                stats.ks_2samp(
                    ours.flatten(1)[:, k].numpy(), theirs.flatten(1)[:, k].numpy()
                ).pvalue
                > 1e-5
            )


# ---- the ways of drift compensation --------------------------------------------------------------

WAYS = (True, "exact_reference", "per_column", False)


class Exact(PCMLikeNoiseModel):
    "Devices whose programming and drift differ from weight to weight, without chance."

    def apply_programming_noise(self, weights):
        return weights * (1 + 0.2 * self.spread(weights)), [None]

    def apply_drift_noise(self, weights, drift_parameters, t_inference):
        return weights * (1 + t_inference) ** (-0.1 * self.spread(weights))

    def spread(self, weights):
        return torch.linspace(0.5, 1.5, weights.numel()).to(weights).view_as(weights)


def exact_chip(way, tile_size=512):
    fine = {"dac_bits": IDEAL_BITS, "adc_bits": IDEAL_BITS, "out_noise": 0.0}
    config = create_rpu_config(drift_compensation=way, tile_size=tile_size, **fine)
    config.noise_model = Exact()
    config.forward.out_scale = 0.7
    return config


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tile_size", (512, 7))
@pytest.mark.parametrize("columnwise", (False, True))
def test_every_way_of_compensation_gives_aihwkits_outputs(way, tile_size, columnwise):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(80, 6), nn.LSTM(6, 4)
    )
    config = exact_chip(way, tile_size)
    config.mapping.weight_scaling_columnwise = columnwise
    ours = to_analog(net, config).eval()
    theirs = to_aihwkit(ours).eval()
    x = torch.randn(3, 2, 4, 4)
    program(ours)
    program(theirs)
    factors = []
    for t in (0.0, 3600.0, 2592000.0):
        drift(ours, t)
        drift(theirs, t)
        layers = zip(analog_layers(ours).values(), analog_layers(theirs).values(), strict=True)
        for layer, other in layers:
            for state, tile in zip(layer.tile_states, other.analog_tiles(), strict=True):
                assert torch.allclose(state.alpha.flatten(), tile.alpha, rtol=1e-5)
                factors.append(state.alpha.flatten())
        with torch.no_grad():
            assert torch.allclose(ours(x)[0], theirs(x)[0], rtol=1e-4, atol=1e-5)
    wanted = {False: 1, True: 1, "exact_reference": 1, "per_column": None}[way]
    assert wanted is None or all(len(f) == wanted for f in factors)
    assert (torch.cat(factors) == 1).all() == (way is False)


def test_exact_reference_also_undoes_the_error_of_programming():
    factors = {}
    for way in (True, "exact_reference"):
        net = to_analog(nn.Linear(6, 5), exact_chip(way)).eval()
        net.rpu_config.forward.out_scale = 1.0
        program(net)
        drift(net, 0.0)
        factors[way] = float(net.tile_states[0].alpha)
    assert factors[True] == pytest.approx(1.0, abs=1e-6)
    assert factors["exact_reference"] == pytest.approx(1 / 1.2, rel=0.05)


def test_per_column_factors_of_groups_move_and_are_saved():
    torch.manual_seed(0)
    config = create_rpu_config(drift_compensation="per_column", out_noise=0.0)
    net = to_analog(nn.Conv2d(4, 6, 3, groups=2), config).eval()
    program(net)
    drift(net, 3600.0)
    assert net.tile_states[0].alpha.shape == (2, 3)
    twin = to_analog(nn.Conv2d(4, 6, 3, groups=2), config).eval()
    twin.load_state_dict(net.state_dict())
    x = torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        assert torch.equal(twin(x), net(x))
        moved = copy.deepcopy(net).double()
        assert torch.allclose(moved(x.double()).float(), net(x), atol=1e-5)
    for model in (net, twin):
        torch.manual_seed(1)
        drift(model, 86400.0)
    assert torch.equal(twin.tile_states[0].alpha, net.tile_states[0].alpha)


@pytest.mark.parametrize("way", ("exact_reference", "per_column"))
def test_factors_have_aihwkits_distribution(way):
    torch.manual_seed(3)
    found = chips(nn.Linear(12, 10), create_rpu_config(drift_compensation=way), 86400.0, 150)
    ours, theirs = (found[key][2] for key in ("ours", "theirs"))
    assert ours.shape == theirs.shape == (150, 10 if way == "per_column" else 1)
    for k in range(ours.shape[1]):
        assert stats.ks_2samp(ours[:, k].numpy(), theirs[:, k].numpy()).pvalue > 1e-4


def test_the_network_computes_with_what_is_on_the_tiles():
    "Outputs are those of a matrix product with the devices' weights, times scale and compensation."
    torch.manual_seed(0)
    net = to_analog(
        nn.Linear(30, 20), create_rpu_config(out_noise=0.0, dac_bits=20, adc_bits=20, tile_size=16)
    ).eval()
    x = torch.rand(9, 30)
    program(net)
    drift(net, 86400.0)
    want = net.bias.detach().clone().expand(9, -1).clone()
    for b, state in zip(net.blocks, net.tile_states, strict=True):
        want[:, b.rows] += (
            (x[:, b.cols] @ state.weights[0].T) * state.alpha[0] * net.scale[b.i, 0, b.rows, 0]
        )
    with torch.no_grad():
        assert torch.allclose(net(x), want, atol=1e-4)


def test_a_users_noise_model_is_used():
    class Halves(PCMLikeNoiseModel):
        def apply_programming_noise_to_conductance(self, g_target):
            return g_target / 2

        def apply_drift_noise_to_conductance(self, g_prog, drift_noise_param, t_inference):
            return g_prog / (1 + t_inference)

    torch.manual_seed(0)
    config = create_rpu_config(drift_compensation=False)
    config.noise_model = Halves(g_max=25)
    net = to_analog(nn.Linear(5, 4), config).eval()
    program(net)
    target = (net.weight / net.scale[0, 0]).detach()
    # aihwkit maps the *programmed* weights to conductances again, so that the largest is g_max once more
    assert torch.allclose(net.tile_states[0].weights[0], target / 2, atol=1e-6)
    drift(net, 3.0)
    assert torch.allclose(net.tile_states[0].weights[0], target / 8, atol=1e-6)


def test_training_and_loading_forget_the_devices_and_unprogramming_restores():
    torch.manual_seed(0)
    net, x = to_analog(nn.Linear(8, 4), create_rpu_config(out_noise=0.0)).eval(), torch.randn(5, 8)
    trained = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        before = net(x)
        program(net)
        assert not torch.equal(net(x), before)
        reset_programming(net)
        assert torch.equal(net(x), before)
        program(net)
        net.load_state_dict(trained)
        assert torch.equal(net(x), before) and net.tile_states is None


def test_groups_are_programmed_apart():
    torch.manual_seed(0)
    net = to_analog(nn.Conv2d(4, 4, 3, groups=4)).eval()
    program(net)
    drift(net, 3600.0)
    assert (
        net.tile_states[0].weights.shape == (4, 1, 9)
        and len({float(a) for a in net.tile_states[0].alpha.flatten()}) == 4
    )


def test_what_cannot_be_programmed_is_refused():
    with pytest.raises(ConfigError, match="no analog layers"):
        analog_layers(nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="not programmed"):
        drift(to_analog(nn.Linear(2, 2)), 1.0)
    net = to_analog(nn.Linear(2, 2))
    program(net)
    with pytest.raises(ConfigError, match="t_inference must be"):
        drift(net, -1.0)
    with pytest.raises(ConfigError, match="t_inference must be"):
        drift(net, np.nan)


def test_what_is_programmed_in_inference_mode_can_be_used_outside():
    "A tensor that is made in inference mode takes part in no training."
    net = to_analog(nn.Sequential(nn.Linear(6, 5))).eval()
    with torch.inference_mode():
        program(net)
        programmed = net[0].tile_states[0].weights
        drift(net, 3600.0)
    assert not programmed.is_inference()
    assert not net[0].tile_states[0].weights.is_inference()
    x = torch.randn(2, 6, requires_grad=True)
    net(x).sum().backward()
    assert bool(x.grad.any())


@pytest.mark.parametrize("value", [0.0, 0.5, -0.5])
def test_equal_weights_on_single_devices_are_programmed_one_for_one(value):
    "The converter scales by the spread of the weights, which is 0."
    chip = create_rpu_config(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    chip.noise_model.g_converter = SingleDeviceConductanceConverter(g_max=25.0)
    digital = nn.Linear(6, 5, bias=False)
    nn.init.constant_(digital.weight, value)
    net = to_analog(nn.Sequential(digital), chip).eval()
    program(net)
    drift(net, 1.0)
    held = net[0].tile_states[0].weights[0] * net[0].scale[0, 0]
    assert held.shape == (5, 6)
    assert torch.allclose(held, digital.weight.detach(), atol=1e-5)
