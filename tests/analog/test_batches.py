"""Inputs in any form, the output that counts, and loaders."""

from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analognas.analog.batches import (
    call_model,
    count_batches,
    gather,
    input_batches,
    output_tensor,
    split_inputs,
)
from analognas.core import ConfigError, DatasetInfo
from analognas.datasets.base import Dataset

X = torch.arange(12.0).reshape(6, 2)
Y = torch.arange(6)


@given(st.integers(1, 9), st.integers(1, 12))
def test_batches_hold_every_example_once_and_in_order(n, size):
    inputs = {"a": torch.arange(n), "b": torch.arange(n) * 2}
    parts = list(split_inputs(inputs, torch.arange(n), size))
    assert torch.cat([some["a"] for some, _ in parts]).tolist() == list(range(n))
    assert all(torch.equal(some["b"], 2 * wanted) for some, wanted in parts)
    assert max(len(wanted) for _, wanted in parts) <= size


@pytest.mark.parametrize("inputs", [X, (X, 2 * X), {"a": X, "b": 2 * X}])
def test_a_model_gets_a_tensor_positions_or_keywords(inputs):
    def model(a, b=None):
        return a if b is None else a + b

    expected = X if isinstance(inputs, torch.Tensor) else 3 * X
    assert torch.equal(call_model(model, inputs), expected)


@pytest.mark.parametrize(
    "outputs",
    [
        X,
        (X, "state"),
        [X],
        {"logits": X, "loss": Y},
        OrderedDict(out=X, aux=Y),
        SimpleNamespace(logits=X),
    ],
)
def test_the_output_that_counts(outputs):
    assert output_tensor(outputs) is X


@pytest.mark.parametrize("outputs", [{"scores": X}, "text", (), torch.tensor(1.0), (None, X)])
def test_where_no_output_counts_the_user_is_asked_for_it(outputs):
    with pytest.raises(ConfigError, match="get_output=lambda"):
        output_tensor(outputs)


def test_the_users_function_comes_first():
    assert output_tensor({"logits": Y, "scores": X}, lambda outputs: outputs["scores"]) is X


@pytest.mark.parametrize(
    "loader",
    [
        [(X[:4], Y[:4]), (X[4:], Y[4:])],
        [[X[:4], Y[:4]], [X[4:], Y[4:]]],
        [(X[:1], Y[:1]), (X[1:3], Y[1:3]), (X[3:], Y[3:])],
    ],
)
def test_a_loader_is_its_batches_together(loader):
    inputs, targets = gather(loader)
    assert torch.equal(inputs, X) and torch.equal(targets, Y)


@pytest.mark.parametrize("targets", [Y, Y.float(), Y.double() / 3, Y > 2])
def test_finite_targets_of_any_type_are_taken(targets):
    assert gather((X, targets))[1] is targets


ONE_SET = [X, (X, Y), {"ids": X}, {"ids": X, "labels": Y}]
LOADERS = [
    [(X[:1], Y[:1]), (X[1:3], Y[1:3]), (X[3:], Y[3:])],
    [X[:1], X[1:3], X[3:]],
    [(X[:1],), (X[1:3],), (X[3:],)],
    [{"ids": X[:1], "labels": Y[:1]}, {"ids": X[1:3]}, {"ids": X[3:]}],
]


def values(inputs):
    return inputs["ids"] if isinstance(inputs, dict) else inputs


@pytest.mark.parametrize("data", ONE_SET)
@pytest.mark.parametrize("size, batches", [(1, 6), (4, 2), (6, 1), (9, 1)])
def test_inputs_in_memory_are_cut_into_batches(data, size, batches):
    parts = [values(inputs) for inputs in input_batches(data, size)]
    assert count_batches(data, size) == len(parts) == batches
    assert all(len(part) == size for part in parts[:-1])
    assert torch.equal(torch.cat(parts), X)


@pytest.mark.parametrize("loader", LOADERS)
def test_inputs_of_a_loader_keep_their_batches(loader):
    parts = [values(inputs) for inputs in input_batches(loader, 4)]
    assert count_batches(loader, 4) == 3
    assert [len(part) for part in parts] == [1, 2, 3]
    assert torch.equal(torch.cat(parts), X)


def test_a_loader_without_a_length_has_no_number_of_batches():
    def batches():
        yield X[:2]
        yield X[2:]

    assert count_batches(batches(), 4) is None
    assert torch.equal(torch.cat(list(input_batches(batches(), 4))), X)


def test_batches_of_dicts_and_tuples():
    dicts = [{"ids": X[:2], "labels": Y[:2]}, {"ids": X[2:], "labels": Y[2:]}]
    inputs, targets = gather(dicts)
    assert torch.equal(inputs["ids"], X) and torch.equal(targets, Y)
    inputs, targets = gather([((X[:2], X[:2]), Y[:2]), ((X[2:], X[2:]), Y[2:])])
    assert torch.equal(inputs[1], X) and torch.equal(targets, Y)
    assert torch.equal(gather({"ids": X, "labels": Y})[0]["ids"], X)


@pytest.mark.parametrize(
    "data, says",
    [
        ((X, Y[:3]), "got 6 and 3"),
        (((X, X[:3]), Y), r"as many rows; got \[3, 6\]"),
        (("text", Y), "got str"),
        (({}, Y), "got nothing"),
        (3, "Data must be tensors or arrays, .* got int"),
        ([X], "got Tensor"),
        ([{"ids": X}], "key 'labels'"),
        ([(X, Y), (X[:, :1], Y)], "pad sequences to one length"),
        ([(X, Y), ({"ids": X}, Y)], "cannot be put together"),
        ([(X, [1, 2])], "targets of a loader's batches cannot|must be a tensor"),
        ((X, torch.tensor(1)), "one row for each example"),
        ((X, torch.tensor([1, 2, 3, torch.nan, torch.inf, 0])), "33.3 % of the targets"),
    ],
)
def test_other_data_are_refused(data, says):
    with pytest.raises(ConfigError, match=says):
        gather(data)


DOUBLE = X.double().numpy()  # as NumPy has it unless it is told otherwise


@pytest.mark.parametrize(
    "data",
    [
        (DOUBLE, Y.numpy()),
        (DOUBLE.astype(">f4"), Y),
        (X, Y.numpy().astype(np.int64)[::-1][::-1]),
        [(DOUBLE[:4], Y[:4].numpy()), (DOUBLE[4:], Y[4:].numpy())],
    ],
)
def test_arrays_are_tensors_in_single_precision(data):
    inputs, targets = gather(data)
    assert inputs.dtype == torch.float32 and torch.equal(inputs, X)
    assert targets.dtype == torch.int64 and torch.equal(targets, Y)
    assert torch.equal(torch.cat(list(input_batches(data, 4))), X)


def test_arrays_by_name_and_without_targets():
    inputs, targets = gather({"a": DOUBLE, "ids": Y.numpy(), "labels": DOUBLE[:, 0]})
    assert (inputs["a"].dtype, inputs["ids"].dtype) == (torch.float32, torch.int64)
    assert torch.equal(targets, X[:, 0])
    assert [len(x) for x in input_batches(DOUBLE, 4)] == [4, 2] and count_batches(DOUBLE, 4) == 2
    with pytest.raises(ConfigError, match="got ndarray"):
        gather((np.array(["a", "b"]), np.arange(2)))


def test_a_whole_dataset_is_refused_with_the_way_to_its_parts():
    x = torch.zeros(4, 1, 2, 2)
    data = Dataset(DatasetInfo("mine", (1, 2, 2), 2), x, Y[:4] % 2, x, Y[:4] % 2)
    for read in (gather, lambda some: list(input_batches(some, 2))):
        with pytest.raises(ConfigError, match=r"whole Dataset 'mine': .* data\.test; .*hold_out"):
            read(data)
        with pytest.raises(ConfigError, match="a loader of these; got TensorDataset"):
            read(torch.utils.data.TensorDataset(X, Y))
