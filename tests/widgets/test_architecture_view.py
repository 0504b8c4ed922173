"""The view of an architecture: numbers as their modules give them, and evaluators of every kind."""

import pytest

from analognas.core import ConfigError
from analognas.cost.model import hardware_cost
from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.widgets.architecture_view import explore_space
from analognas.widgets.space_explorer import start_config


def test_table_has_the_numbers_of_cost_model_and_evaluator():
    space, config = ConfigSpace("KWS"), start_config(ConfigSpace("KWS"))
    table = explore_space(space, config, chip="isaac").table.set_index("of this network")
    cost, evaluator = (
        hardware_cost(space, [config], "isaac").iloc[0],
        XGBoostEvaluator().bind(space),
    )
    assert (
        table.remark["parameters"]
        == f"{sum(p.numel() for p in space.build_network(config).parameters()):,}"
    )
    assert table.value["crossbar tiles"] == f"{cost.tiles:,.0f}"
    assert float(table.value["latency"].split()[0]) == pytest.approx(
        1000 * cost.latency, rel=1e-2
    )  # ms
    assert table.value["accuracy after 1 day"].split() == [
        f"{evaluator.query(config).acc_1d:.2f}",
        "%",
    ]
    low, high = (end[0, 0] for end in evaluator.interval([config]))
    assert (
        table.remark["accuracy after 1 day"]
        == f"90 % of measurements between {low:.2f} and {high:.2f}"
    )


class Forgetful(Evaluator):
    "Knows some architectures only."

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        raise ConfigError("1 of 1 architectures are not in label set 'mine'.")


def test_explore_space_with_other_evaluators():
    space, config = ConfigSpace("digits"), start_config(ConfigSpace("digits"))
    evaluator = ParamsEvaluator()
    view = explore_space(space, config, evaluator)
    assert "Predicted: ParamsEvaluator." in view.table.remark.tolist() and evaluator.space is None
    view = explore_space(space, config, Forgetful())
    assert "not in label set 'mine'" in view.alt and "tiles of 256×256" in view.alt
    other = XGBoostEvaluator(WEIGHTS / "digits").bind(space)
    assert (
        "No prediction"
        in explore_space(NASBench201Space(), start_config(NASBench201Space()), other).alt
    )
    assert other.space is space


def test_explore_space_names_bad_configs_and_chips():
    space = ConfigSpace("digits")
    with pytest.raises(ConfigError, match="'M' is missing"):
        explore_space(space, {k: v for k, v in start_config(space).items() if k != "M"})
    with pytest.raises(ConfigError, match="Unknown chip"):
        explore_space(space, start_config(space), chip="potato")
