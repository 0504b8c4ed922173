"""Errors and checks: the base class, bounds, choices."""

import importlib
import json
import math
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analognas
from analognas.core import (
    AnalogNASError,
    ConfigError,
    FileFormatError,
    InfeasibleError,
    MissingExtraError,
    check_choice,
    check_number,
    dataset_info,
)
from analognas.core.errors import aihwkit_imports, import_optional

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**80), 2**80)


@pytest.mark.parametrize(
    "error, builtin",
    [
        (ConfigError, ValueError),
        (FileFormatError, ValueError),
        (MissingExtraError, ImportError),
        (InfeasibleError, RuntimeError),
    ],
)
def test_errors_derive_from_the_builtin_and_from_the_base_class(error, builtin):
    assert issubclass(error, builtin)
    assert issubclass(error, AnalogNASError)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_check_number_accepts_exactly_the_values_within_its_bounds(value, low, high):
    if low <= value <= high:
        assert check_number("x", value, low, high) is value
    else:
        with pytest.raises(ConfigError, match="x must be a finite number"):
            check_number("x", value, low, high)


@given(NUMBERS)
def test_check_number_integer_accepts_only_int(value):
    if isinstance(value, int):
        assert check_number("n", value, integer=True) == value
    else:  # 2.0 too: a count is written without a point
        with pytest.raises(ConfigError, match="n must be a whole number"):
            check_number("n", value, integer=True)


@pytest.mark.parametrize(
    "bad",
    [
        math.nan,
        math.inf,
        -math.inf,
        np.nan,
        np.float32("inf"),
        None,
        "3",
        b"3",
        True,
        np.True_,
        [3],
        (3,),
        3j,
        {},
    ],
)
def test_check_number_refuses_non_numbers(bad):
    with pytest.raises(ConfigError, match="x must be"):
        check_number("x", bad)


@pytest.mark.parametrize("value", [np.int8(3), np.int64(3), np.float32(3), np.float64(3)])
def test_check_number_accepts_numpy_scalars(value):
    assert check_number("x", value, low=3, high=3) == 3


def test_check_number_error_names_bounds_and_value():
    with pytest.raises(ConfigError) as e:
        check_number("p", 1.5, low=0, high=1)
    assert str(e.value) == "p must be a finite number at least 0 and at most 1; got 1.5."
    with pytest.raises(ConfigError, match="at least 20,000 and at most 1e\\+06; got 3"):
        check_number("p", 3, low=20_000, high=1e6)


@given(
    st.lists(st.text("abC ", min_size=1, max_size=4), min_size=1, max_size=5, unique=True),
    st.text("abC ", max_size=4),
)
def test_check_choice_accepts_allowed_values_and_lists_them_otherwise(allowed, value):
    if value in allowed:
        assert check_choice("thing", value, allowed) == value
    else:
        with pytest.raises(ConfigError) as e:
            check_choice("thing", value, allowed)
        assert str(e.value).startswith(f"Unknown thing {value!r}. Allowed: ")
        assert all(repr(a) in str(e.value) for a in allowed)


@pytest.mark.parametrize("bad", [None, 3, [], {}, ["a"], np.float64(1)])
def test_check_choice_refuses_values_of_any_type(bad):
    with pytest.raises(ConfigError, match="Allowed: 'a'"):
        check_choice("thing", bad, ["a"])


@pytest.mark.parametrize(
    "given_, meant",
    [("kws", "KWS"), ("Digits", "digits"), ("cifar10", "CIFAR-10"), ("CIFAR_10", "CIFAR-10")],
)
def test_check_choice_suggests_the_nearest_name(given_, meant):
    with pytest.raises(ConfigError, match=f"Did you mean {meant!r}"):
        dataset_info(given_)


def test_every_error_class_has_the_base_class():
    "Of the exported classes; warnings are no errors, and `Stopped` never leaves the worker."
    for info in pkgutil.walk_packages(analognas.__path__, "analognas."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if (
                isinstance(value, type)
                and issubclass(value, Exception)
                and value.__module__ == info.name
            ):
                assert issubclass(value, AnalogNASError | Warning) or name == "SearchStopped", (
                    f"{info.name}.{name}"
                )


def test_a_module_that_is_not_there_names_the_command_that_installs_it():
    assert import_optional("json", "none") is json
    for module in ("no_such_module", "json.no_such_part"):
        with pytest.raises(MissingExtraError, match=r"pip install \"analognas\[some\]\"") as error:
            import_optional(module, "some")
        assert isinstance(error.value.__cause__, ImportError)


@pytest.mark.parametrize(
    "error, said",
    [
        (ModuleNotFoundError("No module", name="aihwkit.nn"), "is not installed: pip install"),
        (ImportError("undefined symbol", name="aihwkit.simulator"), "does not load"),
        (ModuleNotFoundError("No module", name="other"), "does not load"),
    ],
)
def test_an_import_of_aihwkit_that_fails_names_the_remedy(error, said):
    with pytest.raises(MissingExtraError, match=said), aihwkit_imports():
        raise error
