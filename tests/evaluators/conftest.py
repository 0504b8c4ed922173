"""What tests of surrogates share."""

import pytest
from made_up_surrogates import made_up

from analognas.evaluators import rank_model, teachers
from analognas.evaluators.rank_model import DistilledTrees
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace


@pytest.fixture(scope="module")
def fewer_unlabeled():
    "Made-up labels are learned from few answers and by few trees, and many tests fit."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DistilledTrees, "n_unlabeled", 500)
        patch.setattr(teachers, "ROUNDS", 40)
        patch.setattr(rank_model, "STUDENT_ROUNDS", 80)
        yield


@pytest.fixture(scope="module")
def fitted(fewer_unlabeled):
    space = ConfigSpace("digits")
    return XGBoostEvaluator().fit(made_up(space, 80), space, held_out=made_up(space, 60, 1))


@pytest.fixture
def folder(fitted, tmp_path):
    return fitted.save(tmp_path / "weights")
