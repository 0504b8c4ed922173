"""Attention on tiles against PyTorch on a perfect chip, and no way around the tiles."""

import copy
import io
import itertools

import pytest
import torch
from aihwkit.simulator.parameters.enums import WeightModifierType
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from analognas.analog.attention import AnalogMultiheadAttention
from analognas.analog.convert import to_aihwkit, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.programming import program
from analognas.core import ConfigError


def ideal():
    return create_rpu_config("ideal")


def noisy():
    return create_rpu_config(out_noise=0.0, prog_noise_scale=20.0)


def assert_close(ours, theirs, rtol=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            largest = float(b.detach().abs().nan_to_num().max()) if b.numel() else 0.0
            atol = rtol * max(largest, 1e-30)
            torch.testing.assert_close(a, b, rtol=0, atol=atol, equal_nan=True)


def padding(n, s):
    "No key of the first sequence is padding, ever more of the next ones, never all."
    lengths = torch.tensor([max(1, s - i) for i in range(n)])
    return torch.arange(s) >= lengths.view(-1, 1)


MASKS = {
    "none": lambda n, heads, s, t: None,
    "boolean": lambda n, heads, s, t: torch.arange(t) > torch.arange(s).view(-1, 1),
    "numbers": lambda n, heads, s, t: torch.randn(s, t).double(),
    "of_heads": lambda n, heads, s, t: torch.randn(n * heads, s, t).double(),
}


@st.composite
def cases(draw):
    "A digital layer, inputs, and arguments of the call."
    heads = draw(st.integers(1, 3))
    width = heads * draw(st.integers(1, 3))
    kdim, vdim = draw(st.sampled_from([(None, None), (5, 6), (width, 4)]))
    options = {"kdim": kdim, "vdim": vdim}
    for name in ("bias", "add_bias_kv", "add_zero_attn", "batch_first"):
        options[name] = draw(st.booleans())
    digital = nn.MultiheadAttention(width, heads, **options).double()
    n, length = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    keys = draw(st.integers(1, 4))
    x = [
        torch.randn(n, rows, size, dtype=torch.float64)
        for rows, size in ((length, width), (keys, kdim or width), (keys, vdim or width))
    ]
    if not digital.batch_first:
        x = [v.transpose(0, 1) for v in x]
    mask = MASKS[draw(st.sampled_from(sorted(MASKS)))](n, heads, length, keys)
    pad = draw(st.sampled_from([None, padding(n, keys)]))
    if pad is not None and mask is not None and mask.dtype != torch.bool:
        pad = torch.zeros(n, keys).double().masked_fill(pad, -1e9)
    kwargs = {
        "key_padding_mask": pad,
        "attn_mask": mask,
        "need_weights": draw(st.booleans()),
        "average_attn_weights": draw(st.booleans()),
    }
    return digital, x, kwargs


@settings(max_examples=60, deadline=None)
@given(cases(), st.booleans(), st.integers(0, 99))
def test_ideal_chip_equals_pytorch(case, training, seed):
    torch.manual_seed(seed)
    digital, x, kwargs = case
    for p in digital.parameters():
        nn.init.normal_(p)
    digital.train(training)
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), ideal())
    assert_close(analog(*x, **kwargs), digital(*x, **kwargs), 1e-10)


@settings(max_examples=25, deadline=None)
@given(cases())
def test_gradients_on_the_ideal_chip_equal_pytorch(case):
    torch.manual_seed(0)
    digital, x, kwargs = case
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), ideal())
    x = [v.detach().requires_grad_() for v in x]
    by_analog = gradients(analog, x, kwargs)
    by_digital = gradients(digital, x, kwargs)
    ours = {k: p.grad for k, p in analog.named_parameters()}
    theirs = {k: p.grad for k, p in digital.named_parameters()}
    for kind in ("weight", "bias"):
        parts = [ours.get(f"{name}_proj.{kind}") for name in "qkv"]
        whole = theirs.get(f"in_proj_{kind}")
        if whole is None and kind == "weight":
            whole = torch.cat([theirs[f"{name}_proj_weight"].flatten() for name in "qkv"])
            parts = [p.flatten() for p in parts]
        if whole is not None:
            by_analog.append(torch.cat(parts))
            by_digital.append(whole)
    for name in ("out_proj.weight", "bias_k", "bias_v"):
        by_analog.append(ours.get(name))
        by_digital.append(theirs.get(name))
    assert_close(by_analog, by_digital, 1e-10)


def gradients(module, x, kwargs):
    y, _ = module(*x, **kwargs)
    torch.manual_seed(1)
    (y * torch.randn(y.shape, dtype=y.dtype)).sum().backward()
    grads = [v.grad.clone() for v in x]
    for v in x:
        v.grad = None
    return grads


@pytest.mark.parametrize("need_weights, average", list(itertools.product((True, False), repeat=2)))
def test_a_single_sequence_equals_pytorch(need_weights, average):
    torch.manual_seed(0)
    digital = nn.MultiheadAttention(8, 2).double()
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), ideal())
    x = torch.randn(5, 8, dtype=torch.float64)
    kwargs = {"need_weights": need_weights, "average_attn_weights": average}
    pad = torch.tensor([False, False, False, True, True])
    assert_close(analog(x, x, x, pad, **kwargs), digital(x, x, x, pad, **kwargs))
    mask = torch.randn(2, 5, 5, dtype=torch.float64)
    assert_close(
        analog(x, x, x, attn_mask=mask, **kwargs), digital(x, x, x, attn_mask=mask, **kwargs)
    )


@pytest.mark.parametrize("n, length, keys", [(0, 5, 5), (2, 0, 0), (2, 0, 3), (2, 3, 0)])
@pytest.mark.parametrize("need_weights", [True, False])
def test_empty_inputs_give_what_pytorch_gives(n, length, keys, need_weights):
    digital = nn.MultiheadAttention(8, 2, batch_first=True)
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), ideal())
    query, key = torch.randn(n, length, 8), torch.randn(n, keys, 8)
    ours = analog(query, key, key, need_weights=need_weights)
    assert_close(ours, digital(query, key, key, need_weights=need_weights), 1e-6)


@pytest.mark.parametrize(
    "kwargs", [{}, {"need_weights": False}, {"key_padding_mask": padding(2, 5)}]
)
@pytest.mark.parametrize("mask", ["causal", "other"])
def test_is_causal_means_what_it_means_to_pytorch(kwargs, mask):
    "A hint that replaces the mask where neither weights nor padding are asked for, else ignored."
    torch.manual_seed(0)
    digital = nn.MultiheadAttention(8, 2, batch_first=True).double()
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), ideal())
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    attn_mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
    if mask == "other":
        attn_mask = torch.zeros_like(attn_mask)
    kwargs = {"attn_mask": attn_mask, "is_causal": True, **kwargs}
    assert_close(analog(x, x, x, **kwargs), digital(x, x, x, **kwargs))


def test_is_causal_without_a_mask_is_refused_as_by_pytorch():
    digital = nn.MultiheadAttention(8, 2)
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), ideal())
    x = torch.randn(5, 2, 8)
    with pytest.raises(RuntimeError, match="attn_mask"):
        digital(x, x, x, is_causal=True)
    with pytest.raises(ConfigError, match="attn_mask"):
        analog(x, x, x, is_causal=True)


def test_dropout_acts_in_training_only():
    digital = nn.MultiheadAttention(8, 2, dropout=0.5).double()
    config = ideal()
    config.modifier.type = WeightModifierType.NONE  # draws no random numbers
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), config)
    x = torch.randn(5, 2, 8, dtype=torch.float64)
    for mode in (True, False):
        both = []
        for module in (analog, digital):
            torch.manual_seed(0)
            both.append(module.train(mode)(x, x, x))
        assert_close(*both)


def wrong(**changes):
    x = {"query": torch.zeros(2, 5, 8), "key": torch.zeros(2, 4, 8), "value": torch.zeros(2, 4, 8)}
    return x | changes


@pytest.mark.parametrize(
    "x, contains",
    [
        (wrong(query=torch.zeros(5, 8)), "shapes"),
        (wrong(value=torch.zeros(2, 3, 8)), "shapes"),
        (wrong(query=torch.zeros(3, 5, 8)), "batch size"),
        (wrong(query=torch.zeros(2, 5, 7)), "8 inputs"),
        (wrong(attn_mask=torch.zeros(4, 4)), "attn_mask"),
        (wrong(attn_mask=torch.zeros(2, 5, 4)), "attn_mask"),
        (wrong(attn_mask=torch.zeros(5, 4, dtype=torch.int64)), "int64"),
        (wrong(key_padding_mask=torch.zeros(2, 5)), "key_padding_mask"),
        (wrong(query=torch.nested.nested_tensor([torch.zeros(5, 8)] * 2)), "nested"),
    ],
)
def test_other_shapes_and_kinds_are_refused(x, contains):
    analog = AnalogMultiheadAttention(nn.MultiheadAttention(8, 2, batch_first=True), ideal())
    with pytest.raises(ConfigError, match=contains):
        analog(**x)


# ---- the chip is there ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q_proj", "k_proj", "v_proj", "out_proj"])
def test_each_projection_is_read_from_its_tiles(name):
    torch.manual_seed(0)
    digital = nn.MultiheadAttention(8, 2).eval()
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), ideal())
    program(analog)
    x = torch.randn(5, 3, 8)
    before = analog(x, x, x)[0]
    for state in analog.get_submodule(name).tile_states:
        state.weights = state.weights.flip(1)
    assert not torch.allclose(analog(x, x, x)[0], before, atol=1e-3)


@pytest.mark.parametrize("grad, need_weights", list(itertools.product((True, False), repeat=2)))
def test_noise_of_programming_moves_the_outputs(grad, need_weights):
    torch.manual_seed(0)
    digital = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), noisy())
    program(analog)
    x = torch.randn(4, 6, 16)
    with torch.set_grad_enabled(grad):
        y = digital(x, x, x, need_weights=need_weights)[0]
        assert moved(analog(x, x, x, need_weights=need_weights)[0], y)


def moved(ours, theirs):
    return (ours - theirs).abs().mean() > 0.2 * theirs.abs().mean()


def with_analog_attention(net, config):
    "The network with its attention alone on tiles."
    net = copy.deepcopy(net)
    for name, module in list(net.named_modules()):
        if type(module) is nn.MultiheadAttention:
            parent, _, child = name.rpartition(".")
            setattr(net.get_submodule(parent), child, AnalogMultiheadAttention(module, config))
    return net


def encoder_layer(**options):
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0, **options)


def inputs_of(kind):
    x = torch.randn(4, 6, 16)
    if kind == "decoder":
        return (x, torch.randn(4, 5, 16)), {}
    if kind == "padded":
        return (x,), {"src_key_padding_mask": padding(4, 6)}
    if kind == "causal":
        return (x,), {"mask": nn.Transformer.generate_square_subsequent_mask(6), "is_causal": True}
    return (x,), {}


def network_of(kind):
    if kind == "layer":
        return encoder_layer()
    if kind == "norm_first":
        return encoder_layer(norm_first=True, activation="gelu")
    if kind == "decoder":
        layer = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
        return nn.TransformerDecoder(layer, 2)
    return nn.TransformerEncoder(encoder_layer(), 2)


NETWORKS = ("layer", "norm_first", "encoder", "padded", "causal", "decoder")


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("mode", ["grad", "no_grad", "inference"])
def test_transformers_equal_pytorch_on_the_ideal_chip(kind, mode):
    torch.manual_seed(0)
    digital = network_of(kind).eval()
    analog = with_analog_attention(digital, ideal())
    args, kwargs = inputs_of(kind)
    y = digital(*args, **kwargs)
    context = {"grad": torch.enable_grad, "no_grad": torch.no_grad}
    with context.get(mode, torch.inference_mode)():
        z = analog(*args, **kwargs)
    if kind == "padded":
        kept = ~kwargs["src_key_padding_mask"]
        y, z = y[kept], z[kept]
    assert_close([z], [y], 1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("mode", ["grad", "no_grad", "inference"])
def test_no_fused_path_goes_around_attention(kind, mode):
    torch.manual_seed(0)
    digital = network_of(kind).eval()
    analog = with_analog_attention(digital, noisy())
    program(analog)
    args, kwargs = inputs_of(kind)
    context = {"grad": torch.enable_grad, "no_grad": torch.no_grad}
    with context.get(mode, torch.inference_mode)():
        z = analog(*args, **kwargs)
        again = analog(*args, **kwargs)
    torch.testing.assert_close(z, again)  # programmed once: the same chip
    assert moved(z, digital(*args, **kwargs))


def test_an_encoder_whose_parameters_are_frozen_takes_no_fused_path():
    torch.manual_seed(0)
    digital = network_of("padded").eval().requires_grad_(False)
    analog = with_analog_attention(digital, noisy())
    program(analog)
    args, kwargs = inputs_of("padded")
    assert moved(analog(*args, **kwargs), digital(*args, **kwargs))


def test_products_with_the_projections_weights_are_refused():
    analog = AnalogMultiheadAttention(nn.MultiheadAttention(8, 2), ideal())
    x = torch.randn(5, 2, 8)
    w = analog.in_proj_weight
    with pytest.raises(ConfigError, match="on tiles"):
        F.linear(x, w)
    with pytest.raises(ConfigError, match="on tiles"):
        x @ w
    with pytest.raises(ConfigError, match="on tiles"):
        F.multi_head_attention_forward(
            x, x, x, 8, 2, w, None, None, None, False, 0.0, analog.out_proj.weight, None
        )


# ---- what the digital layer carried ---------------------------------------------------------------


def test_flags_of_parameters_are_kept():
    digital = nn.MultiheadAttention(8, 2)
    digital.in_proj_weight.requires_grad_(False)
    digital.out_proj.bias.requires_grad_(False)
    analog = AnalogMultiheadAttention(digital, ideal())
    trained = {k for k, p in analog.named_parameters() if p.requires_grad and "range" not in k}
    assert trained == {"q_proj.bias", "k_proj.bias", "v_proj.bias", "out_proj.weight"}


def test_whole_parameters_are_taken_over_as_objects():
    digital = nn.MultiheadAttention(8, 2, add_bias_kv=True, kdim=4)
    analog = AnalogMultiheadAttention(digital, ideal())
    assert analog.q_proj.weight is digital.q_proj_weight
    assert analog.out_proj.weight is digital.out_proj.weight
    assert analog.bias_k is digital.bias_k


def test_hooks_buffers_and_attributes_are_kept():
    digital = nn.MultiheadAttention(8, 2).eval()
    digital.register_buffer("mean", torch.ones(2))
    calls = []
    digital.register_forward_hook(lambda *_: calls.append(1))
    analog = AnalogMultiheadAttention(digital, ideal())
    x = torch.randn(5, 2, 8)
    analog(x, x, x)
    assert calls == [1]
    assert torch.equal(analog.mean, torch.ones(2))
    assert not any(m.training for m in analog.modules())


def test_the_digital_layer_is_as_it_was():
    digital = nn.MultiheadAttention(8, 2)
    names = [k for k, _ in digital.named_parameters()]
    AnalogMultiheadAttention(digital, ideal())
    assert [k for k, _ in digital.named_parameters()] == names
    assert digital._qkv_same_embed_dim


def test_an_analog_layer_moves_to_another_chip():
    torch.manual_seed(0)
    digital = nn.MultiheadAttention(8, 2, add_bias_kv=True)
    rough = AnalogMultiheadAttention(copy.deepcopy(digital), create_rpu_config(dac_bits=2)).eval()
    again = type(rough)(rough, ideal())
    x = torch.randn(5, 2, 8)
    assert_close(again(x, x, x), digital(x, x, x), 1e-5)


def test_to_aihwkit_gives_the_same_outputs():
    torch.manual_seed(0)
    config = create_rpu_config(out_noise=0.0)
    digital = nn.MultiheadAttention(8, 2)
    net = nn.ModuleDict({"a": AnalogMultiheadAttention(digital, config)}).eval()
    x = torch.randn(5, 2, 8)
    other = to_aihwkit(net)
    assert_close(other["a"](x, x, x), net["a"](x, x, x), 1e-5)
    digital.load_state_dict(other["a"].digital_state())


def test_an_encoder_on_aihwkits_tiles_gives_the_same_outputs():
    torch.manual_seed(0)
    net = with_analog_attention(network_of("padded"), create_rpu_config(out_noise=0.0)).eval()
    args, kwargs = inputs_of("padded")
    with torch.no_grad():
        assert_close([to_aihwkit(net)(*args, **kwargs)], [net(*args, **kwargs)], 1e-5)


# ---- saving, moving, types -------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"kdim": 4}, {"bias": False}, {"add_bias_kv": True}])
def test_states_of_the_digital_layer_load_and_come_back(options):
    digital = nn.MultiheadAttention(8, 2, **options)
    other = copy.deepcopy(digital)
    for p in other.parameters():
        nn.init.normal_(p)
    analog = nn.ModuleDict({"a": AnalogMultiheadAttention(digital, ideal())})
    state = {f"a.{k}": v for k, v in other.state_dict().items()}
    assert not analog.load_state_dict(state, strict=False).unexpected_keys
    back = analog["a"].digital_state()
    assert back.keys() == other.state_dict().keys()
    assert all(torch.equal(back[k], v) for k, v in other.state_dict().items())
    other.load_state_dict(back)


def test_the_own_state_loads():
    analog = AnalogMultiheadAttention(nn.MultiheadAttention(8, 2), create_rpu_config()).train()
    x = torch.randn(5, 2, 8)
    analog(x, x, x)
    other = AnalogMultiheadAttention(nn.MultiheadAttention(8, 2), create_rpu_config())
    buffer = io.BytesIO()
    torch.save(analog.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other.k_proj.input_range, analog.k_proj.input_range)
    assert torch.equal(other.k_proj.weight, analog.k_proj.weight)


def test_a_copy_has_parameters_of_its_own():
    analog = AnalogMultiheadAttention(nn.MultiheadAttention(8, 2), ideal()).eval()
    other = copy.deepcopy(analog)
    x = torch.randn(5, 2, 8)
    assert_close(other(x, x, x), analog(x, x, x))
    with torch.no_grad():
        other.q_proj.weight.zero_()
    assert not torch.equal(other.q_proj.weight, analog.q_proj.weight)


TYPES = [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)]


@pytest.mark.parametrize("dtype, rtol", TYPES)
@pytest.mark.parametrize("need_weights", [True, False])
def test_layers_move_to_other_types(dtype, rtol, need_weights):
    torch.manual_seed(0)
    digital = nn.MultiheadAttention(8, 2)
    analog = AnalogMultiheadAttention(copy.deepcopy(digital), ideal()).to(dtype)
    x = torch.randn(5, 2, 8).to(dtype)
    y = analog(x, x, x, need_weights=need_weights)[0]
    assert y.dtype == dtype
    exact = digital.to(dtype).double()
    x = x.double()
    assert_close([y.double()], [exact(x, x, x)[0]], rtol)


def test_training_sets_ranges_and_changes_weights():
    torch.manual_seed(0)
    analog = AnalogMultiheadAttention(nn.MultiheadAttention(8, 2), create_rpu_config()).train()
    optimizer = torch.optim.SGD(analog.parameters(), 0.1)
    before = {k: p.detach().clone() for k, p in analog.named_parameters()}
    x = torch.randn(5, 2, 8)
    analog(x, x, x)[0].square().sum().backward()
    optimizer.step()
    unmoved = {k for k, p in analog.named_parameters() if torch.equal(p, before[k])}
    assert not unmoved - {"k_proj.bias"}  # adds the same to all scores of a query


def test_a_network_around_it_converts():
    torch.manual_seed(0)
    net = with_analog_attention(encoder_layer(), ideal()).eval()
    x = torch.randn(4, 6, 16)
    converted = to_analog(net, ideal())
    assert_close([converted(x)], [net(x)], 1e-5)
