"""Successive halving against a plain sort, on a space where every answer is known."""

import pickle
import zlib

import numpy as np
import pytest

from analognas.core import ConfigError, InfeasibleError
from analognas.search_algorithms.base import AskTellSearch
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.halving import (
    MultiFidelityEvaluator,
    SuccessiveHalving,
    add_fidelity,
    without_rung,
)
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.testing.optimizers import ToyEvaluator, problem


class Blurred(ToyEvaluator):
    """The toy's answers, wrong by an amount that depends on the architecture only; 5 points too
    high, so that hasty answers look better."""

    percent = False

    def __init__(self, blur):
        self.blur = blur

    def _predict(self, configs):
        values, outside = super()._predict(configs)
        wrong = [
            np.random.default_rng(zlib.crc32(self.space.key(c).encode())).normal() for c in configs
        ]
        return values + np.array(
            [[5 * (self.blur > 0) + self.blur * w, 0, 0] for w in wrong]
        ), outside


def made(where="resnet", nb_start=30, eta=3, **limits):
    space = add_fidelity(problem(where).space, 3)
    return space, SuccessiveHalving(
        MultiFidelityEvaluator([Blurred(4.0), Blurred(1.0), Blurred(0.0)]).bind(space),
        nb_start,
        eta,
        **limits,
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_each_rung_are_promoted(seed):
    space, optimizer = made()
    history = optimizer.run(space, seed).history
    assert history["rung"].value_counts().to_dict() == {0: 30, 1: 10, 2: 3}
    plain = [
        space.key(c | {"rung": 0})
        for c in history[[h.name for h in space.hyperparameters]].to_dict("records")
    ]
    history = history.assign(architecture=plain)
    for rung, n in ((0, 10), (1, 3)):
        here = history[history["rung"] == rung].sort_values("score", ascending=False)
        assert set(here.architecture[:n]) == set(history[history["rung"] == rung + 1].architecture)


def test_only_the_last_rung_decides():
    space, optimizer = made()
    result = optimizer.run(space, 0)
    last = result.history[result.history["rung"] == 2]
    assert (
        result.best_config["rung"] == 2
        and result.best_acc == last.acc_1d.max() < result.history.acc_1d.max()
    )
    assert not result.history.feasible[result.history["rung"] < 2].any()


def test_limits_hold_from_the_start_and_forbidden_answers_are_promoted_last():
    space, optimizer = made(max_nb_param=0.3, T_AVM=2.0)
    history = optimizer.run(space, 1).history
    configs = history[[h.name for h in space.hyperparameters]].to_dict("records")
    assert (space.stats(configs)["params"] <= 300_000).all()
    kept = history[history["rung"] == 1]
    assert (kept.avm <= 2.0).sum() == min(10, (history[history["rung"] == 0].avm <= 2.0).sum()) > 0


def test_a_killed_search_goes_on_to_the_same_result(tmp_path):
    space, optimizer = made()
    whole = optimizer.run(space, 5).history
    again = AskTellSearch(optimizer, space, 5)
    told = {}
    for _ in range(2):  # up to the second rung, then from the beginning with what is known
        configs = again.ask()
        answers = optimizer.surrogate.query_pop(configs)
        told |= {space.key(c): answers[i] for i, c in enumerate(configs)}
        again.tell(answers)
    fresh = AskTellSearch(optimizer, space, 5)
    while configs := fresh.ask():
        known = [space.key(c) in told for c in configs]
        assert all(known) or not any(known)
        fresh.tell(optimizer.surrogate.query_pop(configs))
    assert fresh.history.to_frame().equals(whole)


def test_it_resumes_from_a_run_directory(tmp_path):
    space, optimizer = made()
    first = Worker(
        space, optimizer, runs=1, run_dir=tmp_path / "run", baseline=False, progress=False
    )
    first.search()
    again = Worker.resume(tmp_path / "run", evaluator=made()[1].surrogate, progress=False)
    assert (
        again.best_config == first.best_config
        and again.optimizer.settings() == optimizer.settings()
    )


def test_one_rung_after_the_other_costs_what_its_parts_cost():
    space, optimizer = made(nb_start=27)
    assert optimizer.sizes == [27, 9, 3] and optimizer.budget == 39
    assert len(optimizer.run(space, 0).history) == 39


def test_rungs_travel_to_other_processes():
    space, optimizer = made()
    config = space.sample_arch(rng=0)
    there = pickle.loads(pickle.dumps(optimizer.surrogate))  # noqa: S301 - our own bytes
    assert there.query(config) == optimizer.surrogate.query(config)


def test_errors_name_what_is_wrong():
    space = problem("resnet").space
    rungs = MultiFidelityEvaluator([Blurred(1.0), Blurred(0.0)])
    with pytest.raises(ConfigError, match=r"add_fidelity\(space, 2\)"):
        rungs.bind(add_fidelity(space, 3))
    with pytest.raises(ConfigError, match="Bind MultiFidelityEvaluator"):
        rungs.query_pop([])
    with pytest.raises(ConfigError, match="rungs must be a whole number at least 2"):
        add_fidelity(space, 1)
    with pytest.raises(ConfigError, match="no rungs"):
        Constraints(limits={"rung": 1}).satisfied_by_config(space, [space.sample_arch(rng=0)])
    small = ConfigSpace("digits", "custom")
    small.add_hyperparameter("width", "discrete", 1, 5)
    with pytest.raises(InfeasibleError, match="Only 5 different"):
        SuccessiveHalving(
            MultiFidelityEvaluator([Blurred(1.0), Blurred(1.0), Blurred(0.0)]), 27
        ).run(add_fidelity(small, 3), 0)
    assert without_rung({"rung": 1, "width": 2}) == {"width": 2}
