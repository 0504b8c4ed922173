"""Tracing a network: the run leaves the network and PyTorch as they were."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.cost.networks import model_cost
from analognas.cost.trace import trace_network


def test_nothing_of_the_model_changes():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("last", torch.zeros(2))
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            self.calls += 1
            self.last = x[0]
            return self.linear(x + torch.rand_like(x))

    net = nn.Sequential(Counts(), nn.BatchNorm1d(4), nn.Dropout())
    net[1].eval()
    modes = [m.training for m in net.modules()]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    random = torch.get_rng_state()
    model_cost(net, torch.ones(3, 4))
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.backends.mha.get_fastpath_enabled() and torch.is_grad_enabled()
    with pytest.raises(RuntimeError):
        model_cost(net, torch.ones(3, 5))
    assert [m.training for m in net.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_model_without_memory_is_priced():
    with torch.device("meta"):
        block = nn.TransformerEncoderLayer(4096, 32, 4 * 4096, batch_first=True)
        cost = model_cost(block, torch.zeros(1, 128, 4096))
    assert cost.total.tiles.item() == 12 * (4096 / 256) ** 2


def test_a_compiled_network_is_run_without_compiling():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    x = torch.zeros(2, 4)
    assert model_cost(torch.compile(net), x).layers.equals(model_cost(net, x).layers)


def test_an_analog_network_in_training_keeps_its_weights():
    digital = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5))
    net = to_analog(digital, create_rpu_config()).train()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    F.cross_entropy(net(torch.rand(4, 3, 6, 6)), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    model_cost(net, torch.rand(2, 3, 6, 6))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_work_is_that_of_the_module_where_it_is_written():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)
            self.norm = nn.LayerNorm(4)

        def forward(self, x):
            return x + F.relu(self.norm(self.linear(x)))

    trace, batch = trace_network(nn.Sequential(Residual()), torch.zeros(3, 4))
    assert batch == 3
    assert trace.work == {("0.norm", "layer_norm"): 12, ("0", "compare"): 12, ("0", "add"): 12}
    [matrix] = trace.matrices.values()
    assert (matrix.name, matrix.positions) == ("0.linear", 3)
