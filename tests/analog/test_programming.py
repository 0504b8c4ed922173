"""Programmed and drifted weights and compensation factors against aihwkit's: same distributions,
tile by tile."""

import copy

import numpy as np
import pytest
import torch
from aihwkit.inference import PCMLikeNoiseModel
from aihwkit.nn.conversion import convert_to_analog
from scipy import stats
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.programming import analog_layers, drift, program, reset_programming
from analognas.core import ConfigError

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
