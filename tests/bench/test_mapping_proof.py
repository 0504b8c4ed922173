"""The proof on a network of seconds, its record, and the one in the package."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from analognas.bench import mapping_proof
from analognas.bench.mapping_measure import SETTINGS, ProofSettings
from analognas.bench.mapping_proof import (
    RECORD,
    Recipe,
    drift_record,
    load_proof,
    measure_proof,
    proof_table,
    recovered_of,
    row_share,
    summarize_proof,
)
from analognas.bench.mapping_training import Stage, save_weights
from analognas.cli import main
from analognas.core import (
    DAY,
    MONTH,
    SECOND,
    FileFormatError,
    HardwareConfig,
    Placement,
    write_json,
)
from analognas.datasets.load import load_dataset
from analognas.training.protocol import Protocol, train_digital

QUICK = ProofSettings(
    0.6,
    n_held_out=48,
    n_test=64,
    n_rep=3,
    screening=((1, 32),),
    n_full=2,
    n_random=1,
    n_front=2,
)
BRIEF = {"epochs": 1, "lr": 0.02, "batch_size": 32, "augment": False, "n": 128}
RECIPE = Recipe((Stage(placement=Placement(), **BRIEF), Stage(**BRIEF)), Stage(**BRIEF))


def build(name):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def shipped(digits, tmp_path_factory):
    "A folder with digitally trained weights, as the package has one."
    folder = tmp_path_factory.mktemp("shipped")
    network = train_digital(build("tiny"), digits, Protocol(epochs=3), progress=False)
    save_weights(network, folder / "tiny_float.npz")
    return folder


def measure(digits, folder, shipped, train=True):
    return measure_proof(
        digits, folder, train, {"tiny": QUICK}, {"tiny": RECIPE}, shipped=shipped, build=build
    )


@pytest.fixture(scope="module")
def made(digits, shipped, tmp_path_factory):
    "A folder with a record, and the record."
    folder = tmp_path_factory.mktemp("made")
    return folder, measure(digits, folder, shipped)


def rows_of(record):
    return {row["name"]: row for row in record["networks"]["tiny"]["rows"]}


def test_proof_measures_every_mapping_over_all_programmings(made):
    _, record = made
    rows = rows_of(record)
    expected = {"analog", "digital", "searched", "greedy", "random 1", "front 1", "front 2"}
    assert set(rows) == expected | {"analog tuned", "digital tuned", "searched tuned"}
    assert np.shape(rows["searched tuned"]["acc"]) == (3, 3)
    assert np.shape(rows["greedy"]["acc"]) == (3, 1)
    assert rows["searched"]["t_inference"] == [SECOND, DAY, MONTH]


def test_proof_keeps_the_share(made):
    network = made[1]["networks"]["tiny"]
    rows = rows_of(made[1])
    assert row_share(network, rows["searched"]) >= 0.6
    assert row_share(network, rows["random 1"]) >= 0.6
    assert row_share(network, rows["digital"]) == 0


def test_all_digital_has_no_noise(made):
    acc = np.array(rows_of(made[1])["digital tuned"]["acc"])
    assert (acc == acc[0, 0]).all()


def test_record_is_read_as_it_was_written(made):
    folder, record = made
    assert load_proof(folder) == json.loads(json.dumps(record))


def test_finished_measurements_are_not_made_again(digits, made, shipped, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("measured again")

    for name in ("search", "front", "measure"):
        monkeypatch.setattr(mapping_proof.NetworkProof, name, refuse)
    folder, record = made
    assert rows_list(measure(digits, folder, shipped)) == rows_list(record)


def test_a_killed_measurement_goes_on(digits, made, shipped, tmp_path):
    folder, record = made
    shutil.copytree(folder, tmp_path / "killed")
    part = load_proof(folder)
    part["networks"]["tiny"]["rows"] = part["networks"]["tiny"]["rows"][:3]
    write_json(tmp_path / "killed" / RECORD, part)
    (tmp_path / "killed" / "tiny_searched.npz").unlink()
    assert rows_list(measure(digits, tmp_path / "killed", shipped)) == rows_list(record)


def rows_list(record):
    return json.loads(json.dumps(record))["networks"]["tiny"]["rows"]


@pytest.fixture
def kept(made, tmp_path):
    "A folder with all weights of a network, and the record."
    folder, record = made
    shutil.copytree(folder, tmp_path / "kept")
    save_weights(build("tiny"), tmp_path / "kept" / "tiny_float.npz")
    return tmp_path / "kept", record


def test_kept_weights_are_measured_alike(digits, kept, tmp_path):
    folder, record = kept
    again = measure(digits, tmp_path / "again", folder, train=False)
    assert rows_list(again) == rows_list(record)


def test_weights_of_one_entry_are_measured_on_another_chip(digits, kept, tmp_path):
    folder, record = kept
    coarse = replace(QUICK, chip=HardwareConfig(dac_bits=2, adc_bits=2), network="tiny", n_front=0)
    found = measure_proof(
        digits, tmp_path / "coarse", False, {"coarse": coarse}, shipped=folder, build=build
    )
    network = found["networks"]["coarse"]
    assert network["chip"]["adc_bits"] == 2
    acc = {row["name"]: np.mean(row["acc"]) for row in network["rows"]}
    assert acc["digital"] == np.mean(rows_of(record)["digital"]["acc"])  # int8 has no converters
    assert acc["analog"] < np.mean(rows_of(record)["analog"]["acc"])


def test_a_checkpoint_is_dropped_after_its_stage(made):
    assert not list(made[0].glob("*.ckpt"))


def row(name, digital, *acc):
    return {"name": name, "int8": digital, "t_inference": [DAY], "acc": [[a] for a in acc]}


@pytest.fixture
def by_hand():
    rows = [
        row("analog", [], 80, 82),
        row("digital", ["a", "b"], 91, 91),
        row("searched", ["a"], 88, 88),
    ]
    return {"layers": {"a": 1.0, "b": 3.0}, "rows": rows, "search": {"seconds": 90.0}}


def test_summary_follows_from_the_programmings(by_hand):
    record = {"about": {"date": "then"}, "networks": {"tiny": by_hand}, "reuse_speedup": 4.0}
    found = summarize_proof(record)
    assert found["tiny_recovered"] == pytest.approx((88 - 81) / (91 - 81))
    assert found["tiny_analog_share"] == 0.75
    assert found["tiny_searched_acc_1d"] == 88
    assert found["search_minutes"] == 1.5
    assert found["reuse_speedup"] == 4
    assert found["date"] == "then"


def test_tuned_rows_decide_where_there_are_any(by_hand):
    tuned = [row("analog tuned", [], 84), row("digital tuned", ["a", "b"], 92)]
    by_hand["rows"] += [*tuned, row("searched tuned", ["b"], 90)]
    record = {"about": {}, "networks": {"tiny": by_hand}, "reuse_speedup": 4.0}
    found = summarize_proof(record)
    assert found["tiny_recovered"] == pytest.approx(6 / 8)
    assert found["tiny_recovered_untuned"] == pytest.approx(0.7)
    assert found["tiny_analog_share"] == 0.25


def test_too_small_a_loss_recovers_nothing(by_hand):
    by_hand["rows"][1]["acc"] = [[82.5], [82.5]]
    assert recovered_of(by_hand) is None
    record = {"about": {}, "networks": {"tiny": by_hand}, "reuse_speedup": 4.0}
    assert summarize_proof(record)["tiny_recovered"] is None


def test_rows_of_unknown_layers_are_refused(by_hand):
    with pytest.raises(FileFormatError, match="unknown layers: c"):
        row_share(by_hand, row("searched", ["c"], 80))


def test_table_has_a_line_for_each_row(by_hand):
    table = proof_table(by_hand).set_index("name")
    assert table.loc["analog", "acc 86400 s"] == 81
    assert table.loc["searched", "analog_share"] == 0.75


def test_command_prints_the_record_of_a_folder(monkeypatch, bench_json, made):
    monkeypatch.setattr(mapping_proof, "SHIPPED", made[0])
    found = bench_json("mapping")
    assert found["recorded"] is True
    assert found["tiny_analog_share"] >= 0.6
    assert found["versions"] == made[1]["about"]["versions"]


def test_command_without_a_record_names_the_option_that_makes_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(mapping_proof, "SHIPPED", tmp_path)
    assert main(["bench", "mapping"]) == 2
    assert "--root" in capsys.readouterr().err


# ---- the record in the package


def test_command_prints_the_record_of_the_package(bench_json):
    found = bench_json("mapping")
    assert found["recorded"] is True
    assert 0 <= found["resnet8_recovered"] <= 1.5
    assert found["resnet20_recovered"] is None  # all analog loses too little
    for name in load_proof()["networks"]:
        assert found[f"{name}_analog_share"] >= SETTINGS[name].least_share
    assert found["search_minutes"] > 0 and found["reuse_speedup"] > 1


def test_shares_of_the_record_follow_from_its_accuracies():
    network = load_proof()["networks"]["resnet8"]
    rows = {row["name"]: np.array(row["acc"]) for row in network["rows"]}
    at = {len(row["t_inference"]): row["t_inference"].index(DAY) for row in network["rows"]}
    acc = {name: values[:, at[values.shape[1]]].mean() for name, values in rows.items()}
    mapped, analog, digital = (acc[f"{name} tuned"] for name in ("searched", "analog", "digital"))
    found = summarize_proof(load_proof())
    assert found["resnet8_recovered"] == pytest.approx((mapped - analog) / (digital - analog))


def test_package_has_the_weights_that_serve_every_mapping():
    for name in load_proof()["networks"]:
        weights = SETTINGS[name].network or name
        assert (mapping_proof.SHIPPED / f"{weights}.npz").exists()
        assert (mapping_proof.SHIPPED / f"{weights}_float.npz").exists()


def test_record_of_the_package_has_twenty_programmings_of_every_mapping():
    for network in load_proof()["networks"].values():
        for one in network["rows"]:
            assert len(drift_record(one).acc) == 20


def test_command_measures_with_root(monkeypatch, capsys, tmp_path, made):
    asked = []

    def measured(data, folder, train):
        asked.append((data, folder, train))
        return by_name

    by_name = made[1]
    monkeypatch.setattr(mapping_proof, "load_dataset", lambda name, root: (name, root))
    monkeypatch.setattr(mapping_proof, "measure_proof", measured)
    command = ["bench", "mapping", "--json", "--root", "here", "--store", str(tmp_path), "--train"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] is False
    (data, folder, train) = asked[0]
    assert (data[0], str(data[1])) == ("CIFAR-10", "here")
    assert folder == tmp_path and train
    assert RECORD == "record.json"
