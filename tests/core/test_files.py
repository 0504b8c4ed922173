"""Files, also when the machine stops between two bytes."""

import json
import os
import pickle
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analognas import core
from analognas.core import FileFormatError, read_json, write_atomic, write_json
from analognas.core.files import write_cache


@pytest.mark.parametrize("step", ["replace", "fsync", "chmod"])
@pytest.mark.parametrize("old", [None, "old"])
def test_write_atomic_leaves_the_old_file_after_a_crash(tmp_path, monkeypatch, step, old):
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


@pytest.mark.parametrize("umask, mode", [(0o077, 0o600), (0o002, 0o664)])
def test_write_atomic_obeys_the_umask_and_keeps_the_mode_of_an_old_file(tmp_path, umask, mode):
    old = tmp_path / "old.txt"
    old.write_text("old")
    old.chmod(0o640)
    before = os.umask(umask)
    try:
        new = write_atomic(tmp_path / "new.txt", "new")
        write_atomic(old, "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(new.stat().st_mode) == mode
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    write_cache(tmp_path / "file" / "cache.npz", b"1")
    assert "cache.npz cannot be written (" in caplog.text
    assert "ANALOGNAS_CACHE" in caplog.text
    write_cache(tmp_path / "cache.npz", b"1")
    assert (tmp_path / "cache.npz").read_bytes() == b"1"


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
def test_write_json_and_read_json_round_trip(tmp_path_factory, obj):
    path = write_json(tmp_path_factory.getbasetemp() / "round" / "trip.json", obj)
    assert read_json(path) == obj == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "raw",
    [b"", b'{"a": ', b"[1]", b"null", b"3", b'"x"', b"\xff\xfe{}", b"{}{}", pickle.dumps({"a": 1})],
)
def test_read_json_refuses_other_content(tmp_path, raw):
    (tmp_path / "x.json").write_bytes(raw)
    with pytest.raises(FileFormatError, match="x.json"):
        read_json(tmp_path / "x.json")


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(), min_size=1, max_size=3),
    st.data(),
)
def test_read_json_refuses_a_truncated_file(tmp_path_factory, obj, data):
    path = write_json(tmp_path_factory.getbasetemp() / "cut" / "x.json", obj)
    raw = path.read_bytes()
    cut = data.draw(st.integers(0, len(raw) - 2))  # the last byte is a line end
    path.write_bytes(raw[:cut])
    with pytest.raises(FileFormatError):
        read_json(path)


def test_read_json_raises_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "nowhere.json")


def test_cache_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ANALOGNAS_CACHE", raising=False)
    assert core.cache_dir() == tmp_path / ".cache" / "analognas"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert core.cache_dir() == tmp_path / "xdg" / "analognas"
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "mine"))
    assert core.cache_dir() == tmp_path / "mine"
