"Reading and caching: what is kept, what is made again, what is said."

import logging

import numpy as np
import pytest

from analognas.core import ConfigError, DatasetInfo, FileFormatError
from analognas.datasets.base import decoded, read_all, standardised


def test_standardised_with_the_training_sets_statistics_only():
    rng = np.random.default_rng(0)
    train, test = (
        rng.normal((5, -3), (2, 7), (n, 4, 4, 2)).transpose(0, 3, 1, 2) for n in (400, 50)
    )
    data = standardised(
        DatasetInfo("mine", (2, 4, 4), 2),
        (train, np.arange(400) % 2),
        (test, np.arange(50) % 2),
        "",
    )
    want = (test - train.mean((0, 2, 3))[:, None, None]) / train.std((0, 2, 3), ddof=1)[
        :, None, None
    ]
    assert np.allclose(data.x_test, want, atol=1e-4)


def test_a_constant_channel_does_not_divide_by_zero():
    constant = np.ones((4, 1, 2, 2), np.uint8), np.array([0, 1, 0, 1])
    assert (
        standardised(DatasetInfo("mine", (1, 2, 2), 2), constant, constant, "").x_train.abs().max()
        == 0
    )


def read(number):
    if number < 0:
        raise FileFormatError(f"{number} is negative")
    return np.array([number])


def test_a_bad_file_is_named_or_counted():
    with pytest.raises(FileFormatError, match="-2 is negative"):
        read_all([1, -2, 3], read)
    with pytest.warns(UserWarning, match="2 of 4 files skipped; the first: -2 is negative"):
        arrays, kept = read_all([1, -2, 3, -4], read, "skip")
    assert arrays.ravel().tolist() == [1, 3] and kept.tolist() == [0, 2]
    with (
        pytest.warns(UserWarning),
        pytest.raises(FileFormatError, match="none of 1 files can be read"),
    ):
        read_all([-1], read, "skip")
    with pytest.raises(ConfigError, match="Unknown on_error 'ignore'"):
        read_all([1], read, "ignore")


def test_the_cache_follows_files_and_parameters(tmp_path, caplog):
    file, calls = tmp_path / "a", []
    file.write_text("one")

    def decode():
        calls.append(1)
        return {"n": np.array([len(calls)]), "words": np.array([file.read_text()])}

    assert [int(decoded("demo", [file], {"size": 1}, decode)["n"][0]) for _ in range(2)] == [1, 1]
    assert int(decoded("demo", [file], {"size": 2}, decode)["n"][0]) == 2
    file.write_text("three")
    assert str(decoded("demo", [file], {"size": 1}, decode)["words"][0]) == "three"
    for kept in (tmp_path / "cache" / "datasets").iterdir():
        kept.write_bytes(kept.read_bytes()[:100])
    with caplog.at_level(logging.WARNING, "analognas"):
        assert str(decoded("demo", [file], {"size": 1}, decode)["words"][0]) == "three"
    assert "damaged" in caplog.text and len(calls) == 4
