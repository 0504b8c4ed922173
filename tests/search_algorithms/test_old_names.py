"""Names and forms of release 0.1.0 keep working in searches, and warn."""

import importlib

import numpy as np
import pytest

from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator, Prediction, Predictions
from analognas.search_algorithms import pareto
from analognas.search_algorithms.base import Optimizer
from analognas.search_algorithms.constraints import QUANTITIES, Constraints, Quantity
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace

OLD = {
    "base": ["Search", "History", "feasible_start", "sample_admitted", "nearest_miss"],
    "candidates": ["every_config", "spread_start", "standardise", "warp", "walk", "mutate"],
    "constraints": ["known_quantities"],
    "pareto": ["Choice"],
    "worker": [
        "OPTIMIZERS",
        "find_optimizer",
        "make_optimizer",
        "describe",
        "optimizer_from",
        "read_settings",
        "shipped_evaluator",
        "Report",
        "standard_error",
        "progress_table",
        "Stopped",
        "Switch",
        "train_and_measure",
    ],
}


@pytest.mark.parametrize("module, name", [(m, n) for m, names in OLD.items() for n in names])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_names_of_modules_are_found(module, name):
    assert getattr(importlib.import_module(f"analognas.search_algorithms.{module}"), name)


def test_a_renamed_name_warns_with_the_new_one():
    from analognas.search_algorithms import base

    with pytest.warns(DeprecationWarning, match="Search is now .*AskTellSearch"):
        assert base.Search is base.AskTellSearch
    with pytest.raises(AttributeError, match="no attribute 'Serch'"):
        _ = base.Serch


def test_constraints_take_their_old_arguments():
    def rule(config):
        return config["M"] < 3

    with pytest.warns(DeprecationWarning, match="inside is now allow_extrapolation"):
        old = Constraints(inside=True, allowed=rule)
    assert old == Constraints(allow_extrapolation=False, predicate=rule)
    with pytest.warns(DeprecationWarning):
        assert Constraints(inside=False).allow_extrapolation
    with pytest.warns(DeprecationWarning):
        assert old.inside is True
    with pytest.warns(DeprecationWarning):
        assert old.allowed is rule


def test_constraints_keep_their_old_methods():
    space = ConfigSpace("digits")
    configs = space.sample_arch_uniformly(30, 0)
    limits = Constraints(max_nb_param=0.3, T_AVM=2)
    with pytest.warns(DeprecationWarning, match="satisfied_by_config"):
        assert (limits.admits(space, configs) == limits.satisfied_by_config(space, configs)).all()
    with pytest.warns(DeprecationWarning, match="satisfied_by_prediction"):
        assert limits.met_by(Prediction(90.0, 1.0, 0.1, False)).tolist() == [True]
    with pytest.warns(DeprecationWarning, match="bounds"):
        assert limits.of(known=True) == {"params": 3e5}
    with pytest.warns(DeprecationWarning, match="static"):
        assert QUANTITIES["params"].known
    with pytest.warns(DeprecationWarning, match="known is now static"):
        assert Quantity("%", known=False) == Quantity("%", static=False)


def test_predictions_have_outside():
    with pytest.warns(DeprecationWarning, match="outside is now extrapolated"):
        one = Prediction(90.0, 1.0, 0.1, outside=True)
    assert one == Prediction(90.0, 1.0, 0.1, True)
    with pytest.warns(DeprecationWarning):
        assert one.outside is True
    many = Predictions(np.ones(2), np.ones(2), np.ones(2), np.array([True, False]))
    with pytest.warns(DeprecationWarning):
        assert many.outside.tolist() == [True, False]


def test_arrays_in_a_prediction_are_indexed():
    old = Prediction(np.array([90.0, 91.0]), np.ones(2), np.ones(2), np.array([False, True]))
    assert len(old) == 2
    with pytest.warns(DeprecationWarning, match="Predictions"):
        assert old[1] == Prediction(91.0, 1.0, 1.0, True)


class Old(Evaluator):
    "An evaluator that returns arrays in a `Prediction`, as in release 0.1.0."

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        raise NotImplementedError

    def query_pop(self, configs):
        depth = self.space.stats(configs)["depth"].astype(float)
        return Prediction(depth, depth / 10, depth / 100, depth > 100, False)


class Climber(Optimizer):
    "Hill climbing as it was written for release 0.1.0: records are dicts."

    budget = 10_000

    def propose(self, history, rng):
        start = yield history.space.sample_arch_uniformly(5, rng)
        here = max(start, key=lambda r: r["score"])
        better = [here]
        while better:
            records = yield history.space.neighbours(here["config"])
            better = [r for r in records if r["feasible"] and r["score"] > here["score"]]
            here = max(better, key=lambda r: r["score"], default=here)


class NewClimber(Climber):
    "The same with trials."

    def propose(self, history, rng):
        start = yield history.space.sample_arch_uniformly(5, rng)
        here = max(start, key=lambda t: t.score)
        better = [here]
        while better:
            trials = yield history.space.neighbours(here.config)
            better = [t for t in trials if t.feasible and t.score > here.score]
            here = max(better, key=lambda t: t.score, default=here)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_evaluator_and_an_old_optimizer_search(tmp_path):
    space = ConfigSpace("digits")
    new = NewClimber(Old()).run(space, 0)
    assert Climber(Old()).run(space, 0).history.equals(new.history)
    assert Old().bind(space).query(new.best_config) == new.best
    seen = []
    worker = Worker(
        space,
        Climber(Old()),
        runs=1,
        run_dir=tmp_path / "run",
        progress=False,
        on_evaluation=lambda method, run, record: seen.append(record["acc_1d"]),
    )
    worker.search()
    evaluations = worker.evaluations
    assert sorted(seen) == sorted(evaluations.acc_1d)
    assert worker.best_acc == evaluations[evaluations.method == "search"].acc_1d.max()


def test_a_worker_takes_its_old_arguments(tmp_path):
    with pytest.warns(DeprecationWarning) as warned:
        worker = Worker(
            ConfigSpace("digits"),
            RandomSearch(ParamsEvaluator(), 20),
            runs=1,
            run_dir=tmp_path / "run",
            progress=False,
            chunk=3,
            in_flight=2,
            send=lambda evaluator: evaluator,
        )
    assert (worker.chunksize, worker.max_pending) == (3, 2)
    assert worker.broadcast("x") == "x"
    text = " ".join(str(w.message) for w in warned)
    assert all(name in text for name in ("chunksize", "max_pending", "broadcast"))
    worker.search()
    with pytest.warns(DeprecationWarning, match="unpause"):
        worker.go_on()
    with pytest.warns(DeprecationWarning, match="steal_claims"):
        again = Worker.resume(tmp_path / "run", ParamsEvaluator(), take_over=True, progress=False)
    assert again.summary() == worker.summary()


def test_a_front_keeps_its_old_names():
    space = ConfigSpace("digits")
    result = RandomSearch(ParamsEvaluator(), 20).run(space, 0)
    front = pareto.pareto_front(result, space, ("acc_1d", "params"))
    with pytest.warns(DeprecationWarning, match="select"):
        assert front.pick() == front.select()
    with pytest.warns(DeprecationWarning, match="nadir"):
        assert front.worst == front.nadir
