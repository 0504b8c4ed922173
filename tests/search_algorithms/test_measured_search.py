"""A budget of measurements: what is measured, when the surrogate is fitted again, what a kill leaves."""

import json

import numpy as np
import pytest

from analognas.core import ConfigError
from analognas.evaluators import rank_model
from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.measured_search import MeasuredSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.nasbench201 import NASBench201Space

SPACE = NASBench201Space()
FAST = {"teachers": ["boosted_trees"], "boosted_rounds": 15, "unlabeled": 200}


class Counting(Evaluator):
    "The published table, which keeps what it is asked; Ctrl-C comes after so many architectures."

    measured = True

    def __init__(self, ends_after=None):
        self.table = TableEvaluator(nasbench201_labels())
        self.ends_after = ends_after
        self.asked = []

    def _check_space(self, space):
        self.table.bind(space)

    def _predict(self, configs):
        if self.ends_after is not None and len(self.asked) >= self.ends_after:
            raise KeyboardInterrupt
        self.asked += [self.space.key(config) for config in configs]
        return self.table._predict(configs)


@pytest.fixture(scope="module", autouse=True)
def fewer_trees():
    "Every refit cross-validates; few trees are enough to choose by."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank_model, "STUDENT_ROUNDS", 30)
        yield


@pytest.fixture(scope="module")
def surrogate(fewer_trees):
    return XGBoostEvaluator().fit(nasbench201_labels().take(range(30)), SPACE, settings=FAST)


def worker(path, surrogate, truth, **arguments):
    search = EAOptimizer(surrogate, 2, 20)
    return Worker(
        SPACE, search, truth=truth, measurements=7, batch_size=3, run_dir=path, seed=5,
        progress=False, **{"runs": 1} | arguments,
    )  # fmt: skip


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, surrogate):
    truth = Counting()
    done = worker(tmp_path_factory.mktemp("run") / "r", surrogate, truth, runs=2)
    done.search()
    return done, truth


def test_the_budget_is_of_measurements_and_random_search_has_the_same(unbroken):
    done, truth = unbroken
    assert [len(r.history) for r in done.results] == [7, 7]
    assert [len(r.history) for r in done.baselines] == [7, 7]
    assert len(truth.asked) == 4 * 7
    assert done.evaluations.measured.all()


def test_what_is_measured_is_the_tables_and_no_network_comes_twice(unbroken):
    done, _ = unbroken
    table = TableEvaluator(nasbench201_labels()).bind(SPACE)
    names = SPACE.get_hyperparameters()
    for result in done.results:
        configs = result.history[names].to_dict("records")
        assert result.history.acc_1d.tolist() == table.query_pop(configs).acc_1d.tolist()
        assert len({SPACE.arch_id(config) for config in configs}) == 7


def test_the_best_predicted_are_measured_first(unbroken, surrogate):
    first = unbroken[0].results[0].history[:3]
    configs = first[SPACE.get_hyperparameters()].to_dict("records")
    predicted = surrogate.bind(SPACE).query_pop(configs).acc_1d
    assert first.predicted_acc_1d.tolist() == predicted.tolist()
    assert predicted[0] == max(predicted)


def test_later_batches_are_predicted_by_a_surrogate_that_has_the_measured_labels(
    unbroken, surrogate
):
    history = unbroken[0].results[0].history
    names = SPACE.get_hyperparameters()
    configs = history[names].to_dict("records")
    before = surrogate.bind(SPACE).query_pop(configs).acc_1d
    assert not np.allclose(before[3:], history.predicted_acc_1d[3:])
    more = nasbench201_labels()
    keys = [SPACE.key(config) for config in more.configs]
    rows = [keys.index(SPACE.key(config)) for config in configs[:3]]
    table = more.take(rows)
    columns = [*names, "acc_1d", "avm", "std_1d"]
    again = surrogate.refit(type(table)("three", table.table[columns], names))
    assert np.allclose(again.query_pop(configs[3:6]).acc_1d, history.predicted_acc_1d[3:6])


def test_the_summary_has_measured_and_predicted_apart(unbroken, capsys):
    done, _ = unbroken
    summary = json.loads(json.dumps(done.summary()))
    best = max(done.results, key=lambda r: r.best_acc).history
    assert summary["measured"] and summary["acc_1d"] == best.acc_1d.max()
    assert summary["predicted_acc_1d"] == best.predicted_acc_1d[best.acc_1d.idxmax()]
    errors = [abs(r.history.predicted_acc_1d - r.history.acc_1d) for r in done.results]
    assert summary["mean_prediction_error"] == pytest.approx(np.concatenate(errors).mean())
    done.result_summary()
    text = capsys.readouterr().out
    assert "EAOptimizer with measurements, 14 evaluations" in text
    assert f"measured 1-day accuracy {summary['acc_1d']:.2f} %" in text
    assert f"predicted before it was measured: {summary['predicted_acc_1d']:.2f} %" in text


@pytest.mark.parametrize("ends_after", [2, 5, 9])
def test_a_broken_search_goes_on_to_the_same_result(tmp_path, unbroken, surrogate, ends_after):
    "Nothing that was measured is measured again; as in a new process, the worker is a new one."
    truth = Counting(ends_after)
    try:
        worker(tmp_path / "r", surrogate, truth).search()
    except KeyboardInterrupt:
        assert ends_after < 7
    rest = Counting()
    resumed = worker(tmp_path / "r", surrogate, rest)
    resumed.search()
    done, whole = unbroken
    assert truth.asked + rest.asked == whole.asked[: 2 * 7]
    assert resumed.results[0].history.equals(done.results[0].history)
    assert resumed.baselines[0].history.equals(done.baselines[0].history)


def test_another_budget_is_another_search(tmp_path, surrogate):
    worker(tmp_path / "r", surrogate, Counting(), baseline=False).search()
    other = Worker(
        SPACE, EAOptimizer(surrogate, 2, 20), truth=Counting(), measurements=9, batch_size=3,
        run_dir=tmp_path / "r", seed=5, runs=1, baseline=False, progress=False,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="nb_evaluations was 7, now 9"):
        other.search()


def test_a_search_without_a_surrogate_or_its_labels_is_refused(surrogate, tmp_path):
    with pytest.raises(ConfigError, match="needs an optimizer on a surrogate.*ParamsEvaluator"):
        MeasuredSearch(Counting(), EAOptimizer(ParamsEvaluator()))
    loaded = XGBoostEvaluator(surrogate.save(tmp_path / "w"))
    with pytest.raises(ConfigError, match="pass the label set that it was fitted to"):
        MeasuredSearch(Counting(), EAOptimizer(loaded))
    MeasuredSearch(Counting(), EAOptimizer(loaded), labels=surrogate.labels)
    with pytest.raises(ConfigError, match="batch_size"):
        MeasuredSearch(Counting(), EAOptimizer(surrogate), batch_size=0)
