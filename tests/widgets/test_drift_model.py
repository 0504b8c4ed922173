"""Networks on other hardware, settings, and estimates that improve, against `measure_drift`."""

import numpy as np
import pytest

from analognas.analog.hardware import create_rpu_config
from analognas.analog.programming import analog_layers
from analognas.core import DAY, MONTH, ConfigError, HardwareConfig
from analognas.widgets.drift_model import (
    TIMES,
    DriftModel,
    DriftRun,
    DriftSettings,
    calibrate,
    map_to_hardware,
)


def test_map_to_hardware_with_other_tiles_uses_the_largest_range(hardened):
    whole = analog_layers(hardened.model)
    network = map_to_hardware(calibrate(hardened), create_rpu_config(tile_size=8))
    for name, layer in analog_layers(network).items():
        largest = float(whole[name].input_range.detach().max())
        assert np.allclose(layer.input_range.detach(), largest)


def test_estimates_begin_with_one_chip_on_some_images(hardened):
    model = DriftModel([hardened])
    first, *_, last = model.estimates(DriftSettings(n_rep=4))
    assert len(first.records["hardened"].acc) == 1
    assert (first.n_images, first.n_test) == (64, 360)
    assert len(last.records["hardened"].acc) == 4
    assert (last.n_images, last.n_test) == (360, 360)


def test_estimates_at_another_time_measure_nothing_anew(hardened):
    model = DriftModel([hardened])
    *_, last = model.estimates(DriftSettings(n_rep=2))
    settings = DriftSettings(n_rep=2, t_inference=MONTH)
    again = next(model.estimates(settings, lambda: pytest.fail("all is known")))
    assert again.records == last.records
    assert not again.errors["hardened"].equals(last.errors["hardened"])


def test_estimates_end_at_the_reading_at_which_they_are_stale(hardened, monkeypatch):
    model = DriftModel([hardened])
    n_images = []
    read = DriftRun.read

    def counted(self):
        n_images.append(len(self.data[1]))
        read(self)

    monkeypatch.setattr(DriftRun, "read", counted)
    stale = lambda: n_images.count(360) >= 3
    assert len(list(model.estimates(DriftSettings(n_rep=50), stale))) == 1
    assert n_images.count(64) == len(TIMES)
    assert n_images.count(360) == 3


def test_runs_are_kept_for_the_last_settings_only(hardened):
    model = DriftModel([hardened])
    first = model.runs(DriftSettings(seed=0), 100)
    assert model.runs(DriftSettings(seed=0, t_inference=MONTH), 100) is first
    for seed in range(1, model.MAX_KEPT + 1):
        model.runs(DriftSettings(seed=seed), 100)
    assert model.runs(DriftSettings(seed=0), 100) is not first


def test_settings_from_dict_uses_the_preset_and_every_change():
    settings = DriftSettings.from_dict(
        {
            "preset": "pcm",
            "g_max": 17.0,
            "tile_size": 33,
            "dac_bits": 5,
            "drift_compensation": False,
        }
    )
    config = create_rpu_config(settings.hardware)
    assert config.noise_model.g_converter.g_max == 17.0
    assert config.mapping.max_input_size == 33
    assert config.drift_compensation is None
    assert settings.hardware == HardwareConfig(
        "pcm", g_max=17.0, tile_size=33, dac_bits=5, drift_compensation=False
    )


def test_settings_from_dict_takes_every_setting_of_0_1_0():
    keys = {
        "preset": "hermes",
        "g_max": 20.0,
        "prog_noise_scale": 0.5,
        "read_noise_scale": 0.5,
        "drift_scale": 0.5,
        "drift_compensation": True,
        "dac_bits": 7,
        "adc_bits": 7,
        "out_noise": 0.1,
        "tile_size": 128,
        "t_inference": DAY,
        "shown": "narrow",
        "times": [1.0, DAY],
        "n_rep": 3,
        "n_images": 50,
        "seed": 2,
    }
    settings = DriftSettings.from_dict(keys)
    assert settings.times == (1.0, DAY)
    held = vars(settings) | settings.hardware.to_dict()
    assert {k: held[k] for k in keys} == keys | {"times": (1.0, DAY)}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"gmax": 3}, "Did you mean 'g_max'"),
        ({"modifier_std": 0.1}, "Unknown setting 'modifier_std'"),
        ({"preset": "pmc"}, "'pcm'"),
        ({"t_inference": 5.0}, "t_inference must be one of"),
        ({"n_rep": 0}, "n_rep"),
        ({"n_images": 0}, "n_images"),
        ({"seed": -1}, "seed"),
        ({"dac_bits": 1}, "dac_bits"),
    ],
)
def test_settings_from_dict_names_a_bad_setting(settings, message):
    with pytest.raises(ConfigError, match=message):
        DriftSettings.from_dict(settings)
