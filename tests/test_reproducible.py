"""What is equal to the last bit between threads, workers, memory layouts and machines, and what only has the same
distribution. The table in nbs/trust.ipynb promises what is tested here."""

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import draws
import numpy as np
import pytest
import torch
from same_distribution import assert_same_distribution

from analognas.analog.calibration import calibrate_input_ranges
from analognas.analog.characterize import conductance_data, range_data
from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.measure import measure_drift
from analognas.analog.noise import torch_seed
from analognas.analog.programming import drift, program
from analognas.analog.sensitivity import layer_sensitivity
from analognas.core import DAY, ConfigError, Placement
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.placement import search_placement
from analognas.search_algorithms.placement_measure import PlacementMeasurer, measure_afresh
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.sample import sample_distinct, sample_evenly
from analognas.training.labels import load_label_set
from analognas.training.protocol import train_digital, train_hardware_aware
from analognas.training.zero_cost import zero_cost_proxies

EVERYWHERE = ("seeds", "configs", "search", "noise", "predictions")
CLOSE = 2e-7  # of weights up to 1: two units in the last place of single precision
# what a processor without vector instructions does
PLAIN = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 AVX512F",
    "NUMBA_CPU_NAME": "generic",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}


def in_a_process(**environment: str) -> dict[str, list]:
    "Return the draws of a new process."
    script = Path(draws.__file__)
    env = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return json.loads(subprocess.check_output([sys.executable, script], env=env))


@pytest.fixture(scope="module")
def golden():
    return json.loads(draws.GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def here():
    return draws.draws()


# ---- machines and versions ------------------------------------------------------------------------------------------


def test_stored_draws_are_what_their_digests_say(golden):
    assert {n: draws.digest(values) for n, values in golden["draws"].items()} == golden["digests"]


@pytest.mark.parametrize("name", EVERYWHERE)
def test_draws_equal_the_stored_ones_bit_by_bit(golden, here, name):
    if draws.versions() == golden["versions"] or name == "seeds":  # NumPy promises those forever
        assert draws.digest(here[name]) == golden["digests"][name]
    elif name == "predictions":
        assert np.allclose(here[name], golden["draws"][name], rtol=1e-4)
    else:
        assert_same_distribution(here[name], golden["draws"][name])


def test_programmed_weights_equal_the_stored_ones_to_single_precision(golden, here):
    if draws.versions() == golden["versions"]:
        assert np.allclose(here["programmed"], golden["draws"]["programmed"], rtol=0, atol=CLOSE)
    assert_same_distribution(here["programmed"], golden["draws"]["programmed"])


@pytest.mark.parametrize("name", ["outputs", "accuracies"])
def test_measurements_have_the_distribution_of_the_stored_ones(golden, here, name):
    assert_same_distribution(here[name], golden["draws"][name])


@pytest.fixture(scope="module")
def plain_processor(tmp_path_factory):
    return in_a_process(**PLAIN, NUMBA_CACHE_DIR=str(tmp_path_factory.mktemp("numba")))


@pytest.mark.parametrize("name", EVERYWHERE)
def test_vector_instructions_change_no_bit(here, plain_processor, name):
    assert plain_processor[name] == here[name]


def test_vector_instructions_change_programmed_weights_in_the_last_digit_only(
    here, plain_processor
):
    assert np.allclose(plain_processor["programmed"], here["programmed"], rtol=0, atol=CLOSE)


# ---- threads and workers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_thread():
    return in_a_process()


@pytest.fixture(scope="module")
def two_threads():
    return in_a_process(OMP_NUM_THREADS="2", MKL_NUM_THREADS="2")


@pytest.mark.parametrize("name", draws.KINDS)
def test_the_number_of_threads_changes_no_bit(one_thread, two_threads, name):
    assert two_threads[name] == one_thread[name]


def search(path, executor=None, chunksize=None):
    "Return the evaluations of two searches, without times."
    optimizer = EAOptimizer(ParamsEvaluator(), 2, 6, max_nb_param=None, T_AVM=None)
    options = {"runs": 2, "seed": 1, "run_dir": path, "baseline": False, "progress": False}
    worker = Worker(
        ConfigSpace("digits"), optimizer, executor=executor, chunksize=chunksize, **options
    )
    worker.search()
    return [result.history for result in worker.results]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return search(tmp_path_factory.mktemp("alone") / "run")


@pytest.mark.parametrize("chunksize", [1, 4, 100])
@pytest.mark.parametrize("n", [1, 3])
def test_workers_and_chunks_change_no_search(tmp_path, alone, n, chunksize):
    with ThreadPoolExecutor(n) as pool:
        spread = search(tmp_path / "run", pool, chunksize)
    assert all(a.equals(b) for a, b in zip(alone, spread, strict=True))


def test_processes_change_no_search(tmp_path, alone):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        spread = search(tmp_path / "run", pool, 2)
    assert all(a.equals(b) for a, b in zip(alone, spread, strict=True))


# ---- memory layouts and batches -------------------------------------------------------------------------------------


def programmed_chip(**changes):
    "Return a network that is programmed with a seed."
    model = to_analog(draws.network(), create_rpu_config(**changes)).eval()
    with torch_seed(2):
        program(model)
        drift(model, DAY)
    return model


def run(model, *batches):
    "Return the outputs of batches, with one seed for all of them."
    with torch_seed(4), torch.no_grad():
        return torch.cat([model(batch) for batch in batches])


def in_another_layout(x):
    return (x.contiguous(memory_format=torch.channels_last),)


def in_two_batches(x):
    return x.split(40)


@pytest.mark.parametrize("change", [in_another_layout, in_two_batches])
def test_without_output_noise_layout_and_batches_change_no_output(change):
    model = programmed_chip(out_noise=0.0)
    assert torch.equal(run(model, *change(draws.images())), run(model, draws.images()))


@pytest.mark.parametrize("change", [in_another_layout, in_two_batches])
def test_with_output_noise_layout_and_batches_keep_the_distribution(change):
    model = programmed_chip()
    x = draws.images()
    exact = run(programmed_chip(out_noise=0.0), x)
    one = run(model, x)
    other = run(model, *change(x))
    assert not torch.equal(one, other)  # each element has another random number
    assert_same_distribution(one - exact, other - exact)


# ---- what is no seed ------------------------------------------------------------------------------------------------

DIGITS = ConfigSpace("digits")


def two_layers():
    flat = (torch.nn.Flatten(), torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    return torch.nn.Sequential(*flat)


def some_data():
    return torch.rand(300, 1, 2, 2), torch.arange(300) % 2


def some_labels():
    return load_label_set("digits").take(range(20))


SEEDED = {
    "train_digital": lambda s: train_digital(two_layers(), some_data(), seed=s),
    "train_hardware_aware": lambda s: train_hardware_aware(two_layers(), some_data(), seed=s),
    "measure_drift": lambda s: measure_drift(to_analog(two_layers()), some_data(), seed=s),
    "layer_sensitivity": lambda s: layer_sensitivity(to_analog(two_layers()), some_data(), seed=s),
    "calibrate": lambda s: calibrate_input_ranges(to_analog(two_layers()), some_data(), seed=s),
    "conductance_data": lambda s: conductance_data(torch.rand(3, 3), seed=s),
    "range_data": lambda s: range_data(to_analog(two_layers()), some_data()[0], seed=s),
    "search_placement": lambda s: search_placement(two_layers(), some_data(), seed=s),
    "PlacementMeasurer": lambda s: PlacementMeasurer(two_layers(), some_data(), seed=s),
    "measure_afresh": lambda s: measure_afresh(two_layers(), some_data(), Placement({}), seed=s),
    "fit": lambda s: XGBoostEvaluator().fit(some_labels(), DIGITS, seed=s),
    "compare_settings": lambda s: XGBoostEvaluator().compare_settings(
        some_labels(), {"a": {}}, DIGITS, seed=s
    ),
    "zero_cost_proxies": lambda s: zero_cost_proxies([[2] * 6], seed=s),
    "sample_arch": DIGITS.sample_arch,
    "sample_arch_uniformly": lambda s: DIGITS.sample_arch_uniformly(2, s),
    "sample_distinct": lambda s: sample_distinct(DIGITS, 2, s),
    "sample_evenly": lambda s: sample_evenly(DIGITS, 2, s, 2_000, 20_000),
    "Worker": lambda s: Worker(DIGITS, seed=s, evaluator=ParamsEvaluator()),
}


@pytest.mark.parametrize("name", SEEDED)
def test_what_is_no_seed_is_refused_by_its_value(name):
    for seed in (-1, "x", 0.5, 2**128):
        with pytest.raises(ConfigError, match="seed must be a whole number at least 0"):
            SEEDED[name](seed)
