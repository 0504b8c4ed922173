"""The cost of any network: against the spaces' arithmetic, counts by hand, closed forms, and PyTorch's counter of operations."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torchvision
import transformers
from aihwkit.nn.conversion import convert_to_analog
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.core import ConfigError, DatasetInfo
from analognas.core.placement import Placement
from analognas.cost.model import CHIPS, HERMES, RESNET8, Chip, hardware_cost, layer_costs
from analognas.cost.networks import model_cost
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space

CELLS = NASBench201Space("digits", channels=16, cells_per_stage=1)
RESNETS = ConfigSpace("digits")
SMALL = Chip("small", 16, 16, 4, mvm_time=1e-7, mvm_energy=1e-9)


def smallest(space, n):
    "The members with the fewest parameters of a sample: quick to build."
    drawn = space.sample_arch_uniformly(40 * n, 3)
    params = space.stats(drawn)["params"]
    return [drawn[i] for i in np.argsort(params)[:n]]


def shapes(cost):
    "Name -> inputs, outputs, products and number of matrices."
    table = cost.layers[["rows", "cols", "pixels", "times"]]
    return dict(zip(table.index, table.itertuples(index=False, name=None)))


def macs(layers):
    "Multiply-accumulates of a table of layers."
    return (layers.rows * layers.cols * layers.times * layers.pixels).sum()


def counted_macs(model, *args, **kwargs):
    "Multiply-accumulates of a network, by PyTorch's own counter, of what it knows."
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(*args, **kwargs)
    torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() / 2


def assert_finite(cost):
    "Every number of a cost is finite."
    for table in (cost.layers, cost.digital, cost.total):
        assert np.isfinite(table.to_numpy(float)).all()


# ---- the spaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chip", [*CHIPS, SMALL])
@pytest.mark.parametrize("space", [RESNETS, CELLS], ids=["resnet", "nasbench201"])
def test_the_cost_is_that_of_the_space(space, chip):
    for config in smallest(space, 3):
        net = space.build_network(config)
        cost = model_cost(net, torch.zeros(2, *space.info.input_dim), chip)
        expected = hardware_cost(space, [config], chip)
        np.testing.assert_allclose(cost.total[list(expected)], expected, rtol=1e-12)
        by_kind = layer_costs(space, config, chip)
        assert len(cost.layers) == by_kind.times.sum()
        assert macs(cost.layers) == space.stats([config])["macs"][0]
        assert list(cost.layers) == list(by_kind)
        assert not cost.unpriced
        assert_finite(cost)


def test_the_cost_is_that_of_a_function_family():
    def build(config, dim, classes):
        first = nn.Conv2d(dim[0], 8, 3, groups=2)
        return nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, config["x"]))

    space = ConfigSpace(DatasetInfo("own", (4, 8, 8), 3), search_space="custom", network=build)
    space.add_hyperparameter_range("x", "discrete", [3, 300])
    for x in (3, 300):
        net = space.build_network({"x": x})
        cost = model_cost(net, torch.zeros(5, 4, 8, 8))
        assert cost.layers.equals(layer_costs(space, {"x": x}))


# ---- layers by hand ------------------------------------------------------------------------------


def test_a_transformer_block_by_hand():
    e, tokens, hidden, heads = 32, 7, 48, 4
    block = nn.TransformerEncoderLayer(e, heads, hidden, batch_first=True)
    cost = model_cost(block, torch.zeros(3, tokens, e), SMALL)
    projection = (e, e, tokens, 1)
    assert shapes(cost) == {
        "self_attn.q_proj": projection,
        "self_attn.k_proj": projection,
        "self_attn.v_proj": projection,
        "self_attn.out_proj": projection,
        "linear1": (e, hidden, tokens, 1),
        "linear2": (hidden, e, tokens, 1),
    }
    assert cost.total.tiles.item() == 4 * 2 * 2 + 2 * (2 * 3)
    assert cost.total.chips.item() == 7
    digital = cost.digital
    assert digital.macs.to_dict() == {
        n: (2 * tokens * tokens * e if n == "self_attn" else 0) for n in digital.index
    }
    assert digital.activations["self_attn"] == heads * tokens * tokens
    assert digital.norms["norm1"] == digital.norms["norm2"] == tokens * e
    # bias and the sum of two partial results; the block: its ReLU and two sums
    assert digital.elementwise["linear1"] == 2 * tokens * hidden
    assert digital.elementwise["self_attn.q_proj"] == 2 * tokens * e
    name = "TransformerEncoderLayer"
    assert digital.activations[name] == tokens * hidden
    assert digital.elementwise[name] == 2 * tokens * e


def test_the_energy_of_digital_operations_is_horowitzs():
    net = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Softmax(1))
    digital = model_cost(net, torch.zeros(2, 2, 3, 3)).digital
    n = 4 * 3 * 3
    assert digital.energy["1"] == pytest.approx(n * (1.1e-12 + 0.4e-12))
    assert digital.energy["2"] == pytest.approx(n * 0.4e-12)
    assert digital.energy["3"] == pytest.approx(n * (2 * 1.1e-12 + 4 * 0.4e-12))
    attention = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
    cost = model_cost(attention, (torch.zeros(1, 5, 8),) * 3)
    assert cost.digital.macs.sum() * 0.3e-12 == pytest.approx(2 * 5 * 5 * 8 * 0.3e-12)
    scaled = 2 * 5 * 8 * 1.1e-12
    curves = 2 * 5 * 5 * (2 * 1.1e-12 + 4 * 0.4e-12)
    mean_of_heads = 2 * 5 * 5 * 0.4e-12
    expected = 400 * 0.3e-12 + curves + mean_of_heads
    assert cost.digital.energy.sum() == pytest.approx(expected + scaled / 2, rel=1e-9)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("projection", [0, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind, gates", [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_multiply_once_a_step(kind, gates, bidirectional, projection):
    if projection and kind is not nn.LSTM:
        projection = 0
    more = {"proj_size": projection} if projection else {}
    net = kind(5, 6, num_layers=2, bidirectional=bidirectional, **more)
    cost = model_cost(net, torch.zeros(9, 4, 5), SMALL, batch_dim=1)
    expected = {
        f"{kind.__name__}.{name}": (w.shape[1], w.shape[0], 9, 1)
        for name, w in net.named_parameters()
        if name.startswith("weight")
    }
    assert shapes(cost) == expected
    assert cost.layers.mvms.sum() == 9 * cost.layers.tiles.sum()
    curves = {4: 5, 3: 3, 1: 1}[gates]
    units = 6 * 2 * (1 + bidirectional)
    assert cost.digital.activations.sum() == 9 * curves * units


def test_packed_sequences_multiply_once_a_real_step():
    net = nn.LSTM(5, 6, batch_first=True)
    packed = pack_padded_sequence(torch.zeros(3, 8, 5), [8, 5, 2], batch_first=True)
    assert model_cost(net, packed).layers.pixels.tolist() == [5, 5]
    uneven = pack_padded_sequence(torch.zeros(2, 8, 5), [8, 5], batch_first=True)
    assert model_cost(net, uneven).layers.pixels.tolist() == [6.5, 6.5]
    assert model_cost(net, uneven).total.mvms.item() == 6.5 * 2
    assert_finite(model_cost(net, uneven))


@pytest.mark.parametrize("kind, gates", [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_cells_multiply_once_a_call(kind, gates):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = kind(5, 6)

        def forward(self, x):
            state = None
            for step in x.unbind(1):
                state = self.cell(step, state)
            return state

    cost = model_cost(Loop(), torch.zeros(4, 7, 5))
    assert shapes(cost) == {
        "cell.weight_ih": (5, 6 * gates, 7, 1),
        "cell.weight_hh": (6, 6 * gates, 7, 1),
    }


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_convolutions_of_all_dimensions(dim):
    conv = [nn.Conv1d, nn.Conv2d, nn.Conv3d][dim - 1]
    net = conv(4, 6, 3, padding=1, stride=2, groups=2)
    cost = model_cost(net, torch.zeros(2, 4, *[8] * dim))
    assert list(shapes(cost).values()) == [(2 * 3**dim, 3, 4**dim, 2)]


@pytest.mark.parametrize("dim", [1, 2])
def test_transposed_convolutions_multiply_at_input_positions(dim):
    conv = [nn.ConvTranspose1d, nn.ConvTranspose2d][dim - 1]
    net = conv(4, 6, 3, stride=2, groups=2)
    x = torch.zeros(2, 4, *[5] * dim)
    cost = model_cost(net, x)
    assert list(shapes(cost).values()) == [(2, 3 * 3**dim, 5**dim, 2)]
    assert 2 * macs(cost.layers) == counted_macs(net, x)
    bias = 6 * 11**dim
    assert cost.digital.elementwise.sum() == 5**dim * 6 * 3**dim + bias


def test_a_depthwise_network_has_a_tile_per_channel():
    def separable(inputs, outputs):
        depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        return [depthwise, nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1)]

    net = nn.Sequential(*separable(8, 20), *separable(20, 5))
    cost = model_cost(net, torch.zeros(2, 8, 6, 6), SMALL)
    assert cost.layers.tiles.tolist() == [8, 2, 20, 2]
    assert cost.layers.mvms.tolist() == [8 * 36, 2 * 36, 20 * 36, 2 * 36]
    assert cost.layers.latency.tolist() == pytest.approx([8 * 36e-7, 36e-7, 20 * 36e-7, 36e-7])
    assert (
        cost.digital.norms.to_dict() | {"1": 8 * 36, "5": 20 * 36} == cost.digital.norms.to_dict()
    )


def test_attention_to_other_tokens():
    net = nn.MultiheadAttention(8, 2, kdim=6, vdim=10, batch_first=True)
    inputs = {"value": torch.zeros(3, 5, 10), "query": torch.zeros(3, 4, 8)}
    cost = model_cost(net, inputs | {"key": torch.zeros(3, 5, 6)})
    name = "MultiheadAttention"
    assert shapes(cost) == {
        f"{name}.q_proj": (8, 8, 4, 1),
        f"{name}.k_proj": (6, 8, 5, 1),
        f"{name}.v_proj": (10, 8, 5, 1),
        "out_proj": (8, 8, 4, 1),
    }
    assert cost.digital.macs.sum() == 2 * 4 * 5 * 8


def test_encoder_with_padding_is_priced_like_without():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2)
    x = torch.zeros(2, 5, 16)
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[0, 3:] = True
    plain = model_cost(encoder, x)
    assert len(plain.layers) == 12
    assert model_cost(encoder, {"src": x, "src_key_padding_mask": mask}).layers.equals(plain.layers)


# ---- whole models --------------------------------------------------------------------------------


def vit():
    return torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 64), (torch.zeros(2, 3, 32, 32),)


def swin():
    net = torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4])
    return net, (torch.zeros(2, 3, 32, 32),)


def bert():
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    return transformers.BertModel(config), (torch.zeros(2, 6, dtype=torch.long),)


def gpt2():
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4)
    return transformers.GPT2LMHeadModel(config), (torch.zeros(2, 6, dtype=torch.long),)


def mobilenet():
    return torchvision.models.mobilenet_v3_small(), (torch.zeros(2, 3, 64, 64),)


MODELS = {f.__name__: f for f in (vit, swin, bert, gpt2, mobilenet)}
FEW_LAYERS = [name for name in MODELS if name != "mobilenet"]


@pytest.mark.parametrize("name", MODELS)
def test_all_products_are_analog_or_digital(name):
    model, args = MODELS[name]()
    cost = model_cost(model, args)
    assert 2 * (macs(cost.layers) + cost.digital.macs.sum()) == counted_macs(model, *args)
    assert macs(cost.layers) > 0.8 * counted_macs(model, *args) / 2
    assert not cost.unpriced
    assert_finite(cost)


def test_whole_models_by_hand():
    model, args = vit()
    assert len(model_cost(model, args).layers) == 1 + 2 * 6 + 1
    model, args = swin()  # query, key and value are one layer, whose weight torchvision multiplies
    layers = model_cost(model, args).layers
    assert layers.loc["features.1.0.attn.qkv", ["rows", "cols", "pixels"]].tolist() == [24, 72, 64]
    model, args = gpt2()
    layers = model_cost(model, args).layers
    attention = layers.loc["transformer.h.0.attn.c_attn", ["rows", "cols", "pixels"]]
    assert attention.tolist() == [32, 96, 6]
    assert len(layers) == 2 * 4 + 1
    model, args = mobilenet()
    layers = model_cost(model, args).layers
    assert layers.times.max() > 100  # depthwise
    assert model_cost(model, args).digital.macs.sum() == 0


# ---- sharing, batches, state ---------------------------------------------------------------------


class Shared(nn.Module):
    "A layer that runs twice, one with the same weight, and one that never runs."

    def __init__(self):
        super().__init__()
        self.twice = nn.Linear(8, 8)
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.twice.weight
        self.unused = nn.Linear(8, 8)

    def forward(self, x):
        return self.tied(self.twice(self.twice(x)))


def test_shared_weights_have_tiles_once_and_products_each_time():
    cost = model_cost(Shared(), torch.zeros(2, 8))
    assert shapes(cost) == {"twice": (8, 8, 3, 1)}
    assert cost.total.tiles.item() == 1
    assert cost.unpriced == {"unused": "did not run"}


def test_the_cost_is_per_input():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    one = model_cost(net, torch.zeros(1, 3, 8, 8))
    five = model_cost(net, torch.zeros(5, 3, 8, 8))
    for table in ("layers", "digital", "total"):
        assert getattr(one, table).equals(getattr(five, table))
    unbatched = model_cost(net[0], torch.zeros(3, 8, 8), batch_dim=None)
    assert unbatched.total.mvms.item() == one.layers.mvms.iloc[0]


def test_parametrised_layers_are_priced():
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 4)), nn.ReLU())
    cost = model_cost(net, torch.zeros(2, 8))
    assert shapes(cost) == {"0": (8, 4, 1, 1)}
    assert not cost.unpriced


# ---- analog networks -----------------------------------------------------------------------------


def small_net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)
    )


def test_analog_networks_cost_what_the_digital_ones_do():
    net = small_net()
    x = torch.rand(2, 3, 6, 6)
    expected = model_cost(net, x)
    rpu_config = create_rpu_config()
    for analog in (to_analog(net, rpu_config), convert_to_analog(net, rpu_config)):
        cost = model_cost(analog, x)
        assert cost.layers.equals(expected.layers)
        assert cost.digital.equals(expected.digital)
        assert not cost.unpriced


def padded_sequences():
    return pack_padded_sequence(torch.zeros(2, 8, 5), [8, 5], batch_first=True)


TOKENS = torch.zeros(2, 5, 8)
MEMORY = torch.zeros(2, 6, 8)
LAYERS = {  # name -> digital layer, arguments, dimension of the batch
    "conv1d": lambda: (nn.Conv1d(4, 6, 3, padding=1, groups=2), torch.zeros(2, 4, 7), 0),
    "conv2d": lambda: (nn.Conv2d(4, 6, 3, padding="same"), torch.zeros(2, 4, 6, 5), 0),
    "conv3d": lambda: (nn.Conv3d(4, 6, 3, stride=2, groups=2), torch.zeros(2, 4, 6, 6, 6), 0),
    "transposed 1d": lambda: (nn.ConvTranspose1d(4, 6, 3, 2), torch.zeros(2, 4, 6), 0),
    "transposed 2d": lambda: (
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        torch.zeros(2, 4, 6, 6),
        0,
    ),
    "lstm": lambda: (nn.LSTM(5, 6, 2, bidirectional=True), torch.zeros(7, 3, 5), 1),
    "lstm, projected": lambda: (nn.LSTM(5, 6, 2, proj_size=3), torch.zeros(7, 3, 5), 1),
    "lstm, packed": lambda: (nn.LSTM(5, 6), padded_sequences(), 0),
    "gru": lambda: (nn.GRU(5, 6), torch.zeros(7, 3, 5), 1),
    "rnn": lambda: (nn.RNN(5, 6), torch.zeros(7, 3, 5), 1),
    "lstm cell": lambda: (nn.LSTMCell(5, 6), torch.zeros(7, 5), 0),
    "gru cell": lambda: (nn.GRUCell(5, 6), torch.zeros(7, 5), 0),
    "attention": lambda: (nn.MultiheadAttention(8, 2, batch_first=True), (TOKENS,) * 3, 0),
    "encoder layer": lambda: (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), TOKENS, 0),
    "decoder layer": lambda: (
        nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
        (TOKENS, MEMORY),
        0,
    ),
}


def numbers(table):
    "The rows of a table of numbers, in an order that does not depend on names."
    return sorted(map(tuple, table.to_numpy(float).round(12).tolist()))


def assert_same_cost(model, args, batch_dim=0):
    "The network costs the same before and after `to_analog`."
    digital = model_cost(model, args, batch_dim=batch_dim)
    analog = model_cost(to_analog(model, create_rpu_config()), args, batch_dim=batch_dim)
    assert numbers(analog.layers) == numbers(digital.layers)
    np.testing.assert_allclose(analog.total, digital.total, rtol=1e-12)
    assert analog.unpriced == digital.unpriced == {}
    return digital


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_costs_the_same_before_and_after_to_analog(name):
    model, args, batch_dim = LAYERS[name]()
    assert_same_cost(model.eval(), args, batch_dim)


COUNTED = [name for name in LAYERS if not name.startswith(("lstm", "gru", "rnn"))]


@pytest.mark.parametrize("name", COUNTED)
def test_the_products_of_a_layer_are_those_that_pytorch_counts(name):
    "PyTorch's counter does not know recurrent layers; those are compared with counts by hand."
    model, args, _ = LAYERS[name]()
    cost = model_cost(model, args)
    as_tuple = args if isinstance(args, tuple) else (args,)
    expected = counted_macs(model, *as_tuple) / as_tuple[0].shape[0]
    assert macs(cost.layers) + cost.digital.macs.sum() == expected


@pytest.mark.parametrize("name", [pytest.param("mobilenet", marks=pytest.mark.slow), *FEW_LAYERS])
def test_a_model_costs_the_same_before_and_after_to_analog(name):
    model, args = MODELS[name]()
    assert_same_cost(model, args)


def test_an_analog_layers_weight_multiplied_outside_of_a_call_is_on_its_tiles():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, x):
            return F.linear(x, self.linear.weight, self.linear.bias)

    analog = to_analog(Around(), create_rpu_config())
    for net in (Around(), analog):
        cost = model_cost(net, torch.zeros(3, 8))
        assert shapes(cost) == {"linear": (8, 4, 1, 1)}
        assert cost.digital.elementwise.to_dict() == {"linear": 4}
        assert cost.digital.macs.sum() == 0


# ---- what has no price ---------------------------------------------------------------------------


class Own(nn.Module):
    "A linear layer, and a weight that is multiplied by hand."

    def __init__(self, multiply):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.matrix = nn.Parameter(torch.ones(8, 4))
        self.embedding = nn.Embedding(4, 8)
        self.multiply = multiply

    def forward(self, x):
        return self.multiply(self, self.linear(x))


@pytest.mark.parametrize(
    "multiply, name, n",
    [
        (lambda m, x: x @ m.matrix, "Own", 32),
        (lambda m, x: torch.einsum("ni,io->no", x, m.matrix), "Own", 32),
        (lambda m, x: F.linear(x, m.embedding.weight), "embedding", 32),
    ],
    ids=["matmul", "einsum", "embedding"],
)
def test_weights_in_other_products_are_named(multiply, name, n):
    with pytest.warns(UserWarning, match=f"Weights without tiles.*{name}"):
        cost = model_cost(Own(multiply), torch.zeros(3, 8))
    assert list(cost.unpriced) == [name]
    assert "product" in cost.unpriced[name]
    assert name in repr(cost)
    assert cost.digital.macs["Own"] == n
    assert cost.layers.index.tolist() == ["linear"]


def test_a_layers_weight_multiplied_outside_of_a_call_is_on_its_tiles():
    cost = model_cost(Own(lambda m, x: F.linear(x, m.linear.weight)), torch.zeros(3, 8))
    assert shapes(cost) == {"linear": (8, 8, 2, 1)}
    assert cost.digital.macs.sum() == 0


def test_a_layer_with_further_weights_is_named():
    class LowRank(nn.Linear):
        def __init__(self):
            super().__init__(8, 8)
            self.down = nn.Parameter(torch.zeros(2, 8))

        def forward(self, x):
            return super().forward(x) + F.linear(x, self.down) @ self.down

    with pytest.warns(UserWarning, match="LowRank has further weights: down"):
        model_cost(LowRank(), torch.zeros(3, 8))


def test_a_bilinear_layer_is_named():
    net = nn.Sequential(nn.Linear(4, 4))
    net.bilinear = nn.Bilinear(4, 4, 2)
    net.forward = lambda x: net.bilinear(net[0](x), x)
    with pytest.warns(UserWarning, match="bilinear has weight in a product"):
        cost = model_cost(net, torch.zeros(3, 4))
    assert list(cost.unpriced) == ["bilinear"]
    assert cost.digital.macs["bilinear"] == 2 * 4 * 4


def test_errors_name_what_is_wrong():
    linear = nn.Linear(4, 4)
    with pytest.raises(ConfigError, match="no convolution and no linear layer"):
        model_cost(nn.Sequential(nn.BatchNorm1d(4)), torch.zeros(2, 4))
    with pytest.raises(ConfigError, match=r"The batch is empty: inputs of shape \(0, 4\)"):
        model_cost(linear, torch.zeros(0, 4))
    with pytest.raises(ConfigError, match="batch_dim must be a dimension.*got 2"):
        model_cost(linear, torch.zeros(2, 4), batch_dim=2)
    with pytest.raises(ConfigError, match="weight is lazy"):
        model_cost(nn.LazyLinear(3), torch.zeros(2, 4))
    with pytest.warns(FutureWarning):
        script = torch.jit.script(linear)
    with pytest.raises(ConfigError, match="0 is compiled by TorchScript"):
        model_cost(nn.Sequential(script), torch.zeros(2, 4))
    with pytest.raises(ConfigError, match="Unknown chip 'hermess'"):
        model_cost(linear, torch.zeros(2, 4), "hermess")


def resnet8():
    "ResNet8 of MLPerf Tiny for images of 32 x 32 pixels."

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Identity()
            if inputs != outputs:
                self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


@pytest.mark.parametrize(
    "placement, milliseconds, microjoules",
    [(None, 0.52, 38.1), (Placement(default="float"), 1.10, 118.2)],
    ids=["all analog", "all FP32"],
)
def test_the_chip_of_mps_has_the_published_ends_of_resnet8(placement, milliseconds, microjoules):
    system = model_cost(resnet8(), torch.zeros(1, 3, 32, 32), "mps", placement).system.iloc[0]
    assert 1e3 * system.latency == pytest.approx(milliseconds, rel=1e-9)
    assert 1e6 * system.energy == pytest.approx(microjoules, rel=1e-3)


def test_the_counts_of_resnet8_are_those_of_the_network():
    cost = model_cost(resnet8(), torch.zeros(1, 3, 32, 32), "mps")
    assert cost.parts.macs.sum() == RESNET8["macs"]
    assert cost.layers.mvms.sum() == RESNET8["mvms"]
    assert cost.layers.pixels.sum() == RESNET8["products"]
    assert cost.digital.energy.sum() == pytest.approx(RESNET8["other_energy"], rel=0.02)


def test_the_result_shows_analog_and_digital_apart():
    cost = model_cost(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.zeros(2, 4))
    assert "digital, estimated (Horowitz" in repr(cost)
    html = cost._repr_html_()
    assert "On tiles" in html and "Digital, estimated" in html
    assert cost.total.energy.item() == pytest.approx(HERMES.mvm_energy)
    assert cost.total.digital_energy.item() == pytest.approx(cost.digital.energy.sum())
    assert math.isclose(cost.total.digital_energy.item(), 4 * 0.4e-12 + 4 * 0.4e-12)


def test_the_module_needs_no_torch():
    code = "import sys, analognas.cost.networks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
