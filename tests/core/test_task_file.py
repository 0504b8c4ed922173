"""A transaction happens whole or not at all; errors of SQLite say whether the file is damaged or out of reach."""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from analognas.core import ConfigError, FileFormatError
from analognas.core.task_file import StoreUnavailableError, TaskFile, TaskTable

TABLE = TaskTable(
    name="task",
    key={"config": "text"},
    result={"acc": "real"},
    about="facts",
    kind="label store",
    advice="Give another path.",
)


@pytest.fixture
def file(tmp_path):
    "A file with its tables, and nothing in them."
    made = TaskFile(tmp_path / "s.sqlite", TABLE)
    made.make()
    with made.transaction() as db:
        for statement in TABLE.schema():
            db.execute(statement)
    return made


def configs(path):
    "Read the keys, without the code under test."
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("select config from task order by id")]


def test_a_transaction_is_whole(file):
    with file.transaction() as db:
        db.execute("insert into task (config) values ('a')")
        db.execute("insert into task (config) values ('b')")
    assert configs(file.path) == ["a", "b"]


def test_an_error_takes_the_whole_transaction_back(file):
    with pytest.raises(ZeroDivisionError):
        with file.transaction() as db:
            db.execute("insert into task (config) values ('a')")
            1 / 0
    assert configs(file.path) == []


def test_a_key_is_there_once_and_a_state_is_one_of_four(file):
    statements = [
        "insert into task (config) values ('a'), ('a')",
        "insert into task (config, state) values ('a', 'finished')",
    ]
    for statement in statements:
        with pytest.raises(FileFormatError, match="constraint failed"):
            with file.transaction() as db:
                db.execute(statement)


def test_a_reader_waits_for_nobody_and_a_writer_no_longer_than_it_says(file):
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with file.transaction("deferred") as db:
            assert db.execute("select count(*) from task").fetchone() == (0,)
        with pytest.raises(StoreUnavailableError, match="cannot be written.*Give another path"):
            with file.transaction(wait=0):
                pass


def test_a_file_that_was_replaced_is_opened_anew(file, tmp_path):
    "A connection to a file that is gone would write into nothing."
    file.connection()
    second = TaskFile(tmp_path / "t.sqlite", TABLE)
    second.make()
    with second.transaction() as db:
        for statement in TABLE.schema():
            db.execute(statement)
        db.execute("insert into task (config) values ('other')")
    os.replace(second.path, file.path)
    with file.transaction("deferred") as db:
        assert db.execute("select config from task").fetchall() == [("other",)]


@pytest.mark.parametrize(
    "remove", [os.unlink, lambda path: os.rename(path.parent, f"{path.parent}-2")]
)
def test_a_file_that_is_gone_is_an_error_and_is_not_made_again(file, remove):
    file.connection()
    remove(file.path)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="was removed, or it or its folder was"):
            with file.transaction():
                pass
    assert not file.path.exists()


def test_a_file_of_one_run_is_not_exchanged_for_another(file, tmp_path):
    "The table of a run directory is not durable: its connection stays open."
    kept = TaskFile(file.path, replace(TABLE, durable=False))
    with kept.transaction("deferred"):
        pass
    other = tmp_path / "t.sqlite"
    shutil.copy(file.path, other)
    os.replace(other, file.path)
    before = file.path.read_bytes()
    with pytest.raises(StoreUnavailableError, match="was replaced by another file"):
        with kept.transaction() as db:
            db.execute("insert into task (config) values ('a')")
    assert file.path.read_bytes() == before


@pytest.mark.parametrize(
    "code, kind",
    [
        (sqlite3.SQLITE_BUSY, StoreUnavailableError),
        (sqlite3.SQLITE_FULL, StoreUnavailableError),
        (sqlite3.SQLITE_IOERR_WRITE, StoreUnavailableError),
        (sqlite3.SQLITE_READONLY, StoreUnavailableError),
        (sqlite3.SQLITE_IOERR_SHORT_READ, FileFormatError),
        (sqlite3.SQLITE_CORRUPT, FileFormatError),
        (sqlite3.SQLITE_NOTADB, FileFormatError),
    ],
)
def test_an_error_says_whether_the_file_is_damaged(file, code, kind):
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    translated = file.translate(error)
    assert type(translated) is kind
    assert str(file.path) in str(translated) and "what SQLite says" in str(translated)


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, " * 1000)
    with pytest.raises(FileFormatError, match="notes.txt is damaged, or is no label store"):
        with TaskFile(path, TABLE).transaction():
            pass
    assert path.read_text() == "my notes, " * 1000


def test_a_folder_that_is_missing_is_said(tmp_path):
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        TaskFile(tmp_path / "nowhere" / "s.sqlite", TABLE).make()


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "[" * 100_000, None])
def test_text_that_is_no_object_is_refused_with_the_files_name(file, text):
    with pytest.raises(FileFormatError, match="s.sqlite is damaged"):
        file.parse_object(text)
    assert file.parse_object('{"a": 1}') == {"a": 1}


def test_an_unavailable_store_is_a_config_error():
    "Programs that catch `ConfigError` keep working."
    assert issubclass(StoreUnavailableError, ConfigError)
