"""`analognas bench baselines` at its smallest size, and its files."""

from functools import partial

import pytest

from analognas.bench import baselines
from analognas.core import ConfigError


def test_bench_baselines_prints_a_row_for_each_network(
    bench_json, monkeypatch, tmp_path, short_protocol
):
    small = partial(
        baselines.bench_baselines, protocol=short_protocol, limits=(20_000,), progress=False
    )
    monkeypatch.setattr(baselines, "bench_baselines", small)
    brief = partial(baselines.EAOptimizer, nb_iter=2, population_size=20)
    monkeypatch.setattr(baselines, "EAOptimizer", brief)
    rows = bench_json(
        "baselines", "--dataset", "digits", "--store", str(tmp_path / "baselines.sqlite")
    )["rows"]
    assert [row["name"] for row in rows] == ["winner", "ResNet-20", "ResNet-32"]
    for row in rows:
        assert row.keys() >= {"limit", "parameters", "seed", "acc_1d", "avm", "std_1d", "seconds"}
        assert row["parameters"] <= 28_000


def test_results_table_says_why_when_no_network_was_measured():
    class Store:
        def rows(self, state="done"):
            return [({}, 0, {"error": "out of memory"}, 1.0)] if state == "failed" else []

    with pytest.raises(ConfigError, match="No network was measured.*out of memory"):
        baselines.results_table(None, Store())


@pytest.mark.parametrize("width, blocks", [(16, 3), (7, 5), (1, 3)])
def test_resnet_width_finds_the_width_that_a_size_came_from(width, blocks):
    size = baselines.count_parameters(baselines.bench_network(width, blocks))
    assert baselines.resnet_width(size, blocks) == width


def test_save_baselines_writes_what_load_baselines_reads(tmp_path):
    table = baselines.load_baselines()
    path = baselines.save_baselines(table, tmp_path / "again.json", winners={"1": {}})
    again = baselines.load_baselines(path)
    assert again.equals(table)
    assert again.attrs == {"winners": {"1": {}}}
