"""The conformance suite for layers finds the faults that it is there to find; the catalogue of what
passes it is in tests/analog."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from analognas.testing.layers import LayerConformance, check_layer
from analognas.testing.tensors import difference, groups_of_names, map_real, real_tensors, strided


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.again = self.second

    def forward(self, x):
        return self.again(self.second(self.first(x).tanh()))


class Suite(LayerConformance):
    "A suite with a place for a fault of the conversion."

    def make(self):
        return Network()

    def make_inputs(self):
        return torch.randn(3, 4)

    def fault(self, analog):
        return analog

    def _on_chip(self, net, chip="ideal"):
        return self.fault(super()._on_chip(net, chip))


def test_a_network_without_faults_passes():
    assert check_layer(Suite()) == len([name for name in dir(Suite) if name.startswith("test")])


def stays_digital(analog):
    analog.first = analog.first.as_digital()
    return analog


def is_two(analog):
    analog.again = copy.deepcopy(analog.second)
    return analog


def loses_hooks(analog):
    analog.first._forward_hooks.clear()
    return analog


def is_frozen(analog):
    return analog.requires_grad_(False)


def is_wrong(analog):
    analog.first.weight.data.mul_(1.001)
    return analog


FAULTS = {
    "test_every_matrix_is_on_tiles_or_named": (stays_digital, "first .* has weights"),
    "test_shared_modules_and_tied_parameters_stay_so": (is_two, "tied differently"),
    "test_hooks_are_called_as_often": (loses_hooks, "the forward hook of first: 0 calls"),
    "test_flags_buffers_and_attributes_are_kept": (is_frozen, "another requires_grad"),
    "test_the_ideal_chip_computes_what_the_digital_network_does": (is_wrong, "in evaluation"),
    "test_the_digital_state_loads_in_both_directions": (is_wrong, "other values"),
}


@pytest.mark.parametrize("check", FAULTS)
def test_faults_of_a_conversion_are_found(check):
    fault, words = FAULTS[check]
    suite = type("Faulty", (Suite,), {"fault": lambda self, analog: fault(analog)})()
    with pytest.raises(AssertionError, match=words):
        getattr(suite, check)()


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return F.linear(x, self.linear.weight.detach(), self.linear.bias)


def test_products_around_the_tiles_are_found():
    suite = type("Digital", (Suite,), {"make": lambda self: Around()})()
    with pytest.raises(AssertionError, match="something computes around the tiles"):
        suite.test_huge_noise_moves_the_output()
    with pytest.raises(AssertionError, match="not read from its tiles"):
        suite.test_noise_of_each_layer_alone_moves_the_output()


class OneOutput(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 4)

    def forward(self, x):
        return {"y": self.linear(x), "n": 3}


def test_layers_that_the_digital_network_does_not_use_need_not_move_it():
    suite = type("Partly", (Suite,), {"make": lambda self: OneOutput()})()
    suite.test_noise_of_each_layer_alone_moves_the_output()


def test_nested_values():
    packed = nn.utils.rnn.pack_sequence([torch.ones(2, 3), torch.ones(1, 3)])
    value = {"a": [packed, torch.tensor(1)], "b": None, "c": 2.5}
    doubled = map_real(value, lambda x: 2 * x)
    assert float(doubled["a"][0].data.sum()) == 18
    assert len(real_tensors(doubled)) == 1
    assert torch.equal(doubled["a"][1], torch.tensor(1))


def test_strided_values_are_the_same():
    for shape in ((), (3,), (2, 3), (2, 3, 4)):
        x = torch.rand(shape)
        assert torch.equal(strided(x), x)


def test_infinities_are_equal_and_nan_is_not():
    x = torch.tensor([1.0, float("inf")])
    assert difference(x, x) == 0
    assert difference(x, torch.tensor([1.0, 2.0])) == float("inf")
    assert difference(x, torch.tensor([1.0, float("nan")])) == float("inf")


def test_names_of_one_object():
    net = Network()
    modules = groups_of_names(net, net, "named_modules")
    assert frozenset({"second", "again"}) in modules
