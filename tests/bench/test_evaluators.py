"""`analognas bench evaluators` and `query` at their smallest size."""

import math
from functools import partial

from analognas.bench import evaluators
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator

# design.md, section 8, and the two baselines of each target
KEYS = {"n_train", "n_test", "params_only_tau", "linear_tau"}
ENDS = ("", "_low", "_high", "_ceiling", "_new_networks")


def read_weights(name: str) -> XGBoostEvaluator:
    "Return the fitted evaluator in the package."
    return XGBoostEvaluator(WEIGHTS / name)


def test_bench_evaluators_prints_taus_for_each_label_set(bench_json, monkeypatch):
    "The shipped weights hold the figures of their fit; the bench's notebook fits anew."
    small = partial(evaluators.bench_evaluators, ["CIFAR-10"])
    monkeypatch.setattr(evaluators, "bench_evaluators", small)
    monkeypatch.setattr(evaluators, "fit_pretrained", read_weights)
    result = bench_json("evaluators")
    assert result.keys() == {"CIFAR-10"}
    figures = result["CIFAR-10"]
    for target in ("acc", "avm", "std"):
        assert figures.keys() >= {f"{target}_tau{end}" for end in ENDS}
        assert figures[f"{target}_tau_low"] <= figures[f"{target}_tau"]
        assert figures[f"{target}_tau"] <= figures[f"{target}_tau_high"]
    assert figures.keys() >= KEYS


def test_bench_query_prints_rates_and_import_time(bench_json, monkeypatch):
    small = partial(evaluators.bench_query, large=40, small=20, turns=5)
    monkeypatch.setattr(evaluators, "bench_query", small)
    result = bench_json("query")
    assert result.keys() >= {"archs_per_s", "archs_per_s_small", "import_s"}
    assert result["archs_per_s"] > 0
    assert math.isfinite(result["import_s"])
