"""Processes with limits: a task that hangs, dies or takes too much fails, and the others do not notice."""

import os
import time
from concurrent.futures import BrokenExecutor

import pytest

from analognas.core import ConfigError
from analognas.search_algorithms import isolated
from analognas.search_algorithms.isolated import (
    IsolatedExecutor,
    ProcessEndedError,
    TimeLimitError,
)


class Unsendable(Exception):
    "Can be pickled, and not unpickled."

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail():
    raise Unsendable("this", "that")


def die_once(flag):
    "The first process that is asked dies."
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "done"
    os._exit(7)


@pytest.fixture(scope="module")
def pool():
    with IsolatedExecutor(1, time_limit=0.5, memory_limit=400) as made:
        yield made


def test_a_task_returns_what_it_returns(pool):
    assert [f.result() for f in [pool.submit(abs, -i) for i in range(4)]] == [0, 1, 2, 3]


def test_a_task_that_hangs_is_ended_and_the_next_one_runs(pool):
    with pytest.raises(TimeLimitError, match="took longer than 0.5 s, and its process was ended"):
        pool.submit(time.sleep, 600).result()
    assert pool.submit(abs, -1).result() == 1


def test_a_timeout_of_the_task_itself_is_an_error_like_others(pool):
    process = pool.submit(os.getpid).result()
    with pytest.raises(ValueError):
        pool.submit(int, "x").result()
    assert pool.submit(os.getpid).result() == process


def test_a_task_whose_process_dies_is_tried_once_more(pool, tmp_path):
    assert pool.submit(die_once, tmp_path / "flag").result() == "done"


def test_a_task_that_always_ends_its_process_fails_with_the_reason(pool):
    with pytest.raises(ProcessEndedError, match="ended with exit status 3"):
        pool.submit(os._exit, 3).result()
    with pytest.raises(ProcessEndedError, match=r"by signal 6 \(SIGABRT\)"):
        pool.submit(os.abort).result()


def test_a_task_that_takes_too_much_memory_fails(pool):
    with pytest.raises(MemoryError):
        pool.submit(bytearray, 2**31).result()
    assert pool.submit(len, b"a" * 1000).result() == 1000


def test_what_cannot_be_sent_is_the_error_of_its_task(pool):
    with pytest.raises(RuntimeError, match="Unsendable: this and that"):
        pool.submit(fail).result()
    with pytest.raises(RuntimeError, match="The result cannot be sent"):
        pool.submit(eval, "lambda: 0").result()
    with pytest.raises(Exception, match="pickle"):
        pool.submit(lambda: 0).result()
    assert pool.submit(abs, -1).result() == 1


def test_an_interrupt_ends_the_processes_at_once():
    with pytest.raises(KeyboardInterrupt):
        with IsolatedExecutor(1) as pool:
            pool.submit(abs, 1).result()
            future = pool.submit(time.sleep, 600)
            raise KeyboardInterrupt
    assert future.cancelled() or isinstance(future.exception(), BrokenExecutor)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"max_workers": 0}, "max_workers must be"),
        ({"time_limit": 0}, "time_limit must be"),
        ({"memory_limit": float("nan")}, "memory_limit must be"),
    ],
)
def test_limits_that_are_none_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        IsolatedExecutor(**arguments)


def test_a_limit_of_memory_needs_linux(monkeypatch):
    monkeypatch.setattr(isolated.sys, "platform", "win32")
    with pytest.raises(ConfigError, match="memory_limit needs Linux; this is win32"):
        IsolatedExecutor(1, memory_limit=100)
