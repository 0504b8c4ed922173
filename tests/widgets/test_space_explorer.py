"""The panel of a search space: controls for any hyperparameter, numbers as their modules give them, and nothing left behind."""

import ast
import html
import re
import warnings

import numpy as np
import pytest
from ipywidgets import FloatLogSlider
from ipywidgets.widgets.widget import _instances as live_widgets

from analognas.core import ConfigError, DatasetInfo
from analognas.evaluators.xgboost import WEIGHTS, XGBoostEvaluator
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.hyperparameter import Hyperparameter
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.widgets.architecture_view import explore_space
from analognas.widgets.evaluator_context import find_context
from analognas.widgets.space_explorer import SpaceExplorer, start_config

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
    "The line of status as a user reads it."
    return f"⚠ {panel.status}" if panel.status_is_error else panel.status


def shown(panel):
    "Names of the hyperparameters whose controls are to be seen."
    return [n for n, control in panel.hyperparameters.items() if control.layout.display != "none"]


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


def test_panel_shows_what_explore_space_shows(panel):
    view = explore_space(ConfigSpace("digits"), panel.config)
    assert panel.view.alt == view.alt
    assert panel.view.table.equals(view.table)
    assert "computed in" in status(panel)


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
def test_control_of_any_hyperparameter_keeps_its_value(hyp):
    before = len(live_widgets)
    space = own_space()
    space._add(hyp)
    panel = SpaceExplorer(space)
    for u in (0, 0.3, 0.7, 1 - 1e-12):
        wanted = {"width": 8, hyp.name: hyp.from_unit(u)}
        panel.config = wanted
        if isinstance(panel.hyperparameters[hyp.name], FloatLogSlider):
            assert panel.config[hyp.name] == pytest.approx(wanted[hyp.name])
        else:
            assert panel.config == wanted
        space.validate(panel.config)
    assert (
        panel.hyperparameters[hyp.name].description == hyp.name
        and panel.hyperparameters[hyp.name].tooltip
    )
    panel.close()
    assert len(live_widgets) == before


def test_every_control_has_a_label_and_a_tooltip(panel):
    for control in (
        *panel.controls.values(),
        *panel.hyperparameters.values(),
        *panel.form.values(),
    ):
        assert control.description and control.tooltip


def test_only_active_hyperparameters_are_shown(panel):
    for M in (1, 5, 2):
        panel.hyperparameters["M"].value = M
        assert shown(panel) == [
            "out_channel0",
            "M",
            *(f"{h}{m}" for m in range(1, M + 1) for h in ("R", "convblock", "widenfact", "B")),
        ]
        assert panel.config == panel.space.canonical(panel.config)


def test_hidden_controls_keep_their_values(panel):
    panel.hyperparameters["B2"].value = 4
    panel.hyperparameters["M"].value = 1
    assert panel.config["B2"] == 0
    panel.hyperparameters["M"].value = 2
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
    panel.hyperparameters["R1"].value = 5
    before = panel.config
    panel.controls["dataset"].value = "CIFAR-10"
    assert panel.config == before and panel.space.info.input_dim == (3, 32, 32)
    assert panel.wait(WAIT) and "CIFAR-10" in panel.view.alt


def test_sample_stays_within_the_fitted_range(panel):
    context = find_context(panel.space)
    for _ in range(5):
        panel.sample()
        panel.space.validate(panel.config)
        assert not context.evaluator.query(panel.config).extrapolated
    panel.controls["known"].value = False
    drawn = set()
    for _ in range(20):
        panel.sample()
        drawn.add(panel.space.key(panel.config))
    assert len(drawn) == 20


def test_same_seed_samples_the_same():
    def draws(seed):
        panel = SpaceExplorer(ConfigSpace("digits"), seed=seed)
        panel.sample()
        config = panel.config
        panel.close()
        return config

    assert draws(1) == draws(1) != draws(2)


def test_reset_shows_the_start(panel):
    start = panel.config
    panel.sample()
    panel.form["name"].value, panel.form["values"].value = "kernel", "3, 5"
    panel.add()
    assert "kernel" in panel.config
    panel.reset()
    assert panel.config == start


def test_add_a_hyperparameter(panel):
    panel.form["name"].value, panel.form["type"].value, panel.form["values"].value = (
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


def test_add_a_choice_of_the_training(panel):
    panel.reset()
    fields = {"name": "hwa_lr", "type": "continuous", "values": "0.01 to 0.1", "scope": "training"}
    for name, value in fields.items():
        panel.form[name].value = value
    panel.add()
    assert panel.wait(WAIT)
    assert panel.space.names_in("training") == ["hwa_lr"]
    assert "The network stays" not in status(panel)
    assert "labels never varied hwa_lr" in status(panel)
    panel.form["scope"].value = "architecture"
    panel.reset()
    assert panel.wait(WAIT)


def test_add_leaves_the_given_space_unchanged():
    space = own_space()
    panel = SpaceExplorer(space)
    panel.form["name"].value, panel.form["values"].value = "kernel", "3, 5"
    panel.add()
    assert (
        "kernel" in panel.space.get_hyperparameters()
        and "kernel" not in space.get_hyperparameters()
    )
    panel.close()


def test_space_without_an_evaluator_is_drawn():
    panel = SpaceExplorer(own_space())
    assert panel.wait(WAIT)
    assert "No prediction. No shipped evaluator was fitted on the 'custom' family" in status(panel)
    assert "Network for own" in panel.view.alt and "predictions" in set(
        panel.view.table["of this network"]
    )
    panel.close()


def test_predictions_from_labels_of_another_dataset_are_called_borrowed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # in words, not as a warning under some other cell
        panel = SpaceExplorer(ConfigSpace("VWW"), XGBoostEvaluator(WEIGHTS / "digits"))
        assert panel.wait(WAIT)
    assert status(panel).startswith("Borrowed: the evaluator was fitted without labels of VWW.")
    assert "Borrowed" in panel.view.alt
    panel.close()


def test_predictions_outside_the_fitted_range_are_called_a_guess(panel):
    for name, value in (("out_channel0", 64), ("M", 5), ("R1", 16), ("B1", 5)):
        panel.hyperparameters[name].value = value
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


def test_config_is_shown_as_text_that_python_reads(panel):
    panel.sample()
    text = html.unescape(re.search("<pre[^>]*>(.*)</pre>", panel.config_html, re.S).group(1))
    assert ast.literal_eval(text) == panel.config


def test_space_that_cannot_build_networks_is_an_error():
    with pytest.raises(ConfigError, match="cannot build any"):
        SpaceExplorer(ConfigSpace(search_space="custom"))


@pytest.mark.parametrize("dataset", ("CIFAR-10", "KWS", "digits"))
def test_start_config_is_within_the_fitted_range(dataset):
    space = ConfigSpace(dataset)
    assert not XGBoostEvaluator().bind(space).query(start_config(space)).extrapolated
    assert (
        not XGBoostEvaluator()
        .bind(NASBench201Space())
        .query(start_config(NASBench201Space()))
        .extrapolated
    )
