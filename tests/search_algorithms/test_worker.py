"""The worker: what is on disk, what survives a kill, and what is refused before anything is written."""

import csv
import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import long_search
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import wilcoxon

from analognas.core import ConfigError, FileFormatError, spawn_seeds
from analognas.datasets.load import Dataset, load_dataset
from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.search_algorithms import worker as worker_module
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.report import summary_lines
from analognas.search_algorithms.run_directory import (
    RunDirectory,
    make_new_directory,
    read_evaluations,
)
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.training.protocol import Protocol


class Depth(Evaluator):
    "A user's own evaluator; `stop_at` is the question at which the user presses Ctrl-C."

    percent = False  # some networks have more than 100 layers

    def __init__(self, stop_at=None):
        self.stop_at, self.questions = stop_at, 0

    def _check_space(self, space):
        if space.search_space == "nasbench201":
            raise ConfigError("Depth knows nothing about cells.")

    def _predict(self, configs):
        self.questions += 1
        if self.questions == self.stop_at:
            raise KeyboardInterrupt
        depth = self.space.stats(configs)["depth"].astype(float)
        return np.stack([depth, depth / 10, depth / 100], axis=1), depth > 100


def search(path, runs=2, evaluator=None, generations=3, **kwargs):
    optimizer = EAOptimizer(
        Depth() if evaluator is None else evaluator, generations, 10, max_nb_param=None, T_AVM=None
    )
    worker = Worker(
        ConfigSpace("digits"), optimizer, runs=runs, seed=4, run_dir=path, progress=False, **kwargs
    )
    worker.search()
    return worker


def evaluations(path):
    "What is in the database, read without the code under test."
    with closing(sqlite3.connect(path / "evaluations.sqlite")) as db:
        return db.execute(
            "select method, run, config, acc_1d, feasible from evaluation where state = 'done' "
            "order by id"
        ).fetchall()


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_everything_is_in_the_run_directory(tmp_path, capsys):
    path = tmp_path / "run"
    worker = search(path)
    assert sorted(p.name for p in path.iterdir()) == [
        "best_results_0.csv",
        "best_results_1.csv",
        "evaluations.sqlite",
        "settings.json",
        "summary.json",
    ]
    settings, summary = (
        json.loads((path / f"{n}.json").read_text()) for n in ("settings", "summary")
    )
    assert (
        settings["runs"],
        settings["seed"],
        settings["optimizer"],
        settings["population_size"],
    ) == (2, 4, "EAOptimizer", 10)
    assert settings["space"] == json.loads(ConfigSpace("digits").to_json()) and set(
        settings["versions"]
    ) >= {"analognas", "numpy"}
    rows = evaluations(path)
    for method, results in (("search", worker.results), ("random", worker.baselines)):
        for run, result in enumerate(results):
            mine = [(json.loads(c), a) for m, r, c, a, _ in rows if (m, r) == (method, run)]
            names = ConfigSpace("digits").get_hyperparameters()
            assert [c for c, _ in mine] == result.history[names].to_dict("records")
            assert [a for _, a in mine] == result.history.acc_1d.tolist()
    assert [len(r.history) for r in worker.baselines] == [
        len(r.history) for r in worker.results
    ]  # the same budget
    best = max(worker.results, key=lambda r: r.best_acc)
    assert (worker.best_config, worker.best_acc) == (best.best_config, best.best_acc)
    assert (
        summary == json.loads(json.dumps(worker.summary()))
        and summary["best_config"] == worker.best_config
    )
    assert summary["params"] == sum(p.numel() for p in worker.best_arch.parameters())
    pair = [r.best_acc for r in worker.results]
    assert (
        worker.std_err
        == pytest.approx(abs(pair[0] - pair[1]) / 2)
        == pytest.approx(pd.Series(pair).sem())
    )
    for i, result in enumerate(worker.results):
        with (path / f"best_results_{i}.csv").open() as f:
            assert {k: float(v) for k, v in csv.reader(f)} == result.best_config
    frame = worker.evaluations
    assert (
        len(frame) == len(rows)
        and frame.acc_1d.tolist() == [r[3] for r in rows]
        and frame.feasible.dtype == bool
    )
    worker.result_summary()
    text = capsys.readouterr().out
    active = {
        n: v
        for n, v in worker.best_config.items()
        if worker.config_space.is_active(n, worker.best_config)
    }
    assert (
        "predicted 1-day accuracy" in text
        and str(active) in text
        and str(path) in text
        and "random search" in text
    )


def test_runs_are_the_searches_of_their_seeds(tmp_path):
    worker = search(tmp_path / "run", baseline=False)
    for seed, result in zip(spawn_seeds(4, 2), worker.results, strict=True):
        alone = EAOptimizer(Depth(), 3, 10, max_nb_param=None, T_AVM=None).run(
            ConfigSpace("digits"), seed
        )
        assert alone.history.equals(result.history)
    assert not worker.baselines and worker.summary()["random_search_mean_best"] is None


def test_one_run_has_no_standard_error(tmp_path):
    worker = search(tmp_path / "run", runs=1)
    assert worker.std_err == 0.0 and worker.summary()["std_err"] == 0.0


def test_measured_is_said(tmp_path, capsys):
    truth = TableEvaluator(nasbench201_labels())
    worker = Worker(
        NASBench201Space(),
        RandomSearch(truth, 30),
        runs=1,
        run_dir=tmp_path / "run",
        progress=False,
    )
    worker.search()
    worker.result_summary()
    assert "measured 1-day accuracy" in capsys.readouterr().out and worker.summary()["measured"]


def test_names_make_optimizers_with_default_settings(tmp_path):
    worker = Worker(ConfigSpace("digits"), "random_search", ParamsEvaluator(), runs=1)
    assert type(worker.optimizer) is RandomSearch and worker.optimizer.nb_evaluations == 1000
    assert type(Worker(ConfigSpace("digits"), evaluator=ParamsEvaluator()).optimizer) is EAOptimizer


def test_a_directory_of_its_own_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worker = search(None, runs=1)
    assert worker.directory.path.parent.name == "runs" and worker.directory.path.name.startswith(
        "digits-"
    )
    make_new_directory("digits")
    search(None, runs=1)  # within the same second too
    assert len(list((tmp_path / "runs").iterdir())) == 3
    again = worker.directory.path
    worker.search()  # the same worker goes on with the directory it made
    assert worker.directory.path == again and len(list((tmp_path / "runs").iterdir())) == 3


def test_statistics_over_runs(tmp_path, capsys):
    worker = search(tmp_path / "run", runs=6)
    ours, theirs = ([r.best_acc for r in rs] for rs in (worker.results, worker.baselines))
    s = worker.summary()
    assert s["wilcoxon_p"] == pytest.approx(wilcoxon(ours, theirs).pvalue)
    assert s["random_search_std_err"] == pytest.approx(pd.Series(theirs).sem())
    worker.result_summary()
    assert f"Wilcoxon p = {s['wilcoxon_p']:.2g}" in capsys.readouterr().out
    table = worker.progress_table()
    assert table.groupby(["method", "run"], sort=False).best_score.last()["search"].tolist() == ours
    assert (
        table.groupby(["method", "run"]).best_score.apply(lambda b: b.is_monotonic_increasing).all()
    )


def test_a_space_that_builds_no_networks_can_be_searched(tmp_path):
    "Searching asks the evaluator; a network is needed for training only."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter("width", "discrete", 1, 30)

    class Width(Evaluator):
        def _check_space(self, space):
            pass

        def _predict(self, configs):
            width = np.array([c["width"] for c in configs], float)
            return np.stack([width, width, width], axis=1), np.zeros(len(configs), bool)

    worker = Worker(
        space, RandomSearch(Width(), 30), runs=1, run_dir=tmp_path / "run", progress=False
    )
    worker.search()
    assert worker.best_config == {"width": 30} and (tmp_path / "run" / "summary.json").exists()
    worker.result_summary()


def test_the_winner_is_trained_and_measured(tmp_path):
    worker = Worker(
        ConfigSpace("digits"),
        RandomSearch(ParamsEvaluator(), 5, max_nb_param=0.005),
        runs=1,
        run_dir=tmp_path / "run",
        progress=False,
    )
    worker.search()
    d = load_dataset("digits")
    data = Dataset(d.info, d.x_train[:128], d.y_train[:128], d.x_test[:50], d.y_test[:50])
    result = worker.train_best(data, Protocol(epochs=1, hwa_epochs=1, n_rep=2))
    written = json.loads((tmp_path / "run" / "measured.json").read_text())
    assert written["config"] == worker.best_config and written["acc"] == result.drift.acc.tolist()
    net = worker.best_arch
    net.load_state_dict(
        torch.load(tmp_path / "run" / "network.pt", weights_only=True)
    )  # the trained weights fit the network
    assert (
        written["acc_1d"] == result.drift.acc_1d
        and written["protocol"]["n_rep"] == 2
        and worker.measurement is result
    )


# ---- interruption ---------------------------------------------------------------------------------------------------


def test_a_killed_search_leaves_every_evaluation_readable(tmp_path):
    path = tmp_path / "run"
    victim = subprocess.Popen(
        [sys.executable, long_search.__file__, str(path)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    n = 0
    deadline = time.monotonic() + 120
    while n < 40 and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
        try:
            n = len(evaluations(path))
        except sqlite3.OperationalError:  # not made yet
            pass
    victim.kill()
    assert victim.wait(60) == -signal.SIGKILL
    frame = read_evaluations(path)
    assert (
        len(frame) >= n and frame.method.unique().tolist() == ["search"] and len(frame) % 5 == 0
    )  # whole batches
    space = ConfigSpace.from_json(
        json.dumps(json.loads((path / "settings.json").read_text())["space"])
    )
    for config in frame[space.get_hyperparameters()].head(5).to_dict("records"):
        space.validate(config)
    with pytest.raises(ConfigError, match="already in use by another search"):
        search(path)


def test_random_search_that_did_not_run_is_not_said_to_have_found_nothing(tmp_path, capsys):
    space = ConfigSpace("digits")
    optimizer = EAOptimizer(ParamsEvaluator(), 5, 10)
    worker = Worker(space, optimizer, runs=2, run_dir=tmp_path / "run", progress=False)
    seen = []
    worker.on_evaluation = lambda *trial: (seen.append(trial), len(seen) == 30 and worker.stop())
    worker.search()
    worker.result_summary()
    text = capsys.readouterr().out
    assert set(worker.evaluations.method) == {"search"}
    assert "random search, same budget and constraints: has not run yet" in text
    assert "search() goes on" in text and "found nothing" not in text
    worker.search()
    worker.result_summary()
    text = capsys.readouterr().out
    assert "has not run" not in text and "constraints: mean best" in text
    # where it ran to its end and no network was allowed
    report = dataclasses.replace(
        worker.report, found={("search", 0): worker.results[0]}, interrupted=False
    )
    assert "  random search, same budget and constraints: found nothing allowed" in summary_lines(
        report, baseline=True
    )


def test_ctrl_c_in_a_run_keeps_what_was_found(tmp_path, capsys):
    path = tmp_path / "run"
    worker = search(path, runs=5, evaluator=Depth(stop_at=3))
    assert worker.results[-1].interrupted and len(worker.results) == 1
    assert "what 1 of 5 runs found" in capsys.readouterr().out
    summary = json.loads((path / "summary.json").read_text())
    assert summary["interrupted"] and summary["acc_1d"] == max(r[3] for r in evaluations(path))
    assert (path / "best_results_0.csv").exists() and len(evaluations(path)) == len(
        worker.results[0].history
    )


def questions_of_one_run(tmp_path):
    "How often the evaluator is asked in one run, and in one run with its baseline."
    counts = []
    for baseline in (False, True):
        evaluator = Depth()
        search(
            tmp_path / f"count{baseline}",
            runs=1,
            evaluator=evaluator,
            baseline=baseline,
            generations=12,
        )
        counts.append(evaluator.questions)
    return counts


def test_ctrl_c_at_the_first_question_of_a_later_run(tmp_path):
    "Nothing was found in that run yet; the first one's result is not lost for that."
    first = questions_of_one_run(tmp_path)[1]
    try:
        search(tmp_path / "run", runs=3, evaluator=Depth(stop_at=first + 1), generations=12)
    except KeyboardInterrupt:
        pass
    assert (tmp_path / "run" / "best_results_0.csv").exists()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["interrupted"]


@pytest.mark.parametrize("later", [1, 2])
def test_ctrl_c_during_the_baseline_ends_the_search(tmp_path, later):
    "The user wants it to stop: no second run begins, and what was found is kept."
    own, both = questions_of_one_run(tmp_path)
    assert own + later <= both
    evaluator = Depth(stop_at=own + later)
    try:
        search(tmp_path / "run", runs=3, evaluator=evaluator, generations=12)
    except KeyboardInterrupt:
        pass
    assert evaluator.questions == own + later
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["interrupted"]


def test_a_baseline_that_finds_nothing_does_not_cost_the_result(tmp_path):
    "Feasible architectures are rare: the search finds some, as many random draws may find none."

    class Rare(Evaluator):
        "Only the first batch keeps its accuracy over a month."

        first = True

        def _check_space(self, space):
            pass

        def _predict(self, configs):
            avm = np.full(len(configs), 1.0 if self.first else 99.0)
            self.first = False
            return np.stack([np.arange(len(configs), dtype=float), avm, avm], axis=1), np.zeros(
                len(configs), bool
            )

    worker = Worker(
        ConfigSpace("digits"),
        EAOptimizer(Rare(), 1, 5, max_nb_param=None, T_AVM=10),
        runs=1,
        run_dir=tmp_path / "run",
        progress=False,
    )
    worker.search()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["avm"] == 1.0 and summary["random_search_mean_best"] is None
    worker.result_summary()


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_a_used_directory_is_refused_and_left_alone(tmp_path):
    worker = search(tmp_path / "run", runs=1)
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    worker.seed = 5
    for again, says in (
        (worker.search, "seed was 4, now 5"),
        (lambda: search(tmp_path / "run"), "runs was 1, now 2"),
        (lambda: search(tmp_path / "run", runs=1, generations=4), "nb_iter was 3, now 4"),
    ):
        with pytest.raises(ConfigError, match=f"is already in use by another search: {says}"):
            again()
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    assert worker.best_acc > 0  # the refused call did not lose the result either
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="is already in use"):
        search(tmp_path / "notes")
    (tmp_path / "empty").mkdir()
    search(tmp_path / "empty", runs=1)


def test_a_directory_that_cannot_be_made_is_refused_before_any_question(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / "file" / "a" / "b"):
        evaluator = Depth()
        with pytest.raises(ConfigError, match="cannot be written|already in use"):
            search(path, evaluator=evaluator)
        assert evaluator.questions == 0
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_mismatch_is_refused_before_anything_is_written(tmp_path):
    for space, evaluator, says in [
        (NASBench201Space(), Depth(), "knows nothing about cells"),
        (ConfigSpace("digits"), TableEvaluator(nasbench201_labels()), "describes architectures by"),
    ]:
        with pytest.raises(ConfigError, match=says):
            Worker(
                space, RandomSearch(evaluator, 10), run_dir=tmp_path / "run", progress=False
            ).search()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, says",
    [
        (
            dict(optimizer="genetic", evaluator=ParamsEvaluator()),
            "Unknown optimizer 'genetic'. Allowed: 'ea_optimized', 'random_search', 'ea'",
        ),
        (
            dict(optimizer="ea_optimised", evaluator=ParamsEvaluator()),
            "Did you mean 'ea_optimized'?",
        ),
        (dict(optimizer="random_search"), "needs an evaluator"),
        (dict(optimizer=EAOptimizer), "optimizer must be an Optimizer"),
        (dict(optimizer=None), "optimizer must be an Optimizer"),
        (dict(evaluator="xgboost"), "needs an Evaluator"),
        (
            dict(optimizer=RandomSearch(ParamsEvaluator(), 5), evaluator=ParamsEvaluator()),
            "This RandomSearch has an evaluator, a ParamsEvaluator, and evaluator=... names",
        ),
        *(
            (dict(evaluator=ParamsEvaluator(), **unused), "serve a search that measures")
            for unused in ({"low_fidelity": ["cheap"]}, {"labels": "mine"})
        ),
        *(
            (dict(evaluator=ParamsEvaluator(), runs=b), "runs must be a whole number")
            for b in (0, -1, 1.5, None, "2")
        ),
        *(
            (dict(evaluator=ParamsEvaluator(), seed=b), "seed must be a whole number")
            for b in (-1, 1.5, None, "2")
        ),
        (dict(evaluator=ParamsEvaluator(), cs="CIFAR-10"), "cs must be a ConfigSpace; got str"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, says):
    with pytest.raises(ConfigError) as e:
        Worker(**{"cs": ConfigSpace("digits")} | arguments)
    assert says in str(e.value)


def test_nothing_before_search(tmp_path):
    worker = Worker(ConfigSpace("digits"), evaluator=ParamsEvaluator())
    for ask in (
        lambda: worker.best_config,
        lambda: worker.best_acc,
        lambda: worker.best_arch,
        lambda: worker.evaluations,
        worker.summary,
        worker.result_summary,
        worker.train_best,
    ):
        with pytest.raises(ConfigError, match=r"call search\(\) first"):
            ask()
    assert worker.std_err == 0.0


def test_evaluations_of_a_directory_are_read_before_the_search_goes_on(tmp_path):
    searched = search(tmp_path / "run", runs=1)
    settings = dict(runs=1, seed=4, run_dir=tmp_path / "run", progress=False)
    opened = Worker(ConfigSpace("digits"), searched.optimizer, **settings)
    assert len(opened.evaluations) == len(evaluations(tmp_path / "run")) > 0


# ---- reading --------------------------------------------------------------------------------------------------------


def test_a_directory_without_evaluations_yet_is_an_empty_table(tmp_path):
    run = RunDirectory(tmp_path / "run", {"seed": 1})
    assert len(read_evaluations(run.path)) == 0


@pytest.mark.parametrize("raw", [b"", b"garbage" * 500, "half", "page"])
def test_a_damaged_database_is_a_format_error(tmp_path, raw):
    search(tmp_path / "run", runs=1)
    file = tmp_path / "run" / "evaluations.sqlite"
    with closing(sqlite3.connect(file)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    good = file.read_bytes()
    file.write_bytes(
        {"half": good[: len(good) // 2], "page": good[:8192] + b"\xa5" * 4096 + good[12288:]}.get(
            raw, raw
        )
    )
    with pytest.raises(FileFormatError, match="evaluations.sqlite"):
        read_evaluations(tmp_path / "run")


def test_values_with_commas_come_back(tmp_path):
    run = RunDirectory(tmp_path / "run", {})
    config = {"kernel, size": "3,5", "name": 'a "b"', "n": 3}
    with run.write_best(0, config).open(newline="") as f:
        assert dict(csv.reader(f)) == {k: str(v) for k, v in config.items()}


class Bar:
    "A progress bar that keeps what it is told."

    def __init__(self, total, **options):
        self.total, self.options, self.n, self.texts = total, options, 0, []
        self.steps = []
        Bar.last = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, n):
        self.n += n
        self.steps.append(n)

    def set_postfix(self, best):
        self.texts.append(best)


@pytest.fixture
def bar(tmp_path, monkeypatch):
    "The bar of two searches with a baseline, and their worker."
    monkeypatch.setattr(worker_module, "tqdm", Bar)
    return search(tmp_path / "run", baseline=True)


def test_the_bar_counts_the_evaluations_of_the_searches_alone(bar):
    assert Bar.last.total == 2 * bar.optimizer.budget
    assert Bar.last.n == Bar.last.total
    assert Bar.last.options["disable"] is True


def test_the_bar_counts_searches_without_a_baseline_too(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_module, "tqdm", Bar)
    worker = search(tmp_path / "run", runs=1, baseline=False)
    assert Bar.last.n == worker.optimizer.budget
    assert Bar.last.steps[-1] < worker.optimizer.budget / 2  # it grew while the search ran


def test_the_bar_shows_the_best_accuracy_after_each_run(bar):
    assert len(Bar.last.texts) == 2
    assert Bar.last.texts[-1] == f"{bar.best_acc:.2f}"
