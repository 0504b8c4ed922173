"""Processes: when they started, and on which machine."""

import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

from analognas.core import process_realm, process_start, processes


def test_process_start_agrees_with_the_kernels_clock(tmp_path):
    "Against the clock that the kernel counts with; the name holds what ends a name in /proc."
    program = shutil.copy(shutil.which("sleep"), tmp_path / "a) S 1 (b")
    ticks = os.sysconf("SC_CLK_TCK")
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with subprocess.Popen([program, "600"]) as process:
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
        start = process_start(process.pid)
        process.kill()
    assert int(before * ticks) <= int(start) <= int(after * ticks) + 1
    assert process_start(process.pid) is None  # it has ended


def test_process_realm_differs_between_containers(monkeypatch):
    realm = process_realm()
    monkeypatch.setattr(processes.os, "readlink", lambda path: "pid:[another container]")
    assert realm is None or process_realm() != realm
    monkeypatch.undo()
    assert process_realm() == realm


def test_process_realm_and_start_are_none_without_proc(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(processes.Path, "read_text", missing)
    assert process_realm() is None and process_start(os.getpid()) is None


def test_pid_exists_sends_no_signal_on_windows(monkeypatch):
    "There signal 0 is Ctrl-C; psutil is required in its place."

    def kill(*args):
        raise AssertionError("a signal was sent")

    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(pid_exists=lambda pid: pid == 7))
    monkeypatch.setattr(processes.os, "kill", kill)
    monkeypatch.setattr(processes.sys, "platform", "win32")
    alive = (processes.pid_exists(7), processes.pid_exists(8))
    monkeypatch.undo()
    assert alive == (True, False)


def test_after_fork_does_nothing_where_nothing_forks(monkeypatch):
    monkeypatch.delattr(processes.os, "register_at_fork")
    assert processes.after_fork(print) is None
