"""Hardware-aware training under a placement, and under random ones."""

import pytest
import torch
from torch import nn

from analognas.analog import AnalogLayer, place, to_analog
from analognas.analog.placing import int8_ranges
from analognas.core import ConfigError, Placement
from analognas.training import Protocol, train_hardware_aware
from analognas.training.placements import StepPlacements, random_kinds, step_placements

PROTOCOL = Protocol(hwa_epochs=2, hwa_batch_size=16, hwa_lr=0.01)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.lstm = nn.LSTM(16, 6, batch_first=True)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        y = torch.relu(self.conv(x)).flatten(2)
        return self.fc(self.lstm(y)[0][:, -1])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(64, 1, 6, 6, generator=generator), torch.arange(64) % 3


def trained(net, data, placement, seed=0):
    return train_hardware_aware(
        net, data, None, PROTOCOL, seed=seed, progress=False, placement=placement
    )


def test_step_in_floating_point_has_the_gradients_of_the_digital_network(net, data):
    analog = to_analog(net)
    with step_placements(analog, Placement(default="float"), lambda: analog(data[0])) as outputs:
        outputs().square().sum().backward()
    net(data[0]).square().sum().backward()
    assert torch.allclose(analog.conv.weight.grad, net.conv.weight.grad, atol=1e-4)
    inner = analog.lstm.tiles["hh_l0"].weight.grad
    assert torch.allclose(inner, net.lstm.weight_hh_l0.grad, atol=1e-4)


def test_step_in_int8_is_near_the_placed_network(net, data):
    x = data[0]
    analog = to_analog(net)
    with step_placements(analog, Placement(default="int8"), lambda: analog(x)) as outputs:
        in_training = outputs()
    placed = place(net, Placement(default="int8"), None, x)
    assert int8_ranges(net, x)["conv"] == pytest.approx((float(x.min()), float(x.max())))
    assert torch.allclose(in_training, placed(x), atol=0.05)


def test_only_the_named_layer_is_digital(net, data):
    steps = StepPlacements(to_analog(net))
    assert list(steps.units) == ["conv", "lstm", "fc"]
    steps.set({"conv": "float", "lstm": "analog", "fc": "analog"})
    assert ["forward" in vars(layers[0]) for layers in steps.units.values()] == [True, False, False]


@pytest.mark.parametrize("placement", [Placement({"fc": "int8"}), ("analog", "int8", "float")])
def test_training_changes_weights_and_returns_an_analog_network(net, data, placement):
    analog = trained(net, data, placement)
    assert isinstance(analog.conv, AnalogLayer)
    assert not any("forward" in vars(m) for m in analog.modules())
    assert not torch.equal(analog.conv.weight, net.conv.weight)
    assert analog(data[0]).isfinite().all()


def test_same_seed_draws_the_same_placements(net, data):
    first, second = (trained(net, data, ("analog", "int8")) for _ in range(2))
    assert torch.equal(first.conv.weight, second.conv.weight)
    other = trained(net, data, ("analog", "int8"), seed=1)
    assert not torch.equal(first.conv.weight, other.conv.weight)


def test_no_placement_trains_as_before(net, data):
    plain = train_hardware_aware(net, data, None, PROTOCOL, progress=False)
    all_analog = trained(net, data, Placement())
    assert torch.equal(plain.conv.weight, all_analog.conv.weight)


def test_drawn_shares_are_spread_evenly():
    torch.manual_seed(0)
    names = [str(i) for i in range(20)]
    draw = random_kinds(("analog", "int8"))
    shares = torch.tensor([list(draw(names).values()).count("analog") / 20 for _ in range(400)])
    assert 0.45 < shares.mean() < 0.55
    assert shares.std() > 0.25  # of a uniform distribution 0.29


def test_layer_that_is_not_there_is_refused(net, data):
    with pytest.raises(ConfigError, match="'conv9' matches no module"):
        trained(net, data, Placement({"conv9": "int8"}))


@pytest.mark.parametrize("kinds", [("int8",), ("analog",), ("analog", "int4")])
def test_kinds_to_draw_from_are_checked(kinds):
    with pytest.raises(ConfigError):
        random_kinds(kinds)
