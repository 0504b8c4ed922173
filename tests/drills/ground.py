"""Where drills happen: folders, processes that can be killed, and what must hold after each."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analognas.search_algorithms.run_directory import read_evaluations

HERE = Path(__file__).parent
LIGHT = ("analognas.evaluators.xgboost",)  # imported once
TORCH = ("quick_collection", "analognas.training.collect")  # those for collections


@dataclass
class Outcome:
    "A row of the table."

    what: str
    times: int = 0  # how often it was done
    lost: int = 0  # results that had been reported done and are missing
    again: int = 0  # evaluations that were done again
    under_way: int = 0  # that may have been under way
    wrong: list[str] = field(default_factory=list)  # what else did not hold
    seconds: float = 0.0

    @property
    def holds(self):
        "Return whether nothing was lost, and nothing done twice but what was under way."
        return not self.lost and self.again <= self.under_way and not self.wrong

    def expect(self, condition, text):
        "Note a text if a condition does not hold."
        if not condition:
            self.wrong.append(text)


class Victim:
    "A process of a drill."

    def __init__(self, ground, pid, log):
        self.ground = ground
        self.pid = pid
        self.log = log
        self.status = None

    def signal(self, number=signal.SIGKILL):
        "Send a signal; the process may have ended, but its number is still its own."
        os.kill(self.pid, number)

    def wait(self):
        "Wait for the end and return the exit status; -9 after SIGKILL."
        if self.status is None:
            self.status = int(self.ground.ask(f"wait {self.pid}"))
        return self.status

    @property
    def is_running(self):
        "Return whether the process has not ended."
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] not in "ZX"

    @property
    def message(self):
        "Return what it printed."
        return Path(f"{self.log}.err").read_text()


class Place:
    "A folder with a search or a collection in it, and the log of all processes that worked on it."

    def __init__(self, ground, kind, folder, log):
        self.ground = ground
        self.kind = kind  # "search" or "collection"
        self.folder = folder
        self.log = log

    @property
    def database(self):
        "Return the file of tasks."
        if self.kind == "search":
            return self.folder / "run" / "evaluations.sqlite"
        return self.folder / "labels.sqlite"

    def start(self, job=None, **options):
        "Start a process that works here."
        described = {"victim": self.kind, "folder": str(self.folder), "log": str(self.log)}
        given = described | (job or {}) | {"options": options}
        return Victim(self.ground, int(self.ground.ask(json.dumps(given))), self.log)

    def run(self, job=None, **options):
        "Run a process to its end; returns it."
        victim = self.start(job, **options)
        victim.wait()
        return victim

    def rows(self, state="done"):
        "Return the keys of the tasks in a state, without the code under test."
        query = "select config from task where state = ?"
        if self.kind == "search":
            query = "select method || ' ' || run || ' ' || config from evaluation where state = ?"
        if not self.database.exists():
            return []
        try:
            with closing(sqlite3.connect(self.database, timeout=60)) as db:
                keys = [key for (key,) in db.execute(query, [state])]
        except sqlite3.OperationalError:  # its tables are not made yet
            return []
        if self.kind == "search":
            return keys
        return [json.dumps(json.loads(key)) for key in keys]

    def errors(self):
        "Return why tasks of a collection failed."
        if self.kind == "search" or not self.database.exists():
            return []
        try:
            with closing(sqlite3.connect(self.database, timeout=60)) as db:
                found = db.execute("select result from task where state = 'failed'").fetchall()
        except sqlite3.OperationalError:  # its table is not made yet
            return []
        return [json.loads(result)["error"] for (result,) in found]

    def noted(self, word):
        "Return what processes noted after a word: `ask` or `done`."
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines()
        return [line.removeprefix(word + " ") for line in lines if line.startswith(word + " ")]

    def wait_for(self, n, victim):
        "Wait until n more evaluations have been asked for, or the process has ended."
        until = len(self.noted("ask")) + n
        while len(self.noted("ask")) < until and victim.is_running:
            time.sleep(0.002)

    def check(self, outcome):
        "Count what is lost and what was done again."
        done = Counter(self.rows()) + Counter(self.rows("failed"))
        reported = Counter(set(self.noted("done")))
        outcome.lost += sum((reported - done).values())
        outcome.again += max(0, len(self.noted("ask")) - sum(done.values()))

    def finish(self, outcome, job=None, unbroken=None, **options):
        "Run to the end; the result must be the unbroken one, and nothing lost."
        victim = self.run(job, **options)
        outcome.expect(victim.status == 0, f"status {victim.status}: {victim.message[-300:]}")
        if victim.status == 0:
            wanted = (unbroken or self.ground.unbroken(self.kind)).result()
            other = difference(self.result(), wanted)
            outcome.expect(not other, f"another result than unbroken: {other}")
            self.check(outcome)

    def result(self):
        "Return everything evaluated, as a table."
        if self.kind == "search":
            return read_evaluations(self.folder / "run")
        with closing(sqlite3.connect(self.database)) as db:
            table = pd.read_sql("select config, seed, state, result from task order by id", db)
        table["result"] = [_without_time(text) for text in table["result"]]
        return table


def difference(found, wanted):
    "Return in which rows two tables differ, as text; empty if they are equal."
    if found.equals(wanted):
        return ""
    if found.shape != wanted.shape or list(found) != list(wanted):
        return f"{found.shape[0]} rows, not {wanted.shape[0]}, or other columns"
    rows = (found.astype(str) != wanted.astype(str)).any(axis=1)
    return f"{found[rows].to_dict('records')[:2]}, not {wanted[rows].to_dict('records')[:2]}"


def _without_time(text):
    "Return a measurement without the seconds that it took."
    found = json.loads(text)
    return json.dumps({k: v for k, v in found.items() if "seconds" not in k}, sort_keys=True)


class Ground:
    "Folders and processes; use it in a `with` statement."

    def __init__(self, folder, collections=True, seed=0):
        self.folder = Path(folder)
        self.rng = random.Random(seed)
        self.collections = collections  # are collections drilled, which need torch?
        self._known = {}
        self._n = 0
        paths = [str(HERE), str(HERE.parent / "training"), str(HERE.parents[1])]
        paths += filter(None, [os.environ.get("PYTHONPATH")])
        self.environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(paths),
            "ANALOGNAS_CACHE": str(self.folder / "cache"),
        }
        modules = (*LIGHT, *TORCH) if collections else LIGHT
        self._forker = subprocess.Popen(
            [sys.executable, str(HERE / "victims.py"), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        assert self._forker.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._forker.stdin.close()
        self._forker.wait()

    @property
    def kinds(self):
        "Return what is drilled."
        return ("search", "collection") if self.collections else ("search",)

    def ask(self, line):
        "Send a line to the forking process; returns its answer."
        self._forker.stdin.write(line + "\n")
        self._forker.stdin.flush()
        return self._forker.stdout.readline()

    def place(self, kind, folder=None):
        "Return a new place; its log is never on the disk that is broken."
        self._n += 1
        log = self.folder / f"{self._n}.log"
        folder = folder or self.folder / str(self._n)
        folder.mkdir(exist_ok=True)
        return Place(self, kind, folder, log)

    def unbroken(self, kind, **options):
        "Return a place where nothing happened."
        key = (kind, *options.items())
        if key not in self._known:
            place = self.place(kind)
            victim = place.run(**options)
            assert victim.status == 0, victim.message
            self._known[key] = place
        return self._known[key]
