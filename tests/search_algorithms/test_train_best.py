"""`train_best`: what it writes is what it measured, and the weights it keeps load safely."""
import json

import numpy as np
import torch

from analognas.analog.simulation import accuracy, digital_state
from analognas.datasets.load import load_dataset
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.protocol import Protocol


def test_the_winner_is_trained_measured_and_kept(tmp_path):
    space, data = ConfigSpace("digits"), load_dataset("digits")
    worker = Worker(space, RandomSearch(ParamsEvaluator(), 20, max_nb_param=0.008), runs=1, run_dir=tmp_path / "run", progress=False)
    worker.search()
    assert space.stats([worker.best_config])["params"][0] <= 8_000

    found = worker.train_best(protocol=Protocol(epochs=6, hwa_epochs=2, n_rep=3))

    written = json.loads((tmp_path / "run" / "measured.json").read_text())
    assert written["config"] == worker.best_config and written["protocol"]["epochs"] == 6
    assert np.array_equal(written["acc"], found.drift.acc) and np.shape(written["acc"]) == (3, 4)
    assert written["acc_1d"] == np.mean([row[2] for row in written["acc"]])
    assert written["avm"] == np.mean([row[0] for row in written["acc"]]) - np.mean([row[3] for row in written["acc"]])

    kept = torch.load(tmp_path / "run" / "network.pt", weights_only=True)
    network = worker.best_arch
    network.load_state_dict(kept)  # strict: every weight, and no other
    assert accuracy(network, *data.test) > 30  # ten classes; the weights are the trained ones
    assert all(torch.equal(v, kept[k]) for k, v in digital_state(found.model).items())


def test_the_same_seed_trains_the_same_network(tmp_path):
    def once(name):
        worker = Worker(ConfigSpace("digits"), RandomSearch(ParamsEvaluator(), 5, max_nb_param=0.008), runs=1,
                        run_dir=tmp_path / name, progress=False)
        worker.search()
        return worker.train_best(protocol=Protocol(epochs=1, hwa_epochs=1, n_rep=2), seed=3).drift.acc
    assert np.array_equal(once("a"), once("b"))
