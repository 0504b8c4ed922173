"""Features of cells, against a second implementation that walks every path."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analognas.core import FileFormatError
from analognas.search_spaces import nasbench201_features
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.search_spaces.nasbench201_cells import (
    EDGES,
    config_of,
    prune,
)
from analognas.search_spaces.nasbench201_features import cell_features, proxies_of

CELLS = st.tuples(*[st.integers(0, 4)] * 6)


def words_of(cell):
    "A second implementation: walk every path from node 0 to node 3, edge by edge."
    ops = dict(zip(EDGES, cell, strict=True))
    inner = [nodes for n in range(3) for nodes in itertools.combinations((1, 2), n)]
    paths = [[ops[e] for e in itertools.pairwise((0, *nodes, 3))] for nodes in inner]
    return [["s-31p"[o] for o in path] for path in paths if 1 not in path]


@given(CELLS)
@example((1,) * 6)  # no path
def test_features_say_what_stands_on_the_paths(cell):
    f = {k: v[0] for k, v in cell_features([cell]).items()}
    paths = words_of(cell)
    assert f["paths"] == len(paths)
    words = ["".join(p).replace("s", "") for p in paths]
    assert {k[5:]: v for k, v in f.items() if k.startswith("word_") and v} == {
        w: words.count(w) for w in words
    }
    for name, letters in {
        "conv": "31",
        "conv3x3": "3",
        "conv1x1": "1",
        "pool": "p",
        "field": "3p",
    }.items():
        counts = [sum(o in letters for o in p) for p in paths] or [0]
        assert [f[f"{k}_{name}"] for k in ("sum", "max", "min")] == [
            sum(counts),
            max(counts),
            min(counts),
        ]
        assert f[f"mean_{name}"] == pytest.approx(np.mean(counts))
    assert f["skip_paths"] == words.count("")
    assert f["pool_paths"] == sum(set(w) == {"p"} for w in words)
    assert f["clean_paths"] == sum(bool(w) and "p" not in w for w in words)
    assert f["pool_first"] == sum(
        bool(set("31") & set(w[w.find("p") :])) for w in words if "p" in w
    )


@given(CELLS)
def test_features_do_not_see_dead_ends(cell):
    a, b = (cell_features([c]) for c in (cell, prune(cell)))
    assert all(np.array_equal(a[k], b[k]) for k in a)
    kept = dict(zip(EDGES, prune(cell), strict=True))
    for n in range(4):
        assert n == 0 or a[f"into_{n}"][0] == sum(
            op != 1 for (_, to), op in kept.items() if to == n
        )
        assert n == 3 or a[f"out_of_{n}"][0] == sum(
            op != 1 for (start, _), op in kept.items() if start == n
        )


def test_a_space_hands_its_features_to_surrogates():
    configs = [config_of(c) for c in ((2, 2, 0, 4, 2, 1), (1, 1, 1, 1, 1, 1))]
    names, X = NASBench201Space().features(configs)
    assert len(names) == len(set(names)) == X.shape[1] and np.isfinite(X).all()
    assert X[:, names.index("word_33")].tolist() == [1, 0]


OPERATION_NAMES = ("skip", "none", "conv3x3", "conv1x1", "avgpool3x3")


def features_of_edges(cell):
    "A second implementation: count edges one by one, those on no path as `none`."
    edges = dict(zip(EDGES, prune(cell), strict=True))
    there = {edge: op for edge, op in edges.items() if op != 1}
    found = {
        f"edge_{a}{b}={name}": edges[a, b] == k
        for a, b in EDGES
        for k, name in enumerate(OPERATION_NAMES)
    }
    for k, name in enumerate(OPERATION_NAMES):
        found[f"n_{name}"] = list(edges.values()).count(k)
        if k != 1:
            found[f"first_{name}"] = sum(a == 0 and op == k for (a, _), op in there.items())
            found[f"last_{name}"] = sum(b == 3 and op == k for (_, b), op in there.items())
    for node in range(4):
        if node > 0:
            found[f"into_{node}"] = sum(b == node for _, b in there)
        if node < 3:
            found[f"out_of_{node}"] = sum(a == node for a, _ in there)
    return found


@given(st.lists(CELLS, min_size=1, max_size=4))
def test_features_of_edges_and_nodes_are_counts(cells):
    features = cell_features(cells)
    for i, cell in enumerate(cells):
        expected = features_of_edges(cell)
        assert {name: features[name][i] for name in expected} == expected
    words = [name for name in features if name.startswith("word_")]
    assert len(words) == 1 + 3 + 9 + 27  # of at most three of three operations


def unreadable(path):
    path.write_bytes(b"no archive")


def without_values(path):
    np.savez(path, names=["a"], networks=np.zeros(5**6, int))


def of_other_shape(path):
    np.savez(path, names=["a"], networks=np.zeros(5**6, int), values=np.zeros((2, 1)))


def missing(path):
    pass


@pytest.fixture
def proxies_file(tmp_path, monkeypatch):
    "The place where the proxies are looked for in this test."
    path = tmp_path / "proxies.npz"
    monkeypatch.setattr(nasbench201_features, "PROXIES_FILE", path)
    nasbench201_features._stored_proxies.cache_clear()
    yield path
    nasbench201_features._stored_proxies.cache_clear()


@pytest.mark.parametrize("damage", [unreadable, without_values, of_other_shape, missing])
def test_damaged_proxies_are_refused_with_the_files_name(proxies_file, damage):
    damage(proxies_file)
    with pytest.raises(FileFormatError, match=r"proxies\.npz is damaged"):
        proxies_of([(0, 0, 0, 0, 0, 0)])
