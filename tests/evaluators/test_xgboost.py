"""The XGBoost evaluator: conformance, pretrained weights and explanations."""

import copy
import warnings

import numpy as np
import pytest
import xgboost as xgb
from made_up_surrogates import made_up
from scipy.stats import kendalltau

from analognas.core import ConfigError
from analognas.evaluators import rank_model
from analognas.evaluators.rank_model import (
    RankNormalizer,
)
from analognas.evaluators.surrogate import DatasetMismatchWarning
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.testing.evaluators import EvaluatorConformance
from analognas.training.labels import TARGETS

pytestmark = pytest.mark.usefixtures("fewer_unlabeled")


FITTED = []


class TestXGBoostConforms(EvaluatorConformance):
    def make(self):
        if not FITTED:
            FITTED.append(
                XGBoostEvaluator().fit(
                    made_up(self.make_space(), 30),
                    self.make_space(),
                    made_up(self.make_space(), 9, 1),
                )
            )
        return copy.copy(FITTED[0])

    def make_space(self):
        return ConfigSpace("digits")


@pytest.mark.parametrize("target", TARGETS)
def test_explanations_add_up_to_the_score_and_an_idle_feature_gets_nothing(fitted, target):
    space = ConfigSpace("digits")
    configs = made_up(space, 30, 5).configs
    parts = fitted.bind(space).explain(configs, target)
    names, X = space.features(configs)
    assert list(parts) == [*names, "base"] and parts["base"].nunique() == 1
    score = RankNormalizer.scores_of(parts.sum(axis=1).to_numpy())
    assert (
        kendalltau(score, getattr(fitted.query_pop(configs), target))[0] > 0.95
    )  # ties where predictions end at the last label
    assert np.allclose(
        parts.sum(axis=1), fitted._model.learner.predict(X)[:, TARGETS.index(target)], atol=1e-4
    )


def test_of_a_sum_they_are_its_terms():
    """Trees of one split each add up to one function per feature; its Shapley value differs between
    two rows by what that function does."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(200, 3))
    Z = np.column_stack([X[:, 0] - X[:, 1], X[:, 2], X[:, 0] + X[:, 1]])
    booster = xgb.train(rank_model.STUDENT | {"max_depth": 1}, xgb.DMatrix(X, Z), 50)
    said = lambda rows: booster.predict(xgb.DMatrix(rows))
    parts = booster.predict(xgb.DMatrix(X), pred_contribs=True)
    assert np.allclose(parts.sum(-1), said(X), atol=1e-5)
    for feature in range(3):
        moved = np.repeat(X[:1], 200, axis=0)
        moved[:, feature] = X[:, feature]
        assert np.allclose(
            parts[:, :, feature] - parts[0, :, feature], said(moved) - said(X[:1]), atol=1e-5
        )


def test_a_family_without_weights_is_refused():
    with pytest.raises(ConfigError, match="No shipped evaluator was fitted on the 'custom' family"):
        XGBoostEvaluator().bind(ConfigSpace("digits", "custom"))


def test_one_that_was_not_fitted_takes_the_weights_of_each_space_it_is_bound_to(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DatasetMismatchWarning)
        mine = XGBoostEvaluator()
        for name in ("CIFAR-10", "digits", "CIFAR-10"):
            space = ConfigSpace(name)
            config = space.sample_arch(rng=0)
            assert mine.bind(space).query(config) == XGBoostEvaluator().bind(space).query(config)
            assert mine.get_evaluator_stat()["label_set"] == name
    other = copy.copy(fitted)  # a fitted one keeps what it has learned, and says that it borrows
    with pytest.warns(DatasetMismatchWarning):
        other.bind(ConfigSpace("KWS"))
    assert other.about["label_set"] == fitted.about["label_set"]
