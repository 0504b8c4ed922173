"""Records, checks, seeds and files: against NumPy by hand, and when the machine stops between two bytes."""

import importlib
import json
import math
import os
import pickle
import pkgutil
import shutil
import stat
import subprocess
import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import analognas
from analognas import core
from analognas.core import (
    DATASETS,
    AnalogNASError,
    ConfigError,
    DatasetInfo,
    DriftRecord,
    FileFormatError,
    InfeasibleError,
    MissingExtraError,
    as_rng,
    check_choice,
    check_number,
    spawn_seeds,
    dataset_info,
    process_realm,
    process_start,
    read_json,
    write_atomic,
    write_json,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**80), 2**80)


# ---- errors and checks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, builtin",
    [
        (ConfigError, ValueError),
        (FileFormatError, ValueError),
        (MissingExtraError, ImportError),
        (InfeasibleError, RuntimeError),
    ],
)
def test_errors_are_ordinary_python_errors(error, builtin):
    assert issubclass(error, builtin)
    assert issubclass(error, AnalogNASError)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_check_number_accepts_exactly_what_lies_within(value, low, high):
    if low <= value <= high:
        assert check_number("x", value, low, high) is value
    else:
        with pytest.raises(ConfigError, match="x must be a finite number"):
            check_number("x", value, low, high)


@given(NUMBERS)
def test_check_number_whole(value):
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
def test_check_number_refuses_what_is_no_number(bad):
    with pytest.raises(ConfigError, match="x must be"):
        check_number("x", bad)


@pytest.mark.parametrize("value", [np.int8(3), np.int64(3), np.float32(3), np.float64(3)])
def test_check_number_takes_numpy_scalars(value):
    assert check_number("x", value, low=3, high=3) == 3


def test_check_number_says_both_ends_and_the_value():
    with pytest.raises(ConfigError) as e:
        check_number("p", 1.5, low=0, high=1)
    assert str(e.value) == "p must be a finite number at least 0 and at most 1; got 1.5."


@given(
    st.lists(st.text("abC ", min_size=1, max_size=4), min_size=1, max_size=5, unique=True),
    st.text("abC ", max_size=4),
)
def test_check_choice(allowed, value):
    if value in allowed:
        assert check_choice("thing", value, allowed) == value
    else:
        with pytest.raises(ConfigError) as e:
            check_choice("thing", value, allowed)
        assert str(e.value).startswith(f"Unknown thing {value!r}. Allowed: ")
        assert all(repr(a) in str(e.value) for a in allowed)


@pytest.mark.parametrize("bad", [None, 3, [], {}, ["a"], np.float64(1)])
def test_check_choice_takes_any_wrong_value(bad):
    with pytest.raises(ConfigError, match="Allowed: 'a'"):
        check_choice("thing", bad, ["a"])


@pytest.mark.parametrize(
    "given_, meant",
    [("kws", "KWS"), ("Digits", "digits"), ("cifar10", "CIFAR-10"), ("CIFAR_10", "CIFAR-10")],
)
def test_check_choice_suggests_what_was_meant(given_, meant):
    with pytest.raises(ConfigError, match=f"Did you mean {meant!r}"):
        dataset_info(given_)


# ---- seeds ----------------------------------------------------------------------------------------------------------


def test_as_rng_hands_a_generator_through():
    rng = np.random.default_rng(0)
    assert as_rng(rng) is rng
    assert as_rng(3).random() == np.random.default_rng(3).random()
    assert as_rng(None).random() != as_rng(None).random()


@given(st.integers(0, 2**32), st.integers(0, 20), st.integers(0, 20))
def test_child_seeds_do_not_depend_on_how_many(seed, n, more):
    few, many = spawn_seeds(seed, n), spawn_seeds(seed, n + more)
    assert many[:n] == few and len(many) == n + more
    assert all(type(s) is int and 0 <= s < 2**32 for s in many)


def test_child_seeds_are_numpys_spawned_sequences():
    assert spawn_seeds(5, 3) == [
        int(np.random.SeedSequence(5, spawn_key=(i,)).generate_state(1)[0]) for i in range(3)
    ]


def test_child_seeds_of_neighbouring_seeds_differ():
    assert not set(spawn_seeds(0, 500)) & set(spawn_seeds(1, 500))


# ---- drift records --------------------------------------------------------------------------------------------------

TIMES = (1.0, 3_600.0, 86_400.0, 2_592_000.0)
ACCURACIES = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.floats(0, 100), min_size=4, max_size=4), min_size=n, max_size=n)
)


@given(ACCURACIES)
def test_drift_record_is_what_numpy_says_by_hand(rows):
    record, n = DriftRecord(TIMES, rows), len(rows)
    day = [row[2] for row in rows]
    mean = sum(day) / n
    assert math.isclose(record.acc_1d, mean, abs_tol=1e-9)
    assert math.isclose(
        record.avm, sum(r[0] for r in rows) / n - sum(r[3] for r in rows) / n, abs_tol=1e-9
    )
    if n > 1:
        assert math.isclose(
            record.std_1d, math.sqrt(sum((a - mean) ** 2 for a in day) / (n - 1)), abs_tol=1e-6
        )
    else:
        assert math.isnan(record.std_1d)
    again = DriftRecord(**json.loads(json.dumps(record.to_dict())))
    assert np.array_equal(again.acc, record.acc) and again.t_inference == record.t_inference
    assert all(type(v) is float for v in (record.acc_1d, record.avm, record.std_1d))


@pytest.mark.parametrize(
    "times, acc",
    [
        (TIMES, np.zeros((0, 4))),
        (TIMES, np.zeros(4)),
        (TIMES, np.zeros((2, 3))),
        (TIMES, np.zeros((2, 4, 1))),
        (TIMES[::-1], np.zeros((2, 4))),
        ((1, 1, 2, 3), np.zeros((2, 4))),
        (TIMES, [[1, 2, np.nan, 4]]),
        (TIMES, [[1, 2, np.inf, 4]]),
    ],
)
def test_drift_record_refuses(times, acc):
    with pytest.raises(ConfigError):
        DriftRecord(times, acc)


def test_drift_record_says_which_time_is_missing():
    record = DriftRecord((60, 3600), [[90, 80]])
    with pytest.raises(ConfigError, match="No measurement at 86400 s"):
        record.acc_1d
    with pytest.raises(ConfigError, match="No measurement at 2.592e"):
        record.avm


def test_drift_records_can_be_compared():
    a, b, c = (DriftRecord((1, 2), [[90.0, last]]) for last in (80, 80, 70))
    assert a == b and a != c


# ---- datasets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dims, classes",
    [
        ((3, 32), 10),
        ((3, 32, 32, 1), 10),
        ((3, 32, 0), 10),
        ((3, 32, 1.5), 10),
        ((3, 32, 32), 1),
        ((3, 32, 32), 2.0),
        ((3, 32, 32), True),
    ],
)
def test_dataset_info_refuses(dims, classes):
    with pytest.raises(ConfigError, match="mine|input_dim"):
        DatasetInfo("mine", dims, classes)


def test_dataset_info_passes_ones_own_through():
    mine = DatasetInfo("mine", [1, 2, 3], 4)
    assert dataset_info(mine) is mine and mine.input_dim == (1, 2, 3) and hash(mine) is not None
    assert all(dataset_info(name).name == name for name in DATASETS)


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["replace", "fsync", "chmod"])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_crash_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step, old):
    path = tmp_path / "file.json"
    if old is not None:
        path.write_text(old)

    def crash(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, crash)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["file.json"])
    assert old is None or path.read_text() == old


def test_write_atomic_makes_folders_and_readable_files(tmp_path):
    path = write_atomic(tmp_path / "a" / "b" / "c.txt", "µS")
    assert path.read_bytes() == "µS".encode() and stat.S_IMODE(path.stat().st_mode) == 0o644
    assert write_atomic(path, b"\x00\xff").read_bytes() == b"\x00\xff"
    assert [p.name for p in path.parent.iterdir()] == ["c.txt"]


TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(TEXT, JSON, max_size=3))
def test_json_round_trip(tmp_path_factory, obj):
    path = write_json(tmp_path_factory.getbasetemp() / "round" / "trip.json", obj)
    assert read_json(path) == obj == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "raw",
    [b"", b'{"a": ', b"[1]", b"null", b"3", b'"x"', b"\xff\xfe{}", b"{}{}", pickle.dumps({"a": 1})],
)
def test_read_json_refuses(tmp_path, raw):
    (tmp_path / "x.json").write_bytes(raw)
    with pytest.raises(FileFormatError, match="x.json"):
        read_json(tmp_path / "x.json")


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(), min_size=1, max_size=3),
    st.data(),
)
def test_a_truncated_json_file_is_never_taken_for_a_whole_one(tmp_path_factory, obj, data):
    path = write_json(tmp_path_factory.getbasetemp() / "cut" / "x.json", obj)
    raw = path.read_bytes()
    cut = data.draw(st.integers(0, len(raw) - 2))  # the last byte is a line end
    path.write_bytes(raw[:cut])
    with pytest.raises(FileFormatError):
        read_json(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "nowhere.json")


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ANALOGNAS_CACHE", raising=False)
    assert core.cache_dir() == tmp_path / ".cache" / "analognas"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert core.cache_dir() == tmp_path / "xdg" / "analognas"
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "mine"))
    assert core.cache_dir() == tmp_path / "mine"


@given(st.floats(1, 1e9))
def test_format_time(t):
    assume(t not in (1, 60, 3600, 86400, 2592000))
    assert core.format_time(t) == f"{t:g} s"


# ---- processes ------------------------------------------------------------------------------------------------------


def test_a_process_says_when_it_started_whatever_it_is_called(tmp_path):
    "Against the clock that the kernel counts with; the name holds what ends a name in /proc."
    program = shutil.copy(shutil.which("sleep"), tmp_path / "a) S 1 (b")
    ticks = os.sysconf("SC_CLK_TCK")
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with subprocess.Popen([program, "600"]) as process:
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
        start = process_start(process.pid)
        process.kill()
    assert int(before * ticks) <= int(start) <= int(after * ticks) + 1
    assert process_start(process.pid) is None  # it has ended


def test_a_realm_is_one_start_of_the_machine_and_one_container(monkeypatch):
    realm = process_realm()
    monkeypatch.setattr(core.os, "readlink", lambda path: "pid:[another container]")
    assert realm is None or process_realm() != realm
    monkeypatch.undo()
    assert process_realm() == realm


def test_where_the_system_does_not_say(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(core.Path, "read_text", missing)
    assert process_realm() is None and process_start(os.getpid()) is None


def test_no_module_defines_an_error_without_that_base():
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
