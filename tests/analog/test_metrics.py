"""Metrics against scikit-learn's and closed forms, whatever the batches; and what they refuse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import nn

from analognas.analog.metrics import METRICS, AccuracyByExample, Metric, as_metric
from analognas.core import ConfigError

IGNORED = -100  # torch.nn.CrossEntropyLoss's ignore_index unless it is told otherwise
SEEDS = st.integers(0, 2**31)
SIZES = st.integers(1, 40)


def measured(metric, outputs, targets, size=7):
    "A metric of outputs and targets in batches of a size."
    metric = as_metric(metric)
    metric.reset()
    for some, wanted in zip(outputs.split(size), targets.split(size)):
        metric.update(some, wanted)
    return metric.compute()


def examples(seed, n, classes, *more):
    "Outputs (n, classes, ...) and class indices (n, ...)."
    rng = torch.Generator().manual_seed(seed)
    outputs = torch.randn(n, classes, *more, generator=rng)
    return outputs, torch.randint(classes, (n, *more), generator=rng)


# ---- against scikit-learn ------------------------------------------------------------------------


@given(SEEDS, SIZES, SIZES)
def test_accuracy_is_scikit_learns(seed, n, size):
    outputs, targets = examples(seed, n, 4)
    expected = 100 * sk.accuracy_score(targets, outputs.argmax(1))
    assert measured("accuracy", outputs, targets, size) == pytest.approx(expected)


@given(SEEDS, SIZES, SIZES, st.integers(1, 6))
def test_top_k_is_scikit_learns(seed, n, size, k):
    outputs, targets = examples(seed, n, 7)
    expected = sk.top_k_accuracy_score(targets, outputs, k=k, labels=range(7))
    assert measured(("topk", k), outputs, targets, size) == pytest.approx(100 * expected)


@given(SEEDS, st.integers(2, 40), SIZES, st.integers(0, 3), st.sampled_from([0.0, 1e4, -1e6]))
def test_errors_are_scikit_learns_at_any_offset(seed, n, size, columns, offset):
    rng = torch.Generator().manual_seed(seed)
    shape = (n, columns) if columns else (n,)
    targets = offset + torch.randn(shape, generator=rng, dtype=torch.float64)
    outputs = targets + torch.randn(shape, generator=rng, dtype=torch.float64)
    mae = sk.mean_absolute_error(targets, outputs)
    mse = sk.mean_squared_error(targets, outputs)
    assert measured("mae", outputs, targets, size) == pytest.approx(mae)
    assert measured("rmse", outputs, targets, size) == pytest.approx(math.sqrt(mse))
    r2 = sk.r2_score(targets, outputs)
    assert measured("r2", outputs, targets, size) == pytest.approx(r2, rel=1e-6, abs=1e-6)


@given(SEEDS, st.integers(1, 9), SIZES)
def test_intersection_over_union_is_scikit_learns_jaccard(seed, n, size):
    outputs, targets = examples(seed, n, 5, 3, 2)
    predicted = outputs.argmax(1).flatten()
    expected = sk.jaccard_score(targets.flatten(), predicted, average="macro")
    assert measured("miou", outputs, targets, size) == pytest.approx(100 * expected)


@given(SEEDS, SIZES, SIZES)
def test_perplexity_is_that_of_scikit_learns_log_loss(seed, n, size):
    outputs, targets = examples(seed, n, 6)
    p = outputs.double().softmax(1)
    expected = math.exp(sk.log_loss(targets, p, labels=range(6)))
    assert measured("perplexity", outputs, targets, size) == pytest.approx(expected, rel=1e-5)


# ---- closed forms and edges ----------------------------------------------------------------------


def test_perplexity_of_sequences_leaves_the_ignored_out():
    outputs, tokens = examples(0, 4, 9, 5)
    outputs = outputs.transpose(1, 2)  # (N, places, vocabulary)
    padded = tokens.clone()
    padded[:, 3:] = IGNORED
    expected = nn.functional.cross_entropy(outputs[:, :3].reshape(-1, 9), tokens[:, :3].flatten())
    assert measured("perplexity", outputs, padded, 3) == pytest.approx(float(expected.exp()))


def test_pixels_of_borders_are_left_out_and_absent_classes_too():
    outputs = torch.zeros(1, 21, 1, 4)
    outputs[0, 3, 0, :] = 1.0
    targets = torch.tensor([[[3, 3, 255, IGNORED]]])
    assert measured("miou", outputs, targets) == 100.0


@given(SEEDS, st.integers(1, 8))
def test_of_equal_outputs_the_lower_index_is_larger(seed, k):
    "Coarse outputs have many ties, as those of an analog-to-digital converter."
    outputs, targets = examples(seed, 30, 9)
    outputs = outputs.round()
    order = np.argsort(-outputs.numpy(), axis=1, kind="stable")[:, :k]
    expected = 100 * np.mean([t in row for t, row in zip(targets.tolist(), order.tolist())])
    assert measured(("topk", k), outputs, targets) == pytest.approx(expected)


def test_a_dead_network_is_no_better_than_chance_in_its_top_5():
    targets = torch.arange(100).repeat(3)
    assert measured("top5", torch.zeros(300, 100), targets) == pytest.approx(5.0)


@pytest.mark.parametrize("metric", ["accuracy", ("topk", 2)])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_example_whose_largest_output_is_not_finite_is_wrong(metric, bad):
    outputs = torch.eye(3)
    outputs[0, 0] = bad  # argmax takes it, and 0 is the label
    assert measured(metric, outputs, torch.arange(3)) == pytest.approx(200 / 3)


@given(st.integers(0, 2**32 - 1))
def test_examples_that_are_right_are_remembered_in_their_order(seed):
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(30, 4, generator=generator)
    outputs[outputs > 1.5] = math.inf
    targets = torch.randint(4, (30,), generator=generator)
    metric = AccuracyByExample()
    for _ in range(2):  # the second time what was before is forgotten
        metric.reset()
        for batch in torch.arange(30).split(7):
            metric.update(outputs[batch], targets[batch])
    rows = zip(outputs.tolist(), targets.tolist(), strict=True)
    expected = [max(row) < math.inf and row.index(max(row)) == wanted for row, wanted in rows]
    assert metric.right.tolist() == expected
    assert metric.compute() == pytest.approx(100 * sum(expected) / 30)


def test_minus_infinity_rules_a_class_out():
    outputs = torch.tensor([[0.0, -math.inf], [-math.inf, 1.0]])
    assert measured("accuracy", outputs, torch.tensor([0, 1])) == 100.0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_class_indices_of_any_whole_type(dtype):
    assert measured("accuracy", torch.eye(3), torch.arange(3).to(dtype)) == 100.0
    assert measured(("topk", 2), torch.eye(3), torch.arange(3).to(dtype)) == 100.0


# ---- functions and objects of the user -----------------------------------------------------------


@settings(max_examples=30)
@given(SEEDS, SIZES, SIZES)
def test_a_mean_over_a_batch_is_combined_exactly(seed, n, size):
    rng = torch.Generator().manual_seed(seed)
    outputs, targets = torch.rand(2, n, generator=rng)

    def distance(outputs, targets):
        return (outputs - targets).abs().mean()

    expected = float(np.abs((outputs - targets).numpy()).mean())
    assert measured(distance, outputs, targets, size) == pytest.approx(expected, rel=1e-5)


def test_sums_are_finished_by_the_users_function():
    largest = Metric(
        lambda outputs, targets: (outputs.sum(), targets.sum()),
        "share",
        "dB",
        finish=lambda a, b: 10 * (a / b).log10(),
    )
    assert measured(largest, torch.full((9,), 100.0), torch.ones(9), 2) == pytest.approx(20)


class Foreign:
    "A metric of the form that torchmetrics has."

    higher_is_better = False

    def reset(self):
        self.seen = 0

    def update(self, outputs, targets):
        self.seen += len(outputs)

    def compute(self):
        return torch.tensor(self.seen)


def test_an_object_with_update_compute_and_reset_is_a_metric():
    metric = Foreign()
    assert as_metric(metric) is metric
    assert measured(metric, torch.zeros(9, 2), torch.zeros(9)) == 9


def test_an_object_that_does_not_say_what_is_better_is_refused():
    metric = Foreign()
    metric.higher_is_better = None
    with pytest.raises(ConfigError, match="Foreign does not say whether more is better"):
        as_metric(metric)


# ---- refused -------------------------------------------------------------------------------------

INDEX = torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize(
    "metric, outputs, targets, says",
    [
        ("accuracy", torch.zeros(4, 3, 8, 8), torch.zeros(4, 8, 8).long(), "pixel: 'miou'"),
        ("accuracy", torch.zeros(4, 5, 9), torch.zeros(4, 5).long(), "place: 'perplexity'"),
        ("accuracy", torch.zeros(4, 3), torch.zeros(4), "numbers: 'rmse', 'mae' or 'r2'"),
        ("accuracy", torch.zeros(4, 3), torch.zeros(4, 1).long(), r"targets \(4, 1\)"),
        ("accuracy", torch.zeros(4, 3), torch.zeros(4, 3).long(), r"class indices \(N,\)"),
        ("accuracy", torch.zeros(4, 3, 1, 1), INDEX, r"outputs \(4, 3, 1, 1\)"),
        ("accuracy", torch.zeros(4), INDEX, r"outputs \(4,\)"),
        ("accuracy", torch.zeros(4, 3), INDEX + 3, "4 targets are not among"),
        ("accuracy", torch.zeros(4, 3), INDEX - 1, "4 targets are not among"),
        ("top5", torch.zeros(4, 5), INDEX, "top5 of 5 classes is always 100 %"),
        ("rmse", torch.zeros(4, 3), torch.zeros(4), "one shape"),
        ("rmse", torch.zeros(4), torch.zeros(4, 1), "one shape"),
        ("r2", torch.zeros(4), torch.ones(4), "all equal"),
        ("r2", torch.zeros(4, 2), torch.tensor([[1.0, 2], [1, 3], [1, 4], [1, 5]]), "all equal"),
        ("mae", torch.zeros(4, 3), INDEX, "'accuracy'"),
        ("miou", torch.zeros(4, 3), INDEX, "class indices"),
        ("miou", torch.zeros(4, 3, 2, 2), torch.zeros(4, 2, 2), "float32 targets"),
        ("miou", torch.zeros(4, 1, 2, 2), torch.zeros(4, 2, 2).long(), "two classes"),
        ("miou", torch.zeros(4, 3, 2), torch.full((4, 2), 3), "8 targets are not among"),
        ("miou", torch.zeros(4, 3, 2), torch.full((4, 2), IGNORED), "all targets are ignored"),
        ("perplexity", torch.zeros(4, 9, 5), torch.zeros(4, 5).long(), "vocabulary"),
        ("perplexity", torch.zeros(4, 5, 9), torch.full((4, 5), 9), "20 targets are not among"),
        ("perplexity", torch.zeros(4, 9), INDEX + IGNORED, "all targets are ignored"),
    ],
)
def test_targets_of_another_kind_are_refused_and_the_right_metric_is_named(
    metric, outputs, targets, says
):
    with pytest.raises(ConfigError, match=says):
        measured(metric, outputs, targets)


@pytest.mark.parametrize(
    "metric", ["acuracy", 3, None, ("topk", 0), ("topk", 1.5), ("top", 3), dict]
)
def test_what_is_no_metric_is_refused(metric):
    with pytest.raises(ConfigError):
        as_metric(metric)


@pytest.mark.parametrize("name", METRICS)
def test_of_no_batch_nothing_is_defined(name):
    with pytest.raises(ConfigError, match="of no batch is not defined"):
        as_metric(name).compute()


@pytest.mark.parametrize(
    "name, higher, unit",
    [
        ("accuracy", True, "%"),
        ("top5", True, "%"),
        ("mae", False, ""),
        ("rmse", False, ""),
        ("r2", True, ""),
        ("miou", True, "%"),
        ("perplexity", False, ""),
    ],
)
def test_names_units_and_directions(name, higher, unit):
    metric = as_metric(name)
    assert (metric.name, metric.higher_is_better, metric.unit) == (name, higher, unit)
