"""Cells: identity against evaluated functions and published counts, costs against listed paths."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analognas.core import ConfigError
from analognas.search_spaces.nasbench201_cells import (
    EDGES,
    all_cells,
    canonical_cell,
    cell_layers,
    cell_of,
    cell_stats,
    config_of,
    network_groups,
    prune,
)
from analognas.search_spaces.nasbench201_network import CellModule

CELLS = st.tuples(*[st.integers(0, 4)] * 6)


@given(CELLS)
def test_config_round_trip(cell):
    config = config_of(cell)
    assert cell_of(config) == cell
    assert list(config) == ["edge_01", "edge_02", "edge_03", "edge_12", "edge_13", "edge_23"]


@pytest.mark.parametrize(
    "bad", [(0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 5), (0, 0, -1, 0, 0, 0), (0, 0, 0, 0, 0, 1.5), "s"]
)
def test_bad_cells(bad):
    with pytest.raises(ConfigError, match="six whole numbers"):
        config_of(bad)


@pytest.mark.parametrize(
    "a, b",
    [
        ((1, 1, 2, 1, 1, 1), (0, 1, 1, 1, 2, 1)),  # a skip is its input
        ((1, 1, 2, 1, 1, 1), (2, 1, 1, 1, 0, 1)),
        ((1, 1, 2, 1, 1, 1), (1, 2, 1, 1, 1, 0)),
        ((1, 1, 2, 1, 1, 1), (3, 3, 2, 3, 1, 1)),  # dead ends
        ((1, 1, 2, 1, 1, 1), (1, 1, 2, 3, 3, 3)),  # operations on nothing
        ((2, 3, 1, 1, 0, 0), (3, 2, 1, 1, 0, 0)),  # a sum is unordered
        (
            (0, 0, 0, 1, 2, 4),
            (0, 0, 1, 2, 4, 0),
        ),  # and has no brackets: conv + pool + x = (conv + x) + pool
        ((4, 0, 2, 0, 1, 0), (4, 0, 2, 1, 0, 0)),
        ((0, 0, 1, 0, 1, 2), (1, 1, 2, 1, 1, 1)),  # conv(2x) = conv(x)
        ((4, 4, 1, 0, 1, 4), (0, 4, 1, 4, 1, 4)),
        ((1, 1, 1, 2, 2, 2), (2, 2, 1, 1, 1, 1)),  # no path at all
    ],
)
def test_same_network(a, b):
    assert canonical_cell(a) == canonical_cell(b)


@pytest.mark.parametrize(
    "a, b",
    [
        ((1, 1, 2, 1, 1, 1), (1, 1, 3, 1, 1, 1)),
        ((1, 1, 0, 1, 1, 1), (0, 1, 0, 1, 0, 1)),  # x is not 2x
        ((2, 1, 1, 0, 0, 0), (2, 2, 1, 1, 0, 0)),  # one convolution twice is not two convolutions
        ((2, 1, 1, 1, 4, 1), (4, 1, 1, 1, 2, 1)),  # pool(conv) is not conv(pool)
        ((1, 1, 0, 1, 1, 1), (1, 1, 1, 1, 1, 1)),
    ],
)
def test_different_networks(a, b):
    assert canonical_cell(a) != canonical_cell(b)


def numeric_signatures(cells):
    """One number per cell that depends on the computed function alone: the cell is evaluated on a
    random vector, with random matrices for convolutions and pooling, and summed over all 720
    ways to hand six matrices to the six edges."""
    rng, d = np.random.default_rng(0), 16
    x, pool, read = rng.normal(size=d), rng.normal(size=(d, d)) / 4, rng.normal(size=d)
    weights = {2: rng.normal(size=(6, d, d)), 3: rng.normal(size=(6, d, d))}
    total = np.zeros(len(cells))
    for hand in itertools.permutations(range(6)):
        nodes = [np.broadcast_to(x, (len(cells), d))] + [
            np.zeros((len(cells), d)) for _ in range(3)
        ]
        for e, (a, b) in enumerate(EDGES):
            op, v = cells[:, e, None], nodes[a]
            convs = {}
            for kind, w in weights.items():
                y = np.maximum(v, 0) @ w[hand[e]]
                norm = np.linalg.norm(y, axis=1, keepdims=True)
                # As blind to scale as a batch normalisation:
                convs[kind] = np.divide(y, norm, out=np.zeros_like(y), where=norm > 1e-12)
            nodes[b] = (
                nodes[b]
                + (op == 0) * v
                + (op == 4) * (v @ pool)
                + sum((op == k) * y for k, y in convs.items())
            )
        total += np.cos(nodes[3] @ read)
    return np.round(total, 6)


def test_groups_are_the_computed_functions():
    cells = all_cells()[np.random.default_rng(1).choice(15_625, 1500, replace=False)]
    groups, signatures = network_groups(cells), numeric_signatures(cells)
    together = set(zip(groups.tolist(), signatures.tolist(), strict=True))
    assert len(together) == len(set(groups.tolist())) == len(set(signatures.tolist()))


@settings(max_examples=25, deadline=None)
@given(CELLS)
def test_pruning_keeps_the_function(cell):
    torch.manual_seed(0)
    full, pruned = CellModule(cell, 3).eval(), CellModule(prune(cell), 3).eval()
    pruned.load_state_dict({k: v for k, v in full.state_dict().items() if k in pruned.state_dict()})
    x = torch.randn(2, 3, 5, 4)
    assert torch.allclose(full(x), pruned(x), atol=1e-6)


def test_number_of_networks():
    assert len(set(network_groups(all_cells()).tolist())) == 4_954


def published_text(cell, keep_zeros):
    """The text form of NAS-Bench-201's own code (D-X-Y/AutoDL-Projects, to_unique_str), zeros kept
    or left out."""
    nodes = ["0"]
    for node in (1, 2, 3):
        terms = []
        for (a, b), op in zip(EDGES, cell, strict=True):
            if b == node:
                zero = op == 1 or nodes[a] == "#"
                terms.append("#" if zero else nodes[a] if op == 0 else f"({nodes[a]})@{op}")
        terms = terms if keep_zeros else [t for t in terms if t != "#"]
        nodes.append("+".join(sorted(terms)) or "#")
    return nodes[3]


def test_published_counts_of_networks():
    assert (
        len({published_text(c, True) for c in all_cells().tolist()}) == 6_466
    )  # Dong and Yang 2020
    assert len({published_text(c, False) for c in all_cells().tolist()}) == 5_390
    # Why we don't use it: it tells (conv + pool) + x from (conv + x) + pool, which could leak from training into test.
    a, b = (0, 0, 0, 1, 2, 4), (0, 0, 1, 2, 4, 0)
    assert published_text(a, False) != published_text(b, False)
    assert canonical_cell(a) == canonical_cell(b)


def test_stats_of_a_population():
    cells = all_cells()[::997]
    many = cell_stats(cells)
    for i, cell in enumerate(cells):
        assert {k: v[i] for k, v in many.items()} == {
            k: v[0] for k, v in cell_stats([cell]).items()
        }


@given(CELLS)
def test_depth_by_listing_paths(cell):
    op = dict(zip(EDGES, cell, strict=True))
    paths = [[(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)]]
    longest = max(
        [sum(op[e] in (2, 3) for e in p) for p in paths if all(op[e] != 1 for e in p)], default=0
    )
    assert cell_stats([cell], cells_per_stage=2)["depth"][0] == 1 + 2 * 2 + 1 + 3 * 2 * longest


@pytest.mark.parametrize(
    "cell, params, flops", [((0,) * 6, 73_306, 7_783_050), ((2,) * 6, 1_531_546, 220_119_690)]
)
def test_published_costs(cell, params, flops):
    """The extremes that NAS-Bench-201 publishes for CIFAR-10; it counts the classifier's ten bias
    additions too."""
    stats = cell_stats([cell])
    assert (stats["params"][0], stats["macs"][0] + 10) == (params, flops)


@pytest.mark.parametrize(
    "skeleton",
    [
        {"input_dim": (10**9, 32, 32)},
        {"input_dim": (3, 10**15, 32)},
        {"input_dim": (3, 32, 10**15)},
        {"classes": 10**9},
        {"channels": 10**9},
        {"cells_per_stage": 10**12},
    ],
)
def test_networks_too_large_to_count_are_refused(skeleton):
    with pytest.raises(ConfigError, match="can be counted"):
        cell_stats([(2,) * 6], **skeleton)


def test_layers_without_a_skeleton_are_those_of_the_published_one():
    cells = all_cells()[::1000]
    published = cell_layers(cells, (3, 32, 32), 10, channels=16, cells_per_stage=5)
    for layer, same in zip(cell_layers(cells), published, strict=True):
        assert layer.name == same.name
        for field in ("rows", "cols", "positions", "count"):
            assert np.array_equal(getattr(layer, field), getattr(same, field)), field
