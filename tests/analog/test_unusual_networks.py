"""What people do to networks and their weights besides calling them: the answer is from the chip, or
a refusal by name, or a line of the report."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

from analognas.analog.convert import conversion_report, to_aihwkit, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogConv3d, AnalogLinear
from analognas.analog.programming import drift, program
from analognas.core import ConfigError


def noisy_chip():
    return create_rpu_config(out_noise=0.0, prog_noise_scale=5.0)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def programmed():
    analog = to_analog(network(), noisy_chip()).eval()
    program(analog)
    return analog


# ---- weights that are no parameters --------------------------------------------------------------


def with_buffer():
    layer = nn.Linear(6, 3)
    weight = layer.weight.detach()
    del layer.weight
    layer.register_buffer("weight", weight)
    return layer


def with_attribute():
    layer = nn.LSTM(6, 3)
    weight = layer.weight_hh_l0.detach()
    del layer.weight_hh_l0
    layer.weight_hh_l0 = weight
    return layer


def without_weight():
    layer = nn.Conv2d(1, 2, 3)
    layer.weight = None
    return layer


UNUSUAL = {
    "weight is no parameter": with_buffer,
    "weight_hh_l0 is no parameter": with_attribute,
    "weight is missing": without_weight,
    "weight is of the type torch.complex64": lambda: nn.Linear(6, 3, dtype=torch.cfloat),
}


@pytest.mark.parametrize("words", UNUSUAL)
def test_weights_that_cannot_go_on_tiles_are_refused_by_name(words):
    net = nn.Sequential(UNUSUAL[words](), nn.Linear(3, 2))
    with pytest.raises(ConfigError, match=f"0 cannot go on tiles, because its {words}"):
        to_analog(net)
    assert isinstance(to_analog(net, digital=["0"])[1], AnalogLinear)


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_of_size_0_is_digital_by_nature(sizes):
    net = nn.Sequential(nn.Linear(*sizes))
    analog = to_analog(net, strict=True).eval()
    x = torch.ones(2, sizes[0])
    assert torch.equal(analog(x), net(x))
    assert conversion_report(analog).why[0].startswith("digital by nature")


class MyNorm(nn.Module):
    "A matrix product under the name of a norm."

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 6))


def test_a_matrix_is_not_digital_by_nature_because_of_a_name():
    with pytest.raises(ConfigError, match="MyNorm uses parameters itself"):
        to_analog(nn.Sequential(MyNorm()), strict=True)


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 6))
        self.table = nn.Parameter(torch.randn(5, 6))


def test_vectors_beside_a_named_matrix_need_no_name():
    report = conversion_report(to_analog(Positions(), digital=["table"], strict=True))
    assert report.why.tolist() == ["named in digital="]


# ---- parametrised and pruned ---------------------------------------------------------------------


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, nn.utils.weight_norm])
def test_a_frozen_parametrised_weight_stays_frozen(norm):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        net = nn.Sequential(norm(nn.Linear(6, 3)))
    for frozen in (True, False):
        analog = to_analog(net.requires_grad_(not frozen))
        assert analog[0].weight.requires_grad is not frozen


def old_spectral_norm(layer):
    nn.utils.spectral_norm(layer)


def parametrised(layer):
    parametrize.register_parametrization(layer, "weight", nn.Identity())


def pruned(layer):
    prune.l1_unstructured(layer, "weight", 0.5)


@pytest.mark.parametrize("change", [pruned, parametrised, old_spectral_norm])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_analog_layer_is_not_pruned_or_parametrised(change):
    analog = programmed()
    x = torch.randn(4, 6)
    want = analog(x)
    with pytest.raises(ConfigError, match="0 is on tiles and keeps its weight"):
        change(analog[0])
    assert torch.equal(analog(x), want)


# ---- products around the tiles -------------------------------------------------------------------


def test_statistics_of_a_weight_are_numbers():
    analog = programmed()  # the weight refers to its layer weakly
    weight = analog[0].weight
    x = torch.randn(20, 20)
    for number in (weight.std(), weight.abs().max(), F.mse_loss(weight, torch.zeros(8, 6))):
        assert type(number * x) is torch.Tensor
    assert type(weight.new_zeros(20, 20) @ x) is torch.Tensor
    assert type(torch.rand_like(weight) @ x[:6]) is torch.Tensor


def test_a_single_weight_is_no_statistic():
    analog = programmed()  # the weight refers to its layer weakly
    weight = analog[0].weight
    with pytest.raises(ConfigError, match="go around"):
        weight[0, 0] * torch.randn(20)


class Language(nn.Module):
    def __init__(self, between):
        super().__init__()
        self.embed = nn.Embedding(7, 6)
        self.between = between
        self.head = nn.Linear(6, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.between(self.embed(tokens))
        return self.head(x[0] if isinstance(x, tuple) else x)


@pytest.mark.parametrize("between", [nn.Linear(6, 6), nn.GRU(6, 6)])
@pytest.mark.parametrize("digital", [(), ("between",)])
def test_embeddings_of_a_tied_weight_are_activations(between, digital):
    analog = to_analog(Language(between), noisy_chip(), digital=digital).eval()
    program(analog)
    tokens = torch.arange(7).view(7, 1)
    with torch.no_grad():
        assert analog(tokens).shape == (7, 1, 7)


# ---- autocast ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [nn.Linear(6, 3), nn.Conv2d(6, 3, 3, 2, 1), nn.GRU(6, 3)])
def test_tiles_keep_their_precision_under_autocast(layer):
    analog = to_analog(layer, create_rpu_config(out_noise=0.0, modifier_std=0.0)).train()
    shape = (4, 6, 5, 5) if isinstance(layer, nn.Conv2d) else (4, 2, 6)
    x = torch.randn(shape)
    found = []
    for enabled in (True, False):
        net = copy.deepcopy(analog)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = net(x)
        y = y[0] if isinstance(y, tuple) else y
        y.square().sum().backward()
        found.append([y, *(p.grad for p in net.parameters())])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


# ---- inference mode ------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["network", "conversion", "programming"])
def test_what_is_made_in_inference_mode_works_outside(inside):
    with torch.inference_mode(inside == "network"):
        net = network().eval()
    with torch.inference_mode(inside == "conversion"):
        analog = to_analog(net, noisy_chip()).eval()
    with torch.inference_mode(inside == "programming"):
        program(analog)
        drift(analog, 3600.0)
    x = torch.randn(4, 6, requires_grad=True)
    analog(x).sum().backward()
    with torch.no_grad():
        assert float((analog(x) - net(x)).abs().max()) > 0.05
    analog.train()(x).sum().backward()
    assert analog[0].weight.grad is not None


def test_a_weight_made_in_inference_mode_is_refused():
    analog = programmed()
    with torch.inference_mode(), pytest.raises(ConfigError, match="inference_mode"):
        analog[0].weight = nn.Parameter(torch.ones(8, 6))


# ---- sundry --------------------------------------------------------------------------------------


def test_networks_that_are_compiled_or_wrapped_are_converted_inside():
    digital = network().eval()
    x = torch.randn(4, 6)
    wrapped = [torch.compile(digital, backend="eager"), nn.DataParallel(digital)]
    for net in (*wrapped, torch.fx.symbolic_trace(digital)):
        analog = to_analog(net, noisy_chip()).eval()
        program(analog)
        with torch.no_grad():
            assert float((analog(x) - digital(x)).abs().max()) > 0.05


@pytest.mark.parametrize(
    "record",
    [
        lambda net, x: torch.jit.script(net),
        lambda net, x: torch.jit.trace(net, x),
        lambda net, x: torch.export.export(net, (x,)).module(),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_recorded_networks_stay_digital_and_the_report_lists_their_weights(record):
    analog = to_analog(record(network(), torch.randn(2, 6)))
    report = conversion_report(analog)
    assert set(report["where"]) == {"digital"}
    assert report.parameters.sum() == sum(p.numel() for p in network().parameters())
    with pytest.raises(ConfigError, match="stay digital"):
        to_analog(record(network(), torch.randn(2, 6)), strict=True)


def test_three_dimensional_convolutions_take_their_memory_format():
    analog = to_analog(nn.Sequential(nn.Conv3d(2, 3, 2)), noisy_chip()).eval()
    program(analog)
    x = torch.randn(2, 2, 4, 4, 4)
    want = analog(x)
    analog.to(memory_format=torch.channels_last_3d)
    assert torch.allclose(analog(x), want, atol=1e-6)


@pytest.mark.parametrize("padding", ["valid", "same", (1, 0, 1)])
def test_three_dimensional_padding_goes_to_aihwkit(padding):
    from aihwkit.simulator.configs import InferenceRPUConfig

    chip = create_rpu_config(out_noise=0.0, dac_bits=24, adc_bits=24)
    settings = dict(forward=chip.forward, mapping=chip.mapping, pre_post=chip.pre_post)
    layer = AnalogConv3d(nn.Conv3d(2, 3, 3, padding=padding), InferenceRPUConfig(**settings)).eval()
    x = torch.rand(2, 2, 4, 5, 4)
    with torch.no_grad():
        assert torch.allclose(to_aihwkit(layer)(x), layer(x), atol=1e-5)


def test_a_chip_without_noise_draws_no_random_numbers():
    analog = to_analog(network(), create_rpu_config("ideal")).train()
    x = torch.randn(2, 6)
    before = torch.random.get_rng_state()
    analog(x).sum().backward()
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_projection_of_the_outputs_keeps_its_mode():
    attention = nn.MultiheadAttention(8, 2)
    attention.out_proj.eval()
    analog = to_analog(attention)
    assert (analog.training, analog.out_proj.training) == (True, False)
