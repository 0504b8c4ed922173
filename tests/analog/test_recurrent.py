"""Recurrent layers on tiles against PyTorch on a perfect chip, and against aihwkit's cells."""

import copy
import io
import itertools

import pytest
import torch
from aihwkit.nn import (
    AnalogGRUCell,
    AnalogLSTMCell,
    AnalogRNN,
    AnalogVanillaRNNCell,
)
from aihwkit.nn import AnalogLinear as AihwkitLinear
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters.enums import RPUDataType, WeightModifierType
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from analognas.analog import recurrent
from analognas.analog.convert import to_aihwkit
from analognas.analog.hardware import create_rpu_config
from analognas.analog.programming import program
from analognas.analog.recurrent import AnalogRecurrent, AnalogRecurrentCell
from analognas.core import ConfigError

KINDS = (nn.LSTM, nn.GRU, nn.RNN)
CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def ideal():
    return create_rpu_config("ideal")


def quiet(**settings):
    "A chip without randomness whose input ranges are set, in double precision."
    config = create_rpu_config(out_noise=0.0, modifier_std=0.0, **settings)
    config.runtime.data_type = RPUDataType.DOUBLE
    ranges = config.pre_post.input_range
    ranges.init_from_data = 0
    ranges.init_value = 1.2
    ranges.decay = 0.0
    return config


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def state_for(digital, n):
    widths = [getattr(digital, "proj_size", 0) or digital.hidden_size]
    if isinstance(digital, nn.LSTM):
        widths.append(digital.hidden_size)
    rows = digital.num_layers * (1 + digital.bidirectional)
    state = [torch.randn(rows, n, width, dtype=torch.float64) for width in widths]
    state = [s.requires_grad_() for s in state]
    return tuple(state) if isinstance(digital, nn.LSTM) else state[0]


def outputs(module, x, hx=None):
    "Outputs and last state, flat."
    y, last = module(x, hx)
    data = y.data if isinstance(y, torch.nn.utils.rnn.PackedSequence) else y
    return [data, *as_tuple(last)]


def gradients(values, wanted):
    torch.manual_seed(1)
    loss = sum((v * torch.randn(v.shape, dtype=v.dtype)).sum() for v in values)
    return torch.autograd.grad(loss, wanted, retain_graph=True)


def assert_close(ours, theirs, rtol):
    for a, b in zip(ours, theirs, strict=True):
        largest = float(b.detach().abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0, atol=rtol * max(largest, 1e-30))


def parameters_by_name(layer):
    "Parameters of an analog layer under the digital names."
    names = [f"{k}_{n}" for n, t in layer.tiles.items() for k, _ in t.named_parameters()]
    names = [n for n in names if n.startswith(("weight", "bias"))]
    return {name: getattr(layer, name) for name in names}


@st.composite
def recurrent_layers(draw):
    kind = draw(st.sampled_from(KINDS))
    hidden = draw(st.integers(2, 6))
    options = {
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if kind is nn.LSTM:
        options["proj_size"] = draw(st.integers(0, hidden - 1))
    if kind is nn.RNN:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    return kind(draw(st.integers(1, 5)), hidden, **options).double()


@settings(max_examples=40, deadline=None)
@given(recurrent_layers(), st.integers(1, 4), st.integers(1, 5), st.booleans(), st.integers(0, 99))
def test_ideal_chip_equals_pytorch(digital, n, length, with_state, seed):
    torch.manual_seed(seed)
    analog = AnalogRecurrent(copy.deepcopy(digital), ideal())
    x = torch.randn(n, length, digital.input_size, dtype=torch.float64)
    if not digital.batch_first:
        x = x.transpose(0, 1)
    hx = state_for(digital, n) if with_state else None
    assert_close(outputs(analog, x, hx), outputs(digital, x, hx), 1e-12)


@settings(max_examples=25, deadline=None)
@given(recurrent_layers(), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans())
def test_packed_sequences_equal_pytorch(digital, lengths, with_state):
    torch.manual_seed(0)
    analog = AnalogRecurrent(copy.deepcopy(digital), ideal())
    x = torch.randn(len(lengths), max(lengths), digital.input_size, dtype=torch.float64)
    packed = pack_padded_sequence(x, torch.tensor(lengths), True, enforce_sorted=False)
    hx = state_for(digital, len(lengths)) if with_state else None
    assert_close(outputs(analog, packed, hx), outputs(digital, packed, hx), 1e-12)
    assert analog(packed)[0].batch_sizes.equal(packed.batch_sizes)


@settings(max_examples=20, deadline=None)
@given(recurrent_layers(), st.booleans(), st.booleans())
def test_gradients_on_the_ideal_chip_equal_pytorch(digital, packed, training):
    torch.manual_seed(0)
    digital.train(training)
    config = ideal()
    analog = AnalogRecurrent(copy.deepcopy(digital), config)
    inner = torch.randn(3, 4, digital.input_size, dtype=torch.float64, requires_grad=True)
    x = inner if digital.batch_first else inner.transpose(0, 1)
    if packed:
        x = pack_padded_sequence(inner, torch.tensor([2, 4, 1]), True, enforce_sorted=False)
    hx = state_for(digital, 3)
    ours = parameters_by_name(analog)
    theirs = dict(digital.named_parameters())
    assert ours.keys() == theirs.keys()
    states = [inner, *as_tuple(hx)]
    by_analog = gradients(outputs(analog, x, hx), [*states, *(ours[k] for k in sorted(ours))])
    by_digital = gradients(outputs(digital, x, hx), [*states, *(theirs[k] for k in sorted(ours))])
    assert_close(by_analog, by_digital, 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_sequence_equals_pytorch(kind):
    digital = kind(3, 4, bidirectional=True, batch_first=True).double()
    analog = AnalogRecurrent(copy.deepcopy(digital), ideal())
    x = torch.randn(5, 3, dtype=torch.float64)
    state = state_for(digital, 1)
    hx = tuple(s[:, 0] for s in state) if kind is nn.LSTM else state[:, 0]
    assert_close(outputs(analog, x, hx), outputs(digital, x, hx), 1e-12)
    assert_close(outputs(analog, x), outputs(digital, x), 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_sequences_give_an_empty_output(kind):
    digital = kind(3, 4)
    analog = AnalogRecurrent(copy.deepcopy(digital), create_rpu_config())
    for mode in (True, False):
        ours = outputs(analog.train(mode), torch.randn(5, 0, 3))
        assert [y.shape for y in ours] == [y.shape for y in outputs(digital, torch.randn(5, 0, 3))]
    outputs(analog.train(), torch.randn(5, 0, 3))[0].sum().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_without_steps_are_refused_as_by_pytorch(kind):
    digital = kind(3, 4)
    analog = AnalogRecurrent(copy.deepcopy(digital), ideal())
    for shape in ((0, 2, 3), (0, 3)):
        with pytest.raises(RuntimeError):
            digital(torch.zeros(shape))
        with pytest.raises(ConfigError, match="at least one step"):
            analog(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(5, 2, 4), (3,), (5, 2, 1, 3)])
def test_inputs_of_another_shape_are_refused(shape):
    analog = AnalogRecurrent(nn.GRU(3, 4), ideal())
    with pytest.raises(ConfigError, match=str(shape[-1])):
        analog(torch.zeros(shape))


@pytest.mark.parametrize(
    "x, state", [((5, 2, 3), (1, 4)), ((5, 3), (1, 1, 4)), ((5, 2, 3), (1, 3, 4))]
)
def test_states_of_another_shape_are_refused(x, state):
    digital = nn.GRU(3, 4)
    analog = AnalogRecurrent(copy.deepcopy(digital), ideal())
    with pytest.raises(RuntimeError):
        digital(torch.zeros(x), torch.zeros(state))
    with pytest.raises(ConfigError, match="state"):
        analog(torch.zeros(x), torch.zeros(state))


def test_repr_has_the_sizes_and_what_is_not_as_usual():
    assert AnalogRecurrent(nn.GRU(3, 4), ideal()).extra_repr() == "GRU, 3, 4"
    twice = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    shown = AnalogRecurrent(twice, ideal()).extra_repr()
    assert shown == "LSTM, 3, 4, num_layers=2, bidirectional=True"


def test_dropout_acts_between_layers_in_training_only():
    digital = nn.LSTM(3, 4, num_layers=3, dropout=0.5).double()
    config = ideal()
    config.modifier.type = WeightModifierType.NONE  # draws no random numbers
    analog = AnalogRecurrent(copy.deepcopy(digital), config)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert_close(outputs(analog.eval(), x), outputs(digital.eval(), x), 1e-12)
    torch.manual_seed(0)
    ours = outputs(analog.train(), x)
    torch.manual_seed(0)
    assert_close(ours, outputs(digital.train(), x), 1e-12)


# ---- cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, bias, n", list(itertools.product(CELLS, (True, False), (None, 0, 1, 3)))
)
def test_cells_on_the_ideal_chip_equal_pytorch(kind, bias, n):
    torch.manual_seed(0)
    digital = kind(3, 4, bias=bias).double()
    analog = AnalogRecurrentCell(copy.deepcopy(digital), ideal())
    batch = () if n is None else (n,)
    x = torch.randn(*batch, 3, dtype=torch.float64)
    assert_close(as_tuple(analog(x)), as_tuple(digital(x)), 1e-12)
    h = torch.randn(*batch, 4, dtype=torch.float64)
    hx = (h, h.flip(-1)) if kind is nn.LSTMCell else h
    assert_close(as_tuple(analog(x, hx)), as_tuple(digital(x, hx)), 1e-12)


def test_a_cell_with_relu_equals_pytorch():
    digital = nn.RNNCell(3, 4, nonlinearity="relu").double()
    x = torch.randn(2, 3, dtype=torch.float64)
    analog = AnalogRecurrentCell(copy.deepcopy(digital), ideal())
    torch.testing.assert_close(analog(x), digital(x))


def test_cells_refuse_other_shapes():
    analog = AnalogRecurrentCell(nn.LSTMCell(3, 4), ideal())
    with pytest.raises(ConfigError, match=r"\(2, 5\)"):
        analog(torch.zeros(2, 5))
    with pytest.raises(ConfigError, match="state"):
        analog(torch.zeros(2, 3), (torch.zeros(4), torch.zeros(4)))
    with pytest.raises(ConfigError, match=r"got \[\(1, 4\), \(1, 4\)\]"):
        analog(torch.zeros(2, 3), (torch.zeros(1, 4), torch.zeros(1, 4)))


# ---- aihwkit -------------------------------------------------------------------------------------

AIHWKIT_CELLS = {nn.LSTM: AnalogLSTMCell, nn.GRU: AnalogGRUCell, nn.RNN: AnalogVanillaRNNCell}


def aihwkit_twin(digital, config):
    "aihwkit's network with the weights of a digital one."
    twin = AnalogRNN(
        AIHWKIT_CELLS[type(digital)],
        digital.input_size,
        digital.hidden_size,
        rpu_config=copy.deepcopy(config),
        num_layers=digital.num_layers,
        bidir=digital.bidirectional,
    )
    for name, layer in twin.named_modules():
        if isinstance(layer, AihwkitLinear):
            suffix = aihwkit_suffix(name)
            layer.set_weights(
                getattr(digital, f"weight_{suffix}").detach(),
                getattr(digital, f"bias_{suffix}").detach(),
            )
    return twin


def aihwkit_suffix(name):
    "`rnn.layers.1.directions.1.cell.weight_hh` is `hh_l1_reverse`."
    parts = name.split(".")
    reverse = "_reverse" * ("directions" in parts and parts[4] == "1")
    return f"{parts[-1].removeprefix('weight_')}_l{parts[2]}{reverse}"


def aihwkit_state(state, bidirectional):
    "Zero or given states as aihwkit's nested lists: of layers, of directions."
    rows = [tuple(s[i] for s in state) for i in range(len(state[0]))]
    rows = [row if len(row) == 2 else row[0] for row in rows]
    if bidirectional:
        return [[rows[i], rows[i + 1]] for i in range(0, len(rows), 2)]
    return rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "layers, bidirectional, tile", [(1, False, 512), (2, True, 512), (2, True, 7)]
)
def test_outputs_and_gradients_equal_aihwkits(kind, layers, bidirectional, tile):
    torch.manual_seed(0)
    digital = kind(5, 9, num_layers=layers, bidirectional=bidirectional).double()
    config = quiet(tile_size=tile)
    ours = AnalogRecurrent(copy.deepcopy(digital), config).train()
    theirs = aihwkit_twin(digital, config).train()
    x = torch.randn(6, 4, 5, dtype=torch.float64, requires_grad=True)
    hx = state_for(digital, 4)
    y = ours(x, hx)[0]
    z = theirs(x, aihwkit_state(as_tuple(hx), bidirectional))[0]
    assert_close([y], [z], 1e-6)
    inputs = [x, *as_tuple(hx)]
    assert_close(gradients([y], inputs), gradients([z], inputs), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_weights_and_ranges_equal_aihwkits(kind):
    torch.manual_seed(0)
    digital = kind(5, 9).double()
    config = quiet()
    ours = AnalogRecurrent(copy.deepcopy(digital), config).train()
    theirs = aihwkit_twin(digital, config).train()
    x = torch.randn(6, 4, 5, dtype=torch.float64)
    hx = 2 * torch.randn(1, 4, 9, dtype=torch.float64)  # so that the range clips some
    hx = (hx, hx) if kind is nn.LSTM else hx
    torch.manual_seed(1)
    weighting = torch.randn(6, 4, 9, dtype=torch.float64)
    (ours(x, hx)[0] * weighting).sum().backward()
    (theirs(x, aihwkit_state(as_tuple(hx), False))[0] * weighting).sum().backward()
    cell = theirs.rnn.layers[0].cell
    for name in ("ih", "hh"):
        layer = ours.tiles[f"{name}_l0"]
        tile = next(getattr(cell, f"weight_{name}").analog_tiles())
        scale = tile.get_mapping_scales().view(-1, 1)
        assert_close([layer.weight.grad], [tile.tile.weight.grad * scale], 1e-5)
        assert_close(
            [layer.bias.grad], [getattr(cell, f"weight_{name}").analog_module.bias.grad], 1e-5
        )
        assert_close([layer.input_range.grad.flatten()], [tile.input_range.grad], 1e-5)


def test_an_unsupported_chip_can_run_on_aihwkits_tiles():
    torch.manual_seed(0)
    digital = nn.LSTM(5, 9)

    def make_layer(linear, config):
        bias = linear.bias is not None
        layer = AihwkitLinear(linear.in_features, linear.out_features, bias, config)
        layer.set_weights(linear.weight.detach(), linear.bias.detach())
        return layer

    config = InferenceRPUConfig()
    config.forward.is_perfect = True
    analog = AnalogRecurrent(copy.deepcopy(digital), config, make_layer).eval()
    x = torch.randn(6, 4, 5)
    assert_close(outputs(analog, x), outputs(digital, x), 1e-5)
    digital.load_state_dict(analog.digital_state())
    assert_close(outputs(analog, x), outputs(digital, x), 1e-5)


def test_to_aihwkit_gives_the_same_outputs():
    torch.manual_seed(0)
    net = nn.Sequential(AnalogRecurrent(nn.GRU(5, 9).double(), quiet())).eval()
    x = torch.randn(6, 4, 5, dtype=torch.float64)
    other = to_aihwkit(net)
    assert_close(net(x)[:1], other(x)[:1], 1e-6)
    assert_close(
        [other[0].weight_hh_l0, other[0].bias_ih_l0], [net[0].weight_hh_l0, net[0].bias_ih_l0], 1e-6
    )


# ---- the chip is there ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind, grad", list(itertools.product(KINDS, (True, False))))
def test_noise_of_programming_moves_the_outputs(kind, grad):
    torch.manual_seed(0)
    digital = kind(5, 9, num_layers=2).eval()
    config = create_rpu_config(out_noise=0.0, prog_noise_scale=20.0)
    analog = AnalogRecurrent(copy.deepcopy(digital), config)
    program(analog)
    x = torch.randn(6, 4, 5)
    packed = pack_padded_sequence(x, torch.tensor([6, 4, 2, 1]))
    with torch.set_grad_enabled(grad):
        for value in (x, packed, x[:, 0]):
            for y, z in zip(outputs(analog, value), outputs(digital, value), strict=True):
                assert (y - z).abs().mean() > 0.3 * z.abs().mean()


@pytest.mark.parametrize("name", ["ih_l0", "hh_l0", "hr_l0"])
def test_each_matrix_is_read_from_its_tiles(name):
    torch.manual_seed(0)
    digital = nn.LSTM(5, 9, proj_size=4)
    analog = AnalogRecurrent(copy.deepcopy(digital), ideal()).eval()
    x = torch.randn(6, 4, 5)
    before = outputs(analog, x)
    program(analog)
    for other, layer in analog.tiles.items():
        for state in layer.tile_states:
            state.weights = state.weights if other != name else state.weights.flip(1)
    assert not torch.allclose(outputs(analog, x)[0], before[0], atol=1e-3)


def test_cells_read_the_programmed_tiles():
    torch.manual_seed(0)
    for kind in CELLS:
        digital = kind(5, 9)
        config = create_rpu_config(prog_noise_scale=20.0)
        analog = AnalogRecurrentCell(copy.deepcopy(digital), config).eval()
        program(analog)
        with torch.no_grad():
            x = torch.randn(6, 5)
            assert (as_tuple(analog(x))[0] - as_tuple(digital(x))[0]).abs().mean() > 0.02


def test_training_uses_the_same_noisy_weights_at_each_step():
    "A step from the same state gives the same output within a pass, another one in the next."
    torch.manual_seed(0)
    digital = nn.RNN(3, 4)
    nn.init.zeros_(digital.weight_ih_l0)
    nn.init.constant_(digital.bias_ih_l0, 9.0)  # the hidden state is 1 after any step
    config = create_rpu_config(out_noise=0.0, modifier_std=0.1)
    analog = AnalogRecurrent(digital, config).train()
    hidden = analog.tiles["hh_l0"]
    seen = []
    original = recurrent.STEPS["RNN_TANH"]
    recurrent.STEPS["RNN_TANH"] = lambda i, h, s: seen.append(h.detach()) or original(i, h, s)
    try:
        for _ in range(2):
            analog(torch.zeros(4, 1, 3))
    finally:
        recurrent.STEPS["RNN_TANH"] = original
    assert hidden.training
    assert torch.equal(seen[1], seen[2]) and torch.equal(seen[2], seen[3])
    assert torch.equal(seen[5], seen[6])
    assert not torch.allclose(seen[1], seen[5])


def test_input_ranges_are_set_from_all_steps():
    torch.manual_seed(0)
    analog = AnalogRecurrent(nn.LSTM(5, 9), create_rpu_config()).train()
    x = torch.randn(20, 8, 5)
    with torch.no_grad():
        y = analog(x)[0]
    rule = analog.tiles["ih_l0"].rpu_config.pre_post.input_range
    hidden = torch.cat([torch.zeros(1, 8, 9), y[:-1]]).flatten(0, 1)
    for name, inputs in (("ih_l0", x.flatten(0, 1)), ("hh_l0", hidden)):
        wanted = rule.init_std_alpha * inputs.std()
        assert analog.tiles[name].input_range.item() == pytest.approx(wanted.item(), rel=1e-4)
        assert float(analog.tiles[name].range_batches) == 1


def test_a_step_of_training_is_seen_by_the_next_pass():
    torch.manual_seed(0)
    analog = AnalogRecurrent(nn.LSTM(5, 9), create_rpu_config()).train()
    optimizer = torch.optim.SGD(analog.parameters(), 1.0)
    x = torch.randn(6, 4, 5)
    before = analog.weight_hh_l0.detach().clone()
    analog(x)[0].square().sum().backward()
    optimizer.step()
    layer = analog.tiles["hh_l0"]
    scale = layer.scale.clone()
    analog(x)
    assert not torch.equal(analog.weight_hh_l0, before)
    assert not torch.equal(layer.scale, scale)


# ---- what the digital layer carried ---------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_taken_over_as_objects(kind):
    digital = kind(3, 4, num_layers=2)
    digital.weight_hh_l1.requires_grad_(False)
    kept = dict(digital.named_parameters())
    analog = AnalogRecurrent(digital, ideal())
    ours = parameters_by_name(analog)
    assert ours.keys() == kept.keys()
    assert all(ours[name] is kept[name] for name in kept)
    assert not analog.tiles["hh_l1"].weight.requires_grad


def test_hooks_buffers_and_attributes_are_kept():
    digital = nn.GRU(3, 4).eval()
    digital.register_buffer("mean", torch.ones(2))
    digital.note = "kept"
    calls = []
    digital.register_forward_hook(lambda *_: calls.append(1))
    analog = AnalogRecurrent(digital, ideal())
    analog(torch.zeros(2, 1, 3))
    assert calls == [1]
    assert torch.equal(analog.mean, torch.ones(2))
    assert analog.note == "kept"
    assert not any(m.training for m in analog.modules())


def test_a_hook_of_a_matrix_sees_each_step():
    analog = AnalogRecurrent(nn.GRU(3, 4), ideal())
    calls = []
    analog.tiles["hh_l0"].register_forward_hook(lambda *_: calls.append(1))
    analog(torch.zeros(5, 1, 3))
    assert len(calls) == 5


def test_flatten_parameters_does_nothing():
    analog = AnalogRecurrent(nn.GRU(3, 4), ideal())
    before = analog.digital_state()
    analog.flatten_parameters()
    assert all(torch.equal(v, before[k]) for k, v in analog.digital_state().items())


def test_an_analog_layer_moves_to_another_chip():
    torch.manual_seed(0)
    digital = nn.LSTM(3, 4, bidirectional=True)
    x = torch.randn(5, 2, 3)
    rough = AnalogRecurrent(copy.deepcopy(digital), create_rpu_config(dac_bits=2)).eval()
    again = type(rough)(rough, ideal())
    assert_close(outputs(again, x), outputs(digital, x), 1e-5)
    cell = AnalogRecurrentCell(nn.RNNCell(3, 4, nonlinearity="relu"), create_rpu_config())
    assert AnalogRecurrentCell(cell, ideal()).mode == "RNN_RELU"


# ---- saving, moving, types -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "digital", [nn.LSTM(3, 4, 2, proj_size=2), nn.GRU(3, 4), nn.LSTMCell(3, 4)]
)
def test_states_of_the_digital_layer_load_and_come_back(digital):
    kind = AnalogRecurrentCell if isinstance(digital, nn.LSTMCell) else AnalogRecurrent
    other = copy.deepcopy(digital)
    for p in other.parameters():
        nn.init.normal_(p)
    analog = nn.ModuleDict({"a": kind(digital, ideal())})
    state = {f"a.{k}": v for k, v in other.state_dict().items()}
    result = analog.load_state_dict(state, strict=False)
    assert not result.unexpected_keys
    back = analog["a"].digital_state()
    assert back.keys() == other.state_dict().keys()
    assert all(torch.equal(back[k], v) for k, v in other.state_dict().items())
    other.load_state_dict(back)


def test_the_own_state_loads():
    analog = AnalogRecurrent(nn.LSTM(3, 4), create_rpu_config())
    analog.train()(torch.randn(5, 2, 3))
    other = AnalogRecurrent(nn.LSTM(3, 4), create_rpu_config())
    buffer = io.BytesIO()
    torch.save(analog.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other.tiles["hh_l0"].input_range, analog.tiles["hh_l0"].input_range)
    assert torch.equal(other.weight_ih_l0, analog.weight_ih_l0)


def test_a_copy_has_parameters_of_its_own():
    analog = AnalogRecurrent(nn.LSTM(3, 4), create_rpu_config(out_noise=0.0)).eval()
    x = torch.randn(5, 2, 3)
    other = copy.deepcopy(analog)
    assert_close(outputs(other, x), outputs(analog, x), 1e-12)
    with torch.no_grad():
        other.weight_hh_l0.zero_()
    assert not torch.equal(other.weight_hh_l0, analog.weight_hh_l0)


@pytest.mark.parametrize(
    "dtype, rtol", [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)]
)
def test_layers_move_to_other_types(dtype, rtol):
    torch.manual_seed(0)
    digital = nn.LSTM(3, 4)
    analog = AnalogRecurrent(copy.deepcopy(digital), ideal()).to(dtype)
    x = torch.randn(5, 2, 3).to(dtype)
    y = analog(x)[0]
    assert y.dtype == dtype
    assert_close([y.double()], [digital.to(dtype).double()(x.double())[0]], rtol)


def test_training_works_in_bfloat16():
    analog = AnalogRecurrent(nn.GRU(3, 4).bfloat16(), create_rpu_config()).train()
    analog(torch.randn(5, 2, 3, dtype=torch.bfloat16))[0].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in analog.parameters())


def test_a_compiled_layer_gives_the_same_output():
    digital = nn.Sequential(nn.LSTM(3, 4))
    analog = nn.Sequential(AnalogRecurrent(digital[0], ideal()))
    x = torch.randn(5, 2, 3)
    compiled = torch.compile(analog, backend="eager")
    assert_close(compiled(x)[:1], analog(x)[:1], 1e-12)
