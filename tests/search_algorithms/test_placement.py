"""Every way of searching placements, on a small network for digits whose front is known."""

import contextlib
import copy
import functools
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import moocore
import numpy as np
import placement_task
import pytest
import torch
from placement_task import CHIP, OBJECTIVES
from torch import nn

from analognas.core import ConfigError, HardwareConfig, InfeasibleError, Placement
from analognas.cost import model_cost
from analognas.search_algorithms import placement_measure
from analognas.search_algorithms.placement import PLACEMENT_WAYS, search_placement
from analognas.search_algorithms.placement_measure import PlacementMeasurer, measure_afresh
from analognas.search_algorithms.placement_mobo import candidates, mobo
from analognas.search_algorithms.placement_problem import Fidelity, PlacementProblem

REFERENCE = [0.0, 0.0]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def task():
    "A digitally trained network and held-out examples."
    return placement_task.make_task()


def search(task, way, **settings):
    net, data = task
    given = dict(placement_task.SETTINGS)
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


@pytest.mark.parametrize("way", ["nsga2", "mobo"])
def test_small_networks_are_searched_to_the_true_front(results, way):
    "All sixteen placements fit into the budget."
    assert np.allclose(values(results[way]), values(results["exhaustive"]))


def test_mobo_finds_most_of_the_front_with_a_third_of_the_measurements(task):
    "Of 81 placements 27 are measured; half of these are drawn at random."
    kinds = ("analog", "int8", "float")
    whole = search(task, "exhaustive", kinds=kinds, n_full=81)
    way = functools.partial(mobo, nb_evaluations=27, nb_start=13, batch_size=7)
    functools.update_wrapper(way, mobo)
    found = search(task, way, kinds=kinds, n_full=27)
    keys = [kinds for kinds in found.history["kinds"]]
    assert len(set(keys)) == 27
    volumes = [
        moocore.hypervolume(values(result), ref=REFERENCE, maximise=True)
        for result in (found, whole)
    ]
    assert 0.97 * volumes[1] <= volumes[0] <= volumes[1] + 1e-9


def test_mobo_looks_for_placements_within_a_limit_on_an_accuracy(task):
    result = search(task, "mobo", limits={"acc_1d": 60.0, "analog_share": 0.2})
    truth = search(task, "exhaustive", limits={"acc_1d": 60.0, "analog_share": 0.2})
    assert result.chosen.values == truth.chosen.values


def test_mobo_without_an_objective_to_measure_is_refused(task):
    with pytest.raises(ConfigError, match="need no measurements"):
        search(task, "mobo", objectives=("analog_share", "energy"))


def test_mobo_draws_candidates_near_the_front_of_a_larger_network(task, monkeypatch):
    monkeypatch.setattr("analognas.search_algorithms.placement_mobo.MAX_CANDIDATES", 15)
    net, data = task
    measurer = PlacementMeasurer(net, data, CHIP, n_rep=3)
    problem = PlacementProblem(measurer, OBJECTIVES, {"analog_share": 0.3}, [Fidelity(2, 64)])
    front = [("analog", "int8", "analog", "int8")]
    new = candidates(problem, {("int8",) * 4: None}, front, np.random.default_rng(0))
    assert ("analog", "analog", "analog", "int8") in new and ("int8",) * 4 not in new
    assert all(problem.analog_share(key) >= 0.3 for key in new)


# ---- a run directory ----------------------------------------------------------------------------


def readings(path):
    "How many readings are in a run directory, without the code under test."
    with contextlib.closing(sqlite3.connect(path / "evaluations.sqlite", timeout=60)) as db:
        return db.execute("select count(*) from reading where state = 'done'").fetchone()[0]


@pytest.mark.parametrize("way", PLACEMENT_WAYS)
def test_search_in_a_directory_is_the_same_and_is_not_measured_again(
    results, task, way, tmp_path, monkeypatch
):
    first = search(task, way, run_dir=tmp_path / "run")
    assert first.history.equals(results[way].history)
    assert [p.placement for p in first.points] == [p.placement for p in results[way].points]
    before = readings(tmp_path / "run")

    def never(*_):
        raise AssertionError("nothing is left to measure")

    monkeypatch.setattr("analognas.search_algorithms.placement_measure._hits", never)
    again = search(task, way, run_dir=tmp_path / "run")
    assert again.history.equals(first.history) and readings(tmp_path / "run") == before
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["chosen"] == first.chosen.placement.to_dict()
    assert [p["values"]["acc_1d"] for p in summary["points"]] == [
        p.values["acc_1d"] for p in first.points
    ]


def test_search_that_ends_in_the_middle_continues_with_what_it_read(
    results, task, tmp_path, monkeypatch
):
    real, calls = placement_measure._hits, []

    def counted(*args):
        calls.append(1)
        return real(*args)

    def fails_at_20(*args):
        if len(calls) == 20:
            raise KeyboardInterrupt
        return counted(*args)

    monkeypatch.setattr(placement_measure, "_hits", fails_at_20)
    with pytest.raises(KeyboardInterrupt):
        search(task, "exhaustive", run_dir=tmp_path / "run")
    assert readings(tmp_path / "run") == 20
    monkeypatch.setattr(placement_measure, "_hits", counted)
    again = search(task, "exhaustive", run_dir=tmp_path / "run")
    assert again.history.equals(results["exhaustive"].history)
    assert len(calls) == readings(tmp_path / "run")  # none was made twice


def test_killed_search_continues_to_the_same_result(results, task, tmp_path):
    path = tmp_path / "run"
    child = subprocess.Popen([sys.executable, placement_task.__file__, str(path)], env=ENV)
    while child.poll() is None:
        with contextlib.suppress(sqlite3.OperationalError):  # not made yet
            if readings(path) > 5:
                break
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    begun = readings(path)
    assert begun > 5 and not (path / "summary.json").exists()
    again = search(task, "exhaustive", run_dir=path)
    assert again.history.equals(results["exhaustive"].history) and readings(path) > begun


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"limits": {"analog_share": 0.5}}, "limits.analog_share was None, now 0.5"),
        ({"n_rep": 4}, "n_rep was 3, now 4"),
        ({"way": "nsga2"}, "way was"),
    ],
)
def test_directory_of_another_search_is_refused(task, tmp_path, settings, says):
    search(task, "random", run_dir=tmp_path, n_full=1)
    with pytest.raises(ConfigError) as e:
        search(task, **{"way": "random", "n_full": 1, "run_dir": tmp_path} | settings)
    assert says in str(e.value)


def test_other_weights_data_or_chip_are_another_search(task, tmp_path):
    net, (x, y) = task
    search(task, "random", run_dir=tmp_path, n_full=1)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].bias += 1e-6
    for changed in ((other, (x, y)), (net, (x, y.flip(0)))):
        with pytest.raises(ConfigError, match="sha256 was"):
            search(changed, "random", run_dir=tmp_path, n_full=1)
    with pytest.raises(ConfigError, match="chip_sha256 was"):
        search_placement(
            net,
            (x, y),
            HardwareConfig(prog_noise_scale=3.9, dac_bits=6, adc_bits=6),
            way="random",
            n_rep=3,
            n_full=1,
            screening=[(2, 64)],
            objectives=OBJECTIVES,
            run_dir=tmp_path,
            progress=False,
        )


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


class Recurrent(nn.Module):
    "A layer of four matrices among others."

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(8, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.head = nn.Linear(5, 10)

    def forward(self, x):
        return self.head(self.lstm(self.stem(x.flatten(1, 2)))[0][:, -1])


class Tied(nn.Module):
    "Two layers with the same weights."

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.second = nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.second(self.first(x.flatten(1)).relu()))


@pytest.mark.parametrize("net, is_sum", [(Recurrent(), True), (Tied(), False)])
def test_cost_of_every_placement_is_that_of_the_model(task, net, is_sum):
    measurer = PlacementMeasurer(net.eval(), task[1], CHIP, ("analog", "int8", "float"), n_rep=1)
    problem = PlacementProblem(measurer, ("energy", "latency"), {}, [Fidelity(1)])
    assert (problem.layer_costs is not None) == is_sum
    for key in itertools.product(measurer.kinds, repeat=3):
        placement = measurer.placement(key)
        expected = model_cost(net, task[1][0][:1], placement=placement).system
        for name, value in problem.cost(key).items():
            assert value == pytest.approx(expected[name].item(), rel=1e-9)


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
        {"limits": ["acc_1d"]},
        {"limits": {"acc_1d": 101}},
        {"limits": {"analog_share": 1.5}},
        {"limits": {"energy": -1}},
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
