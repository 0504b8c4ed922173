"""A run directory belongs to one search, keeps each evaluation, and refuses everything else that is there."""

import csv
import json
import sqlite3
import time
from contextlib import closing

import pytest

from analognas.core import ConfigError, FileFormatError, storage
from analognas.evaluators.base_evaluator import Prediction
from analognas.search_algorithms.run_directory import (
    BASELINE,
    DATABASE,
    SEARCH,
    SETTINGS,
    RunDirectory,
    make_new_directory,
    read_evaluations,
    run_directory_names,
    settings_differences,
)

SETTINGS_OF_A_SEARCH = {"seed": 1, "optimizer": "EAOptimizer", "versions": {"torch": "2"}}
CONFIGS = [json.dumps({"width": width}) for width in (8, 16, 32)]


@pytest.fixture
def directory(tmp_path):
    made = RunDirectory(tmp_path / "run", SETTINGS_OF_A_SEARCH)
    yield made
    made.evaluations.close()


def test_evaluations_come_back_as_they_were_written(directory):
    table = directory.evaluations
    ids = table.add(SEARCH, 0, CONFIGS)
    answers = [Prediction(80.0, 1.5, 0.25, False, True), Prediction(70.0, 2.0, 0.5, True, False)]
    assert table.claim(ids, 2) == ids[:2]
    table.finish(ids[:2], answers, [True, False], seconds=3.0)
    assert table.stored(ids) == dict(zip(ids[:2], answers, strict=True))
    frame = read_evaluations(directory.path)
    assert frame.to_dict("list") == {
        "method": [SEARCH] * 2,
        "run": [0, 0],
        "width": [8, 16],
        "acc_1d": [80.0, 70.0],
        "avm": [1.5, 2.0],
        "std_1d": [0.25, 0.5],
        "outside": [False, True],
        "measured": [True, False],
        "feasible": [True, False],
    }


def test_an_evaluation_is_added_once_per_method_and_run(directory):
    add = directory.evaluations.add
    assert add(SEARCH, 0, CONFIGS) == add(SEARCH, 0, CONFIGS) == [1, 2, 3]
    assert add(SEARCH, 1, CONFIGS) == [4, 5, 6]
    assert add(BASELINE, 0, CONFIGS) == [7, 8, 9]


def test_a_claim_that_is_given_back_can_be_taken_again(directory):
    table = directory.evaluations
    ids = table.add(SEARCH, 0, CONFIGS)
    table.claim(ids, 2)
    assert [n for _, _, n in table.claims()] == [2]
    table.release(ids[:1])
    assert table.claim(ids, 3) == [ids[0], ids[2]]


def test_the_same_search_continues_and_another_is_refused(directory):
    again = RunDirectory(directory.path, SETTINGS_OF_A_SEARCH)
    again.evaluations.close()
    with pytest.raises(ConfigError, match="another search: seed was 1, now 2"):
        RunDirectory(directory.path, SETTINGS_OF_A_SEARCH | {"seed": 2})
    with pytest.warns(UserWarning, match="torch 2 then, 3 now"):
        other = RunDirectory(directory.path, SETTINGS_OF_A_SEARCH | {"versions": {"torch": "3"}})
    other.evaluations.close()


def test_a_place_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(ConfigError, match="already in use"):
        RunDirectory(tmp_path, SETTINGS_OF_A_SEARCH)
    with pytest.raises(ConfigError, match="it is a file"):
        RunDirectory(tmp_path / "thesis.txt", SETTINGS_OF_A_SEARCH)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_lost_database_is_not_begun_anew(directory):
    directory.evaluations.close()
    (directory.path / DATABASE).write_bytes(b"")
    with pytest.raises(FileFormatError, match="is empty, although a search was begun"):
        RunDirectory(directory.path, SETTINGS_OF_A_SEARCH)


def test_evaluations_of_a_folder_without_any_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match=f"has no {DATABASE}"):
        read_evaluations(tmp_path)


def test_the_best_architecture_is_a_table_of_names_and_values(directory):
    path = directory.write_best(3, {"width": 8, "block": "a, b"})
    assert path.name == "best_results_3.csv"
    assert list(csv.reader(path.open())) == [["width", "8"], ["block", "a, b"]]


def test_settings_are_readable_json(directory):
    assert json.loads((directory.path / SETTINGS).read_text()) == SETTINGS_OF_A_SEARCH


@pytest.mark.parametrize(
    "new, said",
    [
        ({"a": 1, "b": {"c": 2}}, []),
        ({"a": 2, "b": {"c": 2}}, ["a was 1, now 2"]),
        ({"a": 1, "b": {"c": 3, "d": 4}}, ["b.c was 2, now 3", "b.d was None, now 4"]),
        ({"a": 1, "b": {"c": "x" * 70}}, ["b.c was 2, now '" + "x" * 56 + "..."]),
        ({"a": 1, "b": {"c": 2}, "versions": {"torch": "3"}}, []),
    ],
)
def test_differences_name_settings_with_both_values(new, said):
    assert settings_differences({"a": 1, "b": {"c": 2}}, new) == said


def test_values_that_differ_behind_the_cut_are_named():
    assert settings_differences({"a": "x" * 90}, {"a": "x" * 90 + "y"}) == ["a differs"]


def test_directories_of_one_second_get_different_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-000000")
    made = [make_new_directory("digits").name for _ in range(3)]
    names = run_directory_names("digits")
    assert made == [next(names).name for _ in range(3)]
    assert made[:2] == ["digits-20260101-000000", "digits-20260101-000000-1"]


@pytest.mark.parametrize(
    "column, value",
    [
        ("acc_1d", "high"), ("acc_1d", b"9"), ("acc_1d", None),
        ("avm", float("inf")), ("std_1d", None), ("outside", "no"), ("measured", None),
    ],
)  # fmt: skip
def test_a_value_that_is_no_number_is_never_an_evaluation(directory, column, value):
    table = directory.evaluations
    ids = table.add(SEARCH, 0, CONFIGS)
    table.claim(ids, 3)
    table.finish(ids, [Prediction(90.0, 1.0, 0.5, False)] * len(ids), [True] * len(ids), 0.1)
    with closing(sqlite3.connect(table.path)) as db, db:
        db.execute(f"update evaluation set {column} = ? where id = ?", [value, ids[1]])
    with pytest.raises(FileFormatError, match=f"{DATABASE} is damaged.*is no evaluation"):
        table.stored(ids)


@pytest.mark.parametrize("text", ["{", "[1]", "3", b"\xff", "[" * 100_000])
def test_a_config_that_is_none_is_named_with_its_file(directory, text):
    table = directory.evaluations
    ids = table.add(SEARCH, 0, CONFIGS)
    table.claim(ids, 3)
    table.finish(ids, [Prediction(90.0, 1.0, 0.5, False)] * len(ids), [True] * len(ids), 0.1)
    with closing(sqlite3.connect(table.path)) as db, db:
        db.execute("update evaluation set config = ? where id = ?", [text, ids[1]])
    with pytest.raises(FileFormatError, match=f"{DATABASE} is damaged"):
        read_evaluations(directory.path)


def test_a_folder_that_is_gone_is_not_made_again_for_a_summary(directory):
    directory.path.rename(directory.path.with_name("elsewhere"))
    with pytest.raises(ConfigError, match="summary.json cannot be written: .* was removed, or"):
        directory.write("summary.json", {})
    assert not directory.path.exists()


@pytest.mark.parametrize("n, end", [(58, "'"), (59, "...")])
def test_a_value_is_cut_beyond_60_characters(n, end):
    (said,) = settings_differences({"a": "x" * n}, {"a": 1})
    was = said.removeprefix("a was ").removesuffix(", now 1")
    assert len(was) == 60
    assert was.endswith(end)


def test_of_several_damaged_evaluations_the_first_is_named(directory):
    table = directory.evaluations
    ids = table.add(SEARCH, 0, CONFIGS)
    table.claim(ids, 3)
    table.finish(ids, [Prediction(90.0, 1.0, 0.5, False)] * len(ids), [True] * len(ids), 0.1)
    with closing(sqlite3.connect(table.path)) as db, db:
        db.execute("update evaluation set acc_1d = 'low' where id = ?", [ids[0]])
        db.execute("update evaluation set acc_1d = 'high' where id = ?", [ids[2]])
    with pytest.raises(FileFormatError, match="'low'"):
        read_evaluations(directory.path)


def test_claims_are_renewed_from_the_first_one_on(directory, monkeypatch):
    "Or another process would take an evaluation that lasts longer than a claim."
    begun = []
    monkeypatch.setattr(storage.Heartbeat, "start", lambda heartbeat: begun.append(heartbeat))
    table = directory.evaluations
    ids = table.add(SEARCH, 0, CONFIGS)
    assert table.claim(ids, 2) and len(begun) == 1
    assert table.claim(ids[:2], 2) == [] and len(begun) == 1
