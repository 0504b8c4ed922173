"""The ensemble of networks: against a second implementation, on disk, and as an evaluator."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from analognas.core import FileFormatError
from analognas.evaluators.mlp import CLIP, MEMBERS, MLPEnsemble, MLPEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.testing.evaluators import EvaluatorConformance
from analognas.training.labels import TARGETS, LabelSet

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3)) * [1, 10, 0] + [0, 5, 7]  # the last feature is constant
Z_OF = lambda x: np.column_stack(
    [np.sin(x[:, 0]) + x[:, 1] / 10, x[:, 0], x[:, 1], x[:, 0] * x[:, 1]]
)  # three targets, and one that helps
Z = Z_OF(X)


@pytest.fixture(scope="module")
def networks():
    return MLPEnsemble.fit(X, Z, ["a", "b", "c"], X[:0], seed=0)


def test_it_learns_what_bends(networks):
    new = RNG.normal(size=(300, 3)) * [1, 10, 0] + [0, 5, 7]
    said = networks.predict(new)
    assert said.shape == (300, 3)
    assert all(np.corrcoef(said[:, k], Z_OF(new)[:, k])[0, 1] > 0.9 for k in range(3))


def test_the_answer_is_the_mean_of_so_many_ordinary_networks(networks):
    "A second implementation: nn.Linear and nn.SiLU with the same weights, one member at a time."
    s, votes = networks.state, []
    x = torch.tensor((X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1)).clamp(-CLIP, CLIP)
    for k in range(MEMBERS):
        layers = [nn.Linear(*s[f"w{i}"].shape[1:], dtype=torch.float64) for i in range(3)]
        for i, layer in enumerate(layers):
            layer.load_state_dict({"weight": s[f"w{i}"][k].T, "bias": s[f"b{i}"][k, 0]})
        votes.append(
            nn.Sequential(layers[0], nn.SiLU(), layers[1], nn.SiLU(), layers[2])(x).detach().numpy()
        )
    assert np.allclose(np.mean(votes, axis=0), networks.predict(X), atol=1e-12)
    assert (
        len({round(float(v[0, 0]), 9) for v in votes}) == MEMBERS
    )  # the members differ, or there would be nothing to average


def test_far_away_it_answers_as_at_the_edge(networks):
    edge = X.mean(0) + CLIP * X.std(0)
    assert networks.predict(edge[None] + [100, 1000, 0]) == pytest.approx(
        networks.predict(edge[None])
    )


def test_the_seed_decides_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = (MLPEnsemble.fit(X, Z, ["a", "b", "c"], X[:0], seed=s).predict(X) for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    assert torch.equal(before, torch.get_rng_state())


def test_company_changes_nothing_but_the_last_digits(networks):
    whole = networks.predict(X)
    assert np.allclose(
        [networks.predict(X[i : i + 1])[0] for i in range(30)], whole[:30], rtol=0, atol=1e-12
    )


def test_what_is_saved_is_what_is_loaded(networks, tmp_path):
    networks.save(tmp_path / "w.pt")
    again = MLPEnsemble.load(tmp_path / "w.pt")
    assert again.feature_names == ["a", "b", "c"] and np.array_equal(
        again.predict(X), networks.predict(X)
    )


class Trap:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage" * 50,
        pickle.dumps({"a": 1}),
        "cut",
        "trap",
        "fewer features",
        "fewer targets",
        "no weights",
        "a list",
    ],
)
def test_other_files_are_refused_and_run_nothing(networks, tmp_path, content, capsys):
    path = tmp_path / "w.pt"
    networks.save(path)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        torch.save(
            {
                "trap": Trap(),
                "fewer features": {"features": ["a"], **networks.state},
                "no weights": {"features": ["a"]},
                "fewer targets": {
                    "features": ["a", "b", "c"],
                    **networks.state,
                    "w2": networks.state["w2"][..., :1],
                    "b2": networks.state["b2"][..., :1],
                },
                "a list": [1, 2],
            }[content],
            path,
        )
    with pytest.raises(FileFormatError, match="w.pt is not an ensemble of networks"):
        MLPEnsemble.load(path)
    assert "code ran" not in capsys.readouterr().out


def made_up(n, seed=0):
    space = ConfigSpace("digits")
    configs = space.sample_arch_uniformly(n, seed)
    size, depth = (np.log10(space.stats(configs)[k]) for k in ("params", "depth"))
    table = pd.DataFrame(configs).assign(
        acc_1d=60 + 5 * size - depth, avm=2 * depth - size / 5, std_1d=1 / size
    )
    return LabelSet("made-up", table, space.get_hyperparameters(), {"dataset": "digits"})


FITTED = []


class TestMLPConforms(EvaluatorConformance):
    def make(self):
        if not FITTED:
            FITTED.append(MLPEvaluator().fit(made_up(60), self.make_space(), made_up(40, 1)))
        return copy.copy(FITTED[0])

    def make_space(self):
        return ConfigSpace("digits")


def test_the_evaluator_learns_a_formula_and_keeps_it(tmp_path):
    space = ConfigSpace("digits")
    mlp = TestMLPConforms().make().bind(space)
    assert all(tau.tau > 0.7 for tau in mlp.get_correlation(made_up(60, 2)).values())
    again = MLPEvaluator(mlp.save(tmp_path / "mlp")).bind(space)
    for t in TARGETS:
        assert np.array_equal(
            getattr(again.query_pop(made_up(60).configs), t),
            getattr(mlp.query_pop(made_up(60).configs), t),
        )
    about = json.loads((tmp_path / "mlp" / "about.json").read_text())
    assert (about["learner"], about["settings"]["members"], about["rows"]) == (
        "MLPEnsemble",
        MEMBERS,
        60,
    )
