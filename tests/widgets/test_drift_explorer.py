"""The drift explorer against `measure_drift`, against the digital network, and as a panel."""

import threading

import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances as live_widgets
from torch import nn

from analognas.analog.convert import digital_state, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.measure import accuracy, measure_drift
from analognas.analog.noise import torch_seed
from analognas.analog.programming import crossbar_layers, drift, program
from analognas.core import DAY, MONTH, ConfigError
from analognas.training.protocol import Protocol, train_and_measure
from analognas.widgets import drift_explorer
from analognas.widgets.drift_explorer import (
    KNOBS,
    TIMES,
    Candidate,
    DriftExplorer,
    as_candidates,
    explore_drift,
    full_settings,
    hardware_of,
    layer_errors,
    on_hardware,
    small_resnet,
    space_of,
    states_of,
    train_candidate,
    weights_of,
)

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
    "knobs",
    [
        {"adc_bits": 5, "g_max": 15.0},
        {"preset": "reram"},
        {"drift_compensation": False},
        {"preset": "hermes", "seed": 3},
    ],
)
def test_explore_equals_measure_drift_on_other_hardware(hardened, knobs):
    seed, chip = knobs.get("seed", 0), {k: v for k, v in knobs.items() if k != "seed"}
    model = to_analog(hardened_digital(hardened), create_rpu_config(**chip))
    for layer, trained in zip(
        crossbar_layers(model).values(), crossbar_layers(hardened.model).values()
    ):
        layer.input_range.data.copy_(trained.input_range)
    assert shown(explore_drift(hardened, knobs | {"n_rep": 2})) == expected(
        measure_drift(model, hardened.data, TIMES, n_rep=2, seed=seed, progress=False)
    )


def hardened_digital(candidate):
    network = candidate.space.build_network(candidate.config)
    network.load_state_dict(digital_state(candidate.model))
    return network.eval()


@pytest.mark.parametrize("which", ["hardened", "digital"])
def test_ideal_hardware_is_digital_at_all_times(which, request):
    candidate = request.getfixturevalue(which)
    acc = accuracy(
        hardened_digital(candidate) if which == "hardened" else candidate.model, *candidate.data
    )
    assert shown(explore_drift(candidate, {"preset": "ideal", "n_rep": 2})) == [
        f"{acc:.1f} ± 0.0"
    ] * len(TIMES)


def test_first_estimate_is_the_first_chip_on_some_images(hardened, monkeypatch):
    explorer = drift_explorer.Answers([hardened])
    first, *_, last = explorer.answers({"n_rep": 4}, lambda: False)
    assert (
        "1 chip, 64 of 360 test images" in first.alt and "4 chips, all 360 test images" in last.alt
    )
    again = next(
        iter(
            explorer.answers(
                {"n_rep": 4, "t_inference": MONTH}, lambda: pytest.fail("all is known")
            )
        )
    )
    assert again.table.equals(last.table)  # another time: nothing is measured anew


def test_newest_change_wins(panel):
    panel.refresh()
    panel.wait(WAIT)
    for bits in (3, 4, 5, 6):
        panel.controls["adc_bits"].value = bits
    assert panel.wait(WAIT)
    assert shown(panel.view) == shown(explore_drift(panel._given, {"adc_bits": 6, "n_rep": 3}))


def test_a_newer_question_ends_refinement(hardened, monkeypatch):
    explorer, reads = drift_explorer.Answers([hardened]), []
    read = drift_explorer.Run.read
    monkeypatch.setattr(
        drift_explorer.Run, "read", lambda self: (reads.append(len(self.data[1])), read(self))[1]
    )
    views = list(explorer.answers({"n_rep": 50}, lambda: reads.count(360) >= 3))
    assert len(views) == 1 and reads.count(64) == len(TIMES) and reads.count(360) == 3


def test_preset_sets_all_knobs_in_one_question(panel):
    asked, refresh = [], panel.refresh
    panel.refresh = lambda: (asked.append(panel.settings), refresh())
    for preset in ("hermes", "reram", "ideal", "pcm", "reram", "hermes"):
        panel.controls["preset"].value = preset
        filled = full_settings({"preset": preset}, ["hardened"])
        assert {k: panel.settings[k] for k in KNOBS} == {k: filled[k] for k in KNOBS}
        assert asked.pop() == panel.settings and not asked
    panel.controls["g_max"].value = 12.0
    panel.reset()
    assert panel.settings["g_max"] == 20.7


def test_layer_error_by_hand(digital):
    weights = weights_of(digital)
    network = on_hardware(
        weights, create_rpu_config(read_noise_scale=0.0, drift_compensation=False, tile_size=8)
    )
    with torch_seed(0):
        program(network)
        drift(network, DAY)
    errors = layer_errors(network, states_of(network))
    for name, layer in crossbar_layers(network).items():
        w, now = layer.matrix()[0].detach(), torch.zeros_like(layer.matrix()[0])
        for b, state in zip(layer.blocks, layer.hardware):
            now[b.rows, b.cols] = state.weights[0] * layer.scale[b.i, 0, b.rows]
        assert errors[name] == pytest.approx(100 * float((now - w).norm() / w.norm()), rel=1e-4)


def test_other_tiles_get_the_largest_range(hardened):
    whole = crossbar_layers(hardened.model)
    for name, layer in crossbar_layers(
        on_hardware(weights_of(hardened), create_rpu_config(tile_size=8))
    ).items():
        assert np.allclose(
            layer.input_range.detach(), float(whole[name].input_range.detach().max())
        )


def test_candidates_and_their_networks_stay_as_they_are(hardened, digital):
    for c in (hardened, digital):
        before = {k: v.clone() for k, v in c.model.state_dict().items()}
        state = torch.get_rng_state()
        explore_drift(c, {"n_rep": 1, "n_images": 50})
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(v, before[k]) for k, v in c.model.state_dict().items())


def test_what_a_candidate_can_be(hardened):
    config = small_resnet(8)
    measured = train_and_measure(
        space_of(config), config, drift_explorer.load_dataset("digits"), QUICK, progress=False
    )
    found = as_candidates(
        {"network": hardened.model, "measured": measured, "candidate": hardened}, hardened.data
    )
    assert [c.name for c in found] == ["network", "measured", "candidate"] and found[
        1
    ].record is measured.drift
    assert as_candidates(hardened)[0].model is hardened.model


@pytest.mark.parametrize(
    "bad, says",
    [
        ("narrow", "must be a config"),
        ([], "at least one candidate"),
        (nn.Linear(2, 2), "its test data"),
        (3, "mapping from names; got int"),
        ({}, "at least one candidate"),
        ({"out_channel0": 3}, "'M' is missing"),
    ],
)
def test_bad_candidates_in_words(bad, says):
    with pytest.raises(ConfigError, match=says):
        DriftExplorer(bad)


def test_names_are_told_apart(hardened):
    with pytest.raises(ConfigError, match="name of its own"):
        as_candidates([hardened, hardened])


def test_bad_settings_in_words(hardened):
    for settings, says in (
        ({"gmax": 3}, "Did you mean 'g_max'"),
        ({"preset": "pmc"}, "'pcm'"),
        ({"t_inference": 5.0}, "t_inference must be one of"),
        ({"n_rep": 0}, "n_rep"),
        ({"shown": "other"}, "candidate 'other'"),
        ({"dac_bits": 1}, "dac_bits"),
    ):
        with pytest.raises(ConfigError, match=says):
            explore_drift(hardened, settings)


def test_errors_appear_in_the_panel(hardened):
    x, y = hardened.data
    panel = DriftExplorer(Candidate("odd", nn.Sequential(nn.Flatten(), nn.ReLU()), (x, y)))
    panel.refresh()
    assert panel.wait(WAIT)
    assert 'role="alert"' in panel._status.value and "no analog layers" in panel._status.value
    panel.close()


def test_nothing_is_left_after_close(hardened):
    widgets, threads = len(live_widgets), threading.active_count()
    panel = DriftExplorer(hardened, n_rep=100)
    panel.refresh()
    panel.close()  # in the middle of things
    assert len(live_widgets) == widgets and threading.active_count() == threads


def test_two_panels_do_not_disturb_each_other(hardened):
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


def test_hardware_of_takes_every_knob():
    settings = full_settings(
        {
            "preset": "pcm",
            "g_max": 17.0,
            "tile_size": 33,
            "dac_bits": 5,
            "drift_compensation": False,
        },
        ["a"],
    )
    config = hardware_of(settings)
    assert (
        config.noise_model.g_converter.g_max == 17.0
        and config.mapping.max_input_size == 33
        and config.drift_compensation is None
    )
