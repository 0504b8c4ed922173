"""Ways to mappings of the same share, on small numbers that can be checked by hand."""

from itertools import chain, combinations

import numpy as np
import pytest
import torch
from torch import nn

from analognas.bench.mapping_ways import as_kinds, drawn, fullest, fullest_sets, greedy
from analognas.search_algorithms.placement import search_placement

MACS = [7.0, 1.0, 4.0, 4.0, 2.0]


def fits(layers, budget):
    return sum(MACS[i] for i in layers) <= budget


def test_fullest_sets_are_those_to_which_nothing_can_be_added():
    subsets = chain.from_iterable(combinations(range(5), n) for n in range(6))
    fitting = [set(chosen) for chosen in subsets if fits(chosen, 9)]
    largest = [a for a in fitting if not any(a < b for b in fitting)]
    found = fullest_sets(MACS, 9)
    assert sorted(map(sorted, found)) == sorted(map(sorted, largest))


def test_fullest_sets_are_all_layers_if_they_fit():
    assert fullest_sets(MACS, sum(MACS)) == [(0, 1, 2, 3, 4)]


def test_as_kinds_has_a_kind_for_each_layer():
    assert as_kinds(3, [1]) == ("analog", "int8", "analog")


@pytest.mark.parametrize("seed", range(5))
def test_drawn_leaves_no_room(seed):
    key = drawn(MACS, 0.5, np.random.default_rng(seed))
    digital = tuple(i for i, kind in enumerate(key) if kind == "int8")
    assert digital in fullest_sets(MACS, sum(MACS) / 2)


@pytest.fixture
def problem():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)
    ).eval()
    x = torch.rand(48, 1, 8, 8)
    with torch.no_grad():
        return network, (x, network(x).argmax(1))


@pytest.mark.parametrize("make", [fullest, greedy])
def test_ways_keep_the_share(problem, make):
    network, data = problem
    found = search_placement(network, data, way=make(0.5), n_rep=2, n_full=2, progress=False)
    assert found.chosen.values["analog_share"] >= 0.5
    assert "int8" in found.chosen.kinds.values()


def test_fullest_screens_every_set_that_leaves_no_room(problem):
    network, data = problem
    found = search_placement(network, data, way=fullest(0.5), n_rep=2, n_full=9, progress=False)
    # multiply-accumulates by hand: 36 x 36, 16 x 4 x 36 and 64 x 4 in 3,856
    assert set(found.history["kinds"]) == {("int8", "analog", "int8")}
