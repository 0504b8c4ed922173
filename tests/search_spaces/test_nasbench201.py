"""The space of cells, and the published table with its safeguards."""

import hashlib
import importlib.util
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau
from torch import nn

from analognas.core import ConfigError, DatasetInfo, FileFormatError, MissingExtraError
from analognas.search_spaces import nasbench201
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space, load_table
from analognas.search_spaces.nasbench201_cells import (
    EDGE_NAMES,
    canonical_cell,
    config_of,
)


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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    "An empty cache folder of this test's own."
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "analog-nasbench-0.1.3-full.npz"


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
            m = getattr(a, f"baseline_drift_{t}")
            assert row[f"baseline_acc_{t}"] == m.value
            assert row[f"baseline_std_{t}"] == m.uncertainty
        for kind in ("ptq", "qat", "noisy", "analog"):
            assert row[f"{kind}_acc"] == getattr(a, f"{kind}_accuracy")
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


@pytest.mark.parametrize(
    ("chosen_by", "tau", "left", "in_common"),
    [
        ("baseline_acc", 0.647, 86.44, 21),
        ("ptq_acc", 0.647, 86.44, 23),
        ("qat_acc", 0.615, 86.39, 18),
        ("noisy_acc", 0.476, 83.89, 3),
        ("baseline_acc_2592000", 0.454, 83.89, 4),
        ("analog_acc", 0.745, 90.00, 51),
        ("acc_60", 0.841, 90.00, 69),
    ],
)
def test_what_a_month_leaves_of_a_choice(published, cache, chosen_by, tau, left, in_common):
    "Figures computed from the package without this library."
    table = load_table()
    month = table.acc_2592000
    assert kendalltau(table[chosen_by], month)[0] == pytest.approx(tau, abs=5e-4)
    assert month[table[chosen_by].idxmax()] == pytest.approx(left, abs=5e-3)
    best = set(month.nlargest(100).index)
    found = len(best & set(table[chosen_by].nlargest(100).index))
    assert abs(found - in_common) <= 1  # which of the rows with equal values count is arbitrary


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


def test_a_cache_that_cannot_be_written_costs_no_table(published, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "file" / "cache"))
    assert len(load_table()) == 15_625
    assert "cannot be written" in caplog.text


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
        FileFormatError, match=r"analog-nasbench-0\.1\.3-full\.npz is damaged .* Delete it"
    ):
        load_table()
    cache.unlink()
    assert len(load_table()) == 15_625
