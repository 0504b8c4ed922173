"""What the drills break: a search and a label collection that note everything they do in a log.

`python victims.py` reads a job from each line and forks a process for it, so that imports are paid once.
"""

import importlib
import json
import os
import sys
import time
import traceback
import warnings
import zlib
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from analognas import cli
from analognas.core import claims, storage
from analognas.evaluators.base_evaluator import Evaluator
from analognas.search_algorithms import execution
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.isolated import IsolatedExecutor
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace

WRONG = 6  # one architecture in so many is treated badly


def note(log, *words):
    "Append a line to a file, at once and whole."
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    os.close(fd)


def once(flag):
    "Return whether this is the first process that asks."
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


class Noting(Evaluator):
    "Measures by a formula, takes a moment, and notes every architecture; treats some badly."

    measured = True

    def __init__(self, log, seconds=0.004, wrong=None):
        self.log = str(log)
        self.seconds = seconds
        self.wrong = wrong  # "raises", "nan", "shape", "range", "hangs", "memory" or "dies once"

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        keys = [self.space.key(config) for config in configs]
        for key in keys:
            note(self.log, "ask", key)
        time.sleep(self.seconds * len(configs))
        depth = self.space.stats(configs)["depth"] / 200
        values = np.stack([90 - depth, depth, depth / 10], axis=1)
        if any(zlib.crc32(key.encode()) % WRONG == 0 for key in keys):
            values = self._mistreat(values)
        return values, np.zeros(len(configs), bool)

    def _mistreat(self, values):
        "Do what is wrong."
        if self.wrong == "raises":
            raise ZeroDivisionError("this architecture is wrong")
        if self.wrong == "hangs":
            time.sleep(600)
        if self.wrong == "memory":
            bytearray(4 * 2**30)
        if self.wrong == "dies once" and once(self.log + ".flag"):
            os.kill(os.getpid(), 9)
        changed = {"nan": values * np.nan, "shape": values[:, :2], "range": values + 1000}
        return changed.get(self.wrong, values)


def executor_of(kind):
    "Return an executor, and None for none."
    if kind is None:
        return nullcontext()
    if kind == "threads":
        return ThreadPoolExecutor(3)
    if kind == "pool":
        return ProcessPoolExecutor(2, get_context("fork"))
    return IsolatedExecutor(2, time_limit=5.0, memory_limit=800)


def make_worker(run_dir, log, wrong=None, small=False, seconds=0.004, **options):
    "Return the worker of all drills: two runs of an evolution and their baselines, or 24 draws."
    evaluator = Noting(log, seconds, wrong)
    optimizer = EAOptimizer(evaluator, nb_iter=3, population_size=10, max_nb_param=0.05, T_AVM=None)
    if small:
        optimizer = RandomSearch(evaluator, 24, batch_size=12)
    return Worker(
        ConfigSpace("digits"),
        optimizer,
        runs=1 if small else 2,
        seed=4,
        run_dir=run_dir,
        progress=False,
        on_evaluation=lambda method, run, trial: note(log, "done", method, run, trial.key),
        **options,
    )


def search(folder, log, executor=None, **options):
    "Run the search, or continue it."
    with executor_of(executor) as pool:
        worker = make_worker(f"{folder}/run", log, executor=pool, **options)
        worker.search()
        if worker.interrupted:
            raise KeyboardInterrupt("the same command goes on")
    return 0


def collection(folder, log, reopen=False):
    "Run a collection of tiny networks that are really trained, or continue it."
    quick_collection = importlib.import_module("quick_collection")
    collector = importlib.import_module("analognas.training.collector")
    train_and_measure = collector.train_and_measure
    measure = collector.Collector.measure

    def noted(space, config, *args, **kwargs):
        note(log, "ask", json.dumps(config))
        return train_and_measure(space, config, *args, **kwargs)

    def measured(self, task_id, config, seed):
        measure(self, task_id, config, seed)
        note(log, "done", json.dumps(config))

    collector.train_and_measure = noted
    collector.Collector.measure = measured
    quick_collection.run(f"{folder}/labels.sqlite", reopen)
    return 0


def set_clock(seconds, after):
    "Move the clock by some seconds, once it has been read `after` times."
    real = time.time
    reads = iter(range(10**9))
    moved = Namespace(**vars(time))
    moved.time = lambda: real() + (seconds if next(reads) >= after else 0)
    for module in (claims, storage):
        module.time = moved


def read_file(folder, log, what):
    "Read a file by the toolkit, as `files` describes."
    files = importlib.import_module("files")
    files.READERS[what](Path(folder))
    return 0


VICTIMS = {"search": search, "collection": collection, "read_file": read_file}


def run(job):
    "Run a job in this process and return its exit status, as the command line would."
    with open(job["log"] + ".err", "a") as errors:
        os.dup2(errors.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    warnings.simplefilter("always")
    storage.WRITE_SECONDS = 1.0
    execution.WAIT_BEFORE_WARNING = 5.0
    if "clock" in job:
        set_clock(*job["clock"])
    if "file_size" in job:
        resource = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_size"], resource.RLIM_INFINITY))
    victim = VICTIMS[job["victim"]]
    options = job.get("options", {})
    args = Namespace(
        command=job["victim"], call=lambda _: victim(job["folder"], job["log"], **options)
    )
    try:
        return cli.call(args)
    except Exception:  # noqa: BLE001 - whatever it is
        traceback.print_exc()
        return 99  # a bug: the command line would show a traceback


def serve():
    "Fork a process for each job, and print its number; `wait N` prints the exit status of one."
    for line in sys.stdin:
        if line.startswith("wait"):
            _, status = os.waitpid(int(line.split()[1]), 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        child = os.fork()
        if child == 0:
            status = run(json.loads(line))
            sys.stderr.flush()
            os._exit(status)
        print(child, flush=True)


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    print("ready", flush=True)
    serve()
