"""Programming and drift against a loop of aihwkit calls, and what must be left alone."""

import copy

import numpy as np
import pytest
import torch
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.optim.context import AnalogContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogConv2d, AnalogLinear
from analognas.analog.measure import accuracy, eval_mode, evaluate, measure_drift, stream_drift
from analognas.analog.metrics import Metric
from analognas.analog.noise import torch_seed
from analognas.analog.programming import program
from analognas.core import ConfigError, spawn_seeds

TIMES = (1.0, 3600.0, 86400.0, 2592000.0)


@pytest.fixture(scope="module")
def task():
    """A digital network, inputs within the range of 3 that untrained tiles start with, and its own
    answers as labels."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5)
    ).eval()
    x = torch.randn(120, 1, 6, 6, generator=torch.Generator().manual_seed(1)).clamp(-2, 2)
    with torch.no_grad():
        return net, x, net(x).argmax(1)


def states(model):
    "Every tensor of a model, also those that aihwkit keeps inside its tiles."
    found = {
        n: v
        for n, v in (*model.named_parameters(), *model.named_buffers())
        if not isinstance(v, AnalogContext)
    }
    if hasattr(model, "analog_tiles"):
        found |= {f"tile{i}": t.tile.get_weights() for i, t in enumerate(model.analog_tiles())}
    return {n: v.detach().clone() for n, v in found.items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def hits(outputs, y):
    return (outputs.argmax(dim=-1) == y).sum().item() / len(y) * 100


def by_hand(model, x, y, times, n_rep, seed, batch_size, score=hits):
    "The definition: program, let drift, count the hits or score the outputs."
    rows = []
    for s in spawn_seeds(seed, n_rep):
        chip = copy.deepcopy(model).eval()
        torch.manual_seed(s)
        chip.program_analog_weights()
        row = []
        for k, t in enumerate(times):
            if k:
                torch.manual_seed(int(torch.randint(2**31, ())))
            chip.drift_analog_weights(t)
            with torch.no_grad():
                outputs = torch.cat([chip(part) for part in x.split(batch_size)])
            row.append(score(outputs, y))
        rows.append(row)
    return rows


@pytest.mark.parametrize("batch_size", [50, 256])
def test_measure_drift_is_a_loop_of_aihwkit_calls(task, batch_size):
    net, x, y = task
    model = convert_to_analog(copy.deepcopy(net), create_rpu_config())
    record = measure_drift(model, (x, y), n_rep=3, seed=5, batch_size=batch_size, progress=False)
    state = torch.random.get_rng_state()
    assert np.allclose(record.acc, by_hand(model, x, y, TIMES, 3, 5, batch_size), rtol=0, atol=1e-9)
    torch.random.set_rng_state(state)
    assert record.t_inference == TIMES and len(np.unique(record.acc)) > 1


def test_nothing_is_disturbed(task):
    net, x, y = task
    model = to_analog(net)
    model.train()
    before, weights, inputs, rng = (
        states(model),
        states(net),
        x.clone(),
        torch.random.get_rng_state(),
    )
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 - that no one touches it is the test
    measure_drift(model, (x, y), n_rep=2, progress=False)
    assert same(states(model), before) and same(states(net), weights) and torch.equal(x, inputs)
    assert torch.equal(torch.random.get_rng_state(), rng) and model.training
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_what_the_user_draws_before_does_not_matter(task):
    net, x, y = task
    model, found = to_analog(net), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(measure_drift(model, (x, y), n_rep=2, seed=7, progress=False).acc)
    assert np.array_equal(*found)
    assert not np.array_equal(
        found[0], measure_drift(model, (x, y), n_rep=2, seed=8, progress=False).acc
    )


def test_an_ideal_chip_is_the_digital_network(task):
    net, x, y = task
    wrong = (y + 1) % 5
    labels = torch.where(torch.arange(len(y)) % 3 == 0, wrong, y)  # two thirds right
    ideal = create_rpu_config(
        prog_noise_scale=0, read_noise_scale=0, drift_scale=0, out_noise=0, dac_bits=20, adc_bits=20
    )
    record = measure_drift(to_analog(net, ideal), (x, labels), n_rep=2, progress=False)
    assert np.allclose(record.acc, 100 * 2 / 3) and accuracy(net, x, labels) == record.acc[0, 0]


def test_drift_without_compensation_costs_more(task):
    net, x, y = task
    quiet = dict(prog_noise_scale=0, read_noise_scale=0, out_noise=0)
    with_, without = (
        measure_drift(
            to_analog(net, create_rpu_config(drift_compensation=c, **quiet)),
            (x, y),
            n_rep=4,
            progress=False,
        ).mean
        for c in (True, False)
    )
    assert with_[-1] > without[-1]


def test_to_analog_keeps_the_original_and_the_rest(task):
    net, x, _ = task
    before = states(net)
    analog = to_analog(net).eval()
    assert [type(m) for m in net] == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.Flatten, nn.Linear]
    assert [type(m) for m in analog] == [
        AnalogConv2d,
        nn.ReLU,
        nn.BatchNorm2d,
        nn.Flatten,
        AnalogLinear,
    ]
    program(analog)
    assert same(states(net), before)
    assert torch.equal(analog[4].weight, net[4].weight) and torch.equal(analog[4].bias, net[4].bias)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(n_rep=0), "n_rep"),
        (dict(n_rep=1.5), "n_rep"),
        (dict(batch_size=1.5), "batch_size must be a whole number"),
        (dict(stop_width=-0.5), "stop_width must be .* at least 0"),
        (dict(times=(10.0, 1.0)), "ascend"),
        (dict(times=()), "time"),
        (dict(times=(1.0, float("nan"))), "time"),
    ],
)
def test_bad_arguments_are_refused(task, arguments, says):
    net, x, y = task
    with pytest.raises(ConfigError, match=f"(?i){says}"):
        measure_drift(to_analog(net), (x[:2], y[:2]), progress=False, **{"n_rep": 1} | arguments)


def test_a_stream_does_not_mind_what_happens_between_its_readings(task):
    net, x, y = task
    model = to_analog(net)
    record = measure_drift(model, (x, y), n_rep=2, seed=3, progress=False)
    for i, t, acc in stream_drift(model, (x, y), n_rep=2, seed=3):
        assert acc == record.acc[i, TIMES.index(t)]
        torch.rand(7)


def test_a_loader_is_read_once_and_means_the_same(task):
    net, x, y = task

    class Loader:
        reads = 0

        def __iter__(self):
            self.reads += 1
            return iter(zip(x.split(32), y.split(32), strict=True))

    loader, model = Loader(), to_analog(net)
    assert measure_drift(model, loader, n_rep=3, progress=False) == measure_drift(
        model, (x, y), n_rep=3, progress=False
    )
    assert loader.reads == 1
    with pytest.raises(ConfigError, match="no batch"):
        measure_drift(model, [], n_rep=1)


def test_both_engines_measure_the_same_network_alike(task):
    "Means of 60 chips of each agree within four standard errors at every time."
    net, x, y = task
    ours = measure_drift(to_analog(net), (x, y), n_rep=60, seed=1, progress=False)
    theirs = measure_drift(
        convert_to_analog(copy.deepcopy(net), create_rpu_config()),
        (x, y),
        n_rep=60,
        seed=2,
        progress=False,
    )
    error = np.sqrt((ours.std**2 + theirs.std**2) / 60)
    assert (np.abs(ours.mean - theirs.mean) < 4 * error).all()
    assert (np.abs(np.log(ours.std / theirs.std)) < 0.5).all()


@pytest.mark.parametrize("width", [0.0, 100.0])
def test_stopping_early_keeps_the_repeats_that_were_made(task, width):
    net, x, y = task
    model = to_analog(net)
    record = measure_drift(model, (x, y), n_rep=8, stop_width=width, progress=False)
    assert len(record.acc) == (5 if width else 8)
    assert np.array_equal(
        record.acc, measure_drift(model, (x, y), n_rep=len(record.acc), progress=False).acc
    )


def test_a_digital_network_is_refused(task):
    net, x, y = task
    with pytest.raises(ConfigError, match="Sequential has no analog layers"):
        measure_drift(net, (x, y))


# ---- accuracy and seeds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_accuracy_is_the_share_of_hits(batch_size):
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(65, 4, generator=rng), torch.randint(0, 4, (65,), generator=rng)
    hits = sum(row.index(max(row)) == label for row, label in zip(x.tolist(), y.tolist()))
    assert accuracy(nn.Identity(), x, y, batch_size) == pytest.approx(100 * hits / 65)


def test_accuracy_leaves_every_layer_in_the_mode_it_was_in():
    "A frozen batch normalisation inside a training network stays frozen."
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.9), nn.Linear(3, 2))
    net.train()
    net[0].eval()
    with torch.no_grad():
        accuracy(net, torch.randn(8, 3), torch.zeros(8, dtype=torch.long))
    assert [net.training, *(m.training for m in net)] == [True, False, True, True]


def test_eval_mode_restores_every_mode_after_an_error():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.9)).train()
    net[0].eval()
    with pytest.raises(ZeroDivisionError), eval_mode(net) as same:
        assert same is net
        assert not any(m.training for m in net.modules())
        1 / 0
    assert [m.training for m in net.modules()] == [True, False, True]


@pytest.mark.parametrize("n, m", [(0, 0), (3, 2)])
def test_accuracy_refuses_unequal_or_empty(n, m):
    with pytest.raises(ConfigError, match=f"got {n} and {m}"):
        accuracy(nn.Identity(), torch.zeros(n, 2), torch.zeros(m, dtype=torch.long))


def test_torch_seed_restores_after_an_error():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    with pytest.raises(ZeroDivisionError), torch_seed(1):
        torch.rand(5)
        1 / 0
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(4)
    expected = torch.rand(2)
    with torch_seed(4):
        assert torch.equal(torch.rand(2), expected)


# ---- other metrics -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers(task):
    "Inputs, and the digital network's own outputs as targets."
    net, x, _ = task
    with torch.no_grad():
        return x, net(x)


@pytest.mark.parametrize(
    "metric, score",
    [
        ("rmse", lambda outputs, y: sk.mean_squared_error(y, outputs) ** 0.5),
        ("mae", lambda outputs, y: sk.mean_absolute_error(y, outputs)),
        ("r2", lambda outputs, y: sk.r2_score(y, outputs)),
    ],
)
def test_errors_over_drift_are_those_of_a_loop_of_aihwkit_calls(task, numbers, metric, score):
    model = convert_to_analog(copy.deepcopy(task[0]), create_rpu_config())
    record = measure_drift(
        model, numbers, n_rep=2, seed=5, batch_size=50, progress=False, metric=metric
    )
    expected = by_hand(model, *numbers, TIMES, 2, 5, 50, score)
    assert np.allclose(record.acc, expected, rtol=1e-5)
    assert record.metric == metric and record.avm > 0  # what drifts gets worse


def test_a_metric_does_not_change_the_chips(task, numbers):
    "Accuracy and its complement, which the user measures, are of the same readings."
    net, x, y = task
    model = to_analog(net)

    def wrong(outputs, targets):
        return (outputs.argmax(1) != targets).double().mean()

    error = Metric(wrong, "error", "", higher_is_better=False)
    errors = measure_drift(model, (x, y), n_rep=2, progress=False, metric=error)
    right = measure_drift(model, (x, y), n_rep=2, progress=False)
    assert np.allclose(errors.acc, 1 - right.acc / 100)
    assert errors.avm == pytest.approx(right.avm / 100)
    assert (right.metric, right.unit, right.higher_is_better) == ("accuracy", "%", True)


def test_top_1_is_the_accuracy(task):
    net, x, y = task
    model = to_analog(net)
    assert measure_drift(
        model, (x, y), n_rep=2, progress=False, metric=("topk", 1)
    ) == measure_drift(model, (x, y), n_rep=2, progress=False)


class Keywords(nn.Module):
    "A network that takes two tensors and returns a dict, as many do."

    def __init__(self, net, key):
        super().__init__()
        self.net = net
        self.key = key

    def forward(self, image, shift):
        return {self.key: self.net(image + shift), "loss": None}


@pytest.mark.parametrize("form", [tuple, dict])
def test_networks_of_several_inputs_and_outputs_are_measured_as_those_of_one(task, form):
    net, x, y = task
    halves = (x / 2, x - x / 2)
    inputs = dict(zip(("image", "shift"), halves)) if form is dict else halves
    how = {"n_rep": 2, "progress": False, "batch_size": 50}
    expected = measure_drift(to_analog(net), (x, y), **how)
    assert measure_drift(to_analog(Keywords(net, "logits")), (inputs, y), **how) == expected
    assert expected == measure_drift(
        to_analog(Keywords(net, "scores")), (inputs, y), get_output=lambda out: out["scores"], **how
    )
    with pytest.raises(ConfigError, match=r"keys \['loss', 'scores'\]"):
        measure_drift(to_analog(Keywords(net, "scores")), (inputs, y), **how)
    measure_drift(to_analog(Keywords(net, "logits")), (inputs, y), n_rep=1, progress=False)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.sampled_from(["rmse", "r2", "mae", ("topk", 2)]))
def test_the_size_of_a_batch_does_not_matter(size, metric):
    rng = torch.Generator().manual_seed(size)
    x = torch.randn(53, 4, generator=rng)
    y = x + torch.randn(53, 4, generator=rng)
    if isinstance(metric, tuple):
        y = y.argmax(1)
    whole = evaluate(nn.Identity(), (x, y), metric, 1000)
    assert evaluate(nn.Identity(), (x, y), metric, size) == pytest.approx(whole, rel=1e-9)


# ---- NaN never becomes a number ------------------------------------------------------------------


class Diverges(nn.Module):
    "A network some of whose outputs are bad, after a number of calls."

    def __init__(self, net, bad, after=0, rows=slice(None)):
        super().__init__()
        self.net = net
        self.bad = bad
        self.left = after
        self.rows = rows

    def forward(self, x):
        outputs = self.net(x)
        self.left -= 1
        if self.left < 0:
            outputs[self.rows] = self.bad
        return outputs


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_network_of_nan_has_no_accuracy_even_if_all_labels_are_0(task, bad, caplog):
    "argmax of NaN is 0."
    net, x, _ = task
    labels = torch.zeros(len(x), dtype=torch.long)
    broken = to_analog(Diverges(net, bad))
    assert measure_drift(broken, (x, labels), n_rep=1, progress=False).mean.tolist() == [0.0] * 4
    assert accuracy(broken, x, labels) == 0.0
    assert "100 % of the outputs are NaN or infinite" in caplog.text


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2", "a function"])
def test_other_metrics_of_nan_name_repeat_time_and_share(task, numbers, metric):
    "Of 120 examples 30 are bad from the sixth reading on: the second time of the second chip."
    if metric == "a function":
        metric = lambda outputs, targets: outputs.argmax(1).double().mean()  # noqa: E731
    calls = 1 + 4 + 1  # one to choose the batch size
    broken = to_analog(Diverges(task[0], float("nan"), calls, slice(30)))
    says = r"Repeat 1, 1 h after programming: .* 25 % of the outputs are NaN or infinite"
    with pytest.raises(ConfigError, match=says):
        measure_drift(broken, numbers, n_rep=3, progress=False, metric=metric)


def test_a_metric_that_becomes_nan_is_refused_too(task, numbers):
    with pytest.raises(ConfigError, match="Repeat 0, 1 s after programming: never is nan"):
        measure_drift(
            to_analog(task[0]),
            numbers,
            progress=False,
            metric=Metric(lambda outputs, targets: float("nan"), "never"),
        )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_targets_of_nan_are_refused(task, numbers, bad):
    x, y = numbers
    y = y.clone()
    y[:60] = bad
    with pytest.raises(ConfigError, match="50 % of the targets are NaN or infinite"):
        measure_drift(to_analog(task[0]), (x, y), progress=False, metric="rmse")


def test_dense_targets_are_refused_under_accuracy(task):
    net, x, _ = task
    with pytest.raises(ConfigError, match="pixel: 'miou'"):
        measure_drift(to_analog(net[:1]), (x, torch.zeros(120, 4, 4).long()), progress=False)
