"""Datasets: digits against scikit-learn's own, and what is refused at the door."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from analognas.core import ConfigError, DatasetInfo
from analognas.datasets.base import content_hash
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


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, ">f4", "half", "double"])
def test_arrays_and_other_precisions_are_the_same_data_as_tensors(kind):
    x = np.arange(16.0).reshape(4, 1, 2, 2)
    if kind in ("half", "double"):
        own, labels = getattr(torch.tensor(x), kind)(), torch.tensor([0, 1, 2, 0]).int()
    else:
        own, labels = x.astype(kind), [0, 1, 2, 0]
    data = Dataset(INFO, own, labels, own[::-1] if isinstance(own, np.ndarray) else own, labels)
    assert data.x_train.dtype == torch.float32 and data.y_train.dtype == torch.int64
    assert data.x_train.flatten().tolist() == list(range(16)) and data.y_train.tolist() == [
        0,
        1,
        2,
        0,
    ]
    assert content_hash(replace(data, x_test=data.x_train)) == HASH_OF_TENSORS


HASH_OF_TENSORS = (
    "1896bd8e436442a10e0df89d74fc1793507f8079e63dea845583bc84e7422ef8"  # before arrays were taken
)


def test_the_hash_of_tensors_stays():
    x = torch.arange(16.0).reshape(4, 1, 2, 2)
    assert content_hash(Dataset(INFO, x, Y, x, Y)) == HASH_OF_TENSORS
    small = Dataset(INFO, x, Y.byte(), x, Y.byte())
    assert small.y_train.dtype == torch.uint8  # trains, and stores hold its hash


def test_arrays_that_may_not_be_written_and_groups_in_a_list():
    x = np.zeros((4, 1, 2, 2), np.float32)
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = Dataset(INFO, x, Y, x, np.array([0, 1, 2, 0], np.uint16), groups=[5, 5, 7, 7])
    assert data.groups.tolist() == [5, 5, 7, 7] and data.y_test.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    "x, y, says",
    [
        ([[1.0], [1.0, 2.0]], Y, "mine, x_train must be a tensor, an array or a list of numbers"),
        (X, ["a", "b", "c", "a"], r"mine, y_train must be .* got \['a', 'b', 'c', 'a'\]"),
        (X, None, "mine, y_train must be .* got None"),
        (X, [0, 1.5, 2, 0], "labels whole numbers; got torch.float32 and torch.float64"),
        (np.zeros((4, 1, 2, 2), np.uint8), Y, "inputs must be floats"),
        (np.full((4, 1, 2, 2), 1e300), Y, "NaN or infinity in float32"),
    ],
)
def test_arrays_that_are_no_data_are_refused(x, y, says):
    with pytest.raises(ConfigError, match=says):
        Dataset(INFO, x, y, X, Y)


@pytest.mark.parametrize(
    "name, input_dim, classes",
    [
        ("digits", (3, 24, 32), 2),
        ("digits", (1, 8, 8), 9),
        ("CIFAR-10", (3, 16, 16), 10),
        ("KWS", (1, 49, 10), 10),
        ("VWW", (3, 96, 96), 3),
    ],
)
def test_a_known_name_stays_what_it_is(tmp_path, name, input_dim, classes):
    "Whatever lies in the folder: it is not looked at."
    says = rf"{name} in \d+ classes, inputs .* taken; got \({input_dim[0]}, .* in {classes} classes"
    with pytest.raises(ConfigError, match=says):
        load_dataset(DatasetInfo(name, input_dim, classes), tmp_path)


def test_a_folder_for_digits_is_refused(tmp_path):
    for name in ("digits", DatasetInfo("digits", (1, 8, 8), 10)):
        with pytest.raises(ConfigError, match="digits .* reads no files; got root='.*'"):
            load_dataset(name, tmp_path)
    assert len(load_dataset(DatasetInfo("digits", (1, 8, 8), 10)).x_train) == 1437
