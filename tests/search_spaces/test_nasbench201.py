"""NAS-Bench-201: cells, networks and the published table, against second implementations and published numbers."""

import hashlib
import importlib.util
import io
import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau
from torch import nn

from analognas.core import DATASETS, ConfigError, DatasetInfo, FileFormatError, MissingExtraError
from analognas.search_spaces import nasbench201
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space, load_table
from analognas.search_spaces.nasbench201_cells import (
    EDGE_NAMES,
    EDGES,
    all_cells,
    canonical_cell,
    cell_of,
    cell_stats,
    config_of,
    network_groups,
    prune,
)
from analognas.search_spaces.nasbench201_features import cell_features
from analognas.search_spaces.nasbench201_network import CellModule, CellNetwork

CELLS = st.tuples(*[st.integers(0, 4)] * 6)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13))


# ---- cells and their identity ---------------------------------------------------------------------------------------


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


# ---- networks and their cost ----------------------------------------------------------------------------------------


def counted(net, input_dim):
    "Parameters and MACs of a network, the latter from what its layers really put out."
    macs = []
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(
                lambda m, _, y: macs.append(m.weight[0].numel() * y[0].numel())
            )
    out = net.eval()(torch.randn(2, *input_dim))
    return sum(p.numel() for p in net.parameters()), sum(macs), tuple(out.shape)


@settings(max_examples=20, deadline=None)
@given(CELLS, SHAPES, st.integers(2, 5), st.integers(1, 4), st.integers(1, 2))
def test_stats_equal_the_network(cell, input_dim, classes, channels, cells_per_stage):
    net = CellNetwork(config_of(cell), input_dim, classes, channels, cells_per_stage)
    params, macs, shape = counted(net, input_dim)
    stats = cell_stats([cell], input_dim, classes, channels, cells_per_stage)
    assert (stats["params"][0], stats["macs"][0]) == (params, macs)
    assert shape == (2, classes)


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


@pytest.mark.parametrize("dataset", DATASETS)
def test_network_of_the_space(dataset):
    space = NASBench201Space(dataset, channels=4, cells_per_stage=1)
    config = space.sample_arch(rng=5)
    params, macs, shape = counted(space.build_network(config), space.info.input_dim)
    assert shape == (2, space.info.classes)
    assert {"params": params, "macs": macs}.items() <= {
        k: v[0] for k, v in space.stats([config]).items()
    }.items()


@pytest.mark.parametrize(
    "cell",
    [(2, 3, 0, 1, 4, 2), (3, 3, 2, 2, 1, 1), (1, 1, 1, 2, 3, 4)],
    ids=["usual", "dead ends", "no path"],
)
def test_converts_to_analog_and_trains(cell):
    from aihwkit.nn.conversion import convert_to_analog
    from aihwkit.optim import AnalogSGD
    from aihwkit.simulator.configs import TorchInferenceRPUConfig

    digital = CellNetwork(config_of(cell), (1, 8, 8), 10, channels=4, cells_per_stage=1)
    layers = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in digital.modules())
    net = convert_to_analog(digital, TorchInferenceRPUConfig())
    assert sum(1 for _ in net.analog_layers()) == layers
    net(torch.randn(4, 1, 8, 8)).sum().backward()
    AnalogSGD(net.parameters(), lr=0.1).step()
    net.eval().drift_analog_weights(3_600.0)
    assert torch.isfinite(net(torch.randn(4, 1, 8, 8))).all()


# ---- the space ------------------------------------------------------------------------------------------------------


def test_space():
    space = NASBench201Space()
    assert (space.dataset, space.search_space, space.compute_cs_size()) == (
        "CIFAR-10",
        "nasbench201",
        15_625,
    )
    assert space.get_hyperparameters() == list(EDGE_NAMES)
    for h in space.hyperparameters:
        assert (h.type, h.range, h.mutation_group) == ("categorical", (0, 1, 2, 3, 4), "other")
    same = config_of((1, 1, 2, 1, 1, 1)), config_of((0, 1, 1, 1, 2, 1))
    assert space.arch_id(same[0]) == space.arch_id(same[1])
    assert space.key(same[0]) != space.key(same[1])  # measured separately, so a config of its own
    for config in space.sample_arch_uniformly(20, rng=0):
        space.validate(config)


def test_space_refuses():
    with pytest.raises(ConfigError, match="Unknown dataset"):
        NASBench201Space("CIFAR")
    with pytest.raises(ConfigError, match="Unknown search space 'resnet-like'"):
        NASBench201Space(search_space="resnet-like")
    with pytest.raises(ConfigError, match="channels must be"):
        NASBench201Space(channels=0)
    with pytest.raises(ConfigError, match="edge_23"):
        NASBench201Space().build_network({n: 0 for n in EDGE_NAMES[:-1]})


def test_space_travels():
    space = NASBench201Space(DatasetInfo("mine", (2, 6, 6), 3), channels=8, cells_per_stage=2)
    again = NASBench201Space.from_json(space.to_json())
    assert isinstance(again, NASBench201Space) and again.info == space.info
    assert again.to_json() == space.to_json()
    text = space.to_json()
    for bad in (
        text.replace('"channels"', '"width"'),
        text.replace('"channels": 8', '"channels": 0'),
        text.replace('"skeleton"', '"bones"'),
        "[1]",
        ConfigSpace("digits").to_json(),
    ):
        with pytest.raises(FileFormatError):
            NASBench201Space.from_json(bad)


def test_a_network_of_ones_own():
    space = NASBench201Space(
        "digits", network=lambda config, dim, classes: nn.Linear(dim[2], classes, bias=False)
    )
    config = space.sample_arch(0)
    assert space.build_network(config).weight.shape == (10, 8)
    assert space.stats([config])["params"].tolist() == [80]


def test_import_without_torch():
    code = (
        "import sys, analognas.search_spaces.nasbench201\n"
        "print([m for m in ('torch', 'aihwkit', 'analognasbench') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- the published table --------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    "An empty cache folder of this test's own."
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "analog-nasbench-0.1.3.npz"


@pytest.fixture(scope="module")
def published():
    """The bytes of the published data file; tests that need it are skipped where the extra is not
    installed."""
    spec = importlib.util.find_spec("analognasbench")
    if spec is None:
        pytest.skip("the extra 'bench' is not installed")
    return (Path(spec.submodule_search_locations[0]) / "data.anb").read_bytes()


@pytest.fixture
def fake_package(tmp_path, monkeypatch):
    "Put a package analognasbench with given data before any other; it fails if imported."

    def put(data):
        folder = tmp_path / "site" / "analognasbench"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('imported')")
        if data is not None:
            (folder / "data.anb").write_bytes(data)
        monkeypatch.syspath_prepend(folder.parent)

    return put


class Bag:
    "Attributes, for the independent reader."


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        assert (module, name) in {
            ("analognasbench.data", "Architecture"),
            ("analognasbench.data", "DriftMeasurement"),
        }
        return Bag


def test_table_equals_the_file(published, cache):
    raw, table = Reader(io.BytesIO(published)).load(), load_table()
    assert (
        len(table) == 15_625 == len({tuple(c) for c in table[list(EDGE_NAMES)].to_numpy().tolist()})
    )
    for i in np.random.default_rng(0).choice(15_625, 200, replace=False):
        row = table.iloc[i]
        a = raw[tuple(int(row[n]) for n in EDGE_NAMES)]
        assert row.baseline_acc == a.baseline_accuracy
        for t in (60, 3_600, 86_400, 2_592_000):
            m = getattr(a, f"analog_drift_{t}")
            assert (row[f"acc_{t}"], row[f"std_{t}"]) == (m.value, m.uncertainty)
        assert row.acc_1d == a.analog_drift_86400.value
        assert row.std_1d == a.analog_drift_86400.uncertainty
        assert row.avm == a.analog_drift_60.value - a.analog_drift_2592000.value


def test_known_rows(published, cache):
    table = load_table().set_index(list(EDGE_NAMES))
    assert table.acc_1d.idxmax() == (2, 2, 0, 4, 2, 1)
    assert table.acc_1d.max() == 90.53
    odd = table.loc[(0,) * 6]  # as published, odd as it is
    assert odd[["acc_60", "std_60", "acc_3600"]].tolist() == [87.4944, 0.3806, 53.79]
    assert (
        "25" in table.attrs["protocol"]
        and "no 1 s" in table.attrs["protocol"]
        and table.attrs["version"] == "0.1.3"
    )


def test_noise_ceiling(published, cache):
    "Two trainings of one network rank alike with the Kendall taus that the design states."
    table = load_table()
    cells = pd.Series([canonical_cell(c) for c in table[list(EDGE_NAMES)].to_numpy()]).sample(
        frac=1, random_state=1
    )
    pairs = np.array([g.index[:2] for _, g in cells.groupby(cells) if len(g) > 1])
    for name, tau in {"acc_1d": 0.74, "avm": 0.55, "std_1d": 0.64}.items():
        a, b = table[name].to_numpy()[pairs].T
        assert kendalltau(a, b)[0] == pytest.approx(tau, abs=0.03)


def test_cache_serves_without_the_package(published, cache, monkeypatch):
    first = load_table()
    assert [f.name for f in cache.parent.iterdir()] == [cache.name]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    pd.testing.assert_frame_equal(load_table(), first)


def test_package_is_not_imported(published, cache, fake_package):
    fake_package(published)
    assert len(load_table()) == 15_625


def test_missing_package(cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "analognas\[bench\]"'):
        load_table()


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps({})])
def test_foreign_source(cache, fake_package, data):
    fake_package(data)
    with pytest.raises(
        FileFormatError, match=f"not the data file of analog-nasbench 0.1.3: {len(data)} bytes"
    ):
        load_table()
    assert not cache.exists()


def test_truncated_source(published, cache, fake_package):
    fake_package(published[:-1000])
    with pytest.raises(FileFormatError, match="Truncated"):
        load_table()


def test_source_without_data(cache, fake_package):
    fake_package(None)
    with pytest.raises(FileFormatError, match="data.anb is missing"):
        load_table()


class Command:
    "Unpickles into a shell command."

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        return os.system, (self.text,)


def test_a_pickle_cannot_run_anything(cache, fake_package, monkeypatch, tmp_path):
    data = pickle.dumps(Command(f"touch {tmp_path / 'ran'}"))
    fake_package(data)
    with pytest.raises(FileFormatError, match="SHA-256"):  # the checksum stops it ...
        load_table()
    monkeypatch.setattr(nasbench201, "TABLE_SHA256", hashlib.sha256(data).hexdigest())
    with pytest.raises(
        FileFormatError, match="asks for .*system"
    ):  # ... and without that the unpickler does
        load_table()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04.",
        pickle.dumps(3),
        pickle.dumps([]),
        pickle.dumps({(0,) * 6: 1}),
        pickle.dumps({(0,) * 5: 1}),
        b"canalognasbench.data\nAnalogNASBench\n.",
        b"canalognasbench.data\nArchitecture.__init__\n.",
        b"cos\nsystem\n.",
    ],
)
def test_odd_pickles_are_refused(cache, fake_package, monkeypatch, data):
    fake_package(data)
    monkeypatch.setattr(nasbench201, "TABLE_SHA256", hashlib.sha256(data).hexdigest())
    with pytest.raises(FileFormatError):
        load_table()


def damaged(good, how):
    "A damaged version of a good cache file."
    middle, buffer = len(good) // 2, io.BytesIO()
    if how == "pickled":
        np.savez(buffer, cells=np.array([Command("false")], dtype=object))
    elif how == "foreign":
        np.savez(
            buffer,
            cells=np.zeros((2, 6)),
            baseline_acc=np.zeros(2),
            acc=np.zeros((2, 4)),
            std=np.zeros((2, 4)),
        )
    elif how == "array":
        np.save(buffer, np.zeros(3))
    return {
        "empty": b"",
        "text": b"hello",
        "truncated": good[:middle],
        "flipped": good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :],
    }.get(how, buffer.getvalue())


@pytest.mark.parametrize(
    "how", ["empty", "text", "truncated", "flipped", "pickled", "foreign", "array"]
)
def test_damaged_cache(published, cache, how):
    load_table()
    cache.write_bytes(damaged(cache.read_bytes(), how))
    with pytest.raises(
        FileFormatError, match=r"analog-nasbench-0\.1\.3\.npz is damaged .* Delete it"
    ):
        load_table()
    cache.unlink()
    assert len(load_table()) == 15_625


# ---- what a surrogate sees -----------------------------------------------------------------------------------------


def words_of(cell):
    "A second implementation: walk every path from node 0 to node 3, edge by edge."
    ops = dict(zip(EDGES, cell, strict=True))
    inner = [nodes for n in range(3) for nodes in itertools.combinations((1, 2), n)]
    paths = [[ops[e] for e in itertools.pairwise((0, *nodes, 3))] for nodes in inner]
    return [["s-31p"[o] for o in path] for path in paths if 1 not in path]


@given(CELLS)
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
