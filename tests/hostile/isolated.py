"""Runs a function in a forked process with limits of memory and time, and reports how it ended.

The parent has imported everything before, so that a try takes some milliseconds; a process of `IsolatedExecutor` imports anew,
keeps what earlier tasks left, and takes no closures. The limit of memory is the library's. Linux only: memory is read from /proc."""

import contextlib
import json
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analognas.search_algorithms.isolated import limit_memory

MEGABYTES = 1024  # that a try may add to what the parent has
SECONDS = 20  # of the processor that a try may take
PATIENCE = 300.0  # seconds until a process that waits for something is ended
REFUSED, READ, CRASHED = "refused", "read", "crashed"


@dataclass(frozen=True)
class Outcome:
    "How a try ended."

    how: str  # REFUSED, READ or CRASHED
    message: str  # of the error
    megabytes: float  # that it added at most; 0 where the process ended before it could tell
    seconds: float  # of the processor


def memory(name: str) -> int:
    "Return a line of /proc/self/status, bytes: VmRSS is what is resident, VmHWM the most that was."
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise ValueError(f"/proc/self/status has no {name}")


def attempt(read: Callable[[], object], refusals: tuple[type[BaseException], ...]) -> Outcome:
    "Call a function in a process of its own. One of `refusals` is how it should refuse."
    ours, theirs = os.pipe()
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _child(read, refusals, theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        text = _read_until(pipe.fileno(), start + PATIENCE)
    if text is None:
        os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    seconds = used.ru_utime + used.ru_stime
    if text is None:
        return Outcome(CRASHED, f"no end after {PATIENCE:g} s", 0.0, seconds)
    if not text:
        return Outcome(CRASHED, f"the process ended with status {status}", 0.0, seconds)
    return Outcome(*json.loads(text), seconds)


def _read_until(fd: int, end: float) -> bytes | None:
    "Return what a child writes before it ends; None if it has not ended in time."
    found = b""
    while select.select([fd], [], [], max(0.0, end - time.perf_counter()))[0]:
        piece = os.read(fd, 65536)
        if not piece:
            return found
        found += piece
    return None


def _child(
    read: Callable[[], object], refusals: tuple[type[BaseException], ...], pipe: int
) -> None:
    "Read, write the outcome to the pipe, and end without Python's clearing up."
    limit_memory(MEGABYTES)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
    before = memory("VmRSS")
    try:
        warnings.simplefilter("ignore")
        read()
        how, message = READ, ""
    except refusals as e:
        how, message = REFUSED, str(e)
    except BaseException as e:  # noqa: BLE001 - whatever it is, the table shows it
        how, message = CRASHED, f"{type(e).__name__}: {str(e)[:300]}"
    added = max(0, memory("VmHWM") - before) / 2**20
    os.write(pipe, json.dumps([how, message[:4000], added]).encode())
    os._exit(0)
