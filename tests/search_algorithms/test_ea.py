"""Regularized evolution and local search."""

import json

from searches import Counting

from analognas.search_algorithms import ea
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201_cells import EDGE_NAMES


def test_the_oldest_dies():
    """Regularized evolution with one child at a time: every child is one step from one of the last
    `population_size` architectures."""
    space = ConfigSpace("digits")
    history = (
        ea.RegularizedEvolution(Counting(), 60, population_size=8, sample_size=3)
        .run(space, 0)
        .history
    )
    configs = history[space.get_hyperparameters()].to_dict("records")
    for i in range(8, 60):
        parents = [j for j in range(i - 8, i) if _one_step(space, configs[j], configs[i])]
        assert parents, i


def _one_step(space, parent, child):
    changed = {n for n in child if child[n] != parent[n]}
    return len(changed) == 1 or "M" in changed and abs(child["M"] - parent["M"]) == 1


def test_local_search_stops_at_peaks_only(table):
    "The best it found has been compared to all its neighbours."
    space = table.space
    seen = ea.LocalSearch(table, 400, nb_start=1, batch_size=1000).run(space, 0).history
    accuracy = {
        space.key(c): a for c, a in zip(seen[list(EDGE_NAMES)].to_dict("records"), seen.acc_1d)
    }
    best = max(accuracy, key=accuracy.get)
    near = [space.key(c) for c in space.neighbours(json.loads(best))]
    assert set(near) <= set(accuracy) and max(accuracy[k] for k in near) <= accuracy[best]
