"""The panel of a search: the same search as without it, whatever happens to panel and kernel."""

import json
import os
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from ipywidgets.widgets.widget import _instances as live_widgets

from analognas.core import ConfigError
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms.ea import LocalSearch
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.registry import OPTIMIZERS
from analognas.search_algorithms.run_directory import read_evaluations
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.widgets.run_record import read_run
from analognas.widgets.run_view import show_run
from analognas.widgets.search_control import PAUSE
from analognas.widgets.search_controls import OPTIMIZER_SETTINGS, known_settings
from analognas.widgets.search_dashboard import SearchDashboard

SPACE = ConfigSpace("digits")


class Gate(ParamsEvaluator):
    """Measures one architecture at a time, and only as many as it has passes; fails at a given
    evaluation."""

    measured = True

    def __init__(self, passes=10**9, breaks_at=None):
        self.passes = threading.Semaphore(passes)
        self.asked = 0
        self.breaks_at = breaks_at
        self.requested = lambda: None  # a test may set what `begun_under` records
        self.begun_under = []  # the request in force when each evaluation began

    def _predict(self, configs):
        self.begun_under.append(self.requested())
        self.passes.acquire()
        self.asked += 1
        if self.asked == self.breaks_at:
            raise RuntimeError("the oven is cold")
        return super()._predict(configs)


@pytest.fixture
def panel(tmp_path):
    "Makes panels with a small search set, and closes them."
    made = []

    def make(evaluator, directory=tmp_path / "runs", **settings):
        panel = SearchDashboard(SPACE, evaluator, directory)
        made.append(panel)
        for name, value in (
            {"population_size": 6, "nb_iter": 2, "T_AVM": "", "max_nb_param": "0.5", "seed": "4"}
            | settings
        ).items():
            panel.controls[name].value = value
        assert panel.wait(60)
        return panel

    yield make
    for one in made:
        if isinstance(one.evaluator, Gate):
            one.evaluator.passes.release(10**6)
        one.close()


def until(true, what="it", seconds=60):
    "Wait, looking often."
    for _ in range(seconds * 50):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def status(panel):
    return panel.status


def plain(runs=2, evaluator=None, path=None, **limits):
    "The search of these tests without a panel."
    optimizer = EAOptimizer(
        evaluator or Gate(),
        nb_iter=2,
        population_size=6,
        **{"max_nb_param": 0.5, "T_AVM": None} | limits,
    )
    worker = Worker(SPACE, optimizer, runs=runs, seed=4, run_dir=path, progress=False)
    worker.search()
    return worker


# ---- the same search ------------------------------------------------------------------------------------------------


def test_panel_runs_the_same_search_as_a_worker(panel, tmp_path):
    mine = panel(Gate())
    assert "ready." in status(mine) and "2 × 18 architectures, and as many at random" in status(
        mine
    )
    mine.buttons["start"].click()
    assert mine.wait(120)
    alone = plain(path=tmp_path / "alone")
    pd.testing.assert_frame_equal(read_evaluations(mine.path), alone.evaluations)
    assert (
        f"finished: best {alone.best_acc:.2f} %, {len(alone.evaluations)} architectures evaluated"
        in status(mine)
    )
    assert (
        mine.view.table["acc_1d (%)"][0] == alone.best_acc
        and mine.view.alt == show_run(alone).alt == show_run(mine.path).alt
    )
    mine_settings, theirs = (
        json.loads((p / "settings.json").read_text()) for p in (mine.path, tmp_path / "alone")
    )
    assert mine_settings == theirs


def test_paused_stopped_and_continued_search_has_the_same_result(panel, tmp_path):
    gate = Gate(7)
    mine = panel(gate)
    gate.requested = lambda: mine.search.requested
    mine.buttons["start"].click()
    until(lambda: "running: 7 of" in status(mine), "seven evaluations")
    until(lambda: len(gate.begun_under) == 8, "the eighth to begin")
    assert mine.controls["seed"].disabled
    assert mine.buttons["start"].disabled
    assert not mine.buttons["stop"].disabled
    mine.buttons["pause"].click()
    gate.passes.release(5)  # one is under way, and finished; then nothing new begins
    until(lambda: "paused at 8 of" in status(mine), "the pause")
    assert gate.asked == 8
    assert mine.buttons["pause"].description == "continue"
    mine.buttons["pause"].click()
    until(lambda: "running: 12 of" in status(mine), "it to go on")
    until(lambda: len(gate.begun_under) == 13, "the thirteenth to begin")
    mine.buttons["stop"].click()
    until(lambda: "stopping at" in status(mine), "the word")
    gate.passes.release(1)
    assert mine.wait(60)
    assert "stopped at 13 of" in status(mine)
    assert gate.asked == 13
    assert not mine.buttons["start"].disabled
    assert mine.buttons["pause"].description == "continue"
    gate.passes.release(10**6)
    mine.buttons["pause"].click()
    until(lambda: "finished" in status(mine), "the end")
    alone = plain(path=tmp_path / "alone")
    pd.testing.assert_frame_equal(read_evaluations(mine.path), alone.evaluations)
    assert gate.asked == len(alone.evaluations)  # nothing was evaluated twice
    assert PAUSE not in gate.begun_under


def test_requests_made_while_the_evaluator_loads_are_applied(panel):
    gate = Gate()
    mine = panel(gate)
    bind = gate.bind
    free = threading.Event()

    def bind_slowly(space):
        free.wait(60)
        return bind(space)

    gate.bind = bind_slowly
    mine.buttons["start"].click()
    until(lambda: mine.search.worker is not None)
    mine.buttons["pause"].click()
    free.set()  # the worker now begins, and sets its own switch to go
    until(lambda: "paused at" in status(mine), "the pause")
    mine.buttons["stop"].click()
    assert mine.wait(60) and "stopped at" in status(mine)


# ---- what happens to panel and kernel -------------------------------------------------------------------------------


def test_close_stops_the_search_and_leaks_nothing(tmp_path):
    before, threads = len(live_widgets), threading.active_count()
    gate = Gate(5)
    mine = SearchDashboard(SPACE, gate, tmp_path)
    mine.controls["T_AVM"].value = ""
    mine.buttons["start"].click()
    until(lambda: gate.asked == 5)
    gate.passes.release(10**6)
    mine.close()
    mine.search.join(60)
    assert len(live_widgets) == before and threading.active_count() == threads
    n = len(read_evaluations(mine.search.worker.run_dir))
    assert 5 <= n <= 500 and read_run(mine.search.worker.run_dir).finished is False


@pytest.mark.parametrize("pause", [True, False])
def test_close_does_not_hang_while_paused_or_in_a_long_evaluation(tmp_path, pause):
    gate = Gate(3)
    mine = SearchDashboard(SPACE, gate, tmp_path)
    mine.controls["T_AVM"].value = ""
    mine.buttons["start"].click()
    until(lambda: "running: 3 of" in status(mine))
    if pause:
        mine.buttons["pause"].click()
        gate.passes.release(1)
        until(lambda: "paused at 4" in status(mine))
    mine.close()  # if not paused, it still waits at the gate
    gate.passes.release(10**6)
    mine.search.join(60)
    assert not mine.search.is_busy and len(read_evaluations(mine.search.worker.run_dir)) == 4


KILLED = """
import os, sys
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
class Gate(ParamsEvaluator):
    measured, asked = True, 0
    def _predict(self, configs):
        self.asked += 1
        if self.asked == 14:
            os._exit(9)
        return super()._predict(configs)
optimizer = EAOptimizer(Gate(), 2, 6, max_nb_param=0.5, T_AVM=None)
Worker(ConfigSpace("digits"), optimizer, runs=2, seed=4, run_dir=sys.argv[1], progress=False).search()
"""


def test_killed_run_is_opened_and_continued(panel, tmp_path):
    killed = tmp_path / "killed"
    assert (
        subprocess.run(
            [sys.executable, "-c", KILLED, str(killed)], env=os.environ | {"OMP_NUM_THREADS": "1"}
        ).returncode
        == 9
    )
    mine = panel(Gate(), nb_iter=50, max_nb_param="3")
    mine.controls["path"].value = f" {killed} "
    mine.buttons["open"].click()
    assert mine.wait(60) and "stopped at 13 of 72" in status(mine)
    assert [mine.settings[n] for n in ("nb_iter", "max_nb_param", "T_AVM")] == [
        2,
        "0.5",
        "",
    ]  # its own, not those before
    mine.buttons["pause"].click()
    until(lambda: "finished" in status(mine), "the end")
    pd.testing.assert_frame_equal(
        read_evaluations(killed), plain(path=tmp_path / "alone").evaluations
    )


def test_panel_on_a_run_directory_shows_it(tmp_path):
    alone = plain(path=tmp_path / "alone")
    mine = SearchDashboard(SPACE, Gate(), tmp_path / "alone")
    mine.refresh()
    assert mine.wait(60) and f"finished: best {alone.best_acc:.2f} %" in status(mine)
    assert mine.view.alt == show_run(alone).alt and mine.controls["path"].options == (
        str(tmp_path / "alone"),
    )
    mine.close()


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("max_nb_param", "many", "the limit of parameters must be a number"),
        ("seed", "1.5", "seed must be a whole number"),
        ("seed", "", "seed must be"),
        ("T_AVM", "-3", "T_AVM must be a finite number at least 0"),
        ("limit", "x", "the limit of tiles must be a number"),
    ],
)
def test_impossible_settings_are_shown_and_change_nothing(panel, tmp_path, name, value, said):
    mine = panel(Gate(), limit_of="tiles")
    mine.buttons["start"].click()
    assert mine.wait(120)
    view, kept, runs = mine.view, mine.path, len(list((tmp_path / "runs").iterdir()))
    mine.controls[name].value = value
    assert mine.wait(60) and said in status(mine) and mine.status_is_error
    mine.buttons["start"].click()  # nobody should, but somebody will
    assert mine.wait(60) and said in status(mine)
    assert (mine.path, len(list((tmp_path / "runs").iterdir()))) == (
        kept,
        runs,
    ) and mine.view.alt == view.alt
    mine.controls[name].value = "1"
    assert mine.wait(60) and "finished" in status(mine) and not mine.status_is_error


def test_no_mutation_at_all_is_an_error(panel):
    mine = panel(Gate(), mutation_prob_width=0.0, mutation_prob_depth=0.0, mutation_prob_other=0.0)
    assert "At least one mutation probability must be above 0" in status(mine)


def test_a_failed_evaluation_is_reported_and_the_search_goes_on(panel):
    mine = panel(Gate(breaks_at=12))
    mine.buttons["start"].click()
    assert mine.wait(60)
    assert "Failed: 1, the first because of RuntimeError('the oven is cold')." in status(mine)
    assert "finished" in status(mine)
    measured = len(read_evaluations(mine.path))
    assert f"{measured} architectures evaluated" in status(mine) and measured > 11


def test_limits_that_nothing_meets_are_reported(panel):
    mine = panel(Gate(), T_AVM="0", std_1d="0", limit_of="depth", limit="1")
    mine.buttons["start"].click()
    assert mine.wait(120) and "No run found an allowed architecture" in status(mine)


@pytest.mark.parametrize(
    "text, said", [("", "Which run?"), ("nowhere/at/all", "holds no search to go on with")]
)
def test_open_a_path_that_is_no_run(panel, text, said):
    mine = panel(Gate())
    mine.controls["path"].value = text
    mine.buttons["open"].click()
    assert mine.wait(60) and said in status(mine)


def test_open_a_damaged_run(panel, tmp_path):
    plain(path=tmp_path / "alone")
    (tmp_path / "alone" / "settings.json").write_text("{")
    mine = panel(Gate())
    mine.controls["path"].value = str(tmp_path / "alone")
    mine.buttons["open"].click()
    assert mine.wait(60) and "is not valid JSON" in status(mine)


def test_run_of_another_evaluator_is_shown_but_not_continued(panel, tmp_path):
    plain(evaluator=ParamsEvaluator(), path=tmp_path / "alone")
    (tmp_path / "alone" / "summary.json").unlink()
    mine = panel(Gate(), directory=tmp_path)
    mine.controls["path"].value = str(tmp_path / "alone")
    mine.buttons["open"].click()
    assert mine.wait(60) and "stopped at" in status(mine)
    before = read_evaluations(tmp_path / "alone")
    mine.buttons["pause"].click()
    assert mine.wait(60) and "already in use by another search" in status(mine)
    pd.testing.assert_frame_equal(read_evaluations(tmp_path / "alone"), before)


# ---- controls -------------------------------------------------------------------------------------------------------


def test_only_settings_of_the_optimizer_are_enabled(panel):
    mine = panel(Gate())
    for name in ("random_search", "ea", "local_search", "ea_optimized"):
        mine.controls["optimizer"].value = name
        assert mine.wait(60)
        assert {n for n in OPTIMIZER_SETTINGS if not mine.controls[n].disabled} == set(
            known_settings(name)
        )
        assert mine.controls["baseline"].disabled == (name == "random_search")
    assert set(OPTIMIZERS) - {"successive_halving"} == {
        value for _, value in mine.controls["optimizer"].options
    }


def test_every_control_and_button_has_a_label_and_a_tooltip(panel):
    mine = panel(Gate())
    for widget in (*mine.controls.values(), *mine.buttons.values()):
        assert widget.description and widget.tooltip


def test_local_search_from_the_panel(panel, tmp_path):
    mine = panel(
        ParamsEvaluator(), optimizer="local_search", nb_evaluations=30, runs=1, baseline=False
    )
    mine.buttons["start"].click()
    assert mine.wait(60)
    optimizer = LocalSearch(ParamsEvaluator(), 30, max_nb_param=0.5)
    alone = Worker(
        SPACE, optimizer, runs=1, seed=4, run_dir=tmp_path / "alone", baseline=False, progress=False
    )
    alone.search()
    pd.testing.assert_frame_equal(read_evaluations(mine.path), alone.evaluations)


def test_space_has_to_be_a_config_space():
    with pytest.raises(ConfigError, match="space must be a ConfigSpace"):
        SearchDashboard("digits")


@pytest.mark.parametrize("evaluator", [None, XGBoostEvaluator(), ParamsEvaluator()])
def test_a_new_panel_has_the_range_of_the_labels_that_other_searches_have(tmp_path, evaluator):
    mine = SearchDashboard(SPACE, evaluator, tmp_path)
    other = EAOptimizer(evaluator or XGBoostEvaluator())
    assert mine.settings["inside"] is not other.constraints.allow_extrapolation
    mine.close()
