"""Placements measured with reuse against measuring each afresh: equal to the last bit."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from analognas.analog import to_analog
from analognas.core import DAY, MONTH, SECOND, ConfigError, HardwareConfig, Placement
from analognas.search_algorithms.placement_measure import PlacementMeasurer, measure_afresh
from analognas.search_algorithms.placement_pass import derived_seed

TIMES = (SECOND, DAY, MONTH)


class Residual(nn.Module):
    "Changes tensors in place, calls a layer twice, and has a shortcut beside two layers."

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.shortcut = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu(self.bn(self.conv1(x)))
        y = self.bn(self.conv2(x))
        y += self.shortcut(x)
        y = self.relu(y)
        y = self.conv2(y)
        self.relu(y)  # only its effect on its input is used
        return self.fc(y.mean((2, 3)))


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.fc(self.encoder(y).mean(1))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.again = self.first
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.again(torch.relu(self.first(x)))))


CASES = {
    "residual": (Residual, (20, 1, 5, 5)),
    "sequences": (Sequences, (12, 4, 4)),
    "shared": (Shared, (20, 5)),
}


def make(case):
    torch.manual_seed(0)
    network, shape = CASES[case]
    return network().eval(), (torch.randn(shape), torch.randint(3, shape[:1]))


class Outputs:
    "Keep what the network returned, for `get_output`."

    def __init__(self):
        self.seen = []

    def __call__(self, outputs):
        self.seen.append(outputs.detach().clone())
        return outputs


@pytest.fixture(params=CASES)
def case(request):
    return make(request.param)


def some_placements(measurer, n=10):
    every = list(itertools.product(measurer.kinds, repeat=len(measurer.names)))
    rows = np.random.default_rng(0).permutation(len(every))[:n]
    return [measurer.placement(every[i]) for i in rows]


def test_reuse_equals_measuring_afresh(case):
    net, data = case
    kinds = ("analog", "int8", "float")
    measurer = PlacementMeasurer(net, data, "pcm", kinds, TIMES, n_rep=2, batch_size=8)
    placements = some_placements(measurer)
    records = measurer.measure(placements)
    for placement, record in zip(placements, records, strict=True):
        afresh = measure_afresh(net, data, placement, "pcm", TIMES, n_rep=2, batch_size=8)
        assert record == afresh


def test_outputs_with_reuse_equal_those_afresh(case):
    net, data = case
    kept = Outputs()
    measurer = PlacementMeasurer(net, data, "pcm", n_rep=1, batch_size=8, get_output=kept)
    placements = some_placements(measurer, 6)
    measurer.measure(placements, times=(DAY,))
    seen = {tuple(t.flatten().tolist()) for t in kept.seen}
    for placement in placements:
        fresh = Outputs()
        measure_afresh(net, data, placement, "pcm", (DAY,), 1, batch_size=8, get_output=fresh)
        assert all(tuple(t.flatten().tolist()) in seen for t in fresh.seen)


def test_what_was_measured_first_does_not_matter():
    net, data = make("residual")
    placements = [Placement({"fc": "int8"}), Placement({"conv1": "int8"})]
    one_by_one = PlacementMeasurer(net, data, "pcm", times=TIMES, n_rep=3, batch_size=8)
    for t in reversed(TIMES):
        for placement in placements:
            one_by_one.measure([placement], n_rep=2, n_examples=10, times=(t,))
    at_once = PlacementMeasurer(net, data, "pcm", times=TIMES, n_rep=3, batch_size=8)
    assert one_by_one.measure(placements[::-1]) == at_once.measure(placements[::-1])


def test_few_repetitions_at_a_time_give_the_same(monkeypatch):
    net, data = make("residual")
    placements = [Placement(), Placement({"fc": "int8"})]
    whole = PlacementMeasurer(net, data, "pcm", n_rep=3, batch_size=8).measure(placements)
    monkeypatch.setattr("analognas.search_algorithms.placement_measure.MAX_STATES", 1)
    parts = PlacementMeasurer(net, data, "pcm", n_rep=3, batch_size=8).measure(placements)
    assert whole == parts


def outputs_of(seed):
    net, data = make("residual")
    kept = Outputs()
    measurer = PlacementMeasurer(net, data, "pcm", n_rep=2, seed=seed, get_output=kept)
    kept.seen.clear()
    measurer.measure([Placement()])
    return torch.stack(kept.seen)


def test_repetitions_and_times_differ():
    outputs = outputs_of(0)
    assert len(outputs.flatten(1).unique(dim=0)) == 4


def test_seed_decides_the_noise():
    assert torch.equal(outputs_of(0), outputs_of(0))
    assert not torch.equal(outputs_of(0).sort().values, outputs_of(1).sort().values)


def test_seeds_of_different_values_differ():
    seeds = {derived_seed(chip, "conv1", "programming") for chip in range(100)}
    assert len(seeds) == 100


def test_digital_placement_has_no_spread():
    net, data = make("residual")
    record = PlacementMeasurer(net, data, "pcm", n_rep=4).measure([Placement(default="int8")])[0]
    assert (record.acc == record.acc[0, 0]).all()


def test_part_of_the_examples_is_whole_batches():
    net, data = make("residual")
    measurer = PlacementMeasurer(net, data, "pcm", n_rep=1, batch_size=8)
    record = measurer.measure([Placement(default="int8")], n_examples=9)[0]
    assert (record.acc * 16 / 100) % 1 == pytest.approx(0, abs=1e-9)


def test_measuring_again_computes_nothing():
    net, data = make("residual")
    kept = Outputs()
    measurer = PlacementMeasurer(net, data, "pcm", n_rep=2, batch_size=8, get_output=kept)
    first = measurer.measure([Placement()])
    n = len(kept.seen)
    assert measurer.measure([Placement()]) == first
    assert len(kept.seen) == n


def test_generators_are_as_before():
    net, data = make("residual")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    PlacementMeasurer(net, data, "pcm", n_rep=1).measure([Placement()])
    assert torch.equal(torch.rand(2), expected)


def test_network_stays_as_it_was():
    net, data = make("residual")
    before = {name: type(m) for name, m in net.named_modules()}
    PlacementMeasurer(net, data, "pcm", n_rep=1).measure([Placement()])
    assert {name: type(m) for name, m in net.named_modules()} == before


def test_analog_network_is_measured_with_its_own_chip():
    net, data = make("residual")
    coarse = to_analog(net, None)
    for module in coarse.modules():
        if hasattr(module, "rpu_config"):
            module.input_range.data.fill_(2.0)
    measurer = PlacementMeasurer(coarse, data, n_rep=2, batch_size=8)
    record = measurer.measure([Placement()])[0]
    assert record == measure_afresh(coarse, data, Placement(), n_rep=2, batch_size=8)


def test_macs_are_those_of_the_layers():
    net, data = make("residual")
    measurer = PlacementMeasurer(net, data, HardwareConfig(), n_rep=1)
    assert dict(zip(measurer.names, measurer.macs, strict=True)) == {
        "conv1": 25 * 36, "conv2": 2 * 25 * 4 * 2 * 9, "shortcut": 25 * 16, "fc": 12
    }  # fmt: skip
    assert measurer.all_macs == sum(measurer.macs)


def test_placement_of_kinds_survives():
    net, data = make("residual")
    measurer = PlacementMeasurer(net, data, n_rep=1)
    for kinds in itertools.product(measurer.kinds, repeat=4):
        assert measurer.kinds_of(measurer.placement(kinds)) == kinds


def test_kind_that_is_not_measured_is_named():
    net, data = make("residual")
    with pytest.raises(ConfigError, match="Unknown kind of fc 'float'"):
        PlacementMeasurer(net, data, n_rep=1).measure([Placement({"fc": "float"})])


def test_layer_that_is_not_called_is_named():
    net, data = make("residual")
    net.spare = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="spare"):
        PlacementMeasurer(net, data, kinds=("analog", "float"), n_rep=1)


def test_single_layer_is_refused():
    with pytest.raises(ConfigError, match="layers of a network"):
        PlacementMeasurer(nn.Linear(2, 2), (torch.rand(3, 2), torch.zeros(3).long()))
