"Which engine simulates what, and the way to aihwkit and back."

import logging
import re

import pytest
import torch
import torchvision
from aihwkit.nn import AnalogConv2d, AnalogLinear
from aihwkit.simulator.configs import (
    InferenceRPUConfig,
    SingleRPUConfig,
    TorchInferenceRPUConfigIRDropT,
)
from aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    RPUDataType,
    WeightModifierType,
)
from torch import nn

from analognas.analog.convert import (
    conversion_report,
    digital_state_dict,
    from_aihwkit,
    to_aihwkit,
    to_analog,
    unsupported_feature,
)
from analognas.analog.hardware import create_rpu_config
from analognas.analog.measure import measure_drift
from analognas.analog.programming import program
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


def test_to_analog_takes_model_and_chip_by_name_and_the_rest_by_name_only():
    net = network()
    named = to_analog(model=net, rpu_config="ideal")
    x = torch.randn(2, 2, 8, 8)
    assert torch.equal(named.eval()(x), to_analog(net, "ideal").eval()(x))
    with pytest.raises(TypeError):
        to_analog(net, "ideal", ["0"])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_that_share_a_weight_share_it_on_tiles(kind):
    first, second = kind(3, 3), kind(3, 3)
    second.weight_hh_l0 = first.weight_hh_l0
    analog = to_analog(nn.ModuleList([first, second]))
    digital = {id(p) for layer in (first, second) for p in layer.parameters()}
    matrices = [p for p in analog.parameters() if p.ndim == 2]
    assert len(digital) == 7
    assert len(matrices) == 3


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


def test_a_state_with_a_scale_keeps_it_and_weights_without_one_are_mapped_anew():
    layer = to_analog(nn.Linear(4, 3))
    state = layer.state_dict()
    state["scale"] = 2 * state["scale"]
    layer.load_state_dict(state)
    assert torch.equal(layer.scale, state["scale"])
    digital = nn.Linear(4, 3)
    layer.load_state_dict(digital.state_dict(), strict=False)
    assert float(layer.scale.max()) == pytest.approx(float(digital.weight.detach().abs().max()))


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


# ---- which modules, and what the report has of them ----------------------------------------------


def test_named_modules_stay_digital_and_the_report_has_the_reason():
    net = to_analog(network(), digital=["3"])
    report = conversion_report(net).set_index("name")
    assert type(net[3][0]) is nn.Conv2d
    assert report["where"].to_dict() == {
        "0": "fast tiles",
        "1": "digital",
        "3.0": "digital",
        "5": "fast tiles",
    }
    assert report.why["1"] == "digital by nature"
    assert "digital=" in report.why["3.0"]
    assert report.share.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("pattern", ["nothing", "3.9", "head*"])
def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_names(pattern):
    with pytest.raises(ConfigError, match=f"{re.escape(pattern)}.*nearest are"):
        to_analog(network(), digital=[pattern])
    with pytest.raises(ConfigError, match=re.escape(pattern)):
        to_analog(network(), chips={pattern: create_rpu_config()})


def test_chips_of_single_modules():
    small = create_rpu_config(tile_size=11)
    dynamic = create_rpu_config()
    dynamic.forward.noise_management = NoiseManagementType.ABS_MAX
    net = to_analog(network(), chips={"3*": small, "5": dynamic})
    assert len(net[0].blocks) == 1
    assert len(net[3][0].blocks) == 5
    assert type(net[5]) is AnalogLinear
    report = conversion_report(net, torch.zeros(2, 2, 8, 8)).set_index("name")
    assert report["where"]["5"] == "aihwkit's tiles"
    assert "noise management" in report.why["5"]
    assert report.macs.to_dict() == {
        "0": 2 * 36 * 2 * 5 * 9,
        "1": 0,
        "3.0": 2 * 9 * 5 * 4 * 9,
        "5": 2 * 36 * 3,
    }
    assert report.tiles.to_dict() == {"0": 1, "1": 0, "3.0": 5, "5": 1}


def test_an_analog_layer_can_be_made_digital_again():
    net = to_analog(to_analog(network()), digital=["0"])
    assert type(net[0]) is nn.Conv2d
    x = torch.randn(2, 2, 8, 8)
    with torch.no_grad():
        assert torch.allclose(net[0](x), network()[0](x))


class WithMatrix(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.ones(3, 4))
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(x @ self.table + self.token[0])


def test_parameters_of_unknown_modules_are_listed_and_can_be_named():
    net = WithMatrix()
    report = conversion_report(to_analog(net), torch.zeros(5, 3))
    assert report.name.tolist() == ["", "head"]
    assert report.parameters.tolist() == [16, 10]
    assert report.macs.tolist() == [5 * 3 * 4, 5 * 4 * 2]
    with pytest.raises(ConfigError, match="WithMatrix uses parameters itself"):
        to_analog(net, strict=True)
    to_analog(net, strict=True, digital=["table", "token"])


def test_strict_accepts_norms_and_embeddings():
    net = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 2), nn.PReLU())
    to_analog(net, strict=True)


def test_the_log_sums_up(caplog):
    with caplog.at_level(logging.INFO, "analognas"):
        to_analog(nn.ModuleList([nn.Linear(4, 3), nn.Bilinear(2, 2, 2), nn.Linear(3, 2)]))
    assert len(caplog.records) == 1
    assert "2 layers on fast tiles; digital: 1 (there is no analog Bilinear)" in caplog.text


def test_recurrent_layers_and_attention_on_aihwkits_tiles():
    config = create_rpu_config()
    config.forward.noise_management = NoiseManagementType.ABS_MAX
    net = to_analog(nn.ModuleList([nn.GRU(4, 3), nn.MultiheadAttention(4, 2)]), config).eval()
    report = conversion_report(net)
    assert set(report["where"]) == {"aihwkit's tiles"}
    x = torch.randn(5, 2, 4)
    assert net[0](x)[0].shape == (5, 2, 3)
    assert net[1](x, x, x)[0].shape == (5, 2, 4)


@pytest.mark.parametrize(
    "field, value",
    [
        ("ir_drop", 1.0),
        ("w_noise", 0.1),
        ("out_nonlinearity", 0.1),
        ("slope_calibration", 0.1),
        ("r_series", 0.1),
        ("w_read_asymmetry_dtod", 0.1),
        ("mv_type", AnalogMVType.BIT_WISE),
    ],
)
def test_what_no_tile_simulates_is_refused_by_the_name_of_the_layer(field, value):
    "aihwkit's torch tiles lack these; its own error names neither the layer nor what to do."
    config = create_rpu_config()
    setattr(config.forward, field, value)
    with pytest.raises(ConfigError, match="0 .*Name it in digital="):
        to_analog(nn.Sequential(nn.Linear(3, 2)), config)


@pytest.mark.parametrize(
    "config", [lambda: changed_inference(ir_drop=1.0), TorchInferenceRPUConfigIRDropT]
)
def test_ir_drop_is_on_aihwkits_tiles(config):
    report = conversion_report(to_analog(nn.Sequential(nn.Linear(3, 2)), config()))
    assert report["where"].tolist() == ["aihwkit's tiles"]


def changed_inference(**fields):
    "aihwkit's configuration for its compiled tiles, with other fields of the forward pass."
    config = InferenceRPUConfig()
    for name, value in fields.items():
        setattr(config.forward, name, value)
    return config


@pytest.mark.parametrize("make", [lambda: nn.Conv1d(1, 2, 3), lambda: nn.ConvTranspose2d(1, 2, 3)])
def test_layers_that_aihwkits_tiles_lack_are_refused_for_its_chips(make):
    config = create_rpu_config()
    config.forward.noise_management = NoiseManagementType.ABS_MAX
    with pytest.raises(ConfigError, match="Name it in digital="):
        to_analog(nn.Sequential(make()), config)
    to_analog(nn.Sequential(make()), config, digital=["0"])


def test_the_digital_state_of_every_kind_loads():
    torch.manual_seed(0)

    def network_of_all():
        return nn.ModuleList(
            [
                nn.LSTM(4, 3, 2, bidirectional=True),
                nn.GRUCell(4, 3),
                nn.MultiheadAttention(4, 2),
                nn.TransformerDecoderLayer(4, 2, 8),
                nn.Conv1d(2, 3, 3),
                nn.ConvTranspose2d(2, 3, 3),
            ]
        )

    source = network_of_all()
    twin = network_of_all()
    twin.load_state_dict(digital_state_dict(to_analog(source)))
    for (name, a), b in zip(source.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


class Conv1D(nn.Module):
    "As in the package transformers, with its name."

    def __init__(self, outputs, inputs):
        super().__init__()
        self.nf, self.nx = outputs, inputs
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / 4)
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).view(*x.shape[:-1], self.nf)


Conv1D.__module__ = "transformers.pytorch_utils"


def test_conv1d_of_transformers_is_a_linear_layer_with_its_weight_as_it_is():
    torch.manual_seed(0)
    net = nn.Sequential(Conv1D(6, 4)).eval()
    x = torch.rand(2, 3, 4) / 2
    analog = to_analog(net, create_rpu_config("ideal")).eval()
    with torch.no_grad():
        assert torch.allclose(analog(x), net(x), atol=1e-5)
        assert analog[0].weight.shape == (4, 6)
        assert torch.allclose(analog[0].as_digital()(x), net(x), atol=1e-6)
    analog.train()(x).square().sum().backward()
    net(x).square().sum().backward()
    assert torch.allclose(analog[0].weight.grad, net[0].weight.grad, atol=1e-4)
    again = to_analog(analog, create_rpu_config(tile_size=2))
    assert len(again[0].blocks) == 6


@pytest.mark.parametrize(
    "name",
    [
        "swin_v2_t",
        "mobilenet_v3_small",
        pytest.param("swin_t", marks=pytest.mark.slow),
        pytest.param("vit_b_32", marks=pytest.mark.slow),  # 88 million parameters
    ],
)
def test_networks_of_torchvision_are_on_tiles_but_for_vectors(name):
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(num_classes=3).eval()
    size = 224 if name.startswith("vit") else 64
    x = torch.rand(1, 3, size, size)
    config = create_rpu_config("ideal")
    config.pre_post.input_range.init_value = 1e3
    analog = to_analog(net, config).eval()
    with torch.no_grad():
        want = net(x)
        assert torch.allclose(analog(x), want, atol=1e-3 * float(want.abs().max()))
        noisy = to_analog(net, create_rpu_config(prog_noise_scale=5.0)).eval()
        program(noisy)
        assert float((noisy(x) - want).abs().max()) > 0.05 * float(want.abs().max())
    report = conversion_report(analog, x)
    left = report[(report["where"] == "digital") & ~report.why.str.startswith("digital by nature")]
    assert set(left.why) <= {
        "products of activations",
        "Encoder uses parameters itself",
        "ShiftedWindowAttention uses parameters itself",
        "ShiftedWindowAttentionV2 uses parameters itself",
    }
    assert report.macs_share[report["where"] == "fast tiles"].sum() > 0.8
