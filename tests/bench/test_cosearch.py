"""`analognas bench cosearch` at its smallest size, its networks, and its statistics."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.stats import ttest_1samp

pytest.importorskip("botorch")
pytest.importorskip("moocore")

from analognas.bench import cosearch
from analognas.search_spaces.layers import trace_layers


@pytest.fixture
def runs() -> dict:
    "Two seeds; searching together is better by 0.1 and by 0.2."
    fronts = {"architecture": ([75, 0.0], [75, 0.0]), "together": ([80, 0.0], [85, 0.0])}
    return {
        search: {
            seed: {"held_out": [point], "test": [point], "epochs": 10}
            for seed, point in enumerate(points)
        }
        for search, points in fronts.items()
    }


def test_bench_cosearch_prints_both_searches(bench_json, monkeypatch, tmp_path, short_protocol):
    recipe = replace(short_protocol, n_rep=2)
    small = partial(cosearch.bench_cosearch, n=3, recipe=recipe, progress=False)
    monkeypatch.setattr(cosearch, "bench_cosearch", small)
    options = ("--seeds", "2", "--store", str(tmp_path / "c.sqlite"))
    result = bench_json("cosearch", *options)
    assert result["seeds"] == 2
    assert result["epochs"] == {"architecture": 6, "together": 6}  # 3 networks, 1 + 1 epochs
    assert set(result["test"]) == {
        *cosearch.SEARCHES,
        "difference",
        "difference_low",
        "difference_high",
    }
    assert bench_json("cosearch", *options) == result  # from the store


def test_the_larger_space_has_the_same_architectures():
    small = cosearch.make_space("architecture")
    large = cosearch.make_space("together")
    assert large.names_in("architecture") == small.get_hyperparameters()
    assert large.names_in("training") == ["lr", "hwa_lr"]
    assert large.names_in("hardware") == ["modifier_std", "g_max", "adc_bits", "tile_size"]


def test_layers_by_arithmetic_are_those_of_the_built_network():
    space = cosearch.make_space("architecture")
    for config in space.sample_arch_uniformly(8, 1):
        traced = trace_layers(space.build_network(config), space.info.input_dim)
        computed = [layer for layer in space.crossbar_layers([config]) if np.all(layer.count)]
        shapes = [(int(a.rows), int(a.cols), int(a.positions)) for a in traced]
        assert [
            tuple(int(np.ravel(v)[0]) for v in (a.rows, a.cols, a.positions)) for a in computed
        ] == shapes


def test_share_is_the_area_of_the_rectangles_of_a_front():
    points = [[90, 0.5 * 2.5e-6], [70, 0.2 * 2.5e-6], [60, 0.4 * 2.5e-6]]  # the last is dominated
    assert cosearch.hypervolume_share(points) == pytest.approx(0.5 * 0.8 + 0.3 * 0.4)


def test_interval_is_that_of_scipy():
    values = [0.1, 0.3, -0.2, 0.05, 0.4]
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert cosearch.paired_interval(values) == pytest.approx((np.mean(values), *expected))


def test_summarize_pairs_the_seeds(runs):
    found = cosearch.summarize(runs)
    assert found["test"]["difference"] == pytest.approx(0.15)
    assert found["test_by_seed"] == {
        "architecture": pytest.approx([0.5, 0.5]),
        "together": pytest.approx([0.6, 0.7]),
    }
    assert found["epochs"] == {"architecture": 10, "together": 10}


def test_recorded_results_are_of_five_seeds_and_equal_epochs():
    found = cosearch.load_cosearch_bench()
    assert found["seeds"] == 5
    assert found["epochs"]["architecture"] == found["epochs"]["together"]
    differences = np.subtract(*(found["test_by_seed"][name] for name in cosearch.SEARCHES[::-1]))
    assert found["test"]["difference"] == pytest.approx(differences.mean(), abs=1e-4)  # rounded
