"""`analognas bench scale` at its smallest size; the simulation against sums by hand."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analognas.bench import scale


@pytest.mark.slow
def test_bench_scale_prints_speedup_and_loses_nothing(bench_json, monkeypatch, short_protocol):
    small = partial(scale.bench_scale, evaluations=3, rounds=1, protocol=short_protocol)
    monkeypatch.setattr(scale, "bench_scale", small)
    result = bench_json("scale")
    assert result.keys() >= {"speedup_2_workers", "lost_evaluations"}
    assert result["speedup_2_workers"] > 0
    assert result["lost_evaluations"] == 0
    assert result["same_answers_after_kill"] == 1


def test_the_cluster_is_reached_from_this_machine_only():
    with scale.local_cluster(1) as client:
        info = client.scheduler_info()
        addresses = [client.scheduler.address, *info["workers"]]
        assert all(address.startswith("tcp://127.0.0.1:") for address in addresses)
        assert "127.0.0.1" in client.dashboard_link


DURATIONS = st.lists(st.integers(1, 50), min_size=1, max_size=12)


@given(DURATIONS, st.integers(1, 5))
def test_batch_seconds_lies_between_the_bounds_of_list_scheduling(durations, workers):
    "Graham (1969): at most (2 - 1/m) times the optimum, which the mean load and the longest bound."
    seconds = scale.batch_seconds(np.array(durations, float), workers)
    lowest = max(max(durations), sum(durations) / workers)
    assert lowest <= seconds <= sum(durations) / workers + max(durations)


@given(DURATIONS)
def test_batch_seconds_of_one_worker_is_the_sum(durations):
    assert scale.batch_seconds(np.array(durations, float), 1) == sum(durations)


@given(st.integers(1, 300), st.integers(1, 40))
def test_simulate_cluster_has_batches_for_all_evaluations(evaluations, batch):
    "With one worker and tasks of one second, the evaluations take as many seconds."
    result = scale.simulate_cluster([1.0], evaluations, 1, batch, sampled=1000)
    assert result["seconds"] == pytest.approx(evaluations)
    assert result["busy"] == pytest.approx(1)
