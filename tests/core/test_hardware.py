"""Settings of a chip: presets, checks, plain data, and no heavy import."""

import dataclasses
import json
import subprocess
import sys

import pytest

from analognas.core import (
    DRIFT_COMPENSATION,
    G_MAX_LIMIT,
    G_MIN,
    IDEAL_BITS,
    PRESETS,
    ConfigError,
    HardwareConfig,
)


def test_presets_are_named_by_their_devices():
    assert {name: config.preset for name, config in PRESETS.items()} == {
        name: name for name in ("pcm", "hermes", "reram", "ideal")
    }


def test_defaults_are_the_pcm_preset():
    assert HardwareConfig() == PRESETS["pcm"]
    assert HardwareConfig.from_preset() == PRESETS["pcm"]


@pytest.mark.parametrize("preset", PRESETS)
def test_dict_survives_json(preset):
    config = HardwareConfig.from_preset(preset, tile_size=64, drift_scale=0.5)
    settings = json.loads(json.dumps(config.to_dict()))
    assert HardwareConfig.from_dict(settings) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_from_dict_fills_in_the_preset(preset):
    expected = dataclasses.replace(PRESETS[preset], dac_bits=5)
    assert HardwareConfig.from_dict({"preset": preset, "dac_bits": 5}) == expected


@pytest.mark.parametrize(
    "preset, unlike_pcm",
    [
        ("pcm", {}),
        ("hermes", {"g_max": 20.7, "tile_size": 256}),
        ("reram", {"g_max": 88.199997}),
        (
            "ideal",
            dict.fromkeys(("prog_noise_scale", "read_noise_scale", "drift_scale"), 0.0)
            | {"drift_compensation": False, "dac_bits": 24, "adc_bits": 24}
            | {"out_noise": 0.0, "modifier_std": 0.0},
        ),
    ],
)
def test_settings_that_are_not_given_are_the_named_presets(preset, unlike_pcm):
    expected = HardwareConfig().to_dict() | {"preset": preset} | unlike_pcm
    assert HardwareConfig(preset).to_dict() == PRESETS[preset].to_dict() == expected
    assert HardwareConfig(preset, tile_size=64).to_dict() == expected | {"tile_size": 64}


def test_a_saved_chip_keeps_the_values_of_its_file():
    "Such as those of an ideal device in a pcm chip, which the constructor made once."
    saved = HardwareConfig().to_dict() | {"preset": "ideal"}
    loaded = HardwareConfig.from_dict(saved)
    assert loaded.to_dict() == saved and loaded != PRESETS["ideal"]


def test_none_keeps_the_preset_value():
    assert HardwareConfig.from_preset("hermes", g_max=None) == PRESETS["hermes"]


def test_with_changes_returns_a_copy():
    config = HardwareConfig()
    assert config.with_changes(adc_bits=6).adc_bits == 6
    assert config.adc_bits == 8


@pytest.mark.parametrize("preset, limit", G_MAX_LIMIT.items())
def test_g_max_limit_is_allowed_and_no_more(preset, limit):
    assert HardwareConfig.from_preset(preset, g_max=limit).g_max == limit
    with pytest.raises(ConfigError, match=f"at most {limit}"):
        HardwareConfig.from_preset(preset, g_max=limit + 0.1)


@pytest.mark.parametrize("preset, limit", G_MIN.items())
def test_g_max_is_above_g_min(preset, limit):
    assert HardwareConfig.from_preset(preset, g_max=limit + 0.1).g_max == limit + 0.1
    with pytest.raises(ConfigError, match="g_max must be"):
        HardwareConfig.from_preset(preset, g_max=limit)


def test_unknown_setting_is_named_with_a_suggestion():
    with pytest.raises(ConfigError, match="'drift_scal'.*Did you mean 'drift_scale'"):
        HardwareConfig.from_dict({"drift_scal": 1.0})


@pytest.mark.parametrize("settings", ["pcm", None, ["pcm"], 3])
def test_from_dict_wants_a_mapping(settings):
    with pytest.raises(ConfigError, match="must be a mapping"):
        HardwareConfig.from_dict(settings)


@pytest.mark.parametrize("bad", [2, "yes", None])
def test_drift_compensation_is_one_of_four(bad):
    with pytest.raises(ConfigError, match="drift_compensation"):
        HardwareConfig(drift_compensation=bad)


@pytest.mark.parametrize("way", DRIFT_COMPENSATION)
def test_every_way_of_drift_compensation_goes_through_json(way):
    hardware = HardwareConfig(drift_compensation=way)
    again = HardwareConfig.from_dict(json.loads(json.dumps(hardware.to_dict())))
    assert again == hardware
    assert again.drift_compensation is way or again.drift_compensation == way


def test_only_an_unchanged_ideal_chip_has_perfect_converters():
    exact = {"dac_bits": IDEAL_BITS, "adc_bits": IDEAL_BITS, "out_noise": 0.0}
    assert PRESETS["ideal"].has_perfect_converters
    assert not PRESETS["ideal"].with_changes(adc_bits=8).has_perfect_converters
    assert not PRESETS["ideal"].with_changes(out_noise=0.1).has_perfect_converters
    assert not PRESETS["pcm"].with_changes(**exact).has_perfect_converters


def test_settings_need_neither_torch_nor_aihwkit():
    code = (
        "import sys; import analognas.core; print([m in sys.modules for m in ('torch', 'aihwkit')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[False, False]"


def test_aihwkit_is_imported_when_an_rpu_config_is_made():
    code = (
        "import sys\n"
        "from analognas.analog.hardware import create_rpu_config\n"
        "before = 'aihwkit' in sys.modules\n"
        "create_rpu_config()\n"
        "print(before, 'aihwkit' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    "old, new",
    [
        ("PRESETS", PRESETS),
        ("Preset", HardwareConfig),
        ("MOST_CONDUCTANCE", G_MAX_LIMIT),
        ("LEAST_CONDUCTANCE", G_MIN),
        ("FINEST_BITS", IDEAL_BITS),
    ],
)
def test_names_of_0_1_0_warn_and_work(old, new):
    from analognas.analog import hardware

    with pytest.warns(DeprecationWarning, match=f"hardware.{old} is now analognas.core.hardware"):
        assert getattr(hardware, old) is new


def test_defaults_are_the_settings_of_analognas_bench():
    assert HardwareConfig().to_dict() == {
        "preset": "pcm",
        "g_max": 25.0,
        "prog_noise_scale": 1.0,
        "read_noise_scale": 1.0,
        "drift_scale": 1.0,
        "drift_compensation": True,
        "dac_bits": 8,
        "adc_bits": 8,
        "out_noise": 0.04,
        "modifier_std": 0.06,
        "tile_size": 512,
    }


@pytest.mark.parametrize("tile_size", [0, -1, 1.5, "512"])
def test_a_tile_size_is_a_positive_whole_number(tile_size):
    assert HardwareConfig(tile_size=1).tile_size == 1
    with pytest.raises(ConfigError, match="tile_size"):
        HardwareConfig(tile_size=tile_size)


@pytest.mark.parametrize("name", ["g_max", "prog_noise_scale", "out_noise", "modifier_std"])
def test_a_negative_setting_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=name):
        HardwareConfig(**{name: -0.1})


def test_a_device_that_can_be_switched_off_has_a_positive_largest_conductance():
    with pytest.raises(ConfigError, match="g_max"):
        HardwareConfig(g_max=0.0)


def test_the_ideal_chip_adds_no_noise_in_training():
    assert PRESETS["ideal"].modifier_std == 0
