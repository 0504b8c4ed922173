"""Labels of lower fidelity: what they add is measured, and no network's label is used twice."""

import json

import numpy as np
import pytest
from made_up_surrogates import made_up
from scipy.stats import kendalltau

from analognas.core import ConfigError
from analognas.evaluators import low_fidelity
from analognas.evaluators.low_fidelity import LowFidelity
from analognas.evaluators.mlp import MLPEvaluator
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.labels import TARGETS, LabelSet

SPACE = ConfigSpace("digits")
FAST = {"teachers": ["boosted_trees"], "boosted_rounds": 60, "unlabeled": 1000}


def with_error(labels, size, seed):
    "The same labels, measured with an error of so many standard deviations."
    rng = np.random.default_rng(seed)
    table = labels.table.copy()
    for target in TARGETS:
        table[target] += rng.normal(0, size * table[target].std(), len(table))
    return LabelSet("cheap", table, labels.hyperparameters)


@pytest.fixture(scope="module")
def supported():
    "Sixteen dear labels and two hundred cheap ones, of which sixteen are of the same networks."
    cheap = with_error(made_up(SPACE, 200), 0.2, 1)
    dear = made_up(SPACE, 200).take(range(16))
    held_out = made_up(SPACE, 150, 7)
    fitted = XGBoostEvaluator().fit(dear, SPACE, held_out, settings=FAST, low_fidelity=[cheap])
    return fitted, dear, cheap, held_out


def test_cheap_labels_support_few_dear_ones(supported):
    fitted, dear, cheap, held_out = supported
    alone = XGBoostEvaluator().fit(dear, SPACE, held_out, settings=FAST)
    truth, asked = held_out.labels[:, 0], held_out.configs
    ours = kendalltau(fitted.query_pop(asked).acc_1d, truth)[0]
    theirs = kendalltau(alone.query_pop(asked).acc_1d, truth)[0]
    assert ours > theirs + 0.1
    record = fitted.about["held_out"]["low_fidelity"]["acc_1d"]
    assert record["tau_without"] == pytest.approx(theirs, abs=0.02)
    assert record["gain"] == pytest.approx(ours - theirs, abs=0.03)
    assert 0 < record["gain_low"] < record["gain"] < record["gain_high"]


def test_they_are_named_with_the_weights_and_predictions_come_back(supported, tmp_path):
    fitted, dear, cheap, held_out = supported
    again = XGBoostEvaluator(fitted.save(tmp_path / "w")).bind(SPACE)
    assert [(s["label_set"], s["rows"]) for s in again.about["low_fidelity"]] == [("cheap", 200)]
    asked = held_out.configs
    assert np.array_equal(again.query_pop(asked).avm, fitted.query_pop(asked).avm)
    json.dumps(again.about, allow_nan=False)
    with pytest.raises(ConfigError, match="low_fidelity="):
        again.refit(dear, labels=dear)


def test_no_score_of_a_row_comes_from_its_own_networks_label(monkeypatch):
    "The teachers are replaced by memory: each returns the label of the row that it was fitted to."

    def memory(X, Z, seed, teachers):
        known = {tuple(x): z for x, z in zip(X.round(9), Z, strict=True)}
        return lambda X_new: np.array(
            [known.get(tuple(x), np.full(Z.shape[1], np.nan)) for x in X_new.round(9)]
        )

    monkeypatch.setattr(low_fidelity, "fit_teachers", memory)
    cheap = made_up(SPACE, 30)
    low = LowFidelity.of(SPACE, [cheap])
    X = SPACE.features(cheap.configs)[1]
    groups = [SPACE.arch_id(config) for config in cheap.configs]
    assert np.isnan(low.sets[0].scores(X, groups, 0, ())[0]).all()
    elsewhere, _ = low.sets[0].scores(X, [f"other {i}" for i in range(30)], 0, ())
    assert np.isfinite(elsewhere).all()
    kept = low.without(groups[:10]).sets[0]
    assert not set(kept.groups) & set(groups[:10]) and len(kept.X) == len(kept.Z)


def test_cheap_labels_of_left_out_networks_are_left_out_of_their_fold(monkeypatch):
    "Every fit of cross-validation, as the teachers see it: no network of the fold to predict."
    cheap = with_error(made_up(SPACE, 40), 0.2, 1)
    dear = made_up(SPACE, 40).take(range(20))
    seen = []
    plain = LowFidelity.fit_teachers

    def noted(self, groups, X, Z, seed, teachers):
        seen.append((set(groups), set(self.sets[0].groups)))
        return plain(self, groups, X, Z, seed, teachers)

    monkeypatch.setattr(LowFidelity, "fit_teachers", noted)
    settings = FAST | {"boosted_rounds": 2, "unlabeled": 0}
    XGBoostEvaluator().fit(dear, SPACE, settings=settings, low_fidelity=[cheap])
    networks = {SPACE.arch_id(config) for config in dear.configs}
    assert len(seen) == 6  # five folds and the last fit
    for trained, supporting in seen:
        assert not (networks - trained) & supporting


def test_a_learner_without_teachers_refuses_them():
    labels = made_up(SPACE, 12)
    with pytest.raises(ConfigError, match="has no teachers. XGBoostEvaluator does"):
        MLPEvaluator().fit(labels, SPACE, low_fidelity=[labels])


def test_too_few_networks_and_another_space_are_refused():
    labels = made_up(SPACE, 12)
    with pytest.raises(ConfigError, match="'made-up' is of 9 networks"):
        XGBoostEvaluator().fit(labels, SPACE, low_fidelity=[labels.take(range(9))])
    other = LabelSet("other", labels.table.rename(columns={"M": "N"}), ["N"])
    with pytest.raises(ConfigError):
        XGBoostEvaluator().fit(labels, SPACE, low_fidelity=[other])
