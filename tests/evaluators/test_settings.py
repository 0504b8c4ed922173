"""Settings of a fit: what is allowed, what they change, and how they are compared."""

import numpy as np
import pytest
from made_up_surrogates import made_up
from scipy.stats import kendalltau

from analognas.core import ConfigError
from analognas.evaluators import teachers
from analognas.evaluators.comparison import paired_gain
from analognas.evaluators.mlp import MLPEvaluator
from analognas.evaluators.rank_model import DistilledTrees
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.labels import TARGETS

pytestmark = pytest.mark.usefixtures("fewer_unlabeled")
SPACE = ConfigSpace("digits")
FAST = {"teachers": ["boosted_trees"], "boosted_rounds": 20, "unlabeled": 50}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"boosted_deph": 3}, "Allowed: 'teachers', 'boosted_depth'.*Did you mean 'boosted_depth'"),
        ({"boosted_depth": 0}, "boosted_depth must be .* at least 1 and at most 10; got 0"),
        ({"boosted_depth": 2.5}, "boosted_depth must be .*2.5"),
        ({"kernel_reach": float("nan")}, "kernel_reach"),
        ({"teachers": []}, "at least one of 'boosted_trees'"),
        ({"teachers": "boosted_trees"}, "must be a list"),
        ({"teachers": ["boosted_tree"]}, "Did you mean 'boosted_trees'"),
        ({"teachers": ["kernel_ridge", "kernel_ridge"]}, "name each once"),
        ([("boosted_depth", 3)], "must be a dict"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, says):
    with pytest.raises(ConfigError, match=says):
        XGBoostEvaluator().fit(made_up(SPACE, 12), SPACE, settings=settings)


def test_settings_of_another_learner_are_refused():
    with pytest.raises(ConfigError, match="Allowed: 'width', 'dropout', 'steps'"):
        MLPEvaluator().fit(made_up(SPACE, 12), SPACE, settings={"boosted_depth": 3})


def test_the_defaults_fit_what_no_settings_fit():
    labels, asked = made_up(SPACE, 30), made_up(SPACE, 20, 2).configs
    plain = XGBoostEvaluator().fit(labels, SPACE, made_up(SPACE, 6, 1))
    defaults = XGBoostEvaluator.settings()
    assert defaults["boosted_depth"] == 3 and defaults["unlabeled"] == DistilledTrees.n_unlabeled
    fewer = defaults | {"boosted_rounds": teachers.ROUNDS}  # as the fixture has it
    chosen = XGBoostEvaluator().fit(labels, SPACE, made_up(SPACE, 6, 1), settings=fewer)
    assert np.array_equal(plain.query_pop(asked).acc_1d, chosen.query_pop(asked).acc_1d)


def test_settings_change_the_fit_and_are_kept_with_its_weights(tmp_path):
    labels, asked = made_up(SPACE, 30), made_up(SPACE, 20, 2).configs
    fits = [XGBoostEvaluator().fit(labels, SPACE, made_up(SPACE, 6, 1), settings=FAST | more)
            for more in ({}, {"boosted_depth": 1})]  # fmt: skip
    ours, other = (e.query_pop(asked).acc_1d for e in fits)
    assert not np.array_equal(ours, other)
    again = XGBoostEvaluator(fits[1].save(tmp_path / "w"))
    assert again.about["settings"]["boosted_depth"] == 1
    assert again.about["settings"]["teachers"] == ["boosted_trees"]
    assert np.array_equal(again.bind(SPACE).query_pop(asked).acc_1d, other)


def test_networks_take_settings():
    labels = made_up(SPACE, 30)
    fitted = MLPEvaluator().fit(labels, SPACE, settings={"width": 4, "steps": 5})
    assert fitted._model.learner.state["w0"].shape[2] == 4
    assert fitted.about["settings"]["steps"] == 5


def test_candidates_are_compared_with_the_first_on_the_same_folds():
    labels = made_up(SPACE, 40)
    candidates = {"plain": FAST, "again": FAST, "one": FAST | {"boosted_rounds": 1}}
    evaluator = XGBoostEvaluator()
    table = evaluator.compare_settings(labels, candidates, SPACE)
    assert list(table.index) == [(name, t) for name in candidates for t in TARGETS]
    assert table.loc["plain"].equals(table.loc["again"])
    assert (table.loc["plain"][["gain", "gain_low", "gain_high"]] == 0).all(axis=None)
    one = table.loc["one"]
    assert np.allclose(one.gain, one.tau - table.loc["plain"].tau, atol=1e-5)
    assert (one.gain_low <= one.gain).all() and (one.gain <= one.gain_high).all()
    assert table.coverage_90.between(0, 1).all()
    record = evaluator.fit(labels, SPACE, settings=FAST).about["held_out"]
    for target in TARGETS:
        assert record["surrogate"][target]["tau"] == pytest.approx(
            table.loc[("plain", target), "tau"], abs=0.03
        )
        assert record["coverage_90"][target] == table.loc[("plain", target), "coverage_90"]


@pytest.mark.parametrize("candidates", [{}, [], {"a": {"boosted_deph": 1}}, {"a": 3}])
def test_bad_candidates_are_refused(candidates):
    with pytest.raises(ConfigError):
        XGBoostEvaluator().compare_settings(made_up(SPACE, 12), candidates, SPACE)


def test_the_paired_bootstrap_is_scipys_tau_of_drawn_rows():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 12, 60).astype(float)  # with ties
    ours, theirs = y + rng.normal(0, 3, 60), np.round(y + rng.normal(0, 5, 60))
    gains = []
    for _ in range(800):
        rows = rng.integers(60, size=60)
        gains.append(kendalltau(ours[rows], y[rows])[0] - kendalltau(theirs[rows], y[rows])[0])
    found = paired_gain(ours, theirs, y)
    assert found.gain == pytest.approx(kendalltau(ours, y)[0] - kendalltau(theirs, y)[0], abs=1e-6)
    assert found[1:] == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=0.02)


def test_refitting_adds_rows_and_keeps_settings(tmp_path):
    labels, more = made_up(SPACE, 30), made_up(SPACE, 8, 5)
    first = XGBoostEvaluator().fit(labels, SPACE, settings=FAST, seed=3)
    second = first.refit(more)
    assert (first.about["rows"], second.about["rows"]) == (30, 38)
    assert second.about["settings"] == first.about["settings"] and second.about["seed"] == 3
    loaded = XGBoostEvaluator(first.save(tmp_path / "w"))
    with pytest.raises(ConfigError, match="weights do not hold labels: pass labels="):
        loaded.refit(more)
    asked = more.configs
    again = loaded.refit(more, labels)
    assert again.about["rows"] == 38 and again.about["seed"] == 3
    assert np.array_equal(second.query_pop(asked).acc_1d, again.query_pop(asked).acc_1d)
