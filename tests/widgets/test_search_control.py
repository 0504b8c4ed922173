"""One search at a time; requests reach the worker, also before it is made; errors are kept."""

import threading

import pytest

from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.testing import FailingEvaluator, FunctionEvaluator, GatedEvaluator
from analognas.widgets.search_control import PAUSE, RUN, STOP, SearchControl

WAIT = 60.0  # seconds, until a test has failed


@pytest.fixture
def changes():
    return []


@pytest.fixture
def control(changes):
    made = SearchControl(lambda: changes.append(made.is_busy))
    yield made
    made.request(STOP)
    made.join(WAIT)


def maker(tmp_path, evaluator, n=4):
    "Return a function that makes a worker."

    def make(on_evaluation):
        return Worker(
            ConfigSpace("digits"),
            RandomSearch(evaluator, n),
            runs=1,
            run_dir=tmp_path / "run",
            progress=False,
            on_evaluation=on_evaluation,
        )

    return make


def test_before_a_search_there_is_nothing(control):
    assert not control.is_busy and control.requested == RUN
    assert control.worker is control.error is control.run_dir is None
    control.request(STOP)  # no search: ignored
    assert control.requested == RUN


def test_a_search_ends_by_itself(control, changes, tmp_path):
    control.start(maker(tmp_path, ParamsEvaluator()))
    control.join(WAIT)
    assert not control.is_busy and control.error is None
    assert len(control.worker.evaluations) == 4
    assert control.run_dir == tmp_path / "run"
    assert changes[-1] is False
    control.clear()
    assert control.worker is None


def test_a_second_search_is_not_started_while_one_runs(control, tmp_path):
    gate = GatedEvaluator(ParamsEvaluator())
    control.start(maker(tmp_path, gate))
    gate.wait_until_blocked()
    first = control.worker
    control.start(maker(tmp_path, ParamsEvaluator()))
    control.clear()
    assert control.worker is first and control.is_busy
    gate.release(100)
    control.join(WAIT)


def test_stop_keeps_what_is_finished(control, tmp_path):
    gate = GatedEvaluator(ParamsEvaluator(), permits=1)
    control.start(maker(tmp_path, gate, n=50))
    gate.wait_until_blocked()
    control.request(STOP)
    gate.release(100)
    control.join(WAIT)
    assert not control.is_busy
    assert 1 <= len(control.worker.evaluations) < 50


def test_a_paused_search_waits_until_it_may_go_on(control, tmp_path):
    gate = GatedEvaluator(ParamsEvaluator(), permits=1)
    control.start(maker(tmp_path, gate))
    gate.wait_until_blocked()
    control.request(PAUSE)
    gate.release(100)
    assert control.requested == PAUSE
    control.request(RUN)
    control.join(WAIT)
    assert len(control.worker.evaluations) == 4


def test_stop_before_the_worker_is_made_evaluates_nothing(control, tmp_path):
    may_go_on = threading.Event()
    make = maker(tmp_path, ParamsEvaluator())

    def make_late(on_evaluation):
        assert may_go_on.wait(WAIT)
        return make(on_evaluation)

    control.start(make_late)
    control.request(STOP)
    may_go_on.set()
    control.join(WAIT)
    assert control.run_dir is None and control.error is None


def test_the_reason_of_a_failure_is_kept_until_the_next_search(control, tmp_path, unexpected):
    "Ten failures in a row are the evaluator's fault, not the architectures'."

    def fail(configs, space):
        raise ValueError("a bug")

    control.start(maker(tmp_path, FunctionEvaluator(fail, measured=True), n=30))
    control.join(WAIT)
    assert "a bug" in str(control.error)
    assert [text for text in unexpected if "a bug" in text] == unexpected != []
    unexpected.clear()
    control.clear()
    assert control.error is None


def test_one_failure_does_not_end_the_search(control, tmp_path):
    failing = FailingEvaluator(ParamsEvaluator(), ValueError("a bug"), call=2, measured=True)
    control.start(maker(tmp_path, failing))
    control.join(WAIT)
    assert control.error is None
    assert len(control.worker.evaluations) == 3
