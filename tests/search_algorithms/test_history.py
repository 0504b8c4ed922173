"""Trials and histories: what is computed once, what is looked up, and the names of release 0.1.0."""

import json

import numpy as np
import pytest

from analognas.core import InfeasibleError
from analognas.evaluators.base_evaluator import ParamsEvaluator, Prediction, Predictions
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.history import (
    START_ROUNDS,
    History,
    Trial,
    rank_trials,
    sample_satisfying,
    score_of,
    worst_prediction,
)
from analognas.search_spaces.config_space import ConfigSpace


@pytest.fixture
def space():
    return ConfigSpace("digits")


def evaluated(space, n=20, **constraints):
    "A history with `n` random architectures."
    history = History(space, Constraints(**constraints), k_std=0.5)
    configs = list(history.unevaluated(space.sample_arch_uniformly(n, 0)).values())
    history.add(configs, ParamsEvaluator().bind(space).query_pop(configs))
    return history


def test_keys_are_those_of_the_space_and_computed_once(space, monkeypatch):
    history = History(space, Constraints())
    config = space.sample_arch(0)
    calls = []
    original = space.key
    monkeypatch.setattr(space, "key", lambda c: calls.append(c) or original(c))
    assert history.key(config) == original(config) == history.key(dict(config))
    assert len(calls) == 1


def test_configs_of_other_types_keep_their_own_key():
    "1, 1.0 and True are equal and hash alike, but are different categories."
    space = ConfigSpace("digits", "custom")
    space.add_hyperparameter_range("kind", "categorical", ["1", "1.0", "True"])
    history = History(space, Constraints())
    assert len({history.key({"kind": kind}) for kind in ("1", "1.0", "True")}) == 3


def test_static_constraints_are_checked_once(space):
    seen = []

    def predicate(config):
        seen.append(space.key(config))
        return config["M"] < 4

    history = History(space, Constraints(predicate=predicate))
    configs = history.unevaluated(space.sample_arch_uniformly(30, 0))
    first = history.satisfying(configs)
    history.add(
        list(configs.values()), ParamsEvaluator().bind(space).query_pop(list(configs.values()))
    )
    assert (history.satisfying(configs) == first).all()
    assert first.tolist() == [config["M"] < 4 for config in configs.values()]
    assert len(seen) == len(configs)


def test_sampled_configs_satisfy_and_are_not_checked_again(space):
    calls = []
    history = History(space, Constraints(predicate=lambda c: calls.append(1) or c["M"] == 2))
    drawn = history.sample(5, np.random.default_rng(0))
    assert all(config["M"] == 2 for config in drawn)
    n = len(calls)
    assert history.satisfying({history.key(c): c for c in drawn}).all()
    assert len(calls) == n


def test_a_trial_holds_what_the_evaluator_predicted(space):
    history = evaluated(space, max_nb_param=0.5)
    configs = [trial.config for trial in history.trials.values()]
    predictions = ParamsEvaluator().bind(space).query_pop(configs)
    params = space.stats(configs)["params"]
    for i, trial in enumerate(history.trials.values()):
        assert trial.prediction == predictions[i]
        assert trial.key == space.key(trial.config)
        assert trial.feasible == (params[i] <= 5e5)
        assert trial.score == predictions.acc_1d[i] - 0.5 * predictions.std_1d[i]


def test_ranking_is_feasible_first_then_score_then_order(space):
    history = evaluated(space, max_nb_param=0.5)
    ranked = history.ranked()
    feasible = [trial.feasible for trial in ranked]
    assert feasible == sorted(feasible, reverse=True)
    for group in (True, False):
        scores = [trial.score for trial in ranked if trial.feasible == group]
        assert scores == sorted(scores, reverse=True)
    assert history.best == ranked[0]
    equal = [Trial({}, str(i), ranked[0].prediction, True, 1.0) for i in range(3)]
    assert rank_trials(equal) == equal


def test_records_are_those_of_release_0_1_0(space):
    history = evaluated(space, 5)
    names = ["acc_1d", "avm", "std_1d", "outside", "measured", "feasible", "score"]
    assert list(history.to_frame()) == [*space.get_hyperparameters(), *names]
    trial = next(iter(history.trials.values()))
    record = json.loads(json.dumps(trial.to_record()))
    assert list(record) == ["config", *names]
    for name in record:
        with pytest.warns(DeprecationWarning, match="an attribute of the Trial"):
            assert trial[name] == record[name]


def test_predictions_in_the_form_of_release_0_1_0_are_taken(space):
    from analognas.evaluators.base_evaluator import Prediction

    history = History(space, Constraints())
    configs = space.sample_arch_uniformly(2, 0)
    old = Prediction(np.array([90.0, 91]), np.ones(2), np.ones(2), np.array([False, True]))
    with pytest.warns(DeprecationWarning, match="Predictions"):
        trials = history.add(configs, old)
    assert [trial.prediction.extrapolated for trial in trials] == [False, True]
    assert history.add(configs[:1], old_scalar())[0].prediction == old_scalar()


def old_scalar():
    "One architecture's prediction."
    return Predictions(np.array([90.0]), np.ones(1), np.ones(1), np.array([True]))[0]


def test_sampling_is_repeatable(space):
    constraints = Constraints(max_nb_param=0.3)
    draws = [sample_satisfying(space, 7, constraints, np.random.default_rng(3)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert space.stats(draws[0])["params"].max() <= 3e5


def round_by_round(space, n, constraints, rng):
    "Draw as `sample_satisfying`, each round by itself: what it found, and rounds."
    size = max(n, 32)
    found = []
    for k in range(1, START_ROUNDS + 1):
        for config in space.sample_arch_uniformly(size, rng):
            found += [config] * int(constraints.satisfied_by_config(space, [config])[0])
        if len(found) >= n:
            return found[:n], k
    return found, k


@pytest.mark.parametrize(
    "limit, rounds", [(None, [1]), (0.01, range(5, 40)), (0.0013, [START_ROUNDS])]
)
def test_rounds_that_are_checked_together_leave_what_single_ones_leave(space, limit, rounds):
    "The same configs and the same generator: recorded searches are repeated to the last bit."
    constraints = Constraints(max_nb_param=limit)
    one, other = np.random.default_rng(5), np.random.default_rng(5)
    expected, drawn = round_by_round(space, 9, constraints, one)
    assert expected and drawn in rounds
    assert sample_satisfying(space, 9, constraints, other) == expected
    assert one.bit_generator.state == other.bit_generator.state


def test_where_nothing_is_known_the_prediction_is_the_worst_possible():
    assert worst_prediction([]) == Prediction(0.0, 100.0, 100.0, False)


def test_the_worst_prediction_is_the_worst_in_each_property():
    predictions = [Prediction(70.0, 3.0, 0.5, True), Prediction(60.0, 1.0, 0.9, False)]
    assert worst_prediction(predictions) == Prediction(60.0, 3.0, 0.9, False)


@pytest.mark.parametrize("k_std, score", [(0.0, 80.0), (2.0, 77.0)])
def test_a_score_is_the_accuracy_less_so_many_deviations(k_std, score):
    assert score_of(80.0, 1.5, k_std) == score
    assert score_of(np.array([80.0]), np.array([1.5]), k_std).tolist() == [score]


def test_where_nothing_satisfies_the_nearest_value_and_what_to_raise_are_named(space):
    with pytest.raises(InfeasibleError, match=r"best params .*; raise max_nb_param\."):
        sample_satisfying(space, 5, Constraints(max_nb_param=1e-6), np.random.default_rng(0))


def test_after_evaluations_an_empty_sample_is_no_error(space):
    history = evaluated(space, 3)
    history.constraints = Constraints(max_nb_param=1e-6)
    assert history.sample(5, np.random.default_rng(0)) == []


def test_evaluations_do_not_change_what_is_drawn_where_few_satisfy(space):
    def predicate(config):
        return config["M"] == 1 and config["out_channel0"] <= 16

    rare = Constraints(predicate=predicate)
    history = evaluated(space, 3)
    history.constraints = rare
    drawn = history.sample(8, np.random.default_rng(0))
    assert len(drawn) == 8
    assert drawn == sample_satisfying(space, 8, rare, np.random.default_rng(0))


def test_the_best_is_the_feasible_trial_with_the_highest_score(space):
    history = evaluated(space)
    assert history.best.score == max(trial.score for trial in history.trials.values())
    assert History(space, Constraints()).best is None


def test_a_table_has_what_was_predicted_before_the_measurement(space):
    history = evaluated(space, n=3)
    first, second, _ = history.trials
    for key, acc_1d in ((first, 71.5), (second, 62.5)):
        history.predicted[key] = Prediction(acc_1d, 1.0, 0.5, False)
    found = history.to_frame()["predicted_acc_1d"]
    assert found[:2].tolist() == [71.5, 62.5] and np.isnan(found[2])
