"""The weights that ship: made from the label sets that ship, and as good as they say."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from analognas.evaluators.pretrained import (
    NASBENCH201_ROWS,
    PRETRAINED,
    fit_pretrained,
    nasbench201_split,
)
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.training.labels import TARGETS, load_label_set


def test_every_folder_of_weights_is_known():
    assert {p.name for p in WEIGHTS.iterdir() if p.is_dir()} == set(PRETRAINED)


def is_of(said, name):
    "Does a record name this label set, its rows and how they were measured?"
    labels = load_label_set(name)
    facts = {key: labels.metadata[key] for key in ("protocol", "hours") if key in labels.metadata}
    return (
        (said["label_set"], said["rows"]) == (name, len(labels))
        and facts
        and facts.items() <= said["facts"].items()
    )


@pytest.mark.parametrize(
    "name, label_set, quick",
    [
        ("digits", "digits", []),
        ("KWS", "KWS-cpu", ["KWS"]),
        ("CIFAR-10", "CIFAR-10", []),
        ("VWW", "VWW", []),
    ],
)
def test_they_were_fitted_on_the_labels_that_ship(name, label_set, quick):
    about = XGBoostEvaluator(WEIGHTS / name).about
    assert is_of(about, label_set)
    cheap = about.get("low_fidelity", [])
    assert len(cheap) == len(quick)
    assert all(is_of(said, of) for said, of in zip(cheap, quick, strict=True))


def test_nasbench201_keeps_its_training_rows_apart():
    train, held_out = nasbench201_split()
    space = NASBench201Space()
    assert len(train) == NASBENCH201_ROWS and len(train) + len(held_out) == 15_625
    assert not {space.key(c) for c in train.configs} & {space.key(c) for c in held_out.configs}


def test_the_recorded_tau_is_what_the_published_table_says():
    "scipy's tau, on all held-out cells and on those of new networks."
    train, held_out = nasbench201_split()
    space = NASBench201Space()
    evaluator = XGBoostEvaluator(WEIGHTS / "nasbench201").bind(space)
    seen = {space.arch_id(c) for c in train.configs}
    new = np.array([space.arch_id(c) not in seen for c in held_out.configs])
    assert 6_000 < new.sum() < 7_000
    answer, record = evaluator.query_pop(held_out.configs), evaluator.about["held_out"]
    for t in TARGETS:
        said, truth = getattr(answer, t), held_out.table[t].to_numpy()
        assert record["surrogate"][t]["tau"] == pytest.approx(kendalltau(said, truth)[0], abs=1e-6)
        assert record["new_networks"][t]["tau"] == pytest.approx(
            kendalltau(said[new], truth[new])[0], abs=1e-6
        )
        assert record["surrogate"][t]["tau"] > 0.95 * record["ceiling"][t]["tau"]


@pytest.mark.slow
def test_fitting_anew_gives_the_same_evaluator():
    space = ConfigSpace("CIFAR-10")
    configs = load_label_set("CIFAR-10").configs
    again, shipped = (
        fit_pretrained("CIFAR-10").query_pop(configs),
        XGBoostEvaluator(WEIGHTS / "CIFAR-10").bind(space).query_pop(configs),
    )
    for t in TARGETS:
        assert kendalltau(getattr(again, t), getattr(shipped, t))[0] > 0.99
