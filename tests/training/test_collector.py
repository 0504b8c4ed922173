"""A collector: it estimates, measures, and stops when nobody waits for it."""

from dataclasses import replace

import pytest
from quick_collection import PLAN, QUICK, small_space, some_digits

from analognas.analog.hardware import create_rpu_config
from analognas.training import collector, plans
from analognas.training.label_store import LabelStore
from analognas.training.protocol import train_and_measure


@pytest.fixture(scope="module")
def data():
    return some_digits()


def facts_of(data):
    return plans.describe_measurements(small_space(), data, PLAN.protocol, PLAN.preset)


def test_the_estimate_is_of_the_order_of_the_truth(data):
    "Not a test of speed: both are taken here and now, and may differ several times over."
    space, how = small_space(), replace(QUICK, epochs=20, hwa_epochs=20)
    network = space.build_network({"hidden": 50})
    guess = collector.seconds_needed(network, data, create_rpu_config(), how)
    truth = train_and_measure(space, {"hidden": 50}, data, how, progress=False).seconds
    assert truth / 20 < guess < 20 * truth


def test_a_worker_whose_parent_is_gone_gives_its_task_back(tmp_path, data):
    store = LabelStore(tmp_path / "s.sqlite", facts_of(data))
    store.add([('{"hidden": 5}', 0)])
    orphan = collector.Collector(small_space(), data, store, create_rpu_config(), QUICK, parent=-1)
    with pytest.raises(KeyboardInterrupt):
        orphan.run()
    assert store.counts()["open"] == 1
    assert list((tmp_path / "s.sqlite.checkpoints").iterdir())  # its first epoch is kept
