"""Executing batches: control from other threads, errors, and what other processes did."""

import sqlite3
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from analognas.core import ConfigError, FileFormatError, StoreUnavailableError
from analognas.evaluators.base_evaluator import ParamsEvaluator, Prediction
from analognas.search_algorithms.execution import (
    MAX_POLL_SECONDS,
    MIN_POLL_SECONDS,
    Backoff,
    ExecutionConfig,
    RunControl,
    SearchDriver,
    SearchStopped,
    SerialExecutor,
)
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.run_directory import SEARCH, RunDirectory, read_evaluations
from analognas.search_spaces.config_space import ConfigSpace


def driver(path, evaluator, executor=None, chunksize=3, on_evaluation=None):
    "A driver of searches in a directory."
    space = ConfigSpace("digits")
    evaluator.bind(space)
    execution = ExecutionConfig(evaluator, evaluator, executor or SerialExecutor(), chunksize, 4)
    return SearchDriver(
        RunDirectory(path, {"seed": 0}),
        space,
        execution,
        RunControl(),
        on_evaluation or (lambda method, run, trial: None),
    )


def search(d, n=20):
    "Run a random search."
    optimizer = RandomSearch(d.execution.evaluator, n, batch_size=10)
    return d.run(optimizer, "search", 0, seed=0)


def test_a_paused_search_continues_and_a_stopped_one_ends():
    control = RunControl()
    control.pause()
    passed = threading.Event()
    thread = threading.Thread(target=lambda: (control.check(), passed.set()), daemon=True)
    thread.start()
    assert not passed.is_set()
    control.unpause()
    assert passed.wait(30)
    control.stop()
    with pytest.raises(SearchStopped):
        control.check()
    control.reset()
    control.check()


def test_any_executor_gives_the_same_history(tmp_path):
    serial = search(driver(tmp_path / "serial", ParamsEvaluator()))
    with ThreadPoolExecutor(3) as pool:
        threads = search(driver(tmp_path / "threads", ParamsEvaluator(), pool, chunksize=1))
    assert threads.history.equals(serial.history)


def test_every_evaluation_is_reported_once_also_a_stored_one(tmp_path):
    first, second = [], []
    for trials in (first, second):
        d = driver(
            tmp_path,
            ParamsEvaluator(),
            on_evaluation=lambda m, r, trial, to=trials: to.append(trial),
        )
        result = search(d)
        d.directory.evaluations.close()
    assert len(result.history) == 20
    assert {trial.key for trial in first} == {trial.key for trial in second}
    assert len(first) == len(second) == 20
    assert sorted(first, key=lambda t: t.key) == sorted(second, key=lambda t: t.key)


def test_what_is_stored_wins_over_what_was_evaluated_here(tmp_path):
    "Another process may have stored a noisy evaluation first."
    d = driver(tmp_path, ParamsEvaluator())
    table = d.directory.evaluations
    stored = Prediction(1e6, 0.0, 0.0, False, True)
    original = table.finish

    def finish_after_another(ids, predictions, feasible, seconds):
        original(ids[:1], [stored], feasible[:1], seconds)
        original(ids, predictions, feasible, seconds)

    table.finish = finish_after_another
    result = search(d, 3)
    assert result.best == stored
    assert (result.history.acc_1d == 1e6).sum() == 1


class FailsAt(ParamsEvaluator):
    "Raises an error at some calls, numbered from 1."

    measured = True

    def __init__(self, calls, error=ZeroDivisionError):
        self.calls, self.failing, self.error = 0, calls, error

    def _predict(self, configs):
        self.calls += 1
        if self.calls in self.failing:
            raise self.error(f"call {self.calls}")
        return super()._predict(configs)


def test_one_failure_is_kept_and_the_search_goes_on(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        d = driver(tmp_path, FailsAt({3}), pool, chunksize=1)
        result = search(d)
    [(method, run, config, error)] = d.directory.evaluations.failures()
    assert (method, run, error) == (SEARCH, 0, "ZeroDivisionError('call 3')")
    assert config not in result.history[d.space.get_hyperparameters()].to_dict("records")
    assert d.directory.evaluations.claims() == []
    assert len(read_evaluations(tmp_path)) == len(result.history) == 19


def test_of_a_task_that_failed_each_is_tried_alone(tmp_path):
    d = driver(tmp_path, FailsAt({1, 4}), SerialExecutor(), chunksize=10)
    result = search(d)
    assert len(d.directory.evaluations.failures()) == 1
    assert len(result.history) == 19


def test_an_evaluator_that_always_fails_is_raised_and_nothing_is_marked(tmp_path):
    d = driver(tmp_path, FailsAt(range(100)), SerialExecutor(), chunksize=1)
    with pytest.raises(ZeroDivisionError) as error:
        search(d)
    assert "the evaluator seems to be at fault" in error.value.__notes__[0]
    assert "is kept in" in error.value.__notes__[1]
    evaluations = d.directory.evaluations
    assert (evaluations.failures(), evaluations.claims()) == ([], [])


def test_an_error_of_the_machine_is_raised_when_the_other_tasks_are_written(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        d = driver(tmp_path, FailsAt({3}, StoreUnavailableError), pool, chunksize=1)
        with pytest.raises(StoreUnavailableError) as error:
            search(d)
    assert "is kept in" in error.value.__notes__[0]
    assert len(read_evaluations(tmp_path)) >= 2
    assert d.directory.evaluations.claims() == []
    assert d.directory.evaluations.failures() == []


def test_failed_ones_stay_failed_until_they_are_opened_again(tmp_path):
    first = search(driver(tmp_path, FailsAt({5}), SerialExecutor(), chunksize=1))
    evaluator = FailsAt(())
    d = driver(tmp_path, evaluator, SerialExecutor(), chunksize=1)
    assert search(d).history.equals(first.history) and evaluator.calls == 0
    assert d.directory.evaluations.reopen() == 1
    again = search(d)
    assert evaluator.calls == 1
    whole = search(driver(tmp_path / "whole", FailsAt(()), SerialExecutor(), chunksize=1))
    assert again.history.equals(whole.history)


class Gone(Executor):
    "An executor whose scheduler is gone: it cancels what it has, or takes nothing."

    def __init__(self, takes):
        self.takes = takes

    def submit(self, fn, /, *args, **kwargs):
        if not self.takes:
            raise OSError("no connection")
        future = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


@pytest.mark.parametrize(
    "takes, message", [(True, "it cancelled a task"), (False, "it took no task.*no connection")]
)
def test_an_executor_that_is_gone_ends_the_search_and_fails_nothing(tmp_path, takes, message):
    d = driver(tmp_path / "run", ParamsEvaluator(), Gone(takes))
    with pytest.raises(BrokenExecutor, match=f"The executor broke.*{message}.*it goes on"):
        search(d)
    table = d.directory.evaluations
    assert table.tasks.counts() == {"open": 10, "claimed": 0, "done": 0, "failed": 0}
    d.execution = replace(d.execution, executor=SerialExecutor())
    assert len(search(d).history) == 20


def test_a_number_of_predictions_that_does_not_fit_fails_with_the_evaluators_name(tmp_path):
    class Short(ParamsEvaluator):
        def query_pop(self, configs):
            return super().query_pop([*configs, *configs])

    d = driver(tmp_path / "run", Short(), chunksize=1)
    with pytest.raises(ConfigError, match="Short returned 2 predictions for 1 architectures"):
        search(d)


def test_a_row_whose_state_is_damaged_is_not_waited_for(tmp_path):
    d = driver(tmp_path / "run", ParamsEvaluator(), chunksize=1)
    search(d)
    with closing(sqlite3.connect(d.directory.evaluations.path)) as db, db:
        db.execute("pragma ignore_check_constraints = 1")
        db.execute("update evaluation set state = 'dona' where id = 3")
    with pytest.raises(FileFormatError, match="damaged: its task 3 is missing or has no state"):
        search(d)


def test_an_evaluator_of_release_0_1_0_is_evaluated(tmp_path):
    class Old(ParamsEvaluator):
        def query_pop(self, configs):
            p = super().query_pop(configs)
            return Prediction(p.acc_1d, p.avm, p.std_1d, np.asarray(p.extrapolated), p.measured)

    with pytest.warns(DeprecationWarning, match="Predictions"):
        old = search(driver(tmp_path / "old", Old()))
    assert old.history.equals(search(driver(tmp_path / "new", ParamsEvaluator())).history)


def test_pauses_double_up_to_a_second_and_start_anew_after_progress(tmp_path, monkeypatch):
    from analognas.search_algorithms import execution

    pauses = []
    monkeypatch.setattr(execution.time, "sleep", pauses.append)
    backoff = Backoff(RunDirectory(tmp_path / "run", {}))
    for _ in range(9):
        backoff.wait(progress=False)
    assert pauses[0] == MIN_POLL_SECONDS
    assert pauses[-1] == MAX_POLL_SECONDS
    assert all(b in (2 * a, MAX_POLL_SECONDS) for a, b in zip(pauses[:-1], pauses[1:], strict=True))
    backoff.wait(progress=True)
    backoff.wait(progress=False)
    assert pauses[-1] == MIN_POLL_SECONDS


def test_waiting_for_a_minute_without_progress_names_the_others(tmp_path, monkeypatch):
    from analognas.search_algorithms import execution

    monkeypatch.setattr(execution.time, "sleep", lambda seconds: None)
    directory = RunDirectory(tmp_path / "run", {})
    ids = directory.evaluations.add("search", 0, ["{}"])
    directory.evaluations.claim(iter(ids), 1)
    backoff = Backoff(directory)
    with pytest.warns(UserWarning, match=r"Waiting for .*process \d+ on .* \(1\).*steal_claims"):
        for _ in range(80):
            backoff.wait(progress=False)


def test_a_search_runs_until_it_is_paused_or_stopped():
    control = RunControl()
    assert control.is_running is True
    control.pause()
    assert control.is_running is False
    control.unpause()
    assert control.is_running is True
    control.stop()
    assert control.is_running is False
