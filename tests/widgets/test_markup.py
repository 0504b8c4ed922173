"""A name that is markup is shown as text: in every panel, in what it shows without a kernel, and in every table of a notebook."""

from dataclasses import replace
from html.parser import HTMLParser

import ipywidgets as W
import pandas as pd
import pytest
import torch
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.report import conversion_report
from analognas.core import DatasetInfo, DriftRecord
from analognas.cost import model_cost
from analognas.cost.model import CHIPS
from analognas.evaluators.base_evaluator import Evaluator
from analognas.search_algorithms.pareto import pareto_front
from analognas.search_algorithms.random_search import RandomSearch
from analognas.search_spaces.config_space import ConfigSpace
from analognas.widgets.compare import Compare
from analognas.widgets.drift_explorer import DriftExplorer
from analognas.widgets.mapping_explorer import MappingExplorer
from analognas.widgets.search_dashboard import SearchDashboard
from analognas.widgets.space_explorer import SpaceExplorer

MARKUP = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
WAIT = 120  # seconds, until a test has failed


class Tags(HTMLParser):
    "Collects scripts, and attributes that run something."

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        ours = [name for name, value in attrs if name.startswith("on") and "alert" in (value or "")]
        if tag in ("script", "iframe") or ours:
            self.found.append((tag, attrs))


def runs_nothing(html):
    "Return whether markup that somebody smuggled into it would be shown as text."
    tags = Tags()
    tags.feed(html)
    return tags.found == []


def html_of(widget):
    "Yield the HTML of a widget and all within it; labels are text, unless a widget says otherwise."
    if isinstance(widget, (W.HTML, W.HTMLMath)):
        yield widget.value
    assert not getattr(widget, "description_allow_html", False)
    for child in getattr(widget, "children", ()):
        yield from html_of(child)


def check(panel):
    "Assert that a panel runs nothing, with a kernel or without."
    try:
        panel.refresh()
        assert panel.wait(WAIT) and panel.view is not None, panel.status
        pages = [*html_of(panel.widget), panel.view._repr_html_()]
        assert all(map(runs_nothing, pages))
        assert any("script" in page for page in pages)  # the name is shown
    finally:
        panel.close()


class Sized(Evaluator):
    "Predicts from one hyperparameter."

    def _check_space(self, space):
        pass

    def _predict(self, configs):
        first = [len(str(config)) / 20 for config in configs]
        return pd.DataFrame({"acc_1d": first, "avm": first, "std_1d": first}).to_numpy(), [
            False
        ] * len(first)


@pytest.fixture
def space():
    "A space whose dataset, hyperparameters and categories are called so."
    info = DatasetInfo(MARKUP, (1, 4, 4), 3)

    space = ConfigSpace(
        info, "custom", lambda config, dim, n: nn.Sequential(nn.Flatten(), nn.Linear(16, n))
    )
    space.add_hyperparameter_range("width", "discrete", [8, 16])
    space.add_hyperparameter_range(f"kind {MARKUP}", "categorical", [MARKUP, "plain"])
    return space


def test_a_space(space):
    assert runs_nothing(space._repr_html_()) and "script" in space._repr_html_()


def test_a_front(space):
    result = RandomSearch(Sized(), 3).run(space, 0)
    front = pareto_front(result, space, ("acc_1d", "avm"))
    assert runs_nothing(front._repr_html_())


def test_costs_and_conversion():
    net = nn.Sequential()
    name = MARKUP.replace(".", "")
    net.add_module(name, nn.Linear(4, 4))
    digital = replace(CHIPS["hermes"].digital, source=MARKUP)
    costs = model_cost(net, torch.ones(2, 4), replace(CHIPS["hermes"], digital=digital))
    report = conversion_report(to_analog(net, create_rpu_config()))
    for shown in (costs._repr_html_(), report._repr_html_()):
        assert runs_nothing(shown) and "script" in shown


def test_the_space_explorer(space):
    check(SpaceExplorer(space, Sized()))


def test_the_search_panel(space, tmp_path):
    panel = SearchDashboard(space, Sized(), tmp_path / MARKUP.replace("/", ""))
    panel.controls["path"].value = str(tmp_path / MARKUP.replace("/", ""))
    try:
        assert panel.wait(WAIT)
        assert all(map(runs_nothing, html_of(panel.widget)))
    finally:
        panel.close()


def test_the_comparison():
    record = DriftRecord((1.0, 3600.0, 86_400.0, 2_592_000.0), [[90.0, 89.0, 88.0, 80.0]] * 2)
    check(Compare({MARKUP: record}))


def test_the_drift_explorer(hardened):
    check(DriftExplorer(replace(hardened, name=MARKUP), n_rep=2))


def test_the_mapping_explorer(hardened):
    panel = MappingExplorer(replace(hardened, name=MARKUP), n_rep=2)
    try:
        panel.refresh()
        assert panel.wait(WAIT) and panel.view is not None, panel.status
        assert all(map(runs_nothing, [*html_of(panel.widget), panel.view._repr_html_()]))
    finally:
        panel.close()
