"""The model of ranks: teachers, a student, and its prediction intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.preprocessing import StandardScaler

from analognas.evaluators import teachers
from analognas.evaluators.rank_model import (
    DistilledTrees,
    RankModel,
    RankNormalizer,
    cross_validate,
)
from analognas.evaluators.teachers import TEACHERS, fit_teachers

pytestmark = pytest.mark.usefixtures("fewer_unlabeled")


def problem(kind, n=900, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, 4))
    y = {"line": X @ [1, 2, -1, 0], "valley": np.abs(X[:, 0] - 0.5) + np.abs(X[:, 1] - 0.5)}[kind]
    return X, np.column_stack([y + rng.normal(0, s, n) for s in (0.1, 0.2, 0.3)])


@pytest.mark.parametrize("kind", ["line", "valley"])
def test_the_student_says_what_its_teachers_say(kind):
    X, Y = problem(kind)
    pool, Z = (
        np.random.default_rng(5).uniform(size=(3000, 4)),
        np.column_stack([RankNormalizer.scores_of(y) for y in Y.T]),
    )
    student, teachers = (
        DistilledTrees.fit(X[:150], Z[:150], list("abcd"), pool, 0),
        fit_teachers(X[:150], Z[:150], 0),
    )
    said, meant = student.predict(X[150:]), teachers(X[150:])
    for k in range(3):
        assert kendalltau(said[:, k], meant[:, k])[0] > 0.9
    assert kendalltau(said[:, 0], Y[150:, 0])[0] > 0.6


def test_the_teachers_vote():
    "Their mean by hand; columns of the same thing with other noise come out as one."
    X, Y = problem("line", 300)
    alone = [teacher(X[:100], Y[:100], 3)(X[100:]) for teacher in TEACHERS]
    assert np.allclose(fit_teachers(X[:100], Y[:100], 3)(X[100:]), np.mean(alone, axis=0))
    for said in alone:
        assert said.shape == (200, 3) and kendalltau(said[:, 2], Y[100:, 0])[0] > 0.6


def test_a_constant_column_stays_one():
    X, Y = problem("line", 80)
    Y[:, 1] = 0
    said = fit_teachers(X, Y, 0)(X)
    assert np.isfinite(said).all() and np.allclose(said[:, 1], 0, atol=1e-6)


def test_the_kernel_ridge_is_the_mean_of_a_gaussian_process():
    """One column: a by generalised cross-validation, then K (K + a I)^-1 z; scikit-learn's process
    with that noise says the same."""
    X, Y = problem("valley", 400)
    z = Y[:120, :1] - Y[:120, :1].mean()
    said = teachers.kernel_ridge(X[:120], z, 0)(X[120:])[:, 0]
    scale = StandardScaler().fit(X[:120])
    A, B = scale.transform(X[:120]), scale.transform(X[120:])
    process = lambda a: GaussianProcessRegressor(
        Matern(teachers.REACH * 2, nu=2.5), alpha=a, optimizer=None
    ).fit(A, z[:, 0])
    near = [np.corrcoef(process(a).predict(B), said)[0, 1] for a in np.logspace(-3, 2, 16)]
    assert max(near) > 0.99  # the ridge has a constant that is not penalised besides


@pytest.mark.parametrize("kind", ["line", "valley"])
def test_intervals_hold_what_they_promise(kind):
    """750 unseen labels: the share inside has a standard deviation of at most 1.8 points, and that
    of 150 calibration rows 4."""
    X, Y = problem(kind, seed=1)
    model = RankModel.fit(
        X[:150],
        Y[:150],
        list("abcd"),
        range(150),
        pool=np.random.default_rng(5).uniform(size=(500, 4)),
    )
    for level in (0.5, 0.8, 0.95):
        low, high = model.interval(X[150:], level)
        inside = np.mean((low <= Y[150:]) & (Y[150:] <= high), axis=0)
        assert np.all(np.abs(inside - level) < 0.1) and np.all(low <= high)
        assert np.all(np.abs(model.tested.coverage(level) - level) < 0.05)


def test_rows_of_one_network_never_stand_on_both_sides():
    """Labels are pure chance for each network, the same in all its rows: only a model that saw the
    network can rank them."""
    rng = np.random.default_rng(0)
    X, Y = (
        np.repeat(rng.uniform(size=(60, 4)), 5, axis=0),
        np.repeat(rng.normal(size=(60, 3)), 5, axis=0),
    )
    grouped, ungrouped = (
        cross_validate(X, Y, list("abcd"), groups, X[:0], 0, DistilledTrees)
        for groups in (np.repeat(range(60), 5), range(300))
    )
    assert np.median(grouped.errors) > 2 * np.median(ungrouped.errors)
    assert len(grouped.asked) == 60 and len(ungrouped.asked) == 300
    for rows in grouped.fold.reshape(60, 5):
        assert len(set(rows)) == 1


LABELS = st.lists(st.floats(-1e6, 1e6) | st.integers(0, 3).map(float), min_size=2, max_size=300)


@given(LABELS)
def test_normal_scores_are_monotone_and_keep_the_range(y):
    scores = RankNormalizer.fit(y)
    values = scores.inverse(np.linspace(-6, 6, 200))
    assert np.all(np.diff(values) >= 0) and values[0] == min(y) and values[-1] == max(y)
    z = RankNormalizer.scores_of(np.array(y))
    order = np.argsort(y, kind="stable")
    assert np.all(np.diff(z[order]) >= 0) and abs(z.mean()) < 1e-6 + 0.5 * (len(set(y)) < len(y))
    assert len(scores.scores) <= 201


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=150, unique=True))
def test_normal_scores_there_and_back(y):
    y = np.array(y)
    assert np.allclose(
        RankNormalizer.fit(y).inverse(RankNormalizer.scores_of(y)), y, rtol=1e-9, atol=1e-6
    )
