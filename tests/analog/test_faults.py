"""Public reports of faults, of this project and of others, as they were written: each network must
answer from the chip, or refuse, or be listed as digital."""

import copy
import io
import logging
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, weight_norm

from analognas.analog.convert import conversion_report, digital_state_dict, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogLayer, AnalogLinear
from analognas.analog.programming import DeviceArray, drift, program, reset_programming
from analognas.core import ConfigError


def noisy_chip():
    return create_rpu_config(out_noise=0.0, prog_noise_scale=5.0)


def quiet_chip():
    return create_rpu_config(out_noise=0.0)


def moved(a, b):
    "Largest difference of two outputs."
    return float((a - b).abs().max())


# ---- A. the chip is not there, and nobody says so ------------------------------------------------


@pytest.mark.parametrize("layers", [None, 2])
def test_pytorchs_fused_transformer_goes_through_the_tiles(layers):
    torch.manual_seed(0)
    net = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0).eval()
    if layers:
        net = nn.TransformerEncoder(net, layers).eval()
    analog = to_analog(net, noisy_chip()).eval()
    program(analog)
    drift(analog, 2.6e6)
    x = torch.randn(4, 5, 16)
    with torch.no_grad():
        y = analog(x)
        want = net(x)
    assert moved(y, want) > 0.05
    assert moved(y, analog(x)) < 1e-5


def test_a_transformer_whose_attention_stays_digital_is_not_fused_either():
    torch.manual_seed(0)
    net = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0).eval()
    analog = to_analog(net, noisy_chip(), digital=["self_attn"]).eval()
    assert type(analog.self_attn) is nn.MultiheadAttention
    program(analog)
    x = torch.randn(4, 5, 16)
    with torch.no_grad():
        assert moved(analog(x), net(x)) > 0.05


class SameForward(nn.Linear):
    "A subclass that keeps the forward pass."


class OwnForward(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class OwnConvolution(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean(), bias)


def test_a_subclass_that_keeps_the_forward_pass_is_analog():
    assert isinstance(to_analog(nn.Sequential(SameForward(4, 3)))[0], AnalogLinear)


@pytest.mark.parametrize("layer", [OwnForward(4, 3), OwnConvolution(1, 1, 3)])
def test_a_subclass_with_its_own_forward_pass_is_listed_as_digital(layer):
    net = nn.Sequential(layer, nn.Linear(3, 2))
    report = conversion_report(to_analog(net))
    assert report["where"].tolist() == ["digital", "fast tiles"]
    assert "forward pass of its own" in report.why[0]
    with pytest.raises(ConfigError, match="forward pass of its own"):
        to_analog(net, strict=True)
    to_analog(net, strict=True, digital=["0"])


PARAMETRISED = {
    "weight_norm": lambda: parametrizations.weight_norm(nn.Linear(6, 5)),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(6, 5)),
    "old weight_norm": lambda: weight_norm(nn.Linear(6, 5)),
    "old spectral_norm": lambda: nn.utils.spectral_norm(nn.Linear(6, 5)),
}


@pytest.mark.parametrize("name", PARAMETRISED)
def test_parametrised_weights_are_materialised_and_logged(name, caplog):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        net = nn.Sequential(PARAMETRISED[name]()).eval()
    x = torch.rand(3, 6) / 2
    with torch.no_grad():
        want = net(x)
    with caplog.at_level(logging.INFO, "analognas"):
        analog = to_analog(net, create_rpu_config("ideal")).eval()
    assert type(analog[0]) is AnalogLinear
    assert "parametrised weight" in caplog.text
    with torch.no_grad():
        assert torch.allclose(analog(x), want, atol=1e-5)
        assert torch.allclose(net(x), want)


def test_a_lazy_layer_is_refused_until_it_has_weights():
    net = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ConfigError, match="0 is lazy"):
        to_analog(net)
    net(torch.zeros(1, 4))
    assert isinstance(to_analog(net)[0], AnalogLinear)


def test_a_pruned_layer_is_refused_with_what_to_do():
    net = nn.Sequential(nn.Linear(4, 3))
    prune.l1_unstructured(net[0], "weight", 0.5)
    with pytest.raises(ConfigError, match=r"0 is pruned.*prune.remove\(module, 'weight'\)"):
        to_analog(net)
    prune.remove(net[0], "weight")
    to_analog(net)


@pytest.mark.parametrize("layer", [nn.ConvTranspose3d(2, 2, 2), nn.Bilinear(2, 2, 2)])
def test_what_has_no_analog_layer_is_listed_and_strictly_refused(layer):
    net = nn.ModuleList([layer])
    assert "no analog" in conversion_report(to_analog(net)).why[0]
    with pytest.raises(ConfigError, match="no analog"):
        to_analog(net, strict=True)


def test_a_module_under_two_names_stays_one():
    net = nn.Module()
    net.a = nn.Linear(4, 4)
    net.b = net.a
    net.inner = nn.Sequential(net.a)
    analog = to_analog(net)
    assert isinstance(analog.a, AnalogLinear)
    assert analog.a is analog.b is analog.inner[0]


def programmed_layer(config=None):
    torch.manual_seed(0)
    analog = to_analog(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU()), config or noisy_chip()).eval()
    program(analog)
    drift(analog, 3600.0)
    return analog


MOVES = {
    "to": lambda net: net.to("cpu"),
    "float": lambda net: net.float(),
    "cpu": lambda net: net.cpu(),
    "share_memory": lambda net: net.share_memory(),
    "channels_last": lambda net: net.to(memory_format=torch.channels_last),
    "there and back": lambda net: net.double().float(),
    "copy": copy.deepcopy,
}


@pytest.mark.parametrize("name", MOVES)
def test_moving_a_programmed_network_keeps_the_chip(name, caplog):
    analog = programmed_layer()
    x = torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        before = analog(x)
        other = MOVES[name](analog)
        assert torch.allclose(other(x), before, atol=1e-5)
        state = torch.random.get_rng_state()
        drift(analog, 86400.0)
        aged = analog(x)
        torch.random.set_rng_state(state)
        drift(other, 86400.0)
        assert torch.allclose(other(x), aged, atol=1e-4)
    assert caplog.text == ""


def test_converting_twice_converts_to_the_new_chip():
    first = create_rpu_config("pcm")
    second = create_rpu_config("reram", tile_size=5)
    net = nn.Sequential(nn.Linear(12, 3), nn.LSTM(3, 2), nn.MultiheadAttention(4, 2))
    analog = to_analog(to_analog(net, first), second)
    layers = [m for m in analog.modules() if isinstance(m, AnalogLayer)]
    assert len(layers) == 7
    assert {type(layer.rpu_config.noise_model) for layer in layers} == {type(second.noise_model)}
    assert len(analog[0].blocks) == 3
    assert torch.equal(analog[0].weight, net[0].weight)


# ---- products around a programmed layer ----------------------------------------------------------


class Around(nn.Module):
    "Read the weight as torchvision's Swin does."

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(6, 9)

    def forward(self, x):
        return F.linear(x, self.qkv.weight, self.qkv.bias)


def test_f_linear_with_the_weight_answers_from_the_chip():
    torch.manual_seed(0)
    net = Around().eval()
    analog = to_analog(net, noisy_chip()).eval()
    program(analog)
    x = torch.randn(4, 6)
    with torch.no_grad():
        assert torch.equal(analog(x), analog.qkv(x))
        assert moved(analog(x), net(x)) > 0.05
        other = F.linear(x, weight=analog.qkv.weight, bias=torch.ones(9))
        assert torch.allclose(other, analog.qkv(x) - analog.qkv.bias + 1, atol=1e-6)


PRODUCTS = {
    "@": lambda x, w: x @ w.T,
    "matmul": lambda x, w: torch.matmul(x, w.t()),
    "mm": lambda x, w: x.mm(w.transpose(0, 1)),
    "einsum": lambda x, w: torch.einsum("ni,oi->no", x, w),
    "half": lambda x, w: F.linear(x, w[:2]),
    "converted": lambda x, w: F.linear(x.double(), w.double()),
    "chunk": lambda x, w: F.linear(x, w.chunk(3)[0]),
    "scaled": lambda x, w: F.linear(x, w * 2),
    "normalised": lambda x, w: F.linear(x, F.normalize(w)),
    "conv": lambda x, w: F.conv1d(x[..., None], w[..., None]),
    "addmm": lambda x, w: torch.addmm(torch.zeros(9), x, w.T),
    "bmm": lambda x, w: torch.bmm(x[None], w.T[None]),
    "bilinear": lambda x, w: F.bilinear(x, x, w[None]),
    "by hand": lambda x, w: (x[:, None] * w).sum(-1),
    "stacked": lambda x, w: x @ torch.cat([w, w]).T,
    "attention": lambda x, w: F.scaled_dot_product_attention(w[None], w[None], w[None]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_other_products_with_the_weight_of_a_programmed_layer_are_refused(name):
    analog = to_analog(nn.Sequential(nn.Linear(6, 9))).eval()
    x = torch.randn(4, 6)
    weight = analog[0].weight
    program(analog)
    with pytest.raises(ConfigError, match="0 would go around its programmed tiles"):
        PRODUCTS[name](x, weight)


@pytest.mark.parametrize("state", ["unprogrammed", "training", "reset"])
def test_products_with_other_weights_work(state):
    analog = to_analog(nn.Sequential(nn.Linear(6, 9)))
    weight = analog[0].weight
    if state != "unprogrammed":
        program(analog)
    if state == "reset":
        reset_programming(analog)
    analog.train(state == "training")
    decay = (weight @ weight.T - torch.eye(9)).square().sum()
    decay.backward()
    assert weight.grad is not None
    assert type(decay) is torch.Tensor


def test_detach_is_the_way_around_and_statistics_work():
    analog = to_analog(nn.Linear(6, 9)).eval()
    program(analog)
    x = torch.randn(4, 6)
    assert (x @ analog.weight.detach().T).shape == (4, 9)
    assert (x @ analog.state_dict()["weight"].T).shape == (4, 9)
    assert float(analog.weight.abs().max()) > 0
    assert float(analog.weight.norm()) > 0
    assert analog.weight.detach().numpy().shape == (9, 6)


# ---- B. what a replaced module carried -----------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(self.embed(tokens))


def test_tied_weights_stay_tied_and_train():
    torch.manual_seed(0)
    net = Tied()
    analog = to_analog(net, quiet_chip()).train()
    assert analog.head.weight is analog.embed.weight
    assert analog.head.weight is not net.head.weight
    assert len(list(analog.parameters())) == 2  # with the input range
    step = torch.optim.AdamW(analog.parameters(), 0.1)
    analog(torch.arange(7)).square().sum().backward()
    step.step()
    assert torch.equal(analog.state_dict()["head.weight"], analog.state_dict()["embed.weight"])
    assert float(analog.head.scale.max()) == float(analog.embed.weight.detach().abs().max())
    twin = copy.deepcopy(analog).double()
    assert twin.head.weight is twin.embed.weight


def test_moving_a_tied_programmed_network_keeps_the_chip():
    torch.manual_seed(0)
    analog = to_analog(Tied(), noisy_chip()).eval()
    program(analog)
    tokens = torch.arange(7)
    with torch.no_grad():
        before = analog(tokens)
        assert torch.allclose(analog.double()(tokens).float(), before, atol=1e-5)
    assert analog.head.tile_states is not None


def test_two_tied_layers_are_clipped_once_a_step():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 30))
    net[1].weight = net[0].weight
    analog = to_analog(net, quiet_chip()).train()
    alone = to_analog(net[:1], quiet_chip()).train()
    with torch.no_grad():
        weight = alone[0].weight
    for model in (analog, alone):
        step = torch.optim.SGD(model.parameters(), 0.0)
        model(torch.randn(8, 30)).sum().backward()
        step.step()
        model.eval()
    assert torch.equal(analog[0].weight, weight)
    assert torch.equal(analog[0].scale, analog[1].scale)


def test_hooks_flags_buffers_and_attributes_are_kept():
    calls = []
    net = nn.Sequential(nn.Linear(4, 3), nn.Conv2d(1, 2, 3))
    net[0].register_forward_hook(lambda module, args, y: calls.append("forward"))
    net[0].register_forward_pre_hook(lambda module, args: calls.append("before"))
    net[0].register_full_backward_hook(lambda module, gx, gy: calls.append("backward"))
    net[0].register_buffer("mask", torch.ones(3))
    net[0].weight.requires_grad_(False)
    net[0].weight.flag = "mine"
    net[0].note = "attribute"
    net[1].eval()
    analog = to_analog(net)
    assert analog[0].weight.flag == "mine"
    assert not analog[0].weight.requires_grad
    assert analog[0].note == "attribute"
    assert (analog[0].in_features, analog[1].kernel_size) == (4, (3, 3))
    assert [m.training for m in analog] == [True, False]
    analog[0](torch.randn(2, 4, requires_grad=True)).sum().backward()
    assert calls == ["before", "forward", "backward"]
    assert set(digital_state_dict(analog)) == set(net.state_dict())
    assert type(net[0].weight) is nn.Parameter


# ---- C. derived state ----------------------------------------------------------------------------


def test_a_programmed_network_is_saved_and_read_again():
    analog = programmed_layer()
    file = io.BytesIO()
    torch.save(analog.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    twin = to_analog(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU()), noisy_chip()).eval()
    twin.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        assert torch.equal(twin(x), analog(x))
        for net in (twin, analog):
            torch.manual_seed(2)
            drift(net, 86400.0)
        assert torch.equal(twin(x), analog(x))


@pytest.mark.parametrize("preset", ["pcm", "hermes", "reram"])
def test_the_devices_of_every_preset_can_be_saved(preset):
    torch.manual_seed(0)
    analog = to_analog(nn.Linear(5, 4), create_rpu_config(preset))
    program(analog)
    twin = to_analog(nn.Linear(5, 4), create_rpu_config(preset))
    twin.load_state_dict(analog.state_dict())
    for net in (analog, twin):
        torch.manual_seed(1)
        drift(net, 3600.0)
    assert torch.equal(analog.tile_states[0].weights, twin.tile_states[0].weights)


def test_devices_of_other_tiles_are_refused():
    analog = to_analog(nn.Linear(20, 4))
    program(analog)
    with pytest.raises(ConfigError, match=r"\(1, 4, 20\)"):
        to_analog(nn.Linear(20, 4), create_rpu_config(tile_size=8)).load_state_dict(
            {k: v for k, v in analog.state_dict().items() if k != "x"}, strict=False
        )


@pytest.mark.parametrize("strict", [True, False])
def test_a_state_without_devices_forgets_them_and_says_so(strict, caplog):
    analog = to_analog(nn.Sequential(nn.Linear(5, 4)))
    state = copy.deepcopy(analog.state_dict())
    program(analog)
    analog.load_state_dict(state, strict=strict)
    assert analog[0].tile_states is None
    assert "0 is no longer programmed" in caplog.text


CHANGES = {
    "init": lambda w: nn.init.normal_(w, std=3.0),
    "copy_": lambda w: w.data.copy_(3 * torch.randn(w.shape)),
    "data": lambda w: setattr(w, "data", 3 * torch.randn(w.shape)),
    "data in place": lambda w: w.data.mul_(3.0),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("training", [True, False])
def test_weights_that_change_without_scales_are_mapped_anew(name, training, caplog):
    torch.manual_seed(0)
    analog = to_analog(nn.Sequential(nn.Linear(8, 4)), quiet_chip()).train(training)
    program(analog)
    CHANGES[name](analog[0].weight)
    analog.eval()
    want = to_analog(nn.Sequential(analog[0].as_digital()), quiet_chip()).eval()
    x = torch.randn(3, 8)
    with torch.no_grad():
        assert torch.equal(analog(x), want(x))
    assert torch.equal(analog[0].scale, want[0].scale)
    assert "0 is no longer programmed: its weights have changed" in caplog.text


def test_a_digital_checkpoint_is_mapped_anew():
    torch.manual_seed(0)
    digital = nn.Linear(8, 4)
    digital.weight.data *= 5
    analog = to_analog(nn.Linear(8, 4))
    analog.load_state_dict(digital.state_dict(), strict=False)
    assert float(analog.scale.max()) == float(digital.weight.detach().abs().max())


@pytest.mark.parametrize("assign", [True, False])
def test_another_parameter_is_noticed(assign):
    torch.manual_seed(0)
    analog = to_analog(nn.Linear(8, 4), noisy_chip()).eval()
    new = nn.Parameter(5 * torch.randn(4, 8))
    if assign:
        analog.load_state_dict({"weight": new}, strict=False, assign=True)
    else:
        analog.weight = new
    x = torch.randn(2, 8) / 4
    with torch.no_grad():
        analog(x)
        assert float(analog.scale.max()) == float(new.abs().max())
        program(analog)
        assert torch.equal(F.linear(x, analog.weight, analog.bias), analog(x))


def test_a_step_that_changes_nothing_keeps_the_devices():
    analog = to_analog(nn.Linear(8, 4)).train()
    program(analog)
    step = torch.optim.SGD(analog.parameters(), 0.0)
    analog(torch.randn(3, 8)).sum().backward()
    step.step()
    analog.eval()
    assert analog.tile_states is not None


def test_a_training_step_drops_the_devices_and_says_so(caplog):
    analog = to_analog(nn.Linear(8, 4)).train()
    program(analog)
    step = torch.optim.SGD(analog.parameters(), 0.1)
    analog(torch.randn(3, 8)).sum().backward()
    step.step()
    analog.eval()
    assert analog.tile_states is None
    assert "AnalogLinear is no longer programmed" in caplog.text


# ---- D. compilers and transforms -----------------------------------------------------------------


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4))


@pytest.mark.parametrize("net", [small_network, Around])
def test_compiled_networks_compute_the_same(net):
    x = torch.randn(2, 6) if net is Around else torch.randn(2, 1, 6, 6)
    analog = to_analog(net(), quiet_chip()).eval()
    torch._dynamo.reset()
    compiled = torch.compile(analog, backend="eager")
    with torch.no_grad():
        assert torch.equal(compiled(x), analog(x))
        program(analog)
        assert torch.equal(compiled(x), analog(x))
    compiled.train()
    analog.train()
    compiled(x).sum().backward()
    assert all(p.grad is not None for p in analog.parameters())


TRANSFORMS = {
    "torch.export": lambda net, x: torch.export.export(net, (x,)),
    "torch.jit.trace": lambda net, x: torch.jit.trace(net, x),
    "vmap": lambda net, x: torch.vmap(net)(x[:, None]),
    "grad": lambda net, x: torch.func.grad(lambda v: net(v).sum())(x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_records_or_transforms_is_refused_by_name(name):
    net = to_analog(small_network()).eval()
    with pytest.raises(ConfigError, match="torch|vmap"):
        TRANSFORMS[name](net, torch.randn(2, 1, 6, 6))


def test_a_second_derivative_is_refused():
    net = to_analog(nn.Linear(3, 2)).train()
    x = torch.randn(4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        gradient.square().sum().backward()


def test_functional_call_computes_with_the_weights_that_it_is_given():
    torch.manual_seed(0)
    analog = to_analog(nn.Linear(6, 4), quiet_chip()).eval()
    other = to_analog(nn.Linear(6, 4), quiet_chip()).eval()
    x = torch.randn(3, 6)
    same = {k: v.detach() for k, v in analog.named_parameters()}
    with torch.no_grad():
        own = analog(x)
        given = torch.func.functional_call(analog, dict(other.named_parameters()), (x,))
        assert torch.equal(given, other(x))
        assert torch.equal(analog(x), own)
        program(analog)
        on_chip = analog(x)
        assert torch.equal(torch.func.functional_call(analog, same, (x,)), on_chip)
        with pytest.raises(ConfigError, match="reset_programming"):
            torch.func.functional_call(analog, dict(other.named_parameters()), (x,))
        assert torch.equal(analog(x), on_chip)


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_has_the_same_gradients(reentrant):
    analog = to_analog(small_network(), create_rpu_config(out_noise=0.0, modifier_std=0.0)).train()
    x = torch.randn(2, 1, 6, 6, requires_grad=True)
    gradients = []
    for checkpointed in (False, True):
        net = copy.deepcopy(analog)
        if checkpointed:
            y = torch.utils.checkpoint.checkpoint(net, x, use_reentrant=reentrant)
        else:
            y = net(x)
        y.square().sum().backward()
        gradients.append(net[0].weight.grad)
    assert torch.allclose(*gradients)


def test_one_process_of_data_parallel_training(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        analog = to_analog(small_network()).train()
        parallel = nn.parallel.DistributedDataParallel(analog)
        step = torch.optim.AdamW(parallel.parameters(), 0.01)
        before = analog[0].weight.detach().clone()
        parallel(torch.randn(2, 1, 6, 6)).square().sum().backward()
        step.step()
        assert not torch.equal(analog[0].weight, before)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop"])
@pytest.mark.parametrize("flags", [{}, {"foreach": True}, {"fused": True}])
def test_optimizers_reach_the_weight(kind, flags):
    if flags.get("fused") and kind == "RMSprop":
        flags = {}
    analog = to_analog(nn.Linear(6, 4)).train()
    before = analog.weight.detach().clone()
    step = getattr(torch.optim, kind)(analog.parameters(), 0.1, **flags)
    analog(torch.randn(3, 6)).sum().backward()
    nn.utils.clip_grad_norm_(analog.parameters(), 1.0)
    step.step()
    assert not torch.equal(analog.weight, before)
    assert type(analog.weight.grad) is torch.Tensor


# ---- E. NaN --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["pcm", "hermes", "reram"])
@pytest.mark.parametrize("weights", [torch.zeros(3, 4), torch.ones(1, 1), torch.full((2, 2), -0.3)])
def test_tiles_of_equal_weights_are_programmed_to_finite_ones(preset, weights):
    config = create_rpu_config(preset)
    devices = DeviceArray.program(weights, config)
    assert devices.current.isfinite().all()
    assert devices.drift(86400.0).isfinite().all()
    assert devices.current.isfinite().all()


def test_a_dead_group_on_reram_is_finite():
    digital = nn.Conv2d(4, 4, 3, groups=4)
    digital.weight.data[1] = 0
    analog = to_analog(digital, create_rpu_config("reram")).eval()
    program(analog)
    drift(analog, 3600.0)
    with torch.no_grad():
        assert analog(torch.randn(2, 4, 5, 5)).isfinite().all()


# ---- a guard for the whole kind ------------------------------------------------------------------

WEIGHTY = {
    "Linear": (lambda: nn.Linear(6, 5), (3, 6)),
    "Conv1d": (lambda: nn.Conv1d(2, 4, 3, padding="same"), (3, 2, 7)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3, groups=2), (3, 2, 7, 7)),
    "Conv3d": (lambda: nn.Conv3d(2, 4, 2), (3, 2, 4, 4, 4)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 4, 3, 2), (3, 2, 7)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 4, 3, 2), (3, 2, 5, 5)),
    "LSTM": (lambda: nn.LSTM(6, 4, 2, bidirectional=True), (5, 3, 6)),
    "GRU": (lambda: nn.GRU(6, 4), (5, 3, 6)),
    "RNN": (lambda: nn.RNN(6, 4), (5, 3, 6)),
    "LSTMCell": (lambda: nn.LSTMCell(6, 4), (3, 6)),
    "encoder": (lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True), (3, 5, 6)),
    "linear of Swin": (Around, (3, 6)),
}


@pytest.mark.parametrize("name", WEIGHTY)
@pytest.mark.parametrize("gradients", [True, False])
def test_huge_noise_moves_the_output_of_every_kind(name, gradients):
    torch.manual_seed(0)
    make, shape = WEIGHTY[name]
    digital = make().eval()
    analog = to_analog(digital, noisy_chip()).eval()
    x = torch.randn(shape)
    with torch.set_grad_enabled(gradients):
        before = first(analog(x))
        program(analog)
        assert moved(first(analog(x)), before) > 0.02


def first(y):
    "Return the outputs without states."
    while isinstance(y, tuple):
        y = y[0]
    return y.detach()
