"""Networks to aihwkit and from it: every layer that aihwkit has, programmed or not."""

import aihwkit.nn as kit
import pytest
import torch
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters.enums import RPUDataType
from torch import nn

from analognas.analog.convert import digital_state_dict, from_aihwkit, to_aihwkit, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogConv2d, AnalogLinear
from analognas.analog.programming import analog_layers, drift, program
from analognas.core import ConfigError


def quiet(tile_size=512):
    config = create_rpu_config(out_noise=0.0, tile_size=tile_size)
    config.runtime.data_type = RPUDataType.DOUBLE
    return config


def same(a, b, x):
    with torch.no_grad():
        wanted, got = a.eval()(x), b.eval()(x)
    if isinstance(wanted, tuple):
        wanted, got = wanted[0], got[0]
    torch.testing.assert_close(got.double(), wanted.double(), rtol=1e-6, atol=1e-6)


# ---- from aihwkit --------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", (False, True))
@pytest.mark.parametrize("tile_size", (512, 9))
def test_a_mapped_linear_layer_becomes_a_fast_one(bias, tile_size):
    torch.manual_seed(0)
    theirs = nn.Sequential(kit.AnalogLinearMapped(20, 11, bias, quiet(tile_size)))
    ours = from_aihwkit(theirs)
    assert type(ours[0]) is AnalogLinear
    same(theirs, ours, 3 * torch.randn(5, 20).double())


@pytest.mark.parametrize("bias", (False, True))
@pytest.mark.parametrize("tile_size", (512, 18, 27))
def test_a_mapped_convolution_becomes_a_fast_one_where_the_tiles_are_the_same(bias, tile_size):
    torch.manual_seed(0)
    config = quiet(tile_size)
    theirs = nn.Sequential(kit.AnalogConv2dMapped(6, 5, 3, 2, 1, bias=bias, rpu_config=config))
    ours = from_aihwkit(theirs)
    assert type(ours[0]) is AnalogConv2d
    same(theirs, ours, 3 * torch.randn(2, 6, 7, 8).double())


@pytest.mark.parametrize("kind", (kit.AnalogConv1dMapped, kit.AnalogConv3dMapped))
def test_mapped_convolutions_of_other_dimensions_become_fast_ones(kind):
    torch.manual_seed(0)
    config = create_rpu_config()
    compiled = InferenceRPUConfig(
        forward=config.forward, mapping=config.mapping, pre_post=config.pre_post
    )
    theirs = kind(3, 4, 3, rpu_config=compiled)
    ours = from_aihwkit(theirs)
    weight, bias = theirs.get_weights()
    torch.testing.assert_close(ours.weight.flatten(1), weight.flatten(1))
    torch.testing.assert_close(ours.bias, bias)
    dims = 1 if kind is kit.AnalogConv1dMapped else 3
    assert ours(torch.randn(2, 3, *[5] * dims)).shape == (2, 4, *[3] * dims)


def test_a_mapped_convolution_with_other_tiles_is_refused_by_name():
    theirs = nn.Sequential(kit.AnalogConv2dMapped(5, 5, 3, rpu_config=quiet(20)))
    with pytest.raises(ConfigError, match="AnalogConv2dMapped cuts its matrix between channels"):
        from_aihwkit(theirs)


CELLS = (
    kit.AnalogLSTMCell,
    kit.AnalogGRUCell,
    kit.AnalogVanillaRNNCell,
    kit.AnalogLSTMCellCombinedWeight,
)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidir", (False, True))
@pytest.mark.parametrize("tile_size", (512, 7))
def test_aihwkits_recurrent_networks_get_fast_layers_inside(cell, bidir, tile_size):
    torch.manual_seed(0)
    settings = {"rpu_config": quiet(tile_size), "num_layers": 2, "bidir": bidir}
    theirs = kit.AnalogRNN(cell, 5, 6, **settings).eval()
    ours = from_aihwkit(theirs)
    layers = analog_layers(ours)
    matrices = 1 if cell is kit.AnalogLSTMCellCombinedWeight else 2
    assert len(layers) == matrices * 2 * (1 + bidir)
    assert {type(layer) for layer in layers.values()} == {AnalogLinear}
    same(theirs, ours, torch.randn(4, 3, 5).double())


def test_a_subclass_is_refused_by_name():
    class Own(kit.AnalogLinear):
        pass

    with pytest.raises(ConfigError, match="do not cover Own"):
        from_aihwkit(nn.Sequential(Own(3, 2, rpu_config=quiet())))


def programmed_aihwkit(net, config):
    "aihwkit's network, programmed and drifted, and its outputs before that."
    torch.manual_seed(0)
    theirs = convert_to_analog(net, config).eval()
    trained = {name: p.clone() for name, p in digital_state_dict(theirs).items()}
    theirs.program_analog_weights()
    theirs.drift_analog_weights(86400.0)
    return theirs, trained


@pytest.mark.parametrize("tile_size", (512, 7))
def test_a_programmed_aihwkit_network_is_converted_from_its_trained_weights(tile_size):
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(27, 4))
    config = create_rpu_config(tile_size=tile_size)
    theirs, trained = programmed_aihwkit(net, config)
    held = theirs[2].get_weights()[0].clone()
    assert not torch.allclose(held, trained["2.weight"], rtol=0.01)
    for again in (from_aihwkit(theirs), to_analog(theirs, config)):
        for name, weight in digital_state_dict(again).items():
            torch.testing.assert_close(weight, trained[name])
    for name, weight in digital_state_dict(theirs).items():
        torch.testing.assert_close(weight, trained[name])
    assert torch.equal(theirs[2].get_weights()[0], held)  # it is still programmed


def test_weights_set_after_programming_are_converted():
    theirs, _ = programmed_aihwkit(nn.Sequential(nn.Linear(4, 3)), create_rpu_config())
    new = torch.randn(3, 4)
    theirs[0].set_weights(new, torch.zeros(3))
    torch.testing.assert_close(from_aihwkit(theirs)[0].weight.detach(), new)


# ---- to aihwkit ----------------------------------------------------------------------------------


def test_a_programmed_network_goes_to_aihwkit_with_its_trained_weights():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(27, 4)).double()
    ours = to_analog(net, quiet()).eval()
    x = torch.randn(5, 2, 5, 5).double()
    exact = ours(x).detach()
    program(ours)
    drift(ours, 86400.0)
    assert not torch.allclose(ours(x), exact, rtol=0.01)
    torch.testing.assert_close(to_aihwkit(ours).eval()(x), exact, rtol=1e-6, atol=1e-6)
    assert ours[0].tile_states is not None


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: nn.Conv2d(4, 4, 3, groups=4), "4 groups"),
        (lambda: nn.ConvTranspose1d(2, 2, 3), "no AnalogConvTranspose1d"),
        (lambda: nn.ConvTranspose2d(2, 2, 3), "no AnalogConvTranspose2d"),
        (lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), "mode 'circular'"),
        (lambda: nn.Conv1d(2, 2, 3), "torch tiles have no AnalogConv1d"),
        (lambda: nn.Conv3d(2, 2, 3), "torch tiles have no AnalogConv3d"),
    ],
)
def test_what_aihwkit_does_not_have_is_refused_by_name(make, words):
    with pytest.raises(ConfigError, match=words):
        to_aihwkit(to_analog(nn.Sequential(make())))


# ---- mapped convolutions elsewhere ---------------------------------------------------------------


def test_a_mapped_convolution_is_an_analog_layer_on_aihwkits_tiles():
    torch.manual_seed(0)
    theirs = nn.Sequential(kit.AnalogConv2dMapped(6, 5, 3, rpu_config=create_rpu_config()))
    assert list(analog_layers(theirs)) == ["0"]
    weight = theirs[0].get_weights()[0].clone()
    program(theirs)
    drift(theirs, 86400.0)
    assert not torch.allclose(theirs[0].get_weights()[0], weight)
    ours = to_analog(theirs)
    assert type(ours[0]) is AnalogConv2d
    torch.testing.assert_close(ours[0].weight.detach().flatten(1), weight.flatten(1))
