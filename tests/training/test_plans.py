"""Plans: each can be carried out, and what decides a label is plain data."""

import json
import math
from dataclasses import replace

import pytest
from quick_collection import PLAN, QUICK, N, small_space, some_digits

from analognas.core import ConfigError
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training import plans


@pytest.fixture(scope="module")
def data():
    return some_digits()


def facts_of(data):
    return plans.describe_measurements(small_space(), data, PLAN.protocol, PLAN.preset)


@pytest.mark.parametrize(
    "change, says",
    [
        *((dict(n=n), "n must be a whole number at least 1") for n in (0, -1, 1.5)),
        (
            dict(repeats=N + 1),
            f"repeats must be a whole number at least 0 and at most {N}; got {N + 1}",
        ),
        (dict(protocol=replace(QUICK, n_rep=1)), "n_rep must be at least 2; got 1"),
    ],
)
def test_a_bad_plan_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        replace(PLAN, **change)


def test_facts_are_plain_json(data):
    facts = json.loads(json.dumps(facts_of(data)))
    assert facts["protocol"]["t_inference"] == [1, 3600, 86400, 2592000]
    assert facts["protocol"]["validation"] == 0
    assert facts["n_train"] == 200
    assert facts["part"]["device"] == "cpu"
    assert set(facts["part"]["versions"]) == {"aihwkit", "torch", "numpy"}


@pytest.mark.parametrize("dataset, name", [(d, p) for d in plans.PLANS for p in plans.PLANS[d]])
def test_every_plan_can_be_carried_out(dataset, name):
    "Its sample exists, keeps its caps, and at most a quarter of any beginning are repeats."
    plan, space = plans.PLANS[dataset][name], ConfigSpace(dataset)
    tasks = plan.tasks(space)
    assert (
        len(set(tasks))
        == len(tasks)
        == plan.n + 2 * min(plan.repeats, math.ceil(plan.n / plans.BETWEEN_REPEATS))
    )
    known = space.stats([json.loads(key) for key, _ in tasks])
    assert known["params"].max() <= plan.max_params
    assert known["macs"].max() <= plan.max_macs
    for end in range(1, len(tasks) + 1):
        assert sum(seed != plan.seed for _, seed in tasks[:end]) <= end / 4
    if name != "quick":
        assert plan.protocol.n_rep >= 20
        assert plan.protocol.validation == 0.1


def test_the_plan_that_suits_the_device_is_taken():
    assert plans.find_plan("CIFAR-10")[0] == "cpu"
    assert plans.find_plan("CIFAR-10", None, "cuda")[0] == "full"
    assert plans.find_plan("digits", None, "cuda")[0] == "quick"
    with pytest.raises(ConfigError, match="Unknown plan for KWS 'ful'"):
        plans.find_plan("KWS", "ful")
