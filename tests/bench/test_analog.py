"""`analognas bench analog` and `growth` at their smallest size."""

from functools import partial

import pytest

from analognas.bench import analog, networks

# design.md, section 8
KEYS = {
    "eval_speedup_exact",
    "eval_speedup_noisy",
    "eval_over_digital",
    "eval_over_digital_channels_last",
    "train_speedup",
    "train_over_digital",
    "train_over_digital_channels_last",
    "train_memory_over_digital",
    "max_rel_err",
}


def test_bench_analog_prints_its_ratios(bench_json, monkeypatch):
    monkeypatch.setattr(analog, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(networks, "WARM_UP_STEPS", 1)
    small = partial(analog.bench_analog, eval_batch=2, train_batch=2, rounds=1)
    monkeypatch.setattr(analog, "bench_analog", small)
    of_networks = partial(networks.bench_networks, ("conv1d",), rounds=1)
    monkeypatch.setattr(networks, "bench_networks", of_networks)
    result = bench_json("analog")
    assert result.keys() >= KEYS | {"conv1d_eval_over_digital", "conv1d_train_over_digital"}
    assert all(value > 0 for name, value in result.items() if name != "max_rel_err")
    assert result["max_rel_err"] < 1e-6
    for tiles in ("", "_compiled"):
        for part in ("eval_speedup_exact", "eval_speedup_noisy", "train_speedup"):
            assert result.keys() >= {f"{part}{tiles}{end}" for end in ("", "_low", "_high")}


def test_a_ratio_and_its_quartiles_are_of_turns():
    "Of the medians, 6 and 2, it would be 3."
    found = analog.time_ratio("k", [2.0, 4.0, 6.0, 30.0, 100.0], [1.0, 2.0, 1.5, 6.0, 50.0])
    assert found == {"k": 2.0, "k_low": 2.0, "k_high": 4.0}  # turns: 2, 2, 4, 5, 2


def test_bench_growth_prints_a_row_for_each_size_and_number_of_repeats(bench_json, monkeypatch):
    small = partial(analog.bench_growth, [2e3, 2e4], [1, 2], images=2)
    monkeypatch.setattr(analog, "bench_growth", small)
    rows = bench_json("growth")["rows"]
    assert [row["n_rep"] for row in rows] == [1, 2, 1, 2]
    for row in rows:
        assert row.keys() == {"parameters", "n_rep", "seconds", "digital_passes"}


@pytest.mark.parametrize("width, blocks", [(16, 2), (7, 3)])
def test_bench_network_has_the_parameters_of_the_formula(width, blocks):
    "Counted by hand: 3x3 and 1x1 convolutions without bias, two numbers a channel of BatchNorm."
    stem = 3 * width * 9 + 2 * width
    body = 0
    inputs = width
    for stage in range(3):
        outputs = width * 2**stage
        for block in range(blocks):
            body += 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs
            if block == 0 and stage > 0:
                body += inputs * outputs + 2 * outputs
            inputs = outputs
    head = 10 * 4 * width + 10
    network = analog.bench_network(width, blocks)
    assert sum(p.numel() for p in network.parameters()) == stem + body + head
