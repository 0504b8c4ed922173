"Which engine simulates what, and the way to aihwkit and back."

import logging

import pytest
import torch
from aihwkit.nn import AnalogConv2d, AnalogLinear
from aihwkit.simulator.configs import InferenceRPUConfig, SingleRPUConfig
from aihwkit.simulator.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    RPUDataType,
    WeightModifierType,
)
from torch import nn

from analognas.analog.convert import (
    digital_state_dict,
    from_aihwkit,
    to_aihwkit,
    to_analog,
    unsupported_feature,
)
from analognas.analog.hardware import create_rpu_config
from analognas.analog.measure import measure_drift
from analognas.core import ConfigError


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(5, 4, 3, 2, 1), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(36, 3),
    )


def trained(net, x):
    "A few steps, so that ranges, scales and batch statistics are not what they started as."
    net.train()
    step = torch.optim.SGD(net.parameters(), 0.05)
    for _ in range(4):
        step.zero_grad()
        net(x).square().mean().backward()
        step.step()
    return net.eval()


@pytest.mark.parametrize("tile_size", [512, 11])
@pytest.mark.parametrize("columnwise", [False, True])
def test_to_aihwkit_and_back_gives_the_same_outputs(tile_size, columnwise):
    config = create_rpu_config(out_noise=0.0, tile_size=tile_size)
    config.runtime.data_type, config.mapping.weight_scaling_columnwise = (
        RPUDataType.DOUBLE,
        columnwise,
    )
    x = torch.randn(6, 2, 8, 8).double()
    ours = trained(to_analog(network().double(), config), x)
    theirs = to_aihwkit(ours)
    assert type(theirs[0]) is AnalogConv2d and type(theirs[5]) is AnalogLinear
    again = from_aihwkit(theirs)
    with torch.no_grad():
        want = ours(x)
        near = dict(
            rtol=1e-6, atol=1e-6
        )  # aihwkit keeps the bias of a split layer in single precision
        assert torch.allclose(theirs.eval()(x), want, **near) and torch.allclose(
            again.eval()(x), want, **near
        )
    for (name, a), (_, b) in zip(
        ours.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert torch.allclose(a.double(), b.double(), **near), name


def test_a_state_dict_is_plain_tensors(tmp_path):
    x = torch.randn(6, 2, 8, 8)
    net = trained(to_analog(network()), x)
    torch.save(net.state_dict(), tmp_path / "analog.pt")
    twin = to_analog(network())
    twin.load_state_dict(torch.load(tmp_path / "analog.pt", weights_only=True))
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.state_dict().values(), twin.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_digital_state_loads_into_the_digital_network(dynamic):
    config = create_rpu_config()
    config.forward.noise_management = (
        NoiseManagementType.ABS_MAX if dynamic else NoiseManagementType.NONE
    )
    source, twin = network(), network()
    for p in source.parameters():
        p.data += 1
    twin.load_state_dict(digital_state_dict(to_analog(source, config)))
    for a, b in zip(source.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.allclose(a.float(), b.float(), atol=1e-6)
    alone = digital_state_dict(to_analog(nn.Linear(3, 2), config))
    assert set(alone) == {"weight", "bias"}


CHANGES = {
    "noise management": lambda c: setattr(
        c.forward, "noise_management", NoiseManagementType.ABS_MAX
    ),
    "bound management": lambda c: setattr(
        c.forward, "bound_management", BoundManagementType.ITERATIVE
    ),
    "inp_noise": lambda c: setattr(c.forward, "inp_noise", 0.1),
    "out_noise_std": lambda c: setattr(c.forward, "out_noise_std", 0.1),
    "out_sto_round": lambda c: setattr(c.forward, "out_sto_round", True),
    "per example": lambda c: setattr(c.modifier, "per_batch_sample", True),
}


@pytest.mark.parametrize("words", CHANGES)
def test_what_is_not_covered_goes_to_aihwkit_and_is_said(words, caplog):
    config = create_rpu_config()
    CHANGES[words](config)
    assert words in unsupported_feature(config)
    with caplog.at_level(logging.INFO, "analognas"):
        net = to_analog(nn.Sequential(nn.Linear(4, 3)), config)
    assert type(net[0]) is AnalogLinear and len(caplog.records) == 1 and words in caplog.text
    record = measure_drift(
        net, (torch.randn(20, 4), torch.zeros(20, dtype=torch.long)), n_rep=2, progress=False
    )
    assert record.acc.shape == (2, 4)


@pytest.mark.parametrize(
    "kind",
    [
        WeightModifierType[k]
        for k in ("POLY", "PCM_NOISE", "PROG_NOISE", "DOREFA", "DISCRETIZE_ADD_NORMAL")
    ],
)
def test_modifiers_that_only_the_compiled_tile_has(kind):
    config = create_rpu_config()
    config.modifier.type = kind
    with pytest.raises(ConfigError, match=kind.name):
        to_analog(nn.Linear(3, 2), config)
    compiled = InferenceRPUConfig(
        forward=config.forward, modifier=config.modifier, mapping=config.mapping
    )
    assert type(to_analog(nn.Linear(3, 2), compiled)) is AnalogLinear


def test_what_cannot_be_converted_is_refused():
    with pytest.raises(ConfigError, match="2 groups"):
        to_aihwkit(to_analog(nn.Conv2d(2, 2, 3, groups=2)))
    assert "SingleRPUConfig" in unsupported_feature(SingleRPUConfig())
    config = create_rpu_config()
    config.forward.noise_management = NoiseManagementType.ABS_MAX
    with pytest.raises(ConfigError, match="noise management"):
        from_aihwkit(to_analog(nn.Linear(3, 2), config))
