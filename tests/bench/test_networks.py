"""The networks of `analognas bench analog` beside the ResNet."""

import pytest
import torch

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.bench.networks import NETWORKS, bench_networks
from analognas.cost.trace import without_fused_attention


def first(y):
    return y[0] if isinstance(y, tuple) else y


def largest_difference(a, b):
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_counterparts_compute_the_same(name):
    torch.manual_seed(0)
    timed = NETWORKS[name]()
    ideal = to_analog(timed.network, create_rpu_config("ideal")).eval()
    with torch.no_grad():
        y = first(ideal(timed.x))
        for digital in timed.digital.values():
            assert largest_difference(first(digital.eval()(timed.x)), y) < 1e-4


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_aihwkits_network_computes_the_same(name):
    torch.manual_seed(0)
    timed = NETWORKS[name]()
    net = to_analog(timed.network, create_rpu_config("ideal")).eval()
    theirs = timed.to_aihwkit(net).eval()
    with torch.no_grad():
        assert largest_difference(first(theirs(timed.x)), first(net(timed.x))) < 1e-4


def test_the_lstm_is_compared_to_both_digital_ones_and_to_aihwkits():
    result = bench_networks(("lstm",), rounds=1)
    ratios = {key for key in result if not key.endswith(("_low", "_high"))}  # quartiles beside
    assert ratios == {
        "lstm_eval_over_digital",
        "lstm_eval_over_fused",
        "lstm_eval_speedup",
        "lstm_train_over_digital",
        "lstm_train_over_fused",
    }
    assert all(ratio > 0 for ratio in result.values())


def test_the_fused_path_is_switched_on_again():
    with pytest.raises(ZeroDivisionError), without_fused_attention():
        assert not torch.backends.mha.get_fastpath_enabled()
        1 / 0
    assert torch.backends.mha.get_fastpath_enabled()
