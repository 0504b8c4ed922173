"""Label sets: what is refused, what comes back from disk, and how sets are put together."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from made_up_labels import measured_by, space_of_width

from analognas.core import ConfigError, FileFormatError
from analognas.training.label_store import label_set
from analognas.training.labels import (
    LABEL_SETS,
    TARGETS,
    LabelSet,
    concat_label_sets,
    load_label_set,
    save_label_set,
)


def labels(n=6, **columns) -> LabelSet:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "width": range(n),
            "acc_1d": 90 * rng.random(n),
            "avm": rng.random(n),
            "std_1d": rng.random(n),
        }
        | columns
    )
    return LabelSet("mine", table, ["width", *columns], {"dataset": "imaginary", "µ": [1, 2]})


# ---- label sets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_labels_are_refused_with_their_rows(target, bad):
    table = labels().table
    table.loc[[1, 4], target] = bad
    with pytest.raises(ConfigError, match=r"'mine' has NaN or infinite labels in rows \[1, 4\]"):
        LabelSet("mine", table, ["width"])


@pytest.mark.parametrize("column", ["width", *TARGETS])
def test_a_missing_column_is_named(column):
    with pytest.raises(ConfigError, match=column):
        LabelSet("mine", labels().table.drop(columns=column), ["width"])


def test_labels_that_are_no_numbers_are_refused():
    with pytest.raises(ConfigError, match="mine"):
        LabelSet("mine", labels().table.astype({"avm": object}).assign(avm="much"), ["width"])


def test_take_keeps_order_and_repeats():
    some = labels().take([4, 0, 4])
    assert [c["width"] for c in some.configs] == [4, 0, 4] and len(some) == 3
    assert np.array_equal(some.labels, labels().labels[[4, 0, 4]])


COLUMNS = {
    "many digits": [0.1 + 0.2, 1 / 3, np.pi, 1e-5 / 3, 123456.789, 2**0.5],
    "words": ["max", "None", "NA", "null", "nan", "average"],
    "digits as words": ["1", "02", "3.0", "4", "5", "6"],
    "truth": [True, False, True, False, True, False],
    "commas and quotes": ["a,b", 'c"d', "e\nf", "", " g", "µ"],
    "large": [2**53 + i for i in range(6)],
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_a_config_comes_back_from_disk_as_it_was(tmp_path, values):
    "A config is an identity: the least change makes it another architecture."
    before = labels(knob=values)
    save_label_set(before, tmp_path)
    after = load_label_set("mine", tmp_path)
    assert after.configs == before.configs
    assert [type(c["knob"]) for c in after.configs] == [type(c["knob"]) for c in before.configs]


def test_labels_come_back_from_disk(tmp_path):
    before = labels(50)
    path = save_label_set(before, tmp_path)
    after = load_label_set("mine", tmp_path)
    assert (
        np.allclose(after.labels, before.labels, rtol=1e-5)
        and after.metadata == before.metadata
        and len(after) == 50
    )
    assert (
        sorted(p.name for p in tmp_path.iterdir()) == ["mine.csv", "mine.json"]
        and path.name == "mine.csv"
    )


def damage(folder):
    csv, about = folder / "mine.csv", folder / "mine.json"
    text, facts = csv.read_text(), json.loads(about.read_text())
    lines = text.splitlines(keepends=True)
    yield "csv cut at a line", csv, "".join(lines[:-2])
    yield "csv cut in a line", csv, text[:-20]
    yield "csv header only", csv, lines[0]
    yield "csv empty", csv, ""
    yield "csv a row too many", csv, text + lines[-1]
    yield "csv a label too few", csv, text.replace(lines[2], lines[2].rsplit(",", 1)[0] + "\n")
    yield "csv a cell too many", csv, text.replace(lines[2], lines[2].strip() + ",1,2\n")
    yield "csv no number", csv, text.replace(lines[3], "1,x,y,z\n")
    yield "csv NaN", csv, text.replace(lines[3], "1,nan,1,1\n")
    yield "csv other columns", csv, text.replace("width", "height")
    yield "csv is bytes", csv, b"\x00\xff\xfe\x9c" * 50
    yield "json cut", about, about.read_text()[:-9]
    yield "json empty", about, ""
    yield "json list", about, "[1]"
    for key in ("rows", "hyperparameters", "facts"):
        yield f"json no {key}", about, json.dumps({k: v for k, v in facts.items() if k != key})
    yield "json other count", about, json.dumps(facts | {"rows": 5})
    yield "json hyperparameters is a number", about, json.dumps(facts | {"hyperparameters": 3})
    yield "json is bytes", about, b"\xff\xfe"


@pytest.mark.parametrize("i", range(20))
def test_damaged_files_are_format_errors(tmp_path, i):
    save_label_set(labels(), tmp_path)
    kinds = list(damage(tmp_path))
    assert len(kinds) == 20
    what, path, content = kinds[i]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileFormatError, match="mine"):
        load_label_set("mine", tmp_path)
        print(what)


def test_unknown_and_half_missing(tmp_path):
    save_label_set(labels(), tmp_path)
    with pytest.raises(ConfigError, match="Unknown label set 'other'. Allowed: 'mine'"):
        load_label_set("other", tmp_path)
    (tmp_path / "mine.json").unlink()
    with pytest.raises((FileFormatError, OSError), match="mine.json"):
        load_label_set("mine", tmp_path)


# ---- two files that belong together --------------------------------------------------------------


class Killed(BaseException):
    "Stands for the end of the process."


def save_killed(before, folder, monkeypatch, at):
    "Save, killed before the `at`-th file takes its name; leaves what a killed process leaves."
    calls, replace = [], os.replace

    def killed(*args):
        calls.append(args)
        if len(calls) == at:
            raise Killed
        return replace(*args)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        save_label_set(before, folder)
    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("then", range(4))
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_kill_between_two_files_leaves_the_old_set_or_the_new(tmp_path, monkeypatch, at, then):
    old, new, newer = labels(6), labels(9), labels(4)
    save_label_set(old, tmp_path)
    save_killed(new, tmp_path, monkeypatch, at)
    now = len(load_label_set("mine", tmp_path))
    assert now == (9 if at == 3 else 6)
    if then:  # and again, over what the first left
        save_killed(newer, tmp_path, monkeypatch, then)
        assert len(load_label_set("mine", tmp_path)) in (now, 4)
    save_label_set(newer, tmp_path)
    assert len(load_label_set("mine", tmp_path)) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.csv", "mine.json"]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_first_save_that_is_killed_leaves_nothing_or_all(tmp_path, monkeypatch, at):
    save_killed(labels(6), tmp_path, monkeypatch, at)
    if at == 3:
        assert len(load_label_set("mine", tmp_path)) == 6
    else:
        with pytest.raises((ConfigError, OSError), match="mine"):
            load_label_set("mine", tmp_path)


def test_a_csv_of_the_same_length_that_is_another_is_refused(tmp_path):
    path = save_label_set(labels(), tmp_path)
    path.write_text(path.read_text().replace("\n0,", "\n7,"))
    with pytest.raises(FileFormatError, match="'mine' in .* is damaged: its CSV"):
        load_label_set("mine", tmp_path)


def test_a_checkout_may_change_the_line_ends(tmp_path):
    path = save_label_set(labels(), tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_label_set("mine", tmp_path).configs == labels().configs


@pytest.mark.parametrize("name", ["digits", "KWS", "CIFAR-10"])
def test_sets_that_were_saved_without_a_checksum_load(tmp_path, name):
    for end in ("csv", "json"):
        shutil.copy(LABEL_SETS / f"{name}.{end}", tmp_path)
    about = json.loads((tmp_path / f"{name}.json").read_text())
    about.pop("sha256", None)
    (tmp_path / f"{name}.json").write_text(json.dumps(about))
    shipped = load_label_set(name, tmp_path)
    save_label_set(shipped, tmp_path)
    again = load_label_set(name, tmp_path)
    assert again.configs == shipped.configs and len(again) == about["rows"]


def test_a_damaged_set_can_be_saved_over(tmp_path, monkeypatch):
    save_label_set(labels(6), tmp_path)
    save_killed(labels(9), tmp_path, monkeypatch, 2)
    (tmp_path / "mine.json").write_text("{")
    save_label_set(labels(4), tmp_path)
    assert len(load_label_set("mine", tmp_path)) == 4


def test_a_name_may_hold_a_dot(tmp_path, monkeypatch):
    named = LabelSet("net1.5", labels(6).table, ["width"], {})
    save_killed(named, tmp_path, monkeypatch, 3)
    save_killed(named, tmp_path, monkeypatch, 2)
    assert len(load_label_set("net1.5", tmp_path)) == 6


# ---- sets put together ---------------------------------------------------------------------------


def sets_of_three_machines(folder):
    "Width 2 and 3 are measured twice, and alike; width 4 twice, and not alike."
    stores = [
        measured_by(folder / "1.sqlite", "one", [1, 2]),
        measured_by(folder / "2.sqlite", "two", [2, 3, 4]),
        measured_by(folder / "3.sqlite", "three", [3]),
    ]
    measured_by(folder / "3.sqlite", "four", [4, 5], acc=80.0)
    return [label_set("mine", store, space_of_width()) for store in stores]


def test_machines_are_joined(tmp_path):
    both = concat_label_sets(*sets_of_three_machines(tmp_path))
    assert both.table.width.tolist() == [1, 2, 3, 4, 5] and both.table.part.tolist() == [
        0,
        0,
        1,
        1,
        3,
    ]
    assert [(p["machine"], p["rows"], p["hours"]) for p in both.metadata["parts"]] == [
        ("one", 2, 1.0),
        ("two", 2, 1.5),
        ("three", 0, 0.5),
        ("four", 1, 1.0),
    ]
    assert both.table.acc_1d.tolist() == [89, 88, 87, 86, 75]  # the first is kept
    assert (
        both.metadata["dropped_duplicates"],
        both.metadata["disagreeing_duplicates"],
        both.metadata["hours"],
    ) == (3, 1, 4.0)


def test_joining_in_steps_is_joining_at_once(tmp_path):
    first, second, third = sets_of_three_machines(tmp_path)
    at_once, steps = (
        concat_label_sets(first, second, third),
        concat_label_sets(concat_label_sets(first, second), third),
    )
    assert steps.metadata == at_once.metadata and steps.table.equals(at_once.table)


def test_sets_from_disk_are_joined_like_those_in_memory(tmp_path):
    sets = sets_of_three_machines(tmp_path)
    for i, one in enumerate(sets):
        save_label_set(one, tmp_path / str(i))
    read = [load_label_set("mine", tmp_path / str(i)) for i in range(len(sets))]
    joined, again = concat_label_sets(*sets), concat_label_sets(*read)
    assert again.metadata == joined.metadata and np.allclose(again.labels, joined.labels, rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"data_sha256": "cd"},
        {"protocol": {"epochs": 9}},
        {"hardware": {"preset": "pcm"}},
        {"space": {}},
    ],
)
def test_what_was_measured_otherwise_is_not_joined(tmp_path, change):
    one = label_set("one", measured_by(tmp_path / "1.sqlite", "one", [1]), space_of_width())
    two = label_set(
        "two", measured_by(tmp_path / "2.sqlite", "two", [2], **change), space_of_width()
    )
    with pytest.raises(
        ConfigError, match=f"'one' and 'two' were not measured alike: {next(iter(change))} "
    ):
        concat_label_sets(one, one, two)


def test_versions_and_caps_may_differ_and_are_kept_with_their_part(tmp_path):
    stores = [
        measured_by(tmp_path / f"{v}.sqlite", "one", [v], versions={"torch": v}, caps=v)
        for v in (1, 2)
    ]
    both = concat_label_sets(*(label_set("mine", store, space_of_width()) for store in stores))
    assert [p["versions"]["torch"] for p in both.metadata["parts"]] == [
        1,
        2,
    ] and "versions" not in both.metadata


def test_joins_that_cannot_be(tmp_path):
    one = label_set("one", measured_by(tmp_path / "1.sqlite", "one", [1]), space_of_width())
    with pytest.raises(ConfigError, match="at least 2; got 1"):
        concat_label_sets(one)
    without = LabelSet("bare", one.table.drop(columns=["seed", "part"]), ["width"], one.metadata)
    with pytest.raises(
        ConfigError, match=r"'bare' cannot be joined: it lacks the columns \['seed', 'part'\]"
    ):
        concat_label_sets(one, without)
    for wrong in (7, -1, "x"):
        odd = LabelSet("odd", one.table.assign(part=wrong), ["width"], one.metadata)
        with pytest.raises(ConfigError, match="'odd' cannot be joined"):
            concat_label_sets(one, odd)
    other = LabelSet("other", one.table.rename(columns={"width": "depth"}), ["depth"], one.metadata)
    with pytest.raises(ConfigError, match="by other names"):
        concat_label_sets(one, other)


def test_sets_of_0_1_0_are_joined_as_they_were():
    shipped = load_label_set("digits")  # of one sample or several
    facts = shipped.metadata | {"plan": shipped.metadata["plan"] | {"seed": 12345}}
    facts.pop("samples", None)
    more = LabelSet("digits", shipped.table[:7], shipped.hyperparameters, facts)
    both = concat_label_sets(shipped, more, more)
    assert (
        len(both) == len(shipped) + 14
        and "parts" not in both.metadata
        and "dropped_duplicates" not in both.metadata
    )
    assert [s["seed"] for s in both.metadata["samples"]][-2:] == [12345, 12345] and both.metadata[
        "samples"
    ][-1]["rows"] == 7
    odd = LabelSet("odd", more.table, more.hyperparameters, more.metadata | {"versions": {}})
    with pytest.raises(ConfigError, match="not measured alike: versions"):
        concat_label_sets(shipped, odd)


def test_categories_that_a_csv_does_not_keep_come_back(tmp_path):
    columns = {
        "norm": [None, "batch", True, 2],
        "flag": [True, False, True, False],
        "skip": pd.Series([None, 1, 2, 1], dtype=object),
        "word": ["None", "1", "a, b", "x"],
        "number": [1, 2, 3, 4],
    }
    table = pd.DataFrame(columns | dict.fromkeys(TARGETS, 1.0))
    save_label_set(LabelSet("odd", table, list(columns)), tmp_path)
    again = load_label_set("odd", tmp_path)
    for name, values in columns.items():
        found = [config[name] for config in again.configs]
        assert list(map(repr, found)) == list(map(repr, values)), name
