"""A budget of measurements: what is measured, when the surrogate is fitted again, what a kill leaves."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analognas.core import ConfigError
from analognas.evaluators import rank_model
from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator
from analognas.evaluators.measured import FAST_PROTOCOL
from analognas.evaluators.mlp import MLPEvaluator
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.measured_search import MeasuredSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.training.labels import LabelSet, labels_hash

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


# ---------------------------------------------------------------- labels of lower fidelity
@pytest.fixture(scope="module")
def upside_down():
    "Cheap labels that rank accuracy the wrong way round, in another range."
    table = nasbench201_labels().take(range(0, 1000, 5))
    wrong = table.table.assign(acc_1d=60 - table.table.acc_1d / 2)[
        [*table.hyperparameters, "acc_1d", "avm", "std_1d"]
    ]
    return LabelSet("cheap", wrong, table.hyperparameters)


def dearer(path, cheap, truth, **arguments):
    search = EAOptimizer(XGBoostEvaluator().fit(cheap, SPACE, settings=FAST), 2, 60)
    return Worker(
        SPACE, search, truth=truth, measurements=16, batch_size=4, run_dir=path, seed=5, runs=1,
        progress=False, baseline=False, **{"low_fidelity": [cheap]} | arguments,
    )  # fmt: skip


@pytest.fixture(scope="module")
def raised(tmp_path_factory, fewer_trees, upside_down):
    done = dearer(tmp_path_factory.mktemp("raised") / "r", upside_down, Counting())
    done.search()
    return done, done.results[0].history


def test_half_of_the_start_is_random_and_the_rest_the_best_of_the_cheap_labels(raised, upside_down):
    history = raised[1]
    configs = history[SPACE.get_hyperparameters()].to_dict("records")
    cheap = XGBoostEvaluator().fit(upside_down, SPACE, settings=FAST)
    predicted = cheap.query_pop(configs[:12]).acc_1d
    assert np.allclose(predicted, history.predicted_acc_1d[:12])
    best, random = (predicted.reshape(3, 2, 2)[:, k].ravel() for k in (0, 1))
    assert min(best) > np.median(upside_down.table.acc_1d)
    assert min(best) > np.median(random)


def test_then_a_surrogate_of_the_measurements_predicts_with_the_cheap_labels_help(
    raised, upside_down
):
    history = raised[1]
    names = SPACE.get_hyperparameters()
    measured = LabelSet("m", history[:12][[*names, "acc_1d", "avm", "std_1d"]], names)
    again = XGBoostEvaluator().fit(measured, SPACE, settings=FAST, low_fidelity=[upside_down])
    configs = history[names].to_dict("records")[12:16]
    expected = again.query_pop(configs).acc_1d
    assert np.allclose(expected, history.predicted_acc_1d[12:16])


def test_measurements_correct_labels_that_rank_the_wrong_way_round(raised):
    accuracy = raised[1].acc_1d.to_numpy()
    misled = accuracy[[0, 1, 4, 5, 8, 9]]
    assert accuracy[12:].mean() > misled.mean() + 5


def test_a_broken_search_of_higher_fidelity_goes_on_to_the_same_result(
    tmp_path, raised, upside_down
):
    truth = Counting(ends_after=13)
    dearer(tmp_path / "r", upside_down, truth).search()  # prints that it was interrupted
    rest = Counting()
    resumed = dearer(tmp_path / "r", upside_down, rest)
    resumed.search()
    assert len(truth.asked + rest.asked) == 16
    assert resumed.results[0].history.equals(raised[1])


def test_the_settings_say_which_labels_are_of_lower_fidelity(raised, upside_down, surrogate):
    truth = Counting()
    raising = raised[0].optimizer.settings()
    cheap = {"label_set": "cheap", "rows": 200, "labels_sha256": labels_hash(upside_down)}
    assert raising["labels"] == cheap | {"higher_fidelity": True}
    search = EAOptimizer(surrogate)
    both = MeasuredSearch(truth, search, labels=surrogate.labels, low_fidelity=[upside_down])
    assert both.settings()["low_fidelity"] == [cheap]
    assert "low_fidelity" not in MeasuredSearch(truth, search).settings()


def test_labels_of_another_training_are_warned_of(surrogate):
    truth = Counting()
    truth.protocol = FAST_PROTOCOL
    plan = {"protocol": {"epochs": 40, "hwa_epochs": FAST_PROTOCOL.hwa_epochs}}
    for metadata in (plan, {"plan": plan}):
        labels = replace(surrogate.labels, metadata=metadata)
        with pytest.warns(UserWarning, match="epochs 40 there and 4 here.*low_fidelity="):
            MeasuredSearch(truth, EAOptimizer(surrogate), labels=labels)
    alike = replace(surrogate.labels, metadata={"protocol": {"epochs": FAST_PROTOCOL.epochs}})
    MeasuredSearch(truth, EAOptimizer(surrogate), labels=alike)  # warnings are errors here
    MeasuredSearch(truth, EAOptimizer(surrogate), low_fidelity=[labels])


def test_nothing_is_measured_if_the_surrogate_could_not_be_fitted_again(
    upside_down, surrogate, tmp_path
):
    few = upside_down.take(4 * [0, 1, 2, 3])
    known = surrogate.labels
    of_digits = LabelSet("of digits", known.table, known.hyperparameters, {"dataset": "digits"})
    two = surrogate.refit(surrogate.labels.take(range(1)), low_fidelity=[upside_down])
    loaded = XGBoostEvaluator(two.save(tmp_path / "w"))
    layers = MLPEvaluator().fit(upside_down, SPACE)
    for evaluator, arguments, text in (
        (surrogate, {"low_fidelity": [few]}, "4 networks"),
        (loaded, {"labels": surrogate.labels}, r"low_fidelity=\[...\] if it had such"),
        (layers, {"low_fidelity": [upside_down]}, "does not learn from labels of lower fidelity"),
        (loaded, {"labels": of_digits, "low_fidelity": [upside_down]}, "name 'digits'.*'CIFAR-10'"),
    ):
        truth = Counting()
        search = MeasuredSearch(truth, EAOptimizer(evaluator, 2, 20), 4, **arguments)
        with pytest.raises(ConfigError, match=text):
            search.run(SPACE, 0)
        assert not truth.asked
