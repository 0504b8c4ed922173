"""The record that the page of benchmarks shows is whole, of one run, and of this package's evaluators."""

import json
from importlib.resources import files

import pytest

from analognas.bench.record import packaged_records, start_record
from analognas.commands import MEASURED_BENCHES
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator


@pytest.fixture(scope="module")
def record():
    return json.loads((files("analognas.bench") / "all.json").read_text(encoding="utf-8"))


def test_it_has_every_bench_that_measures_and_no_copy_of_other_records(record):
    assert record.keys() == {*start_record(), *MEASURED_BENCHES}
    assert record["seconds"].keys() == set(MEASURED_BENCHES)
    assert not record.keys() & packaged_records().keys()


@pytest.mark.parametrize("name", sorted(folder.name for folder in WEIGHTS.iterdir()))
def test_its_evaluators_are_those_that_ship(record, name):
    "Versions of XGBoost and processors differ in the last digits."
    held_out = XGBoostEvaluator(WEIGHTS / name).about["held_out"]
    found = record["evaluators"][name]
    assert found["n_test"] == held_out["n_test"]
    for short, target in (("acc", "acc_1d"), ("avm", "avm"), ("std", "std_1d")):
        tau = held_out["surrogate"][target]["tau"]
        assert found[f"{short}_tau"] == pytest.approx(tau, abs=0.01)
