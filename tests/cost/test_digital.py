"""Digital operations: energies by hand from the published ones, and which functions of ATen they are."""

import pytest

from analognas.cost.digital import DIGITAL, OPERATIONS, operations_of, sums_over_input

PJ = 1e-12


@pytest.mark.parametrize(
    "name, energy",
    [
        ("mac", 0.2 + 0.1),
        ("batch_norm", 1.1 + 0.4),
        ("layer_norm", 3 * 1.1 + 4 * 0.4),
        ("compare", 0.4),
        ("curve", 1.1 + 0.4),
        ("softmax", 2 * 1.1 + 4 * 0.4),
        ("add", 0.4),
        ("multiply", 1.1),
    ],
)
def test_energies_are_sums_of_horowitzs(name, energy):
    assert OPERATIONS[name].energy == pytest.approx(energy * PJ)
    assert OPERATIONS[name].column in DIGITAL


@pytest.mark.parametrize(
    "function, pointwise, operations",
    [
        ("relu_", True, ("compare",)),
        ("_safe_softmax", False, ("softmax",)),
        ("_log_softmax", False, ("softmax",)),
        ("native_group_norm", False, ("layer_norm",)),
        ("native_batch_norm", False, ("batch_norm",)),
        ("hardswish", False, ("curve",)),
        ("lerp", True, ("add", "add", "multiply")),
        ("div", True, ("multiply",)),
        ("max_pool2d_with_indices", False, ("add",)),
        ("mean", False, ("add",)),
        ("clone", True, ()),
        ("view", False, ()),
    ],
)
def test_functions_are_operations(function, pointwise, operations):
    assert operations_of(function, pointwise) == operations
    assert all(operation in OPERATIONS for operation in operations)


def test_sums_are_counted_by_their_inputs():
    assert sums_over_input("mean") and sums_over_input("avg_pool2d")
    assert not sums_over_input("add") and not sums_over_input("_softmax")
