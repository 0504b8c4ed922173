"""`analognas bench search` at its smallest size."""

import json
from functools import partial

import pytest

from analognas.bench import search
from analognas.core import ConfigError
from analognas.search_algorithms.registry import OPTIMIZERS


def test_bench_search_prints_regret_by_optimizer(bench_json, monkeypatch, tmp_path):
    small = partial(search.bench_search, n=50, only=["random_search", "nsga2"], progress=False)
    monkeypatch.setattr(search, "bench_search", small)
    result = bench_json("search", "--seeds", "2", "--store", str(tmp_path / "s.sqlite"))
    assert result.keys() >= {"regret", "error", "seeds", "constrained"}
    assert result["regret"]["random_search"].keys() == {"50"}
    assert 0 < result["regret"]["random_search"]["50"] < 20
    assert result["seeds"] == {"random_search": 2}
    assert result["hypervolume_share"].keys() == {"random_search", "nsga2"}
    assert 0 < result["hypervolume_share"]["nsga2"] < 1


def test_plan_tasks_has_every_optimizer_of_one_objective_and_the_peers():
    tasks = [json.loads(what) for what, _ in search.plan_tasks(2)]
    plain = {task["name"] for task in tasks if task["problem"] == "plain"}
    assert plain == {*OPTIMIZERS, *search.PEERS} - {
        "nsga2",
        "mobo",
        "optuna",
        "successive_halving",
    }


def test_plan_tasks_gives_slow_and_further_ones_fewer_seeds():
    tasks = search.plan_tasks(100)
    count = {}
    for what, _ in tasks:
        task = json.loads(what)
        key = task["problem"], task["name"]
        count[key] = count.get(key, 0) + 1
    assert count["plain", "bo"] == 100
    assert count["constrained", "bo"] == 10
    assert count["plain", "optuna_tpe"] == 20


def test_optuna_configs_are_different_cells_and_the_same_for_a_seed():
    configs = search.optuna_configs("TPESampler", seed=3, n=12)
    assert len({tuple(config.items()) for config in configs}) == 12
    assert search.optuna_configs("TPESampler", seed=3, n=12) == configs


def test_bench_search_refuses_one_seed(tmp_path):
    with pytest.raises(ConfigError, match="seeds must be a whole number at least 2; got 1"):
        search.bench_search(tmp_path / "s.sqlite", seeds=1)


@pytest.mark.parametrize("old, new", [("sum_up", "summarize"), ("plan_of", "plan_tasks")])
def test_names_of_0_1_0_warn(old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is now"):
        assert getattr(search, old) is getattr(search, new)
