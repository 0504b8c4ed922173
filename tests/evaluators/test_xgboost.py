"""The boosted trees: what they save is what they load, what is damaged is refused, and what they were not fitted on they say."""

import copy
import hashlib
import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.preprocessing import StandardScaler

from analognas.core import ConfigError, FileFormatError
from analognas.testing.evaluators import EvaluatorConformance
from analognas.evaluators import rank_model
from analognas.evaluators.rank_model import (
    TEACHERS,
    RankNormalizer,
    RankModel,
    Trees,
    cross_validate,
    teach,
)
from analognas.evaluators.surrogate import DatasetMismatchWarning
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.training.labels import TARGETS, LabelSet


def made_up(space, n, seed=0, **limits):
    "Labels by a formula of depth and parameters."
    configs = space.sample_arch_uniformly(n, seed)
    stats = space.stats(configs)
    size, depth = np.log10(stats["params"]), np.log10(stats["depth"])
    table = pd.DataFrame(configs).assign(
        acc_1d=60 + 5 * size - depth, avm=2 * depth - size / 5, std_1d=1 / size
    )
    return LabelSet("made-up", table, space.get_hyperparameters(), {"dataset": space.dataset})


@pytest.fixture(scope="module", autouse=True)
def fewer_questions():
    "Made-up labels are learned from few answers, and many tests fit."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trees, "unmeasured", 500)
        yield


@pytest.fixture(scope="module")
def fitted():
    space = ConfigSpace("digits")
    return XGBoostEvaluator().fit(made_up(space, 80), space, held_out=made_up(space, 60, 1))


@pytest.fixture
def folder(fitted, tmp_path):
    return fitted.save(tmp_path / "weights")


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


# ---- what is fitted -------------------------------------------------------------------------------------------------


def test_features_are_the_hyperparameters_and_what_follows_from_them():
    space = ConfigSpace("digits")
    configs = sorted(
        space.sample_arch_uniformly(50, 0), key=lambda c: space.stats([c])["params"][0]
    )[:5]
    names, X = space.features(configs)
    assert names[:25] == [
        *space.get_hyperparameters(),
        "log10_params",
        "log10_macs",
        "depth",
    ] and X.shape == (5, 34)
    for row, c in zip(X, configs, strict=True):
        assert row[:22].tolist() == list(c.values())
        params = sum(p.numel() for p in space.build_network(c).parameters())
        assert row[22] == pytest.approx(np.log10(params))


def test_it_learns_a_formula(fitted):
    space = ConfigSpace("digits")
    test = made_up(space, 60, 1)
    answer = fitted.bind(space).query_pop(test.configs)
    for t in TARGETS:
        tau = kendalltau(getattr(answer, t), test.table[t])[0]
        assert tau > 0.6
        assert fitted.get_correlation(test)[t].tau == pytest.approx(tau)
        assert fitted.about["held_out"]["surrogate"][t]["tau"] == pytest.approx(tau)
    assert (
        answer.acc_1d.min() >= made_up(space, 80).table.acc_1d.min() - 1e-6
    )  # no label beyond those seen
    stat = fitted.get_evaluator_stat()
    assert (stat["label_set"], stat["rows"], stat["measured"], stat["held_out"]["n_test"]) == (
        "made-up",
        80,
        False,
        60,
    )
    json.dumps(stat, allow_nan=False)


def test_the_same_seed_fits_the_same():
    space = ConfigSpace("digits")
    a, b, c = (
        XGBoostEvaluator()
        .fit(made_up(space, 20), space, made_up(space, 6, 1), seed=s)
        .query_pop(made_up(space, 9, 2).configs)
        for s in (0, 0, 1)
    )
    assert np.array_equal(a.acc_1d, b.acc_1d) and not np.array_equal(a.acc_1d, c.acc_1d)


def test_an_answer_does_not_depend_on_its_company(fitted):
    configs = ConfigSpace("digits").sample_arch_uniformly(60, 5)
    whole = fitted.query_pop(configs)
    for part in ([7], [7, 3], range(60)[::-1], range(0, 60, 7)):
        answer = fitted.query_pop([configs[i] for i in part])
        for t in TARGETS:
            assert np.array_equal(getattr(answer, t), getattr(whole, t)[list(part)])


def test_outside_is_outside_the_fitted_range():
    space = ConfigSpace("digits")
    labels = made_up(space, 60)
    small = labels.take(np.flatnonzero(labels.table.out_channel0 <= 16))
    evaluator = XGBoostEvaluator().fit(small, space, made_up(space, 6, 1))
    assert not evaluator.query_pop(small.configs).extrapolated.any()
    wide = [c for c in made_up(space, 60, 3).configs if c["out_channel0"] > 16]
    assert evaluator.query_pop(wide).extrapolated.all()


@pytest.mark.parametrize("n", [0, 1, 9])
def test_few_labels_are_refused(n):
    space = ConfigSpace("digits")
    with pytest.raises(ConfigError, match=f"has {n} rows; a surrogate needs at least 10"):
        XGBoostEvaluator().fit(made_up(space, 20).take(range(n)), space)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_labels_are_refused_also_when_they_came_later(target, bad):
    space, labels = ConfigSpace("digits"), made_up(ConfigSpace("digits"), 20)
    labels.table.loc[3, target] = bad
    with pytest.raises(ConfigError, match="(?i)nan|infinite"):
        XGBoostEvaluator().fit(labels, space, made_up(space, 6, 1))


def test_rows_that_are_no_configs_are_refused():
    space, labels = ConfigSpace("digits"), made_up(ConfigSpace("digits"), 20)
    labels.table.loc[3, "out_channel0"] = 17
    with pytest.raises(ConfigError, match="out_channel0 = 17"):
        XGBoostEvaluator().fit(labels, space)
    with pytest.raises(ConfigError, match="fit needs to know the search space"):
        XGBoostEvaluator().fit(labels)


def test_constant_labels_are_no_disaster():
    space, labels = ConfigSpace("digits"), made_up(ConfigSpace("digits"), 20)
    labels.table["avm"] = 3.0
    evaluator = XGBoostEvaluator().fit(labels, space, made_up(space, 6, 1))
    assert np.allclose(evaluator.query_pop(labels.configs).avm, 3.0)


# ---- teachers, a student, and their errors --------------------------------------------------------------------------


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
        Trees.fit(X[:150], Z[:150], list("abcd"), pool, 0),
        teach(X[:150], Z[:150], 0),
    )
    said, meant = student.predict(X[150:]), teachers(X[150:])
    for k in range(3):
        assert kendalltau(said[:, k], meant[:, k])[0] > 0.9
    assert kendalltau(said[:, 0], Y[150:, 0])[0] > 0.6


def test_the_teachers_vote():
    "Their mean by hand; columns of the same thing with other noise come out as one."
    X, Y = problem("line", 300)
    alone = [teacher(X[:100], Y[:100], 3)(X[100:]) for teacher, _ in TEACHERS]
    votes = [v for _, v in TEACHERS]
    assert np.allclose(
        teach(X[:100], Y[:100], 3)(X[100:]), np.average(alone, axis=0, weights=votes)
    )
    for said in alone:
        assert said.shape == (200, 3) and kendalltau(said[:, 2], Y[100:, 0])[0] > 0.6


def test_a_constant_column_stays_one():
    X, Y = problem("line", 80)
    Y[:, 1] = 0
    said = teach(X, Y, 0)(X)
    assert np.isfinite(said).all() and np.allclose(said[:, 1], 0, atol=1e-6)


def test_the_kernel_ridge_is_the_mean_of_a_gaussian_process():
    """One column: a by generalised cross-validation, then K (K + a I)^-1 z; scikit-learn's process
    with that noise says the same."""
    X, Y = problem("valley", 400)
    z = Y[:120, :1] - Y[:120, :1].mean()
    said = rank_model.kernel_ridge(X[:120], z, 0)(X[120:])[:, 0]
    scale = StandardScaler().fit(X[:120])
    A, B = scale.transform(X[:120]), scale.transform(X[120:])
    process = lambda a: GaussianProcessRegressor(
        Matern(rank_model.REACH * 2, nu=2.5), alpha=a, optimizer=None
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


def test_wider_for_more_certainty(fitted):
    configs = ConfigSpace("digits").sample_arch_uniformly(30, 4)
    fitted.bind(ConfigSpace("digits"))
    ends = [fitted.interval(configs, level) for level in (0.2, 0.5, 0.9)]
    for (low, high), (lower, higher) in zip(ends, ends[1:], strict=False):
        assert np.all(lower <= low) and np.all(high <= higher)
    answer = fitted.query_pop(configs)
    for i, t in enumerate(TARGETS):
        assert np.all(
            (ends[0][0][:, i] <= getattr(answer, t)) & (getattr(answer, t) <= ends[0][1][:, i])
        )
    for bad in (-0.1, 1.1, np.nan, "x"):
        with pytest.raises(ConfigError, match="level"):
            fitted.interval(configs, bad)
    with pytest.raises(ConfigError, match="out_channel0"):
        fitted.interval([{}])


def test_rows_of_one_network_never_stand_on_both_sides():
    """Labels are pure chance for each network, the same in all its rows: only a model that saw the
    network can rank them."""
    rng = np.random.default_rng(0)
    X, Y = (
        np.repeat(rng.uniform(size=(60, 4)), 5, axis=0),
        np.repeat(rng.normal(size=(60, 3)), 5, axis=0),
    )
    grouped, ungrouped = (
        cross_validate(X, Y, list("abcd"), groups, X[:0], 0, Trees)
        for groups in (np.repeat(range(60), 5), range(300))
    )
    assert np.median(grouped.errors) > 2 * np.median(ungrouped.errors)
    assert len(grouped.asked) == 60 and len(ungrouped.asked) == 300
    for rows in grouped.fold.reshape(60, 5):
        assert len(set(rows)) == 1


def test_repeats_in_a_label_set_are_kept_together():
    """As above, through the evaluator: chance cannot be predicted, also when each network has three
    rows."""
    space, rng = ConfigSpace("digits"), np.random.default_rng(0)
    configs = [c for c in space.sample_arch_uniformly(40, 0) for _ in range(3)]
    table = pd.DataFrame(configs).assign(**{t: np.repeat(rng.normal(size=40), 3) for t in TARGETS})
    about = (
        XGBoostEvaluator().fit(LabelSet("chance", table, space.get_hyperparameters()), space).about
    )
    assert about["held_out"]["n_test"] == 40
    assert all(abs(about["held_out"]["surrogate"][t]["tau"]) < 0.35 for t in TARGETS)


# ---- explanations ---------------------------------------------------------------------------------------------------


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


# ---- other spaces ---------------------------------------------------------------------------------------------------


def test_another_space_is_refused(fitted):
    more, fewer = ConfigSpace("digits"), ConfigSpace("digits")
    more.add_hyperparameter("dropout", "continuous", 0, 0.5)
    fewer.remove_hyperparameter("B5")
    for space, says in [
        (more, "dropout"),
        (fewer, "B5"),
        (NASBench201Space("digits"), "differs in B1"),
    ]:
        with pytest.raises(ConfigError, match=f"'made-up'.*{says}"):
            fitted.bind(space)


def test_what_happens_to_the_space_later_is_no_concern(fitted):
    "The evaluator was fitted on the space as it was."
    space = ConfigSpace("digits")
    evaluator = XGBoostEvaluator().fit(made_up(space, 20), space, made_up(space, 6, 1))
    config = space.sample_arch(0)
    before = evaluator.query(config).acc_1d
    space.add_hyperparameter("dropout", "continuous", 0, 0.5)
    with pytest.raises(ConfigError, match="dropout"):
        evaluator.bind(space)
    assert evaluator.bind(ConfigSpace("digits")).query(config).acc_1d == before


def test_borrowing_is_said_aloud_and_its_own_dataset_is_silent(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.bind(ConfigSpace("digits"))
    with pytest.warns(
        DatasetMismatchWarning,
        match="No evaluator has been fitted for VWW yet: .* 80 labels measured on digits",
    ):
        fitted.bind(ConfigSpace("VWW"))
    with pytest.warns(DatasetMismatchWarning, match="No evaluator has been fitted for CIFAR-10"):
        copy.copy(fitted).bind(ConfigSpace())


def test_a_family_without_weights_is_refused():
    with pytest.raises(ConfigError, match="No shipped evaluator knows the 'custom' family"):
        XGBoostEvaluator().bind(ConfigSpace("digits", "custom"))


# ---- files ----------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_loaded(fitted, folder):
    configs = ConfigSpace("digits").sample_arch_uniformly(50, 7)
    again = XGBoostEvaluator(folder).bind(ConfigSpace("digits"))
    for field in (*TARGETS, "extrapolated"):
        assert np.array_equal(
            getattr(again.query_pop(configs), field), getattr(fitted.query_pop(configs), field)
        )
    assert again.about == json.loads(json.dumps(fitted.about))
    assert again.get_evaluator_stat()["held_out"] == json.loads(
        json.dumps(fitted.about["held_out"])
    )
    assert sorted(p.name for p in folder.iterdir()) == ["about.json", "weights.ubj"]
    assert [p.name for p in folder.parent.iterdir()] == ["weights"]


def test_a_family_member_with_another_skeleton_comes_back_with_it(tmp_path):
    space = NASBench201Space("digits", channels=4, cells_per_stage=1)
    evaluator = XGBoostEvaluator().fit(made_up(space, 30), space, made_up(space, 6, 1))
    configs = space.sample_arch_uniformly(20, 3)
    again = XGBoostEvaluator(evaluator.save(tmp_path / "small")).bind(space)
    assert np.array_equal(again.query_pop(configs).acc_1d, evaluator.query_pop(configs).acc_1d)
    assert not again.query_pop(made_up(space, 30).configs).extrapolated.any()


def test_saving_over_old_weights_replaces_them(fitted, folder):
    (folder / "left over.txt").write_text("x")
    fitted.save(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["about.json", "weights.ubj"]
    XGBoostEvaluator(folder)
    with pytest.raises(ConfigError, match="nothing to save"):
        XGBoostEvaluator().save(folder)


def test_a_failed_save_leaves_the_old_weights(fitted, folder, monkeypatch):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def crash(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xgb.Booster, "save_model", crash)
    with pytest.raises(OSError, match="No space left"):
        fitted.save(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["weights"]


FILES = ["about.json", "weights.ubj"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "garbage", "pickle"])
def test_a_damaged_file_is_refused(folder, name, how):
    raw = (folder / name).read_bytes()
    half = len(raw) // 2
    (folder / name).write_bytes(
        {
            "cut": raw[:half],
            "empty": b"",
            "flipped": raw[:half] + bytes([raw[half] ^ 0xFF]) + raw[half + 1 :],
            "garbage": b"\x00\x01garbage" * 100,
            "pickle": pickle.dumps({"a": 1}),
        }[how]
    )
    with pytest.raises(FileFormatError):
        XGBoostEvaluator(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises((FileFormatError, FileNotFoundError), match=name):
        XGBoostEvaluator(folder)


def with_about(folder, change):
    path = folder / "about.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    "raw",
    [b"binf" + b"\x00" * 500, b"{L\x00", b"", b"{}", b'{"learner": {}}', pickle.dumps([1])],
    ids=["old binary format", "cut", "empty", "empty JSON", "other JSON", "pickle"],
)
def test_a_model_of_another_format_is_refused_though_its_checksum_is_right(folder, raw):
    (folder / "weights.ubj").write_bytes(raw)
    digest = hashlib.sha256(raw).hexdigest()
    with_about(folder, lambda a: a | {"sha256": digest})
    with pytest.raises(FileFormatError):
        XGBoostEvaluator(folder)


def with_model(about, **change):
    return about | {"models": about["models"] | {"avm": about["models"]["avm"] | change}}


ABOUT = {
    "another format": lambda a: a | {"format": "analognas-surrogate-0"},
    "another program's": lambda a: {"weights": [1, 2]},
    "no checksum": lambda a: {k: v for k, v in a.items() if k != "sha256"},
    "another checksum": lambda a: a | {"sha256": ["x"]},
    "another space": lambda a: a | {"space": {}},
    "space is text": lambda a: a | {"space": "resnet-like"},
    "unknown family": lambda a: a | {"space": a["space"] | {"search_space": "transformer"}},
    "labels are text": lambda a: with_model(a, labels=["a"] * 80),
    "models of one target": lambda a: a | {"models": {"acc_1d": a["models"]["acc_1d"]}},
    "labels of unequal length": lambda a: with_model(a, labels=[1.0]),
    "no labels": lambda a: with_model(a, labels=[], scores=[]),
    "errors cut off": lambda a: with_model(a, errors=[0.1]),
    "no models": lambda a: a | {"models": {t: {} for t in TARGETS}},
    "other features": lambda a: a | {"features": {"width": [0, 1]}},
    "features without ranges": lambda a: a | {"features": dict.fromkeys(a["features"])},
    "no features": lambda a: {k: v for k, v in a.items() if k != "features"},
    "no rows": lambda a: {k: v for k, v in a.items() if k != "rows"},
    "no name": lambda a: {k: v for k, v in a.items() if k != "label_set"},
}


@pytest.mark.parametrize("change", ABOUT.values(), ids=ABOUT)
def test_a_description_that_does_not_fit_is_refused(folder, change):
    with_about(folder, change)
    with pytest.raises(FileFormatError):
        XGBoostEvaluator(folder)


def test_models_of_other_features_are_refused(folder, fitted, tmp_path):
    "Weights of a larger space under the description of this one, checksums and all."
    larger = ConfigSpace("digits")
    larger.add_hyperparameter("dropout", "discrete", 0, 5)
    other = (
        XGBoostEvaluator()
        .fit(made_up(larger, 20), larger, made_up(larger, 6, 1))
        .save(tmp_path / "other")
    )
    digest = json.loads((other / "about.json").read_text())["sha256"]
    (folder / "weights.ubj").write_bytes((other / "weights.ubj").read_bytes())
    with_about(folder, lambda a: a | {"sha256": digest})
    with pytest.raises((FileFormatError, ConfigError)):
        XGBoostEvaluator(folder).bind(ConfigSpace("digits")).query(
            ConfigSpace("digits").sample_arch(0)
        )


# ---- normal scores --------------------------------------------------------------------------------------------------

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
