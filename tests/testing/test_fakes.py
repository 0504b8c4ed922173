"""The published fakes: they predict what they are told to, and record, wait and fail where they should."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from analognas.core import ConfigError
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.testing.evaluators import EvaluatorConformance
from analognas.testing.fakes import (
    FailingEvaluator,
    FunctionEvaluator,
    GatedEvaluator,
    RecordingEvaluator,
    formula_labels,
    read_log,
)

SPACE = ConfigSpace("digits")
CONFIGS = SPACE.sample_arch_uniformly(6, 0)


def by_depth(configs, space):
    "Return predictions that grow with the depth."
    depth = space.stats(configs)["depth"].astype(float)
    return np.stack([depth, depth / 10, depth / 100], axis=1)


class Suite(EvaluatorConformance):
    "The conformance suite on the space of digits."

    def make_space(self):
        return SPACE


class TestFunctionConforms(Suite):
    def make(self):
        return FunctionEvaluator(by_depth)


class TestRecordingConforms(Suite):
    def make(self):
        return RecordingEvaluator(ParamsEvaluator())


class TestGatedConforms(Suite):
    def make(self):
        return GatedEvaluator(ParamsEvaluator(), permits=1000)


class TestFailingConforms(Suite):
    def make(self):
        return FailingEvaluator(ParamsEvaluator(), RuntimeError(), call=1000)


def test_function_evaluator_finds_the_best_of_a_search():
    depths = []

    def recorded(configs, space):
        values = by_depth(configs, space)
        depths.extend(values[:, 0])
        return values

    result = RandomSearch(FunctionEvaluator(recorded), 30).run(SPACE, 0)
    assert len(depths) == 30
    assert result.best_acc == max(depths)


def test_function_evaluator_refuses_another_family():
    with pytest.raises(ConfigError, match="'resnet-like' only; got 'nasbench201'"):
        FunctionEvaluator(by_depth, family="resnet-like").bind(NASBench201Space())


def test_recording_evaluator_writes_process_and_key(tmp_path):
    log = tmp_path / "log"
    evaluator = RecordingEvaluator(ParamsEvaluator(), log).bind(SPACE)
    evaluator.query_pop(CONFIGS[:2])
    evaluator.query(CONFIGS[2])
    keys = [SPACE.key(config) for config in CONFIGS[:3]]
    assert evaluator.keys == keys
    assert read_log(log) == [(os.getpid(), key) for key in keys]


def test_gated_evaluator_lets_through_as_many_calls_as_it_has_permits():
    gate = GatedEvaluator(ParamsEvaluator(), permits=2).bind(SPACE)
    search = threading.Thread(target=lambda: [gate.query(config) for config in CONFIGS])
    search.start()
    gate.wait_until_blocked()
    assert gate.calls == 2
    gate.release(3)
    gate.wait_until_blocked()
    assert gate.calls == 5
    gate.release()
    search.join(60)
    assert gate.calls == 6


def test_failing_evaluator_fails_over_one_architecture():
    key = SPACE.key(CONFIGS[3])
    evaluator = FailingEvaluator(ParamsEvaluator(), ZeroDivisionError("odd"), key=key).bind(SPACE)
    evaluator.query_pop(CONFIGS[:3])
    with pytest.raises(ZeroDivisionError, match="odd"):
        evaluator.query_pop(CONFIGS)


def test_failing_evaluator_without_an_error_ends_the_process():
    code = """
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.testing.fakes import FailingEvaluator
space = ConfigSpace("digits")
evaluator = FailingEvaluator(ParamsEvaluator(), None, call=2).bind(space)
for config in space.sample_arch_uniformly(2, 0):
    print(evaluator.query(config).measured, flush=True)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 9
    assert run.stdout == "False\n"


@pytest.mark.parametrize("seed", [0, 1])
def test_formula_labels_follow_the_formula(seed):
    labels = formula_labels(SPACE, 20, seed)
    stats = SPACE.stats(labels.configs)
    assert np.allclose(labels.table.std_1d, 1 / np.log10(stats["params"]))
    assert np.allclose(
        labels.table.avm, 2 * np.log10(stats["depth"]) - np.log10(stats["params"]) / 5
    )
