"""Zero-cost proxies: against a plain second implementation, one network at a time, and what the stored table holds."""

import numpy as np
import pytest
import torch.nn.functional as F

from analognas.core import ConfigError, FileFormatError
from analognas.search_spaces import nasbench201_features as features
from analognas.search_spaces.nasbench201_cells import (
    AVGPOOL3X3,
    CONV1X1,
    CONV3X3,
    EDGES,
    NONE,
    SKIP,
    all_cells,
    network_groups,
)
from analognas.training import zero_cost
from analognas.training.zero_cost import CELL, CELLS, IMAGES, REDUCTION, STEM, zero_cost_proxies

RESIDUAL = (CONV3X3, CONV3X3, SKIP, AVGPOOL3X3, CONV3X3, CONV1X1)


def plain(cell, version):
    """The same network in the ordinary way: batch normalisation by PyTorch, nodes as sums over
    edges. Returns the output of each stage."""
    net, v = zero_cost._Untrained(0), zero_cost.VERSIONS[version]
    kernel = lambda key, shape: net.weight(key, shape)[version]
    bn = lambda y: F.batch_norm(y, None, None, training=True, eps=1e-5)

    def conv(x, key, outputs, k, stride=1):
        return bn(
            F.conv2d(x, kernel(key, (outputs, x.shape[1], k, k)), stride=stride, padding=k // 2)
        )

    x, stages = conv(net.images + v.image * net.noise, (STEM,), zero_cost.CHANNELS, 3), []
    for stage in range(3):
        if stage:
            wide = 2 * x.shape[1]
            inner = conv(
                F.relu(conv(F.relu(x), (REDUCTION, stage, 0), wide, 3, 2)),
                (REDUCTION, stage, 1),
                wide,
                3,
            )
            x = inner + F.conv2d(
                F.avg_pool2d(x, 2), kernel((REDUCTION, stage, 2), (wide, x.shape[1], 1, 1))
            )
        for c in range(CELLS):
            nodes = [x, 0, 0, 0]
            for edge, (start, end) in enumerate(EDGES):
                op, source = cell[edge], nodes[start]
                if op in (CONV3X3, CONV1X1):
                    source = conv(
                        F.relu(source),
                        (CELL, stage, c, edge, op),
                        x.shape[1],
                        3 if op == CONV3X3 else 1,
                    )
                elif op == AVGPOOL3X3:
                    source = F.avg_pool2d(source, 3, 1, 1, count_include_pad=False)
                nodes[end] = nodes[end] + (0 if op == NONE else source)
            x = nodes[3]
        stages.append(x)
    return stages


def test_against_a_plain_network():
    """F.batch_norm divides by the biased variance and ours by the unbiased one, of 12 images of 2 x
    2 pixels or more: hence the tolerances."""
    found = zero_cost_proxies([RESIDUAL])
    for i, clean in enumerate(plain(RESIDUAL, 0)):
        flat = clean.flatten(1)
        centred = (flat - flat.mean(0)).double()
        assert found[f"stage{i + 1}_power"][0] == pytest.approx(
            float(centred.square().mean().log()), abs=0.15
        )
        spectrum = np.linalg.svd(centred.numpy(), compute_uv=False) ** 2
        share = np.clip(spectrum / spectrum.sum(), 1e-12, None)
        assert found[f"stage{i + 1}_rank"][0] == pytest.approx(
            np.exp(-(share * np.log(share)).sum()), rel=0.05
        )
        unit = F.normalize(flat, dim=1)
        alike = float((unit @ unit.T).fill_diagonal_(0).sum()) / IMAGES / (IMAGES - 1)
        assert found[f"stage{i + 1}_alike"][0] == pytest.approx(alike, abs=0.05)


def test_more_noise_bends_more_and_a_cell_without_convolutions_keeps_its_gain():
    found = zero_cost_proxies([RESIDUAL, (SKIP, NONE, NONE, NONE, SKIP, NONE)])
    assert np.all(found["stage3_error2"] > found["stage3_error1"])
    assert found["cell1_error3"][1] < found["cell1_error3"][0]  # only the stem has lost gain
    assert found["live_convs"].tolist() == pytest.approx([np.log1p(4 * 15), 0])


def test_edges_on_no_path_do_not_matter_and_no_path_at_all_is_no_disaster():
    used = (CONV3X3, NONE, NONE, NONE, CONV1X1, NONE)
    found = zero_cost_proxies([used, (CONV3X3, SKIP, NONE, NONE, CONV1X1, NONE), (NONE,) * 6])
    for values in found.values():
        assert (
            values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-4) and np.isfinite(values).all()
        )


def test_the_stored_table_is_what_comes_out_and_the_same_for_twins():
    groups = network_groups(all_cells())
    first = np.unique(groups, return_index=True)[1]
    for seed in range(3):
        cells = all_cells()[np.random.default_rng(seed).choice(first, 3)]
        stored = features.proxies_of(cells)
        for name, values in zero_cost_proxies(cells).items():
            assert np.allclose(stored[f"zc_{name}"], values, rtol=3e-3, atol=0.02), name
    every = features.proxies_of(all_cells())
    assert all(np.array_equal(v, v[first][groups]) for v in every.values())
    with pytest.raises(ConfigError):
        features.proxies_of([(9, 0, 0, 0, 0, 0)])


@pytest.mark.parametrize("content", [b"", b"garbage", "cut", "other"])
def test_a_damaged_table_is_refused(tmp_path, monkeypatch, content):
    path = tmp_path / "t.npz"
    raw = features.PROXIES_FILE.read_bytes()
    if content == "other":
        np.savez(path, names=np.array(["a"]), networks=np.arange(3), values=np.zeros((3, 1)))
    else:
        path.write_bytes(raw[: len(raw) // 2] if content == "cut" else content)
    monkeypatch.setattr(features, "PROXIES_FILE", path)
    features._stored_proxies.cache_clear()
    try:
        with pytest.raises(FileFormatError, match="t.npz is damaged"):
            features.proxies_of([RESIDUAL])
    finally:
        features._stored_proxies.cache_clear()
