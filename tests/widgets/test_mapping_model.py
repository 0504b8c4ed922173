"""What a panel shows of a mapping is what converting, programming and measuring it afresh gives."""

import numpy as np
import pytest

from analognas.core import DAY, InfeasibleError, Placement
from analognas.cost import model_cost
from analognas.search_algorithms.placement_measure import measure_afresh
from analognas.widgets.mapping_model import (
    ALL_ANALOG,
    ALL_INT8,
    FIRST_EXAMPLES,
    MAPPING_TIMES,
    THIS,
    MappingModel,
    MappingSearch,
    SearchStopped,
)

WAIT = 120  # seconds, until a test has failed


@pytest.fixture(scope="module")
def model(hardened):
    return MappingModel(hardened, n_rep=2)


def mixed(model):
    "The first layer in floating point, the last in int8, the others analog."
    return ("float", *model.uniform("analog")[1:-1], "int8")


def test_the_last_estimate_is_a_measurement_from_scratch(model, hardened):
    kinds = mixed(model)
    *_, last = model.estimates(kinds)
    for name, each in ((THIS, kinds), (ALL_ANALOG, model.uniform("analog"))):
        afresh = measure_afresh(
            hardened.model,
            hardened.data,
            Placement(dict(zip(model.names, each, strict=True))),
            times=MAPPING_TIMES,
            n_rep=2,
            batch_size=model.measurer.examples.batch_size,
        )
        assert np.array_equal(last.records[name].acc, afresh.acc)


def test_estimates_grow_from_one_chip_to_all(hardened):
    model = MappingModel(hardened, n_rep=2)
    sizes = [(e.n_chips, e.sensitivity is None) for e in model.estimates(mixed(model))]
    assert sizes == [(1, True), (2, True), (2, False)]
    first = next(MappingModel(hardened, n_rep=2).estimates(mixed(model)))
    assert FIRST_EXAMPLES <= first.n_examples <= first.n_test == len(hardened.data[1])
    again = list(model.estimates(mixed(model)))
    assert [e.n_chips for e in again] == [2]  # nothing is left to measure


def test_a_newer_mapping_ends_the_one_under_way(hardened):
    model = MappingModel(hardened, n_rep=2)
    assert len(list(model.estimates(mixed(model), lambda: True))) == 1


def test_digital_layers_take_no_noise(model):
    [*_, last] = model.estimates(model.uniform("int8"))
    assert np.ptp(last.records[ALL_INT8].acc) == 0
    assert last.analog_share == {THIS: 0, ALL_ANALOG: pytest.approx(1), ALL_INT8: 0}


def test_sensitivity_is_what_a_layer_gains_alone(model, hardened):
    model.measure_sensitivity()
    estimate = model.estimate(model.uniform("analog"), 2, None)
    name = model.names[-1]
    accs = []
    for placement in (Placement({name: "int8"}), Placement()):
        [record] = model.measurer.measure([placement], times=[DAY])
        accs.append(record.mean[0])
    assert estimate.sensitivity[name] == pytest.approx(accs[0] - accs[1])


def test_costs_are_those_of_model_cost(model, hardened):
    kinds = mixed(model)
    placement = Placement(dict(zip(model.names, kinds, strict=True)))
    expected = model_cost(hardened.model, hardened.data[0][:1], "hermes", placement=placement)
    assert model.cost(kinds).system.equals(expected.system)


def test_a_search_finds_no_worse_than_both_ends(model):
    ended = []
    search = MappingSearch(model, lambda: ended.append(1), n_full=4)
    search.join(WAIT)
    assert search.error is None and ended == [1] and search.n_measured > 0
    shares = [point.values["analog_share"] for point in search.result.points]
    assert max(shares) <= 1 + 1e-9
    accs = [point.values["acc_1d"] for point in search.result.points]
    assert accs == sorted(accs, reverse=True) and shares == sorted(shares)


def test_a_search_that_is_stopped_says_so(model):
    search = MappingSearch(model, lambda: None)
    search.stop()
    search.join(WAIT)
    assert search.result is None and isinstance(search.error, SearchStopped)


def test_the_reason_of_a_failed_search_is_kept(model):
    search = MappingSearch(model, lambda: None, limits={"acc_1d": 100.0}, n_full=2)
    search.join(WAIT)
    assert isinstance(search.error, InfeasibleError)
