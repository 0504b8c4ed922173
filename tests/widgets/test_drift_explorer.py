"""The drift explorer against `measure_drift`, against the digital network, and as a panel."""

import importlib
import threading

import pytest
import torch
from ipywidgets.widgets.widget import _instances as live_widgets
from torch import nn

from analognas.analog.convert import digital_state_dict, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.measure import accuracy, measure_drift
from analognas.analog.programming import analog_layers
from analognas.core import DRIFT_COMPENSATION, MONTH, PRESETS, ConfigError
from analognas.training.protocol import Protocol
from analognas.widgets import drift_explorer
from analognas.widgets.candidates import Candidate, small_resnet, train_candidate
from analognas.widgets.drift_explorer import DriftExplorer, drift_output, explore_drift
from analognas.widgets.drift_model import HARDWARE_SETTINGS, TIMES, DriftModel, DriftSettings

WAIT = 120  # seconds, on a machine with other things to do
QUICK = Protocol(epochs=1, hwa_epochs=1, max_train=512)


@pytest.fixture(scope="module")
def hardened():
    return train_candidate("hardened", small_resnet(8), protocol=QUICK)


@pytest.fixture(scope="module")
def digital():
    return train_candidate("digital", small_resnet(8), hardened=False, protocol=QUICK)


@pytest.fixture
def panel(hardened):
    made = DriftExplorer(hardened, n_rep=3)
    yield made
    made.close()


def expected(record):
    return [f"{m:.1f} ± {s:.1f}" for m, s in zip(record.mean, record.std)]


def shown(view):
    return view.table.iloc[0, 2:-1].tolist()


def test_panel_equals_measure_drift(panel, hardened):
    panel.refresh()
    assert panel.wait(WAIT)
    assert shown(panel.view) == expected(
        measure_drift(hardened.model, hardened.data, TIMES, n_rep=3, progress=False)
    )
    assert panel.view.table.chips.tolist() == [3]


@pytest.mark.parametrize(
    "settings",
    [
        {"adc_bits": 5, "g_max": 15.0},
        {"preset": "reram"},
        {"drift_compensation": False},
        {"drift_compensation": "per_column"},
        {"preset": "hermes", "seed": 3},
    ],
)
def test_explore_drift_equals_measure_drift_on_other_hardware(hardened, settings):
    seed = settings.get("seed", 0)
    chip = {k: v for k, v in settings.items() if k != "seed"}
    model = to_analog(hardened_digital(hardened), create_rpu_config(**chip))
    for layer, trained in zip(
        analog_layers(model).values(), analog_layers(hardened.model).values()
    ):
        layer.input_range.data.copy_(trained.input_range)
    assert shown(explore_drift(hardened, settings | {"n_rep": 2})) == expected(
        measure_drift(model, hardened.data, TIMES, n_rep=2, seed=seed, progress=False)
    )


def test_the_panel_offers_every_way_of_drift_compensation(panel):
    offered = [value for _, value in panel.controls["drift_compensation"].options]
    assert sorted(map(str, offered)) == sorted(map(str, DRIFT_COMPENSATION))


def hardened_digital(candidate):
    network = candidate.space.build_network(candidate.config)
    network.load_state_dict(digital_state_dict(candidate.model))
    return network.eval()


@pytest.mark.parametrize("which", ["hardened", "digital"])
def test_ideal_hardware_is_digital_at_all_times(which, request):
    candidate = request.getfixturevalue(which)
    network = hardened_digital(candidate) if which == "hardened" else candidate.model
    acc = accuracy(network, *candidate.data)
    accuracies = shown(explore_drift(candidate, {"preset": "ideal", "n_rep": 2}))
    assert accuracies == [f"{acc:.1f} ± 0.0"] * len(TIMES)


def test_explore_drift_takes_settings_as_a_record(hardened):
    settings = DriftSettings.from_dict({"preset": "hermes", "n_rep": 2})
    view = explore_drift(hardened, settings)
    assert view.table.equals(explore_drift(hardened, {"preset": "hermes", "n_rep": 2}).table)


def test_drift_output_names_chips_and_images(hardened):
    model = DriftModel([hardened])
    outputs = [drift_output(estimate) for estimate in model.estimates(DriftSettings(n_rep=4))]
    assert "1 chip, 64 of 360 test images" in outputs[0].alt
    assert "4 chips, all 360 test images" in outputs[-1].alt


def test_drift_output_at_another_time_has_the_same_table(hardened):
    model = DriftModel([hardened])
    *_, last = model.estimates(DriftSettings(n_rep=4))
    settings = DriftSettings(n_rep=4, t_inference=MONTH)
    again = next(model.estimates(settings, lambda: pytest.fail("all is known")))
    assert drift_output(again).table.equals(drift_output(last).table)


def test_panel_newest_change_wins(panel):
    panel.refresh()
    panel.wait(WAIT)
    for bits in (3, 4, 5, 6):
        panel.controls["adc_bits"].value = bits
    assert panel.wait(WAIT)
    assert shown(panel.view) == shown(explore_drift(panel._given, {"adc_bits": 6, "n_rep": 3}))


def test_panel_preset_sets_all_hardware_controls_in_one_refresh(panel):
    asked = []
    refresh = panel.refresh
    panel.refresh = lambda: (asked.append(panel.settings), refresh())
    for preset in ("hermes", "reram", "ideal", "pcm", "reram", "hermes"):
        panel.controls["preset"].value = preset
        hardware = vars(PRESETS[preset])
        assert {k: panel.settings[k] for k in HARDWARE_SETTINGS} == {
            k: hardware[k] for k in HARDWARE_SETTINGS
        }
        assert asked == [panel.settings]
        asked.clear()
    panel.controls["g_max"].value = 12.0
    panel.reset()
    assert panel.settings["g_max"] == 20.7


def test_explore_drift_leaves_networks_and_generators_as_they_are(hardened, digital):
    for c in (hardened, digital):
        before = {k: v.clone() for k, v in c.model.state_dict().items()}
        state = torch.get_rng_state()
        explore_drift(c, {"n_rep": 1, "n_images": 50})
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(v, before[k]) for k, v in c.model.state_dict().items())


def test_explore_drift_refuses_an_unknown_shown_candidate(hardened):
    with pytest.raises(ConfigError, match="candidate 'other'"):
        explore_drift(hardened, {"shown": "other"})


def test_explore_drift_refuses_an_unknown_setting(hardened):
    with pytest.raises(ConfigError, match="Did you mean 'g_max'"):
        explore_drift(hardened, {"gmax": 3})


@pytest.mark.parametrize(
    "bad, message",
    [("narrow", "must be a config"), ([], "at least one"), (nn.Linear(2, 2), "its test data")],
)
def test_panel_refuses_bad_candidates_at_once(bad, message):
    with pytest.raises(ConfigError, match=message):
        DriftExplorer(bad)


def test_panel_shows_errors_in_its_status(hardened):
    x, y = hardened.data
    panel = DriftExplorer(Candidate("odd", nn.Sequential(nn.Flatten(), nn.ReLU()), (x, y)))
    panel.refresh()
    assert panel.wait(WAIT)
    assert panel.status_is_error
    assert "no analog layers" in panel.status
    panel.close()


def test_panel_close_leaves_no_widget_and_no_thread(hardened):
    widgets = len(live_widgets)
    threads = threading.active_count()
    panel = DriftExplorer(hardened, n_rep=100)
    panel.refresh()
    panel.close()  # in the middle of things
    assert len(live_widgets) == widgets
    assert threading.active_count() == threads


def test_panels_two_do_not_disturb_each_other(hardened):
    panels = [DriftExplorer(hardened, n_rep=3) for _ in range(2)]
    for panel in panels:
        panel.controls["read_noise_scale"].value = 2.0
    assert all(panel.wait(WAIT) for panel in panels)
    assert (
        shown(panels[0].view)
        == shown(panels[1].view)
        == shown(explore_drift(hardened, {"read_noise_scale": 2.0, "n_rep": 3}))
    )
    for panel in panels:
        panel.close()


@pytest.mark.parametrize(
    "old, module, new",
    [
        ("Candidate", "widgets.candidates", "Candidate"),
        ("lesson_candidates", "widgets.candidates", "lesson_candidates"),
        ("train_candidate", "widgets.candidates", "train_candidate"),
        ("small_resnet", "widgets.candidates", "small_resnet"),
        ("space_of", "widgets.candidates", "default_space"),
        ("weights_of", "widgets.drift_model", "calibrate"),
        ("on_hardware", "widgets.drift_model", "map_to_hardware"),
        ("layer_errors", "analog.characterize", "layer_errors"),
    ],
)
def test_names_of_0_1_0_work_and_warn(old, module, new):
    home = importlib.import_module(f"analognas.{module}")
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(drift_explorer, old) is getattr(home, new)
