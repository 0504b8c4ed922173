"""Digital operations: energies by hand from the published ones, and which functions of ATen they are."""

from dataclasses import asdict, replace

import pytest

from analognas.core import ConfigError
from analognas.cost.digital import (
    DIGITAL,
    FORMATS,
    HOROWITZ_UNIT,
    OPERATIONS,
    DigitalUnit,
    MacArray,
    operations_of,
    sums_over_input,
)

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


# ---- the unit ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, energy, area, size",
    [
        ("int8", 0.2 + 0.1, 282 + 137, 1),
        ("fp16", 1.1 + 0.4, 1640 + 1360, 2),
        ("fp32", 3.7 + 0.9, 7700 + 4184, 4),
    ],
)
def test_multiply_accumulates_are_a_multiplication_and_an_addition(name, energy, area, size):
    array = getattr(HOROWITZ_UNIT, name)
    assert array.energy == pytest.approx(energy * PJ)
    assert array.area == pytest.approx(256 * area * 1e-6)
    assert array.size == size
    assert array.rate == 256e9


def test_memory_is_a_megabyte_of_horowitz_and_a_test_chip():
    assert 8 * HOROWITZ_UNIT.memory_energy == pytest.approx(100 * PJ)
    assert 153e6 / 8 * HOROWITZ_UNIT.memory_area == pytest.approx(119)


def test_floating_point_is_the_format_of_the_unit():
    assert HOROWITZ_UNIT.array("float") is HOROWITZ_UNIT.fp32
    half = replace(HOROWITZ_UNIT, float_format="fp16")
    assert half.array("float") is HOROWITZ_UNIT.fp16
    assert half.array("int8") is HOROWITZ_UNIT.int8


def test_a_unit_comes_back_from_plain_data():
    saved = asdict(HOROWITZ_UNIT)
    assert set(FORMATS) <= set(saved)
    assert DigitalUnit(**saved) == HOROWITZ_UNIT
    assert hash(DigitalUnit(**saved)) == hash(HOROWITZ_UNIT)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"memory_energy": -1.0}, "memory_energy of 'horowitz'"),
        ({"memory_area": float("nan")}, "memory_area of 'horowitz'"),
        ({"float_format": "fp8"}, "Unknown float format 'fp8'"),
    ],
)
def test_an_impossible_unit_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        replace(HOROWITZ_UNIT, **change)


@pytest.mark.parametrize(
    "change", [{"energy": -1.0}, {"rate": 0.0}, {"size": 0}, {"size": 1.5}, {"area": -1.0}]
)
def test_an_impossible_array_is_refused(change):
    with pytest.raises(ConfigError):
        replace(MacArray(1e-12, 1e9, 1, 0.1), **change)


def test_errors_of_arrays_name_the_format():
    integers = replace(HOROWITZ_UNIT, name="integers", fp32=None)
    with pytest.raises(ConfigError, match="'integers' does not compute in fp32"):
        integers.array("float")
    with pytest.raises(ConfigError, match="Unknown number format 'analog'"):
        integers.array("analog")
