"""`analognas bench winners` at its smallest size, and its figures."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from analognas.bench import winners
from analognas.core import ConfigError
from analognas.training.label_store import LabelStore
from analognas.training.labels import load_label_set
from analognas.training.protocol import Protocol


def test_bench_winners_measures_a_pair_for_each_run(
    bench_json, monkeypatch, tmp_path, short_protocol
):
    monkeypatch.setattr(winners, "protocol_of_labels", lambda *_: short_protocol)
    brief = partial(winners.EAOptimizer, nb_iter=2, population_size=10)
    monkeypatch.setattr(winners, "EAOptimizer", lambda evaluator, **_: brief(evaluator))
    store = tmp_path / "winners.sqlite"
    call = ("winners", "--dataset", "digits", "--store", str(store), "--seeds", "2")
    found = bench_json(*call)
    rows = found["rows"]
    assert [(row["run"], row["method"]) for row in rows] == [
        (0, "random search"),
        (0, "search"),
        (1, "random search"),
        (1, "search"),
    ]
    assert all(row["seed"] == row["run"] for row in rows)
    searched = [row for row in rows if row["method"] == "search"]
    measured = np.mean([row["acc_1d"] for row in searched])
    assert found["measured"]["search"] == pytest.approx(measured)
    assert bench_json(*call) == found  # from the store
    # the searches of the run directory are those that were measured
    described = [config for config, *_ in LabelStore(store).rows()]
    assert {row["predicted_acc_1d"] for row in rows} == {
        winner["predicted"]["acc_1d"] for winner in described
    }


def made_up(searched, drawn, predicted=50.0):
    "Return a table of winners with given measured accuracies."
    rows = []
    for run, (best, other) in enumerate(zip(searched, drawn, strict=True)):
        for method, acc in (("search", best), ("random search", other)):
            rows.append(
                {"run": run, "method": method, "acc_1d": acc, "predicted_acc_1d": predicted}
            )
    return pd.DataFrame(rows)


def test_figures_of_ten_pairs_that_all_point_one_way():
    "The exact p-value: two of the 2^10 ways to give ten differences a sign."
    drawn = np.linspace(40.0, 45.0, 10)
    differences = np.arange(1, 11) / 10
    found = winners.winners_figures(made_up(drawn + differences, drawn))
    assert found["runs"] == 10
    assert found["measured"]["p"] == pytest.approx(2 / 2**10)
    assert found["measured"]["difference"] == pytest.approx(0.55)
    assert found["predicted"] == {
        "search": 50.0,
        "random_search": 50.0,
        "difference": 0.0,
        "p": 1.0,
    }
    errors = 50.0 - (drawn + differences)
    assert found["mean_error"] == pytest.approx(np.abs(errors).mean())
    assert found["largest_error"] == pytest.approx(np.abs(errors).max())


def test_a_run_of_which_one_half_is_missing_is_no_pair():
    whole = made_up([45.0, 46.0, 99.0], [44.0, 44.0, 44.0])
    half = whole[~((whole["run"] == 2) & (whole["method"] == "random search"))]
    assert winners.winners_figures(half)["measured"]["search"] == pytest.approx(45.5)


@pytest.mark.parametrize("name", winners.LABELLED_BY)
def test_the_plan_is_that_of_the_shipped_labels(name):
    plan = winners.LABELLED_BY[name]
    facts = load_label_set(f"{name}-cpu" if plan == "cpu" else name).metadata
    held = facts.get("protocol") or facts["plan"]["protocol"]
    protocol = winners.protocol_of_labels(name)
    for setting in ("epochs", "hwa_epochs", "lr", "hwa_lr", "max_train", "n_rep"):
        assert getattr(protocol, setting) == held[setting]
    assert isinstance(protocol, Protocol)
    with pytest.raises(ConfigError, match="ImageNet.*CIFAR-10"):
        winners.protocol_of_labels("ImageNet")


def test_what_failed_is_said_when_no_winner_was_measured():
    class Store:
        def rows(self, state="done"):
            return [({}, 0, {"error": "out of memory"}, 1.0)] if state == "failed" else []

    with pytest.raises(ConfigError, match="No winner was measured.*out of memory"):
        winners.winners_table(Store())


def test_load_winners_reads_what_save_winners_writes(tmp_path, monkeypatch):
    table = made_up([45.0], [44.0]).assign(config=[{"M": 1}, {"M": 2}])
    winners.save_winners(table, tmp_path / "winners_CIFAR-10.json", command="a command")
    monkeypatch.setattr(winners, "files", lambda _: tmp_path)
    again = winners.load_winners()
    pd.testing.assert_frame_equal(again, table)
    assert again.attrs["command"] == "a command"
    with pytest.raises(ConfigError, match="KWS.*CIFAR-10"):
        winners.load_winners("KWS")
