"""The simulated chip, field by field against AnalogNAS-Bench's published settings and aihwkit's own model."""

import dataclasses
import math
from enum import Enum

import pytest
import torch
from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
from aihwkit.inference.compensation.drift import (
    GlobalDriftCompensationWithExactReference,
    PerColumnDriftCompensation,
)
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters import IOParameters
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config, resolution
from analognas.core import ConfigError, HardwareConfig, hardware

# AnalogNAS-Bench's settings, as its training script (IBM/analog-nas, analognasbench/training_script.py) sets them.
PUBLISHED = {
    "forward": {
        "is_perfect": False,
        "inp_bound": 1.0,
        "inp_res": 1 / 254,
        "out_bound": 10.0,
        "out_res": 1 / 254,
        "out_noise": 0.04,
        "noise_management": "None",
        "bound_management": "None",
    },
    "pre_post.input_range": {
        "enable": True,
        "decay": 0.01,
        "init_from_data": 50,
        "init_std_alpha": 3.0,
        "input_min_percentage": 0.995,
        "manage_output_clipping": False,
    },
    "modifier": {"type": "AddNormal", "std_dev": 0.06},
    "clip": {"type": "LayerGaussian", "sigma": 2.0},
    "remap": {"type": "LayerwiseSymmetric"},
    "mapping": {
        "digital_bias": True,
        "weight_scaling_omega": 1.0,
        "weight_scaling_columnwise": False,
        "out_scaling_columnwise": False,
        "max_input_size": 512,
        "max_output_size": 512,
    },
}


def part(config, path):
    for name in path.split("."):
        config = getattr(config, name)
    return config


def plain(value):
    return value.value if isinstance(value, Enum) else value


@pytest.mark.parametrize(
    "path, field, value", [(p, f, v) for p, fields in PUBLISHED.items() for f, v in fields.items()]
)
def test_every_published_setting(path, field, value):
    assert plain(getattr(part(create_rpu_config(), path), field)) == value


@pytest.mark.parametrize("path", PUBLISHED)
def test_whatever_is_not_published_is_aihwkits_default(path):
    config, default = create_rpu_config(), InferenceRPUConfig()
    default.forward = IOParameters()
    for f in dataclasses.fields(part(default, path)):
        if f.name not in PUBLISHED[path] and hasattr(part(config, path), f.name):
            assert getattr(part(config, path), f.name) == getattr(part(default, path), f.name), (
                f.name
            )


def test_noise_and_compensation():
    config = create_rpu_config()
    assert (
        type(config.noise_model) is PCMLikeNoiseModel
        and type(config.drift_compensation) is GlobalDriftCompensation
    )
    mine, default = vars(config.noise_model), vars(PCMLikeNoiseModel(g_max=25.0))
    assert mine.keys() == default.keys()
    for name in mine.keys() - {"g_converter"}:
        assert mine[name] == default[name], name
    assert config.noise_model.g_converter.g_max == 25.0


@pytest.mark.parametrize(
    "way, kind",
    [
        ("exact_reference", GlobalDriftCompensationWithExactReference),
        ("per_column", PerColumnDriftCompensation),
    ],
)
def test_other_ways_of_drift_compensation(way, kind):
    assert type(create_rpu_config(drift_compensation=way).drift_compensation) is kind


KNOBS = [
    ("g_max", 30.0, lambda c: (c.noise_model.g_max, c.noise_model.g_converter.g_max), (30.0, 30.0)),
    ("prog_noise_scale", 0.5, lambda c: c.noise_model.prog_noise_scale, 0.5),
    ("read_noise_scale", 0.5, lambda c: c.noise_model.read_noise_scale, 0.5),
    ("drift_scale", 0.5, lambda c: c.noise_model.drift_scale, 0.5),
    ("drift_compensation", False, lambda c: c.drift_compensation, None),
    ("dac_bits", 6, lambda c: c.forward.inp_res, 1 / 62),
    ("adc_bits", 6, lambda c: c.forward.out_res, 1 / 62),
    ("out_noise", 0.1, lambda c: c.forward.out_noise, 0.1),
    ("modifier_std", 0.2, lambda c: c.modifier.std_dev, 0.2),
    ("tile_size", 128, lambda c: (c.mapping.max_input_size, c.mapping.max_output_size), (128, 128)),
]


@pytest.mark.parametrize("knob, value, read, expected", KNOBS, ids=[k[0] for k in KNOBS])
def test_a_knob_reaches_its_field_and_no_other(knob, value, read, expected):
    config = create_rpu_config(**{knob: value})
    assert read(config) == expected
    for other, _, read_other, _ in KNOBS:
        if other != knob:
            assert (
                read_other(config) == read_other(create_rpu_config())
                or other == "drift_compensation"
            )


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
def test_a_converter_has_as_many_steps_as_its_bits_allow(bits):
    """A symmetric converter of b bits has 2^b - 1 levels from -1 to 1: aihwkit's step is 2/(2^b -
    2), twice `inp_res`."""
    levels = 2**bits - 1
    assert math.isclose(2 * resolution(bits) * (levels - 1), 2)


def test_the_dac_rounds_to_its_levels():
    """Through aihwkit's tile: an identity layer with a 3-bit DAC and nothing else puts out at most
    seven values."""
    config = create_rpu_config(
        dac_bits=3, adc_bits=24, out_noise=0, prog_noise_scale=0, read_noise_scale=0, drift_scale=0
    )
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    analog = convert_to_analog(nn.Sequential(layer), config).eval()
    with torch.no_grad():
        out = analog(torch.linspace(-3, 3, 1000).unsqueeze(1))
    assert len({round(v, 3) for v in out.flatten().tolist()}) == 7


def test_wide_layers_are_cut_into_tiles():
    analog = convert_to_analog(nn.Sequential(nn.Linear(130, 70)), create_rpu_config(tile_size=64))
    sizes = [tuple(t.tile.get_weights().shape) for t in analog.analog_tiles()]
    assert (
        len(sizes) == 3 * 2
        and sum(a * b for a, b in sizes) == 130 * 70
        and max(max(s) for s in sizes) <= 64
    )


def test_every_call_gives_a_new_chip():
    first = create_rpu_config()
    first.forward.out_noise, first.noise_model.drift_scale = 9.0, 9.0
    assert (create_rpu_config().forward.out_noise, create_rpu_config().noise_model.drift_scale) == (
        0.04,
        1.0,
    )


@pytest.mark.parametrize(
    "knob",
    ["prog_noise_scale", "read_noise_scale", "drift_scale", "out_noise", "modifier_std", "g_max"],
)
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, "1", True])
def test_scales_are_finite_and_not_negative(knob, bad):
    with pytest.raises(ConfigError, match=f"{knob} must be"):
        create_rpu_config(**{knob: bad})


@pytest.mark.parametrize(
    "knob, bad",
    [
        ("dac_bits", 1),
        ("adc_bits", 25),
        ("dac_bits", 8.0),
        ("tile_size", 0),
        ("tile_size", 1.5),
        ("g_max", 0),
    ],
)
def test_sizes_are_whole(knob, bad):
    with pytest.raises(ConfigError, match=f"{knob} must be"):
        create_rpu_config(**{knob: bad})


@pytest.mark.parametrize("preset", ["PCM", "flash", None, 3])
def test_unknown_presets(preset):
    with pytest.raises(ConfigError, match="Unknown hardware preset"):
        create_rpu_config(preset)


# ---- presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["pcm", "hermes", "reram", "ideal"])
def test_every_preset_runs_on_aihwkits_tiles_and_on_ours(preset):
    from analognas.analog.convert import to_analog
    from analognas.analog.measure import measure_drift

    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(12, 5)), torch.rand(40, 12)
    assert convert_to_analog(net, create_rpu_config(preset)).eval()(x).shape == (40, 5)
    record = measure_drift(
        to_analog(net, create_rpu_config(preset)), (x, net(x).argmax(1)), n_rep=2, progress=False
    )
    assert record.acc.min() > 50 and (preset != "ideal" or (record.acc == 100).all())


def test_an_ideal_chip_is_exact_until_a_knob_is_turned():
    from analognas.analog.convert import to_analog

    torch.manual_seed(0)
    net, x = nn.Linear(12, 5), 10 * torch.randn(40, 12)
    assert torch.allclose(
        to_analog(net, create_rpu_config("ideal"))(x), net(x), rtol=1e-5, atol=1e-5
    )
    coarse = create_rpu_config("ideal", dac_bits=3)
    assert not coarse.forward.is_perfect and coarse.pre_post.input_range.enable
    assert not torch.allclose(to_analog(net, coarse)(x), net(x), rtol=0.01)


@pytest.mark.parametrize("preset", ["pcm", "hermes", "reram"])
def test_knobs_reach_the_noise_model(preset):
    scales = dict(prog_noise_scale=0.5, read_noise_scale=0.25, drift_scale=2.0)
    config = create_rpu_config(preset, g_max=12, drift_compensation=False, tile_size=64, **scales)
    model = config.noise_model
    assert (model.g_max, model.prog_noise_scale, model.read_noise_scale, model.drift_scale) == (
        12,
        0.5,
        0.25,
        2.0,
    )
    assert config.drift_compensation is None and config.mapping.max_output_size == 64


def test_a_noise_model_of_ones_own():
    from aihwkit.inference import PCMLikeNoiseModel

    class Mine(PCMLikeNoiseModel):
        pass

    mine = Mine(g_max=5.0)
    assert create_rpu_config("reram", noise_model=mine).noise_model is mine
    with pytest.raises(ConfigError, match="g_max"):
        create_rpu_config(noise_model=mine, g_max=5.0)
    with pytest.raises(ConfigError, match="BaseNoiseModel"):
        create_rpu_config(noise_model="pcm")


@pytest.mark.parametrize("preset, g_max", [("hermes", 20.8), ("reram", 9.0), ("pcm", 0.0)])
def test_conductances_that_were_not_characterised_are_refused(preset, g_max):
    with pytest.raises(ConfigError, match="g_max"):
        create_rpu_config(preset, g_max=g_max)


def test_settings_make_the_same_chip_as_their_keywords():
    by_record = create_rpu_config(HardwareConfig.from_preset("hermes", dac_bits=6), drift_scale=0.5)
    by_keyword = create_rpu_config("hermes", dac_bits=6, drift_scale=0.5)
    assert str(by_record) == str(by_keyword)


def test_a_preset_without_a_noise_model_is_refused(monkeypatch):
    monkeypatch.setattr(hardware, "_DEVICES", (*hardware._DEVICES, "mram"))
    with pytest.raises(ConfigError, match="'mram' have no noise model"):
        create_rpu_config(HardwareConfig("mram"))


@pytest.mark.parametrize("chip", [None, "pcm", HardwareConfig(), create_rpu_config()])
def test_a_chip_may_be_given_in_any_form(chip):
    analog = to_analog(torch.nn.Linear(3, 2), chip)
    assert analog.rpu_config.forward.out_noise == 0.04


@pytest.mark.parametrize("chip", [{"g_max": 25}, 25.0])
def test_what_is_no_chip_is_refused(chip):
    for take in (
        lambda: to_analog(torch.nn.Linear(3, 2), chip),
        lambda: to_analog(torch.nn.Linear(3, 2), chips={"": chip}),
    ):
        with pytest.raises(ConfigError, match=f"rpu_config of aihwkit; got {type(chip).__name__}"):
            take()
