"""Datasets: digits against scikit-learn's own, and what is refused at the door."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from analognas.core import ConfigError, DatasetInfo
from analognas.datasets.load import Dataset, load_dataset


def test_digits_are_scikit_learns():
    data, (x, y) = load_dataset("digits"), load_digits(return_X_y=True)
    images = torch.cat([data.x_train, data.x_test]).reshape(-1, 64).double()
    scale = (x.max() - x.min()) / (images.max() - images.min()).item()
    back = np.rint((images - images.min()).numpy() * scale).astype(int)
    ours = sorted(
        (*row, label)
        for row, label in zip(back.tolist(), torch.cat([data.y_train, data.y_test]).tolist())
    )
    assert ours == sorted(
        (*map(int, row), int(label)) for row, label in zip(x, y)
    )  # every image once, with its label


def test_the_split_is_stratified_and_the_pixels_standardised_on_training_data():
    data = load_dataset("digits")
    counts, total = np.bincount(data.y_test, minlength=10), np.bincount(load_digits().target)
    assert len(data.x_test) == 360 and np.all(np.abs(counts - 0.2 * total) < 1)
    assert abs(data.x_train.double().mean()) < 1e-5 and abs(data.x_train.double().std() - 1) < 1e-5
    assert data.x_train.dtype == torch.float32 and data.y_train.dtype == torch.int64
    assert data.x_train.shape == (1437, 1, 8, 8) and "load_digits" in data.source


def test_loading_twice_gives_the_same():
    a, b = load_dataset("digits"), load_dataset("digits")
    assert torch.equal(a.x_train, b.x_train) and torch.equal(a.y_test, b.y_test)


@pytest.mark.parametrize("name", ["MNIST", "Digits", None, 3, ""])
def test_unknown_names(name):
    with pytest.raises(ConfigError, match="digits"):
        load_dataset(name)


INFO = DatasetInfo("mine", (1, 2, 2), 3)
X, Y = torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 2, 0])


def changed(value, at=(0, 0, 0, 0)):
    x = X.clone()
    x[at] = value
    return x


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "x, y, says",
    [
        (X[:, 0], Y, "expected inputs"),
        (X.repeat(1, 2, 1, 1), Y, "expected inputs"),
        (X[:3], Y, "expected inputs"),
        (X[:0], Y[:0], "expected inputs"),
        (X, Y.view(-1, 1), "expected inputs"),
        (X, Y.view(2, 2).repeat(2, 1), "expected inputs"),
        (changed(float("nan")), Y, "NaN or infinity"),
        (changed(float("inf")), Y, "NaN or infinity"),
        (X, Y + 1, "labels must be 0 to 2; got 1 to 3"),
        (X, Y - 1, "labels must be 0 to 2; got -1 to 1"),
        (X, Y.float(), "labels"),
        (X.long(), Y, "inputs"),
        (X, Y + float("nan"), "labels"),
    ],
    ids=[
        "no channel",
        "channels",
        "fewer",
        "none",
        "columns",
        "square",
        "nan",
        "inf",
        "too large",
        "negative",
        "float labels",
        "whole inputs",
        "nan labels",
    ],
)
def test_what_cannot_be_trained_on_is_refused(split, x, y, says):
    good = (X, Y)
    parts = ((x, y), good) if split == "train" else (good, (x, y))
    with pytest.raises(ConfigError, match=f"(?s)mine, {split}.*{says}|mine, {split}: .*{says}"):
        Dataset(INFO, *parts[0], *parts[1])


def test_ones_own():
    data = Dataset(INFO, X, Y, X[:2], Y[:2], "made up")
    assert data.train == (X, Y) and len(data.test[0]) == 2
