"""Every way of searching placements, on a small network for digits whose front is known."""

import itertools

import moocore
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from analognas.core import ConfigError, HardwareConfig, InfeasibleError, Placement
from analognas.cost import model_cost
from analognas.datasets import load_dataset
from analognas.search_algorithms.placement import PLACEMENT_WAYS, search_placement
from analognas.search_algorithms.placement_measure import PlacementMeasurer, measure_afresh
from analognas.search_algorithms.placement_problem import Fidelity, PlacementProblem

CHIP = HardwareConfig(prog_noise_scale=4.0, dac_bits=6, adc_bits=6)
OBJECTIVES = ("acc_1d", "analog_share")
REFERENCE = [0.0, 0.0]


@pytest.fixture(scope="module")
def task():
    "A digitally trained network and held-out examples."
    digits = load_dataset("digits")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(digits.x_train), digits.y_train).backward()
        optimizer.step()
    return net.eval(), (digits.x_test[:96], digits.y_test[:96])


def search(task, way, **settings):
    net, data = task
    given = {"n_rep": 3, "screening": [(2, 64)], "progress": False, "objectives": OBJECTIVES}
    if way == "greedy":
        given["limits"] = {"acc_1d": 60.0}
    return search_placement(net, data, CHIP, way=way, **given | settings)


@pytest.fixture(scope="module")
def results(task):
    return {way: search(task, way) for way in PLACEMENT_WAYS}


def values(result):
    return np.array([[point.values[name] for name in OBJECTIVES] for point in result.points])


@pytest.mark.parametrize("way", PLACEMENT_WAYS)
def test_no_point_of_the_front_is_dominated(results, way):
    front = values(results[way])
    for a, b in itertools.permutations(front, 2):
        assert not ((a >= b).all() and (a > b).any())


@pytest.mark.parametrize("way", PLACEMENT_WAYS)
def test_points_are_what_measuring_afresh_gives(results, task, way):
    net, data = task
    for point in results[way].points[:2]:
        afresh = measure_afresh(net, data, point.placement, CHIP, point.record.t_inference, 3)
        assert np.abs(afresh.mean - point.record.mean).max() < 2.5  # in other batches
        assert point.values["acc_1d"] == pytest.approx(point.record.acc_1d)


@pytest.mark.parametrize("way", PLACEMENT_WAYS)
def test_same_seed_gives_the_same_result(results, task, way):
    again = search(task, way)
    assert [p.placement for p in again.points] == [p.placement for p in results[way].points]
    assert again.history.equals(results[way].history)


@pytest.mark.parametrize("way", PLACEMENT_WAYS)
def test_exhaustive_front_is_an_upper_bound(results, way):
    volumes = {
        name: moocore.hypervolume(values(results[name]), ref=REFERENCE, maximise=True)
        for name in ("exhaustive", way)
    }
    assert volumes[way] <= volumes["exhaustive"] + 1e-9


def test_exhaustive_front_is_that_of_all_placements(results, task):
    net, data = task
    measurer = PlacementMeasurer(net, data, CHIP, n_rep=3)
    every = list(itertools.product(measurer.kinds, repeat=4))
    records = measurer.measure([measurer.placement(key) for key in every])
    shares = [
        sum(m for m, kind in zip(measurer.macs, key, strict=True) if kind == "analog")
        / measurer.all_macs
        for key in every
    ]
    points = np.array([[r.acc_1d, share] for r, share in zip(records, shares, strict=True)])
    expected = points[moocore.is_nondominated(points, maximise=True, keep_weakly=True)]
    found = values(results["exhaustive"])
    assert np.allclose(np.sort(found, axis=0), np.sort(expected, axis=0))


def test_greedy_meets_its_limit(results):
    chosen = results["greedy"].chosen
    assert chosen.values["acc_1d"] >= 60
    assert chosen.values["analog_share"] == max(
        p.values["analog_share"] for p in results["greedy"].points
    )


def test_greedy_leaves_no_layer_digital_that_could_go_back(results, task):
    net, data = task
    kinds = results["greedy"].chosen.kinds
    measurer = PlacementMeasurer(net, data, CHIP, n_rep=3)
    problem = PlacementProblem(measurer, OBJECTIVES, {"acc_1d": 60.0}, [Fidelity(2, 64)])
    for name in (n for n, kind in kinds.items() if kind == "int8"):
        back = tuple((kinds | {name: "analog"}).values())
        screened = problem.violations(problem.measure([back], problem.screening[0]))
        full = problem.violations(problem.measure([back], problem.full))
        assert max(screened[0], full[0]) > 0


def test_greedy_names_a_limit_that_it_cannot_meet(task):
    with pytest.raises(InfeasibleError, match="every layer in int8 it is acc_1d"):
        search(task, "greedy", limits={"acc_1d": 100.0})


def test_greedy_without_a_limit_is_refused(task):
    with pytest.raises(ConfigError, match="needs a limit on an accuracy"):
        search(task, "greedy", limits=None)


def test_limits_hold_for_every_point(task):
    result = search(task, "exhaustive", limits={"analog_share": 0.5})
    assert all(point.values["analog_share"] >= 0.5 for point in result.points)
    assert result.chosen.values["acc_1d"] == max(p.values["acc_1d"] for p in result.points)


def test_limit_that_nothing_meets_is_named(task):
    with pytest.raises(InfeasibleError, match=r"meets the limits \(acc_1d 100"):
        search(task, "exhaustive", limits={"acc_1d": 100.0})


def test_function_is_a_way(task):
    def extremes(problem, rng, n_full):
        return [(kind,) * problem.n_layers for kind in problem.kinds]

    result = search(task, extremes)
    assert {point.placement for point in result.points} <= {Placement(), Placement(default="int8")}


def test_three_kinds_and_a_month(task):
    objectives = ("acc_30d", "analog_share")
    result = search(
        task, "nsga2", kinds=("float", "analog", "int8"), objectives=objectives, n_full=6
    )
    assert set(result.points[0].values) == set(objectives)
    assert len(result.points) <= 6


def test_energy_is_that_of_the_cost_model(task):
    net, data = task
    result = search(task, "random", objectives=("acc_1d", "energy"), n_full=4)
    for point in result.points:
        cost = model_cost(net, data[0][:1], "hermes", placement=point.placement)
        assert point.values["energy"] == pytest.approx(cost.system.energy.item())


def test_earlier_measurements_are_used(task):
    net, data = task
    measurer = PlacementMeasurer(net, data, CHIP, n_rep=3)
    first = search(task, "exhaustive", measurer=measurer)
    again = search(task, "exhaustive", measurer=measurer)
    assert again.chosen.placement == first.chosen.placement


def test_too_many_placements_are_refused(task, monkeypatch):
    monkeypatch.setattr("analognas.search_algorithms.placement.MAX_PLACEMENTS", 10)
    with pytest.raises(ConfigError, match="2 kinds of 4 layers are 16 placements"):
        search(task, "exhaustive")


@pytest.mark.parametrize(
    "settings",
    [
        {"objectives": ("acc",)},
        {"objectives": "acc_1d"},
        {"limits": {"speed": 1}},
        {"kinds": ("int8", "float")},
        {"kinds": ("analog",)},
        {"n_full": 0},
        {"way": "annealing"},
        {"screening": [(0, 5)]},
    ],
)
def test_wrong_settings_are_refused(task, settings):
    with pytest.raises(ConfigError):
        search(task, **{"way": "random"} | settings)
