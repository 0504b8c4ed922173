"""The table evaluator against pandas."""

import numpy as np
import pandas as pd
import pytest

from analognas.core import ConfigError
from analognas.evaluators.base_evaluator import IgnoredHyperparameterWarning
from analognas.evaluators.table import TableEvaluator, nasbench201_labels
from analognas.search_spaces.config_space import ConfigSpace
from analognas.search_spaces.nasbench201 import NASBench201Space
from analognas.testing.evaluators import EvaluatorConformance
from analognas.training.labels import TARGETS, LabelSet, load_label_set, save_label_set


@pytest.fixture(scope="module")
def published():
    return nasbench201_labels()


class TestTableConforms(EvaluatorConformance):
    def make(self):
        return TableEvaluator(nasbench201_labels())

    def make_space(self):
        return NASBench201Space()


def test_every_published_row(published):
    answer = TableEvaluator(published).bind(NASBench201Space()).query_pop(published.configs)
    for t in TARGETS:
        assert np.array_equal(getattr(answer, t), published.table[t].to_numpy())
    assert answer.measured and not answer.extrapolated.any()


def test_rank_is_pandas_rank(published):
    evaluator = TableEvaluator(published).bind(NASBench201Space())
    for target in TARGETS:
        ranks = published.table[target].rank(ascending=False, method="min")
        for i in (0, 77, 15_624):
            assert evaluator.rank(published.configs[i], target) == ranks[i]
    with pytest.raises(ConfigError, match="acc_2d"):
        evaluator.rank(published.configs[0], "acc_2d")


def random_labels(space, n=40):
    rng = np.random.default_rng(0)
    configs = space.sample_arch_uniformly(n // 2, rng)
    table = pd.DataFrame(configs + configs[: n - n // 2]).assign(
        **{t: rng.random(n) for t in TARGETS}
    )
    return LabelSet("random", table, space.get_hyperparameters())


def test_repeated_measurements_are_averaged_whatever_their_idle_values_say():
    space = ConfigSpace("digits")
    labels = random_labels(space)
    labels.table.loc[labels.table.M == 1, "R4"] = 7  # says nothing: there is no group 4
    mean = (
        labels.table.assign(key=[space.key(c) for c in labels.configs])
        .groupby("key")[list(TARGETS)]
        .mean()
    )
    evaluator = TableEvaluator(labels).bind(space)
    for config in labels.configs:
        answer = evaluator.query(config)
        assert [answer.acc_1d, answer.avm, answer.std_1d] == pytest.approx(
            mean.loc[space.key(config)].tolist()
        )
    assert evaluator.query(
        labels.configs[0] | {"R5": 3} if labels.configs[0]["M"] < 5 else labels.configs[0]
    )


def test_what_was_not_measured_is_not_guessed():
    space = ConfigSpace("digits")
    evaluator = TableEvaluator(random_labels(space)).bind(space)
    other = space.sample_arch(99)
    with pytest.raises(ConfigError, match="2 of 3 architectures are not in label set 'random'"):
        evaluator.query_pop([other, random_labels(space).configs[0], other])


def test_another_space_is_refused(published):
    for space in (ConfigSpace("digits"), ConfigSpace("CIFAR-10")):
        with pytest.raises(ConfigError, match="'nasbench201' describes architectures by"):
            TableEvaluator(published).bind(space)
    with pytest.raises(ConfigError, match="does not learn"):
        TableEvaluator(published).fit(published)


@pytest.mark.parametrize(
    "space",
    [NASBench201Space("digits"), NASBench201Space("VWW"), NASBench201Space(channels=4)],
    ids=["digits", "VWW", "4 channels"],
)
@pytest.mark.filterwarnings("error")
def test_measurements_of_another_dataset_or_skeleton_are_no_measurements(published, space):
    """The published cells were measured on CIFAR-10 with 16 channels: an error, or a warning, but
    no silent 'measured'."""
    with pytest.raises((ConfigError, UserWarning)):
        TableEvaluator(published).bind(space)


def test_it_says_what_it_knows(published):
    stat = TableEvaluator(published).bind(NASBench201Space()).get_evaluator_stat()
    assert (stat["label_set"], stat["rows"], stat["measured"]) == ("nasbench201", 15_625, True)


def test_other_labels_of_the_same_name_and_number_are_another_table(published, tmp_path):
    some = published.take(range(20))
    said = TableEvaluator(some).get_evaluator_stat()["labels_sha256"]
    save_label_set(some, tmp_path)
    loaded = load_label_set("nasbench201", tmp_path)
    assert TableEvaluator(loaded).get_evaluator_stat()["labels_sha256"] == said
    swapped = some.take(range(20))
    swapped.table.loc[[0, 1], "acc_1d"] = some.table.loc[[1, 0], "acc_1d"].to_numpy()
    others = (swapped, published.take(range(1, 21)))
    assert said not in [TableEvaluator(o).get_evaluator_stat()["labels_sha256"] for o in others]


def test_choices_that_the_labels_lack_are_ignored_and_said_once(published):
    space = NASBench201Space()
    space.add_training_hyperparameter("hwa_lr", "continuous", 0.001, 0.1)
    evaluator = TableEvaluator(published)
    with pytest.warns(IgnoredHyperparameterWarning, match="never varied hwa_lr") as caught:
        evaluator.bind(space)
        evaluator.bind(space)
    assert len(caught) == 1
    configs = [config | {"hwa_lr": 0.01} for config in published.configs[:50]]
    assert np.array_equal(evaluator.query_pop(configs).acc_1d, published.table.acc_1d[:50])
    assert evaluator.get_evaluator_stat()["ignored"] == ["hwa_lr"]
    plain = evaluator.bind(NASBench201Space())
    assert "ignored" not in plain.get_evaluator_stat()
    space.add_hyperparameter("width", "discrete", 1, 2)
    with pytest.raises(ConfigError, match="describes architectures by"):
        evaluator.bind(space)


def test_measurements_are_the_row_of_the_table(published):
    evaluator = TableEvaluator(published).bind(NASBench201Space())
    row = published.table.iloc[77]
    found = evaluator.measurements(published.configs[77])
    assert found == row.drop(published.hyperparameters).to_dict()
    assert {"ptq_acc", "qat_acc", "noisy_acc", "analog_acc", "baseline_std_60"} <= set(found)


def test_rank_by_any_column(published):
    evaluator = TableEvaluator(published).bind(NASBench201Space())
    ranks = published.table["qat_acc"].rank(ascending=False, method="min")
    assert evaluator.rank(published.configs[77], "qat_acc") == ranks.iloc[77]
    with pytest.raises(ConfigError, match="'qat'.*qat_acc"):
        evaluator.rank(published.configs[77], "qat")


def test_a_placement_that_the_labels_lack_is_ignored_and_said(published):
    space = NASBench201Space()
    space.add_placement_hyperparameter("stem", "stem*")
    with pytest.warns(IgnoredHyperparameterWarning, match="never varied stem:"):
        evaluator = TableEvaluator(published).bind(space)
    configs = [config | {"stem": "int8"} for config in published.configs[:5]]
    assert np.array_equal(evaluator.query_pop(configs).acc_1d, published.table.acc_1d[:5])
