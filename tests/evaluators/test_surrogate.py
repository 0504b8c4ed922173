"""Surrogates: what is saved is what is loaded, damaged weights and other spaces are refused."""

import copy
import hashlib
import json
import os
import pickle
import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from made_up_surrogates import made_up
from scipy.stats import kendalltau

from analognas.core import ConfigError, DatasetInfo, FileFormatError
from analognas.datasets.load import Dataset, load_dataset
from analognas.evaluators.base_evaluator import IgnoredHyperparameterWarning
from analognas.evaluators.feature_ranges import collecting
from analognas.evaluators.mlp import MLPEvaluator
from analognas.evaluators.surrogate import DatasetMismatchWarning
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.families import ResNetFamily
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.training.collect import collect
from analognas.training.labels import TARGETS, LabelSet, load_label_set
from analognas.training.plans import CollectionPlan
from analognas.training.protocol import Protocol

QUICK = {"teachers": ["boosted_trees"], "boosted_rounds": 5, "unlabeled": 20}

pytestmark = pytest.mark.usefixtures("fewer_unlabeled")


def shapes(space, config):
    return [p.shape for p in space.build_network(config).parameters()]


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
        described = dict(zip(names, row[:22], strict=False))
        others = [name for name in c if not name.startswith("widenfact")]
        assert [described[name] for name in others] == [c[name] for name in others]
        # widening factors may be others that give the same channels
        assert shapes(space, described) == shapes(space, c)
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


def test_one_dataset_in_two_shapes_is_told_apart(fitted):
    small = DatasetInfo("digits", (1, 4, 4), 10)
    mine, theirs = (f"digits in 10 classes, inputs {shape}" for shape in ((1, 4, 4), (1, 8, 8)))
    with pytest.warns(DatasetMismatchWarning) as warned:
        copy.copy(fitted).bind(ConfigSpace(small))
    text = str(warned[0].message)
    assert f"fitted for {mine}, yet" in text and f"labels measured on {theirs}." in text
    assert "analognas collect " not in text and "'labels/digits.sqlite'" in text


def test_the_warning_names_what_collects_labels_of_that_very_space():
    "The command, where it samples that space; elsewhere the function."
    for name, root in (("digits", ""), ("VWW", "--root FOLDER "), ("CIFAR-10", "--root FOLDER ")):
        advice = collecting(ConfigSpace(name), "XGBoostEvaluator")
        command = f"analognas collect {name} {root}--export labels/{name}"
        assert advice == (
            f"{command}, then XGBoostEvaluator().fit(load_label_set({name!r}, 'labels'), space)."
        )
    narrower = ConfigSpace("digits")
    narrower.remove_hyperparameter("B5")
    for other in (narrower, ConfigSpace(DatasetInfo("VWW", (3, 64, 64), 2)), NASBench201Space()):
        advice = collecting(other, "XGBoostEvaluator")
        assert "analognas collect " not in advice and "collect(space, data, " in advice


def test_labels_of_ones_own_data_are_collected_as_the_warning_says(fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = load_dataset("digits")
    info = DatasetInfo("mine", (1, 8, 8), 10)
    data = Dataset(info, digits.x_train, digits.y_train, digits.x_test, digits.y_test, "mine")
    space = ConfigSpace(info)
    with pytest.warns(DatasetMismatchWarning) as warned:
        copy.copy(fitted).bind(space)
    said = re.search(r"collect\(space, data, .*?\)\)", str(warned[0].message))
    assert said is not None
    quick = CollectionPlan(n=2, repeats=0, protocol=Protocol(epochs=1, hwa_epochs=1, n_rep=2))
    names = {"Path": Path, "space": space, "data": data}
    names["collect"] = partial(collect, plan=quick, progress=False)
    eval(said[0], names)  # noqa: S307 - what the package itself advises
    labels = load_label_set("mine", "labels")
    assert len(labels) == 2 and labels.metadata["dataset"] == "mine"


def measured(space, name, n=20, seed=0):
    "Made-up labels of a space that say on what they were measured."
    labels = made_up(space, n, seed)
    return LabelSet(name, labels.table, labels.hyperparameters, {"dataset": name})


def test_labels_of_another_dataset_are_refused():
    space, kws = ConfigSpace("digits"), measured(ConfigSpace("KWS"), "KWS")
    digits = measured(space, "digits")
    said = (
        "'KWS' was measured on another dataset .name 'KWS'. than that of the space .name 'digits'"
    )
    with pytest.raises(ConfigError, match=said):
        XGBoostEvaluator().fit(kws, space)
    with pytest.raises(ConfigError, match=said):
        XGBoostEvaluator().fit(digits, space, held_out=kws)
    with pytest.raises(ConfigError, match=said):
        XGBoostEvaluator().compare_settings(kws, {"plain": {}}, space)
    shapes = {"space": ConfigSpace(DatasetInfo("digits", (1, 4, 4), 10)).to_dict()}
    small = LabelSet("small", digits.table, digits.hyperparameters, shapes)
    with pytest.raises(ConfigError, match=r"input_dim \[1, 4, 4\].*input_dim \[1, 8, 8\]"):
        XGBoostEvaluator().fit(small, space)
    fitted = XGBoostEvaluator().fit(digits, space, settings=QUICK)
    with pytest.raises(ConfigError, match="'KWS'.* than that of 'digits'"):
        fitted.refit(kws)
    # what is borrowed knowingly: labels of other data as a lower fidelity
    cheap = fitted.refit(measured(space, "digits", 12, 1), low_fidelity=[kws])
    assert cheap.about["low_fidelity"][0]["label_set"] == "KWS" and cheap.about["rows"] == 32
    fitted.refit(made_up(space, 12, 2))  # labels that do not say what they are of


@pytest.mark.parametrize("what", [load_dataset("digits"), pd.DataFrame({"acc_1d": [1.0]}), None, 5])
def test_what_are_no_labels_is_refused(what):
    space = ConfigSpace("digits")
    labels = made_up(space, 20)
    kind = type(what).__name__
    with pytest.raises(ConfigError, match=f"labels must be a LabelSet.*got {kind}"):
        XGBoostEvaluator().fit(what, space)
    with pytest.raises(ConfigError, match="each of low_fidelity must be a LabelSet"):
        XGBoostEvaluator().fit(labels, space, low_fidelity=[what])
    with pytest.raises(ConfigError, match="low_fidelity must be a list"):
        XGBoostEvaluator().fit(labels, space, low_fidelity=labels)
    with pytest.raises(ConfigError, match=f"further labels must be a LabelSet.*got {kind}"):
        XGBoostEvaluator().fit(labels, space, settings=QUICK).refit(what)
    if what is not None:
        with pytest.raises(ConfigError, match=f"held_out must be a LabelSet.*got {kind}"):
            XGBoostEvaluator().fit(labels, space, held_out=what)


def test_rows_that_were_fitted_to_do_not_count_as_held_out():
    space = ConfigSpace("digits")
    labels, other = made_up(space, 30), made_up(space, 12, 1)
    assert not {*map(space.key, labels.configs)} & {*map(space.key, other.configs)}
    mixed = other.with_rows_of(labels.take(range(9)))
    with pytest.warns(UserWarning, match="9 of 21 held-out rows .* record is of the other 12"):
        leaky = XGBoostEvaluator().fit(labels, space, held_out=mixed, settings=QUICK)
    clean = XGBoostEvaluator().fit(labels, space, held_out=other, settings=QUICK)
    assert leaky.about["held_out"] == clean.about["held_out"]
    assert leaky.about["held_out"]["n_test"] == 12
    for few in (labels, other.take([0]).with_rows_of(labels)):
        with pytest.raises(ConfigError, match=f"30 of {len(few)} held-out rows"):
            XGBoostEvaluator().fit(labels, space, held_out=few)


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


def test_networks_of_another_kind_are_warned_of_once():
    borrowed = XGBoostEvaluator()
    space = ConfigSpace("CIFAR-10", ResNetFamily(stem_kernel=3))
    with pytest.warns(DatasetMismatchWarning, match=r"inputs \(3, 32, 32\), stem_kernel 3, yet"):
        borrowed.bind(space)
    borrowed.bind(space)  # warnings are errors here
    borrowed.bind(ConfigSpace("CIFAR-10"))


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


@pytest.mark.parametrize("step", range(3))
def test_a_kill_while_saving_leaves_one_evaluator_that_can_be_read(
    fitted, folder, monkeypatch, step
):
    "Killed before one of the three replacements of files; the old or the new one is whole."
    old = XGBoostEvaluator(folder).about["rows"]
    replace = os.replace
    steps = iter(range(9))

    def killed(*paths):
        if next(steps) == step:
            raise SystemExit
        return replace(*paths)

    changed = XGBoostEvaluator(folder)
    changed.about["rows"] = old + 1
    changed._model.learner.booster.set_attr(changed="yes")  # other bytes
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(os, "replace", killed)
        changed.save(folder)
    found = XGBoostEvaluator(folder)
    assert found.about["rows"] == (old + 1 if step == 2 else old)
    assert (found._model.learner.booster.attr("changed") == "yes") == (step == 2)
    fitted.save(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["about.json", "weights.ubj"]


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


# ---- weights of 0.1.0 -----------------------------------------------------------------------------------------------

DATA = Path(__file__).parents[1] / "data"
OLD = {"xgboost": XGBoostEvaluator, "mlp": MLPEvaluator}


@pytest.mark.parametrize("name", OLD)
def test_weights_that_8ece4d1_saved_predict_what_they_predicted(name):
    predictions = json.loads((DATA / "predictions_8ece4d1.json").read_text())
    evaluator = OLD[name](DATA / f"{name}_8ece4d1").bind(ConfigSpace("digits"))
    found = evaluator.query_pop(predictions["configs"])
    for target in TARGETS:
        assert getattr(found, target) == pytest.approx(predictions[name][target], rel=1e-6)
    assert evaluator.about["learner"] in ("Trees", "Networks")  # as it was called then


@pytest.mark.parametrize("name", OLD)
def test_weights_that_8ece4d1_saved_can_be_saved_again(name, tmp_path):
    old = OLD[name](DATA / f"{name}_8ece4d1").bind(ConfigSpace("digits"))
    again = OLD[name](old.save(tmp_path / "again")).bind(ConfigSpace("digits"))
    assert again.about == old.about


# ---- choices of training and chip -----------------------------------------------------------------------------------


def chosen(n, rates, seed=0):
    "A space with `hwa_lr`, and labels by a formula of the network and of the rates."
    space = ConfigSpace("digits")
    space.add_training_hyperparameter("hwa_lr", "continuous", 0.01, 0.1)
    labels = made_up(ConfigSpace("digits"), n, seed)
    table = labels.table.assign(hwa_lr=rates)
    table["acc_1d"] += 200 * table.hwa_lr
    return space, LabelSet("chosen", table, space.get_hyperparameters(), labels.metadata)


def test_a_choice_that_labels_varied_is_a_feature():
    rates = np.random.default_rng(0).uniform(0.01, 0.1, 80)
    space, labels = chosen(80, rates)
    fitted = XGBoostEvaluator().fit(labels, space)
    assert fitted.ignored == () and "hwa_lr" in fitted.about["features"]
    config = labels.configs[0]
    slow, fast = fitted.query_pop([config | {"hwa_lr": 0.015}, config | {"hwa_lr": 0.095}]).acc_1d
    assert fast > slow


def test_a_choice_that_labels_lack_is_ignored_and_said_once(fitted):
    fitted = copy.copy(fitted)
    space = ConfigSpace("digits")
    space.add_training_hyperparameter("hwa_lr", "continuous", 0.01, 0.1)
    space.add_hardware_hyperparameter("adc_bits", "discrete", 4, 8)
    with pytest.warns(IgnoredHyperparameterWarning, match="never varied hwa_lr, adc_bits") as seen:
        fitted.bind(space)
        fitted.bind(space)
    assert len(seen) == 1
    configs = space.sample_arch_uniformly(20, 0)
    architectures = [space.split(config).architecture for config in configs]
    found = fitted.query_pop(configs)
    low, high = fitted.interval(configs)
    assert fitted.get_evaluator_stat()["ignored"] == ["hwa_lr", "adc_bits"]
    with pytest.raises(ConfigError, match="adc_bits = 99"):
        fitted.query(configs[0] | {"adc_bits": 99})
    plain = fitted.bind(ConfigSpace("digits")).query_pop(architectures)
    assert np.array_equal(found.acc_1d, plain.acc_1d) and (low[:, 0] <= found.acc_1d).all()
    assert "ignored" not in fitted.get_evaluator_stat()


def test_a_placement_that_labels_lack_is_ignored_and_said(fitted):
    fitted = copy.copy(fitted)
    space = ConfigSpace("digits")
    space.add_placement_hyperparameter("head")
    with pytest.warns(IgnoredHyperparameterWarning, match="never varied head:"):
        fitted.bind(space)
    assert fitted.get_evaluator_stat()["ignored"] == ["head"]


def test_a_choice_that_labels_held_at_one_value_is_said_and_extrapolated():
    space, labels = chosen(40, 0.05)
    with pytest.warns(IgnoredHyperparameterWarning, match="never varied hwa_lr"):
        fitted = XGBoostEvaluator().fit(labels, space)
    config = labels.configs[0]
    found = fitted.query_pop([config, config | {"hwa_lr": 0.06}])
    assert found.extrapolated.tolist() == [False, True]


def test_trainings_of_one_network_with_other_choices_are_no_repeats():
    "Forty measurements of twenty networks, each with two rates: no noise can be told from them."
    space, labels = chosen(20, 0.02)
    twice = pd.concat([labels.table, labels.table.assign(hwa_lr=0.08)], ignore_index=True)
    both = LabelSet("both", twice, labels.hyperparameters, labels.metadata)
    fitted = XGBoostEvaluator().fit(both, space)
    assert fitted.about["held_out"]["ceiling"] is None
