"Which layer costs how much: chips whose answer is known, and what must be left as it was."

import pytest
import torch
from aihwkit.nn.conversion import convert_to_analog
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogConv2d, AnalogLinear
from analognas.analog.sensitivity import digital_layers, layer_sensitivity
from analognas.core import ConfigError, DatasetInfo
from analognas.datasets.base import Dataset


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, 2, 1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 3)
    ).eval()


def data(net):
    x = torch.randn(60, 4, 6, 6, generator=torch.Generator().manual_seed(1)).clamp(-3, 3)
    with torch.no_grad():
        return x, net(x).argmax(1)


def test_digital_layers_compute_as_the_digital_network_does():
    net = network()
    analog = to_analog(net)
    x, _ = data(net)
    with torch.no_grad(), digital_layers(analog, ["0", "3"]) as digital:
        assert torch.allclose(digital(x), net(x), atol=1e-6)
        assert digital[0].weight is not net[0].weight
    assert isinstance(analog[0], AnalogConv2d)
    assert isinstance(analog[3], AnalogLinear)


def test_digital_layers_are_put_back_after_an_error():
    analog = to_analog(network())
    layer = analog[0]
    with pytest.raises(ZeroDivisionError), digital_layers(analog, ["0"]):
        1 / 0
    assert analog[0] is layer


@pytest.mark.parametrize("kind", ["one", "others"])
def test_an_ideal_chip_costs_nothing(kind):
    net = network()
    table = layer_sensitivity(to_analog(net, create_rpu_config("ideal")), data(net), kind=kind)
    assert list(table.index) == ["0", "3"]
    assert (table.acc_loss == 0).all()
    assert (table.output_error < 1e-5).all()


def test_keeping_one_of_two_layers_digital_leaves_the_error_of_the_other():
    net = network()
    one = layer_sensitivity(to_analog(net), data(net), n_rep=2, seed=3)
    others = layer_sensitivity(to_analog(net), data(net), n_rep=2, seed=3, kind="others")
    assert others.output_error["0"] == one.output_error["3"]
    assert others.output_error["3"] == one.output_error["0"]
    assert one.share.sum() == pytest.approx(1.0)


def test_data_are_those_of_a_measurement():
    analog = to_analog(network())
    x, y = data(network())
    rows = layer_sensitivity(analog, (x, y), n_rep=2)
    batches = [(x[:40], y[:40]), (x[40:], y[40:])]
    for same in ((x.double().numpy(), y.numpy()), batches):
        assert layer_sensitivity(analog, same, n_rep=2).equals(rows)
    parts = Dataset(DatasetInfo("mine", (4, 6, 6), 3), x, y, x, y)
    with pytest.raises(ConfigError, match="whole Dataset 'mine'"):
        layer_sensitivity(analog, parts)
    with pytest.raises(ConfigError, match="one tensor of inputs; got a tuple"):
        layer_sensitivity(analog, ((x, x), y))


def test_modes_and_programming_are_as_before():
    net = network()
    analog = to_analog(net).train()
    analog[0].eval()
    layer_sensitivity(analog, data(net), n_rep=1)
    assert [m.training for m in analog] == [False, True, True, True]
    assert analog[0].tile_states is None


@pytest.mark.parametrize("arguments", [{"kind": "all"}, {"n_rep": 0}, {"t_inference": -1.0}])
def test_bad_arguments_are_refused(arguments):
    net = network()
    with pytest.raises(ConfigError, match=str(*arguments)):
        layer_sensitivity(to_analog(net), data(net), **arguments)


def test_layers_on_aihwkits_tiles_and_single_layers_are_refused():
    net = nn.Sequential(nn.Linear(4, 3))
    x, y = torch.zeros(2, 4), torch.zeros(2, dtype=torch.long)
    with pytest.raises(ConfigError, match="aihwkit's tiles"):
        layer_sensitivity(convert_to_analog(net, create_rpu_config()), (x, y))
    with pytest.raises(ConfigError, match="single layer"):
        layer_sensitivity(to_analog(nn.Linear(4, 3)), (x, y))


class Sequence(nn.Module):
    "A network of attention and recurrent layers, whose matrices are made digital one by one."

    def __init__(self):
        super().__init__()
        block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
        self.lstm = nn.LSTM(8, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.lstm(self.encoder(x))[0][:, -1])


def test_matrices_of_attention_and_recurrent_layers_are_compared_too():
    torch.manual_seed(0)
    net = Sequence().eval()
    x = torch.randn(20, 4, 8, generator=torch.Generator().manual_seed(1)).clamp(-3, 3)
    with torch.no_grad():
        expected = net(x)
    analog = to_analog(net).eval()
    names = [name for name, m in analog.named_modules() if isinstance(m, AnalogLinear)]
    with torch.no_grad(), digital_layers(analog, names) as digital:
        assert torch.allclose(digital(x), expected, atol=1e-5)
    table = layer_sensitivity(analog, (x, expected.argmax(1)), n_rep=2)
    assert table.index.tolist() == names
    assert (table.output_error > 0).all()
