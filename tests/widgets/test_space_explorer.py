"""The panel of a search space: controls for any hyperparameter, numbers as their modules give them, and nothing left behind."""

import ast
import html
import re
import warnings

import numpy as np
import pytest
from ipywidgets import FloatLogSlider
from ipywidgets.widgets.widget import _instances as live_widgets

from analognas.cost.model import hardware_cost
from analognas.core import ConfigError, DatasetInfo
from analognas.evaluators.base_evaluator import Evaluator, ParamsEvaluator
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.hyperparameter import Hyperparameter
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.widgets.base import close_widgets
from analognas.widgets.space_explorer import (
    SpaceExplorer,
    add_in_words,
    explore_space,
    find_judge,
    knob,
    start_config,
)

WAIT = 60  # seconds until a test gives up


@pytest.fixture
def panel():
    "A panel over digits; afterwards not one widget more than before, and no thread."
    before = len(live_widgets)
    made = SpaceExplorer(ConfigSpace("digits"))
    assert made.wait(WAIT)
    yield made
    made.close()
    assert len(live_widgets) == before


def status(panel):
    return html.unescape(re.sub("<[^>]*>", "", panel._status.value))


def shown(panel):
    "Names of the hyperparameters whose controls are to be seen."
    return [n for n, control in panel._knobs.items() if control.layout.display != "none"]


def mlp(config, input_dim, classes):
    from torch import nn

    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(int(np.prod(input_dim)), config["width"]),
        nn.ReLU(),
        nn.Linear(config["width"], classes),
    )


def own_space():
    space = ConfigSpace(DatasetInfo("own", (1, 4, 4), 3), search_space="custom", network=mlp)
    space.add_hyperparameter_range("width", "discrete", [4, 8, 16])
    return space


def test_shows_what_the_plain_function_shows(panel):
    view = explore_space(ConfigSpace("digits"), panel.config)
    assert panel.view.alt == view.alt
    assert panel.view.table.equals(view.table)
    assert "answered in" in status(panel)


def test_numbers_are_those_of_their_modules():
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


@pytest.mark.parametrize(
    "hyp",
    (
        Hyperparameter("a", "discrete", min_value=1, max_value=9),
        Hyperparameter("b", "discrete", min_value=2, max_value=20, step=3),
        Hyperparameter("c", "discrete", min_value=1, max_value=1000, log=True),
        Hyperparameter("d", "discrete", range=(8, 12, 64)),
        Hyperparameter("e", "continuous", min_value=0.5, max_value=0.8, step=0.05),
        Hyperparameter("f", "continuous", min_value=-1, max_value=1),
        Hyperparameter("g", "continuous", min_value=1e-5, max_value=0.1, log=True),
        Hyperparameter("h", "categorical", range=("relu", "gelu", 3)),
        Hyperparameter("i", "continuous", range=(0.1, 0.5)),
    ),
    ids=str,
)
def test_any_hyperparameter_gets_a_control_that_keeps_its_value(hyp):
    before = len(live_widgets)
    space = own_space()
    space._add(hyp)
    panel = SpaceExplorer(space)
    for u in (0, 0.3, 0.7, 1 - 1e-12):
        wanted = {"width": 8, hyp.name: hyp.from_unit(u)}
        panel.config = wanted
        if isinstance(panel._knobs[hyp.name], FloatLogSlider):
            assert panel.config[hyp.name] == pytest.approx(wanted[hyp.name])
        else:
            assert panel.config == wanted
        space.validate(panel.config)
    assert panel._knobs[hyp.name].description == hyp.name and panel._knobs[hyp.name].tooltip
    panel.close()
    assert len(live_widgets) == before


def test_every_control_has_a_label_and_a_tooltip(panel):
    for control in (*panel.controls.values(), *panel._knobs.values(), *panel._form.values()):
        assert control.description and control.tooltip


def test_only_what_matters_is_shown(panel):
    for M in (1, 5, 2):
        panel._knobs["M"].value = M
        assert shown(panel) == [
            "out_channel0",
            "M",
            *(f"{h}{m}" for m in range(1, M + 1) for h in ("R", "convblock", "widenfact", "B")),
        ]
        assert panel.config == panel.space.canonical(panel.config)


def test_hidden_controls_keep_their_values(panel):
    panel._knobs["B2"].value = 4
    panel._knobs["M"].value = 1
    assert panel.config["B2"] == 0
    panel._knobs["M"].value = 2
    assert panel.config["B2"] == 4


def test_changing_space_and_dataset_leaves_no_controls_behind(panel):
    counts = []
    for _ in range(3):
        for kind in ("nasbench201", "resnet-like"):
            for dataset in ("KWS", "digits"):
                panel.controls["dataset"].value = dataset
                panel.controls["kind"].value = kind
        counts.append(len(live_widgets))
    assert len(set(counts)) == 1


def test_changing_the_dataset_keeps_the_architecture(panel):
    panel._knobs["R1"].value = 5
    before = panel.config
    panel.controls["dataset"].value = "CIFAR-10"
    assert panel.config == before and panel.space.info.input_dim == (3, 32, 32)
    assert panel.wait(WAIT) and "CIFAR-10" in panel.view.alt


def test_sampling_stays_within_what_the_evaluator_knows(panel):
    judge = find_judge(panel.space)
    for _ in range(5):
        panel.sample()
        panel.space.validate(panel.config)
        assert not judge.evaluator.query(panel.config).outside
    panel.controls["known"].value = False
    drawn = set()
    for _ in range(20):
        panel.sample()
        drawn.add(panel.space.key(panel.config))
    assert len(drawn) == 20


def test_the_same_seed_draws_the_same():
    def draws(seed):
        panel = SpaceExplorer(ConfigSpace("digits"), seed=seed)
        panel.sample()
        config = panel.config
        panel.close()
        return config

    assert draws(1) == draws(1) != draws(2)


def test_reset_goes_back_to_the_start(panel):
    start = panel.config
    panel.sample()
    panel._form["name"].value, panel._form["values"].value = "kernel", "3, 5"
    panel.add()
    assert "kernel" in panel.config
    panel.reset()
    assert panel.config == start


def test_a_hyperparameter_of_ones_own(panel):
    panel._form["name"].value, panel._form["type"].value, panel._form["values"].value = (
        "dropout",
        "continuous",
        "0 to 0.5 step 0.1",
    )
    panel.add()
    assert panel.wait(WAIT)
    assert (
        str(panel.space["dropout"]) == "dropout: continuous, 0 to 0.5 in steps of 0.1"
        and "dropout" in panel.config
    )
    assert (
        "The network stays as it is" in status(panel)
        and "No prediction" in status(panel)
        and "differs in dropout" in status(panel)
    )
    assert "tiles of 256×256" in panel.view.alt
    panel.add()  # once more: the name is taken
    assert "⚠" in status(panel) and "already has a hyperparameter 'dropout'" in status(panel)


def test_the_space_given_is_not_changed():
    space = own_space()
    panel = SpaceExplorer(space)
    panel._form["name"].value, panel._form["values"].value = "kernel", "3, 5"
    panel.add()
    assert (
        "kernel" in panel.space.get_hyperparameters()
        and "kernel" not in space.get_hyperparameters()
    )
    panel.close()


@pytest.mark.parametrize(
    "type, text, said",
    (
        ("discrete", "1 to 5", "x: discrete, 1 to 5 in steps of 1"),
        ("continuous", "-1.5 to 2e1", "x: continuous, -1.5 to 20.0"),
        ("continuous", "0.1 to 0.9 step 0.1", "x: continuous, 0.1 to 0.9 in steps of 0.1"),
        ("discrete", "8,4, 16", "x: discrete, one of 4, 8, 16"),
        ("categorical", "relu, gelu", "x: categorical, one of relu, gelu"),
        ("categorical", "relu", "x: categorical, one of relu"),
    ),
)
def test_values_in_words(type, text, said):
    space = ConfigSpace(search_space="custom")
    add_in_words(space, "x", type, text)
    assert str(space["x"]) == said


@pytest.mark.parametrize(
    "type, text, said",
    (
        ("discrete", "", "must read like"),
        ("discrete", ",", "must read like"),
        ("discrete", "5 to 1", "min_value 5 above max_value 1"),
        ("discrete", "0.5 to 3", "whole number"),
        ("continuous", "a, b", "finite number"),
        ("categorical", "1 to 3", "values listed"),
        ("discrete", "1 to 5 step 0", "above 0"),
        ("discrete", "3, 3", "none twice"),
    ),
)
def test_values_that_make_no_sense(type, text, said):
    with pytest.raises(ConfigError, match=said):
        add_in_words(ConfigSpace(search_space="custom"), "x", type, text)


def test_a_space_that_no_evaluator_knows_is_still_drawn():
    panel = SpaceExplorer(own_space())
    assert panel.wait(WAIT)
    assert "No prediction. No shipped evaluator knows the 'custom' family" in status(panel)
    assert "Network for own" in panel.view.alt and "predictions" in set(
        panel.view.table["of this network"]
    )
    panel.close()


def test_borrowed_predictions_are_called_that(panel):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # in words, not as a warning under some other cell
        panel.controls["dataset"].value = "VWW"
        assert panel.wait(WAIT)
    assert status(panel).startswith("Borrowed: the evaluator knows no labels of VWW.")
    assert "Borrowed" in panel.view.alt


def test_predictions_outside_the_fitted_range_are_called_that(panel):
    for name, value in (("out_channel0", 64), ("M", 5), ("R1", 16), ("B1", 5)):
        panel._knobs[name].value = value
    assert panel.wait(WAIT)
    assert (
        "Outside the fitted range: " in status(panel)
        and "The prediction is a guess." in panel.view.alt
    )
    trust = panel.view.table.set_index("of this network").loc["trust"]
    assert trust.value == "outside the fitted range"
    assert (
        f"params {panel.space.stats([panel.config])['params'][0] / 1e6:.1f} M (fitted on"
        in trust.remark
    )


def test_the_config_is_text_that_python_reads(panel):
    panel.sample()
    text = html.unescape(re.search("<pre[^>]*>(.*)</pre>", panel._text.value, re.S).group(1))
    assert ast.literal_eval(text) == panel.config


class Forgetful(Evaluator):
    "Knows some architectures only."

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        raise ConfigError("1 of 1 architectures are not in label set 'mine'.")


def test_other_evaluators():
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


def test_bad_input_is_named():
    space = ConfigSpace("digits")
    with pytest.raises(ConfigError, match="'M' is missing"):
        explore_space(space, {k: v for k, v in start_config(space).items() if k != "M"})
    with pytest.raises(ConfigError, match="Unknown chip"):
        explore_space(space, start_config(space), chip="potato")
    with pytest.raises(ConfigError, match="cannot build any"):
        SpaceExplorer(ConfigSpace(search_space="custom"))


@pytest.mark.parametrize("dataset", ("CIFAR-10", "KWS", "digits"))
def test_a_panel_starts_with_what_the_evaluator_knows(dataset):
    space = ConfigSpace(dataset)
    assert not XGBoostEvaluator().bind(space).query(start_config(space)).outside
    assert (
        not XGBoostEvaluator()
        .bind(NASBench201Space())
        .query(start_config(NASBench201Space()))
        .outside
    )


def test_a_knob_alone_can_be_closed():
    before = len(live_widgets)
    close_widgets(
        knob(Hyperparameter("lr", "continuous", min_value=1e-4, max_value=1, log=True), 1e-2)
    )
    assert len(live_widgets) == before
