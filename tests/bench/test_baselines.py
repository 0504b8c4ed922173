"""`analognas bench baselines` at its smallest size, and its files."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest
import torch

from analognas.bench import baselines, measured_winner
from analognas.core import DAY, MONTH, ConfigError, dataset_info
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.plans import PLANS


def test_bench_baselines_prints_a_row_for_each_network(
    bench_json, monkeypatch, tmp_path, short_protocol
):
    monkeypatch.setattr(baselines, "BASELINE_PROTOCOL", short_protocol)
    monkeypatch.setattr(baselines, "OTHERWISE", baselines.OTHERWISE._replace(limits=(20_000,)))
    brief = partial(baselines.EAOptimizer, nb_iter=2, population_size=20)
    monkeypatch.setattr(baselines, "EAOptimizer", brief)
    found = bench_json(
        "baselines", "--dataset", "digits", "--store", str(tmp_path / "baselines.sqlite")
    )
    rows = found["rows"]
    assert found["limits"]["20000"]["winner_acc_1d"] == rows[0]["acc_1d"]
    assert [row["name"] for row in rows] == ["winner", "ResNet-8", "MobileNet"]
    for row in rows:
        assert row.keys() >= {"limit", "parameters", "seed", "acc_1d", "avm", "std_1d", "seconds"}
        assert row["parameters"] <= 28_000


def test_the_winner_of_a_search_that_measures_is_compared_too(
    bench_json, monkeypatch, tmp_path, short_protocol
):
    monkeypatch.setattr(baselines, "BASELINE_PROTOCOL", short_protocol)
    monkeypatch.setattr(baselines, "OTHERWISE", baselines.OTHERWISE._replace(limits=(20_000,)))
    monkeypatch.setattr(baselines, "EAOptimizer", partial(baselines.EAOptimizer, nb_iter=2))
    monkeypatch.setattr(measured_winner, "GENERATIONS", 2)
    store = tmp_path / "baselines.sqlite"
    options = ("--dataset", "digits", "--measurements", "3", "--store", str(store))
    found = bench_json("baselines", *options)
    with closing(sqlite3.connect(f"{store}.search-20000/evaluations.sqlite")) as run:
        query = "select acc_1d, config from evaluation where feasible and method = ?"
        measured = run.execute(query, ("search",)).fetchall()
        random = run.execute(query, ("random",)).fetchall()
    assert len(measured) == len(random) == 3
    names = ["winner", "ResNet-8", "MobileNet", "measured winner", "ResNet-8", "MobileNet"]
    assert [row["name"] for row in found["rows"]] == names
    best = json.loads(max(measured)[1])
    stem = (49 - 9) * best[
        "out_channel0"
    ]  # weights of a 7 x 7 convolution of one channel, and less
    size = int(ConfigSpace("digits").stats([best])["params"][0]) - stem
    assert [row["limit"] for row in found["rows"]] == 3 * [20_000] + 3 * [size]
    assert found["rows"][3]["parameters"] == size
    assert found["rows"][4]["parameters"] == pytest.approx(size, rel=0.4)  # a width is whole
    compared = [json.loads(c) for (c,) in rows_of(store)]
    family = {"stem_kernel": 3}
    expected = {"name": "measured winner", "limit": size, "config": best, "family": family}
    assert compared[3] == expected
    assert found["limits"][str(size)]["winner_acc_1d"] == found["rows"][3]["acc_1d"]
    search = found["searches"][0]
    assert (search["limit"], search["best_config"], search["runs"]) == (20_000, best, 1)
    assert search["mean_best"] == max(measured)[0]
    assert search["random_search_mean_best"] == max(random)[0]
    ours = {(pair["limit"], pair["winner"], pair["network"]) for pair in found["pairs"]}
    assert ours == {
        (20_000, "winner", "ResNet-8"),
        (20_000, "winner", "MobileNet"),
        (size, "measured winner", "ResNet-8"),
        (size, "measured winner", "MobileNet"),
    }


def rows_of(store):
    with closing(sqlite3.connect(store)) as file:
        return file.execute("select config from task order by id").fetchall()


def test_a_measurement_of_the_search_is_a_short_training_without_test_examples():
    "By hand: 0.3 of 10 and 2 epochs, a tenth of the training part."
    plan = baselines.protocol_of_plan("CIFAR-10", "cpu")
    short = measured_winner.shorter(plan)
    assert (plan.epochs, plan.hwa_epochs, plan.validation) == (10, 2, 0.0)
    assert (short.epochs, short.hwa_epochs, short.validation) == (3, 1, 0.1)
    rest = {"epochs": 3, "hwa_epochs": 1, "validation": 0.1, "n_rep": 5}
    assert short == replace(plan, **rest, t_inference=(1.0, DAY, MONTH))


def test_results_table_says_why_when_no_network_was_measured():
    class Store:
        def rows(self, state="done"):
            return [({}, 0, {"error": "out of memory"}, 1.0)] if state == "failed" else []

    with pytest.raises(ConfigError, match="No network was measured.*out of memory"):
        baselines.results_table(None, Store())


@pytest.mark.parametrize("kind", baselines.KINDS)
@pytest.mark.parametrize("width", [1, 7, 16])
def test_a_width_is_found_from_the_size_that_it_gives(kind, width):
    size = baselines.count_parameters(baselines.KINDS[kind](width, 3, 10))
    assert baselines.fitting_width(kind, size) == width
    assert baselines.fitting_width(kind, size + 1) == width


@pytest.mark.parametrize("kind", baselines.KINDS)
@pytest.mark.parametrize("name", ["CIFAR-10", "KWS", "VWW"])
def test_networks_of_every_kind_take_the_inputs_of_every_task(kind, name):
    info = dataset_info(name)
    network = baselines.KINDS[kind](4, info.input_dim[0], info.classes)
    assert network(torch.zeros(2, *info.input_dim)).shape == (2, info.classes)


def test_published_sizes():
    "ResNet-20 and -32 (He et al., 2016, table 6), and MLPerf Tiny's DS-CNN."
    size = {
        name: baselines.count_parameters(make(16, 3, 10)) for name, make in baselines.KINDS.items()
    }
    assert round(size["ResNet-20"] / 1e6, 2) == 0.27 and round(size["ResNet-32"] / 1e6, 2) == 0.47
    # 10 x 4 x 64, four times 9 x 64 + 64 x 64, batch normalisation, and a linear layer
    expected = 2560 + 4 * (576 + 4096) + 9 * 128 + 65 * 12
    assert baselines.count_parameters(baselines.ds_cnn(64, 1, 12)) == expected


def test_published_work():
    "ResNet-20 at 32 x 32, layer by layer, and MLPerf Tiny's DS-CNN (2.7 million MACs, Banbury et al., 2021)."
    stages = [(16, 16, 32), (16, 32, 16), (32, 64, 8)]  # channels in and out, and size
    expected = 27 * 16 * 32**2 + 64 * 10
    for inputs, outputs, size in stages:
        first = 9 * inputs * outputs
        expected += (first + 5 * 9 * outputs**2) * size**2
        if inputs != outputs:  # a 1 x 1 convolution in the shortcut
            expected += inputs * outputs * size**2
    resnet = baselines.KINDS["ResNet-20"](16, 3, 10)
    assert baselines.count_macs(resnet, (3, 32, 32)) == expected
    ds_cnn = baselines.ds_cnn(64, 1, 12)
    assert baselines.count_macs(ds_cnn, (1, 49, 10)) / 1e6 == pytest.approx(2.7, abs=0.1)


def test_a_plan_is_measured_on_the_test_part_and_twenty_times():
    plan = PLANS["KWS"]["cpu"].protocol
    protocol = baselines.protocol_of_plan("KWS", "cpu")
    assert (protocol.validation, protocol.n_rep, protocol.epochs) == (0.0, 20, plan.epochs)
    assert baselines.protocol_of_plan("KWS", None) is baselines.BASELINE_PROTOCOL
    with pytest.raises(ConfigError, match="brief"):
        baselines.protocol_of_plan("KWS", "long")


def test_save_baselines_writes_what_load_baselines_reads(tmp_path):
    table = baselines.load_baselines()
    path = baselines.save_baselines(table, tmp_path / "again.json", winners={"1": {}})
    again = baselines.load_baselines(path)
    assert again.equals(table)
    assert again.attrs == {"winners": {"1": {}}}


def test_the_figures_of_a_limit_are_means_over_trainings():
    names = ["winner", "winner", "small", "small", "large", "large"]
    table = pd.DataFrame(
        {
            "limit": 100,
            "name": names,
            "seed": [0, 1] * 3,
            "acc_1d": [80.0, 82.0, 70.0, 71.0, 78.0, 79.0],
            "avm": [1.0, 2.0, 0.0, 0.0, 4.0, 5.0],
        }
    )
    assert baselines.limit_figures(table) == {
        "100": {
            "winner_acc_1d": 81.0,
            "best_baseline_acc_1d": 78.5,
            "winner_avm": 1.5,
            "best_baseline_avm": 4.5,
            "best_baseline": "large",
            "seeds": 2,
        }
    }
    assert baselines.limit_figures(table[:2]) == {}


def test_a_comparison_that_the_package_lacks_is_named():
    with pytest.raises(ConfigError, match="VWX"):
        baselines.load_baselines(dataset="VWX")
