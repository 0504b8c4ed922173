"""Networks with layers in analog, int8 and floating point: what each module is, and what is refused."""

import pytest
import torch
from torch import nn

from analognas.analog import AnalogConv2d, AnalogLayer, conversion_report, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.int8 import Int8Conv2d, Int8Layer, Int8Linear
from analognas.analog.placing import int8_ranges, layer_names, place
from analognas.core import ConfigError, HardwareConfig, Placement


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.conv2(x) + x)
        return self.fc(x.mean((2, 3)))


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        y, _ = self.lstm(x)
        y, _ = self.attention(y, y, y)
        return self.fc(y.mean(1))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def x():
    return torch.rand(16, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def test_each_module_is_what_the_placement_decides(net, x):
    mixed = place(net, Placement({"conv1": "int8", "fc": "float"}), "pcm", x)
    assert type(mixed.conv1) is Int8Conv2d
    assert type(mixed.conv2) is AnalogConv2d
    assert type(mixed.fc) is nn.Linear


def test_report_names_int8_modules(net, x):
    mixed = place(net, Placement({"conv1": "int8", "fc": "float"}), "pcm", x)
    table = conversion_report(mixed, x[:1]).set_index("name")
    assert table["where"].to_dict() == {
        "conv1": "int8", "bn1": "digital", "conv2": "fast tiles", "fc": "digital"
    }  # fmt: skip
    assert table.loc["fc", "why"] == "placed as float"
    assert table.loc["conv1", "macs"] == 36 * 36


def test_network_stays_as_it_was(net, x):
    before = {k: v.clone() for k, v in net.state_dict().items()}
    place(net, Placement(default="int8"), "pcm", x)
    assert type(net.conv1) is nn.Conv2d
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_everything_in_floating_point_computes_the_same(net, x):
    assert torch.equal(place(net, Placement(default="float"))(x), net(x))


def test_int8_is_near_floating_point(net, x):
    rounded = place(net, Placement(default="int8"), calibration=x)(x)
    error = (rounded - net(x)).std() / net(x).std()
    assert 0 < error < 0.1


def test_analog_network_keeps_its_input_ranges(net, x):
    analog = to_analog(net)
    analog.conv2.input_range.data.fill_(0.7)
    mixed = place(analog, Placement({"conv1": "int8"}), None, x)
    assert float(mixed.conv2.input_range.detach()) == pytest.approx(0.7)
    assert torch.equal(mixed.conv1.weight, net.conv1.weight)


def test_on_tiles_of_another_size_the_largest_range_is_kept(net):
    analog = to_analog(net, create_rpu_config(tile_size=20))
    assert len(analog.conv2.blocks) == 2
    analog.conv2.input_range.data.view(-1)[:] = torch.tensor([0.9, 0.5])
    placed = place(analog, Placement(), "pcm")
    assert placed.conv2.input_range.tolist() == [[[pytest.approx(0.9)]]]


def test_layers_on_a_chip_keep_it_unless_one_is_given(net):
    analog = to_analog(net, "hermes")
    assert place(analog, Placement()).conv1.rpu_config.mapping.max_input_size == 256
    assert place(analog, Placement(), "pcm").conv1.rpu_config.mapping.max_input_size == 512


def test_chip_is_a_preset_settings_or_a_config(net):
    chip = HardwareConfig.from_preset("hermes")
    assert place(net, Placement(), chip).conv1.rpu_config.mapping.max_input_size == 256


def test_ranges_do_not_depend_on_where_the_network_is(net, x):
    digital, analog = int8_ranges(net, x), int8_ranges(to_analog(net), x)
    assert digital == analog


def test_recurrent_and_attention_are_int8_by_their_matrices():
    torch.manual_seed(0)
    net = Sequences().eval()
    x = torch.randn(6, 7, 5)
    mixed = place(net, Placement(default="int8"), calibration=x)
    kinds = [type(m) for m in mixed.modules() if isinstance(m, Int8Layer)]
    assert kinds == [Int8Linear] * 7
    assert set(conversion_report(mixed)["where"]) == {"int8"}
    error = (mixed(x) - net(x)).std() / net(x).std()
    assert 0 < error < 0.2


def test_composed_layers_of_an_analog_network_become_int8():
    torch.manual_seed(0)
    analog = to_analog(Sequences().eval())
    x = torch.randn(6, 7, 5)
    mixed = place(analog, Placement({"lstm": "int8", "attention": "float"}), None, x)
    assert {type(m) for m in mixed.lstm.tiles.values()} == {Int8Linear}
    assert not any(isinstance(m, AnalogLayer) for m in mixed.attention.modules())
    assert mixed(x).isfinite().all()


def test_layers_of_composed_modules_are_placed_as_one():
    assert layer_names(to_analog(Sequences())) == ["lstm", "attention", "fc"]
    assert layer_names(Sequences()) == ["lstm", "attention", "fc"]


def test_shared_layer_is_placed_once():
    shared = nn.Linear(4, 4)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    mixed = place(net, Placement({"2": "int8"}), None, torch.randn(5, 4))
    assert mixed[0] is mixed[2]
    assert type(mixed[0]) is Int8Linear


def test_single_layer_is_placed_by_the_default():
    assert (
        type(place(nn.Linear(3, 2), Placement(default="int8"), None, torch.rand(4, 3)))
        is Int8Linear
    )
    assert type(place(nn.Linear(3, 2), Placement(default="float"))) is nn.Linear


def test_name_with_brackets_is_no_pattern():
    net = nn.Sequential()
    net.add_module("a[0]", nn.Linear(3, 3))
    net.add_module("a0", nn.Linear(3, 3))
    mixed = place(net, Placement({"a0": "float"}))
    assert isinstance(mixed.get_submodule("a[0]"), AnalogLayer)
    assert type(mixed.a0) is nn.Linear


def test_entry_for_a_module_without_products_is_refused(net):
    with pytest.raises(ConfigError, match="'bn1' matches no module"):
        place(net, Placement({"bn1": "float"}))


def test_module_that_cannot_be_int8_is_named(x):
    net = nn.Sequential(nn.Linear(4, 4), nn.Bilinear(4, 4, 2))
    with pytest.raises(ConfigError, match="1 cannot be int8"):
        place(net, Placement(default="int8"), None, torch.rand(3, 4))


def test_int8_without_calibration_data_is_refused(net):
    with pytest.raises(ConfigError, match="conv1: int8 needs the range"):
        place(net, Placement({"conv1": "int8"}))
