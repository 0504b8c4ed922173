"""`train_best`: what it writes is what it measured, and the weights it keeps load safely."""

import json

import numpy as np
import pytest
import torch

from analognas.analog.convert import to_aihwkit
from analognas.analog.hardware import create_rpu_config
from analognas.core import ConfigError, HardwareConfig
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training.protocol import Protocol


def searched(path, space=None, n=5):
    "Return a worker that has drawn n networks of at most 8,000 parameters."
    worker = Worker(
        ConfigSpace("digits") if space is None else space,
        RandomSearch(ParamsEvaluator(), n, max_nb_param=0.008),
        runs=1,
        run_dir=path,
        progress=False,
    )
    worker.search()
    return worker


def test_the_winner_is_trained_measured_and_kept(tmp_path):
    space = ConfigSpace("digits")
    worker = searched(tmp_path / "run", space, 20)
    assert space.stats([worker.best_config])["params"][0] <= 8_000

    found = worker.train_best(protocol=Protocol(epochs=2, hwa_epochs=1, n_rep=3, max_train=400))

    written = json.loads((tmp_path / "run" / "measured.json").read_text())
    assert written["config"] == worker.best_config and written["protocol"]["epochs"] == 2
    assert np.array_equal(written["acc"], found.drift.acc) and np.shape(written["acc"]) == (3, 4)
    assert written["acc_1d"] == np.mean([row[2] for row in written["acc"]])
    assert written["avm"] == np.mean([row[0] for row in written["acc"]]) - np.mean(
        [row[3] for row in written["acc"]]
    )

    kept = torch.load(tmp_path / "run" / "network.pt", weights_only=True)
    network = worker.best_arch
    network.load_state_dict(kept)  # strict: every weight, and no other
    layers = {
        n: m for n, m in to_aihwkit(found.model).named_modules() if hasattr(m, "analog_module")
    }
    assert len(layers) == sum(
        isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)) for m in network.modules()
    )
    for name, layer in layers.items():  # what aihwkit says its tiles hold
        weight = layer.get_weights()[0]
        assert torch.allclose(
            weight.reshape(kept[f"{name}.weight"].shape), kept[f"{name}.weight"], atol=1e-6
        )


def test_the_same_seed_trains_the_same_network(tmp_path):
    def once(name):
        worker = searched(tmp_path / name)
        return worker.train_best(
            protocol=Protocol(epochs=1, hwa_epochs=1, n_rep=2, max_train=200), seed=3
        ).drift.acc

    assert np.array_equal(once("a"), once("b"))


def test_a_device_that_does_not_work_is_refused_and_the_search_is_kept(tmp_path):
    worker = searched(tmp_path / "run", n=20)
    with pytest.raises(ConfigError, match="The device 'cuda:99' cannot be used"):
        worker.train_best(device="cuda:99")
    assert not (tmp_path / "run" / "measured.json").exists()
    assert Worker.resume(tmp_path / "run", ParamsEvaluator()).best_config == worker.best_config


def test_the_file_says_on_which_chip_the_winner_was_measured(tmp_path):
    space = ConfigSpace("digits")
    space.add_hardware_hyperparameter("adc_bits", "discrete", range=[5])
    worker = searched(tmp_path / "run", space)
    protocol = Protocol(epochs=1, hwa_epochs=1, n_rep=1, max_train=200, max_test=10)
    plain = ConfigSpace("digits")
    noisy = HardwareConfig(out_noise=0.2, tile_size=64)
    for chip, preset, out_noise, tile_size in (
        (None, "pcm", 0.04, 512),
        ("hermes", "hermes", 0.04, 256),
        (noisy, "pcm", 0.2, 64),
    ):
        worker.train_best(protocol=protocol, rpu_config=chip, space=plain)
        said = json.loads((tmp_path / "run" / "measured.json").read_text())["hardware"]
        assert (said["preset"], said["out_noise"], said["tile_size"]) == (
            preset,
            out_noise,
            tile_size,
        )
        assert said["adc_bits"] == 5 and len(said) == 11  # the config's, and all fields
    with pytest.raises(ConfigError, match="chooses adc_bits of the chip"):
        worker.train_best(protocol=protocol, rpu_config=create_rpu_config(out_noise=0.3))
    with pytest.raises(ConfigError, match="Unknown hardware preset 'pmc'"):
        worker.train_best(protocol=protocol, rpu_config="pmc")


def test_a_chip_of_aihwkits_is_written_as_its_text(tmp_path):
    worker = searched(tmp_path / "run")
    protocol = Protocol(epochs=1, hwa_epochs=1, n_rep=1, max_train=200, max_test=10)
    texts = []
    for chip in (create_rpu_config(out_noise=0.3), create_rpu_config("hermes")):
        worker.train_best(protocol=protocol, rpu_config=chip)
        texts.append(json.loads((tmp_path / "run" / "measured.json").read_text())["hardware"])
    assert "out_noise=0.3" in texts[0] and "HermesNoiseModel" in texts[1]
