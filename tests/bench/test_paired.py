"""Differences between trained networks on the same examples, and their intervals."""

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel

from analognas.bench import baselines, paired
from analognas.core import DAY, ConfigError
from analognas.datasets.load import load_dataset
from analognas.evaluators.base_evaluator import ParamsEvaluator


def test_with_one_training_the_interval_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((2, 1, 50))
    found = paired.paired_difference(ours, theirs)
    expected = ttest_rel(100 * ours[0], 100 * theirs[0]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_where_all_examples_agree_only_the_trainings_count():
    gains = np.array([[0.01], [0.03], [0.05]])
    found = paired.paired_difference(0.5 + gains + np.zeros((3, 40)), np.full((3, 40), 0.5))
    expected = ttest_rel([51.0, 53.0, 55.0], [50.0] * 3).confidence_interval(0.95)
    assert found.mean == pytest.approx(3.0)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_turns_round_with_the_networks():
    ours, theirs = np.random.default_rng(1).random((2, 3, 40))
    there, back = paired.paired_difference(ours, theirs), paired.paired_difference(theirs, ours)
    assert there == pytest.approx((-back.mean, -back.high, -back.low))


def test_equal_networks_differ_by_nothing():
    same = np.random.default_rng(2).random((3, 40))
    assert paired.paired_difference(same, same) == (0, 0, 0)


def test_networks_without_common_examples_are_refused():
    with pytest.raises(ConfigError, match=r"\(3, 40\) and \(3, 41\)"):
        paired.paired_difference(np.zeros((3, 40)), np.zeros((3, 41)))


def test_only_trainings_that_both_have_are_paired():
    some = np.random.default_rng(3).integers(0, 5, (4, 2, 30))
    right = {
        (100, "winner", 0): some[0],
        (100, "winner", 1): some[1],
        (100, "ResNet-8", 1): some[2],
        (900, "ResNet-8", 0): some[3],  # its winner is not measured yet
    }
    table = paired.paired_table(right, (1.0, DAY), 4)
    assert table[["limit", "winner", "network", "t", "seeds"]].values.tolist() == [
        [100, "winner", "ResNet-8", 1.0, 1],
        [100, "winner", "ResNet-8", DAY, 1],
    ]
    assert table["mean"].tolist() == pytest.approx((25 * (some[1] - some[2])).mean(1).tolist())


@pytest.fixture
def compared(tmp_path, short_protocol, monkeypatch):
    "Return what runs one comparison again and again, and the folder in which networks are kept."
    monkeypatch.setattr(baselines, "OTHERWISE", baselines.Opponents((4_000,), ("ResNet-8",)))
    winner = {"M": 1, "out_channel0": 8, "R1": 1, "convblock1": 1, "widenfact1": 0.5, "B1": 1}
    monkeypatch.setattr(baselines, "find_winner", lambda space, *_: space.canonical(winner))
    digits, store = load_dataset("digits"), tmp_path / "b.sqlite"

    def run():
        return baselines.bench_baselines(
            digits, ParamsEvaluator(), store, short_protocol, progress=False
        )

    return run, tmp_path / "b.sqlite.checkpoints"


def test_the_pairs_of_a_comparison_are_the_differences_of_its_table(compared):
    table = compared[0]()
    winner, other = (record.acc.mean(0) for record in table["drift"])
    pairs = table.attrs["pairs"]
    assert [pair["t"] for pair in pairs] == list(table["drift"][0].t_inference)
    assert [pair["mean"] for pair in pairs] == pytest.approx((winner - other).tolist(), abs=1e-4)


def test_a_network_that_is_gone_is_not_paired_and_the_log_says_so(compared, caplog):
    run, kept = compared
    table = run()
    for path in kept.iterdir():
        path.unlink()
    again = run()
    assert again.drop(columns="drift").equals(table.drop(columns="drift"))
    assert again.attrs["pairs"] == []
    assert "winner of at most 4,000 parameters, seed 0 is not paired" in caplog.text
    assert "is gone" in caplog.text


def test_a_checkpoint_without_counts_or_with_others_is_not_paired(compared, caplog):
    run, kept = compared
    run()
    one, other = sorted(kept.iterdir())
    state = torch.load(one, weights_only=True)
    torch.save(state | {"right": state["right"] + 1}, one)
    other.write_bytes(b"damaged")
    assert run().attrs["pairs"] == []
    assert "an earlier version began it" in caplog.text and "cannot be read" in caplog.text
