"""Networks of the mapping bench, the recovered share, and a whole report on a small network."""

import numpy as np
import pytest
import torch
from torch import nn

from analognas.bench.mapping import (
    NETWORKS,
    mapping_network,
    recovered_share,
    report_mapping,
    reuse_speedup,
)
from analognas.core import DAY, ConfigError, DriftRecord, Placement
from analognas.cost import model_cost


def record(*acc):
    return DriftRecord((DAY,), np.array(acc, float)[:, None])


# layers: those of He et al. and of MLPerf Tiny; multiply-accumulates by hand from their shapes
@pytest.mark.parametrize(
    ("name", "layers", "macs"), [("resnet8", 10, 12_501_632), ("resnet20", 20, 40_551_040)]
)
def test_network_has_the_published_size(name, layers, macs):
    network = mapping_network(name)
    products = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(products) == layers
    parts = model_cost(network, torch.zeros(1, 3, 32, 32)).parts
    assert parts.macs.sum() == macs


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_read_from_a_file(name, tmp_path):
    network = mapping_network(name)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    again = mapping_network(name, tmp_path / "weights.pt")
    assert torch.equal(again.fc.weight, network.fc.weight)


def test_recovered_share_is_of_means():
    found = recovered_share(record(85, 87), record(80, 80), record(90, 90))
    assert found.share == pytest.approx(0.6)
    assert found.low <= found.share <= found.high


def test_nothing_to_recover_is_refused():
    with pytest.raises(ConfigError, match=r"loses 1.00 points"):
        recovered_share(record(89.5), record(89), record(90))


@pytest.fixture
def small():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4)).eval()
    x = torch.rand(64, 3, 8, 8)
    with torch.no_grad():
        return network, (x, network(x).argmax(1))


def test_report_is_on_other_pictures_and_keeps_the_share(small):
    network, (x, y) = small
    report = report_mapping(
        network, (x[:32], y[:32]), (x[32:], y[32:]), 0.1, n_rep=3, chip="reram", progress=False
    )
    assert report.analog_share >= 0.1
    assert set(report.records) == {"mapped", "analog", "digital"}
    assert report.recovered.low <= report.recovered.share <= report.recovered.high


def test_speedup_is_a_ratio(small):
    network, data = small
    assert reuse_speedup(network, data, [Placement()], n_rep=1, rounds=1) > 0
