"""Losses, optimizers and distillation against plain PyTorch, and networks of other kinds on the chip."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from aihwkit.optim import AnalogAdam
from aihwkit.simulator.parameters.enums import NoiseManagementType
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.measure import evaluate, measure_drift
from analognas.core import ConfigError
from analognas.training.checkpoint import Checkpoint
from analognas.training.fit import cross_entropy, soft_loss
from analognas.training.protocol import Protocol, train_digital, train_hardware_aware

QUIET = {"progress": False}


def adamw(parameters, steps):
    optimizer = torch.optim.AdamW(parameters, lr=0.02)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def two_layers(inputs=6, outputs=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, outputs))


@pytest.fixture(scope="module")
def examples():
    "200 inputs, and classes that a linear map gives."
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(200, 6, generator=rng)
    return x, (x @ torch.randn(6, 4, generator=rng)).argmax(1)


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


def equal(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# ---- against plain PyTorch -----------------------------------------------------------------------


def plain(model, x, y, seed, epochs, size, make, loss):
    "A second implementation of the loop, without schedule or with one."
    torch.manual_seed(seed)
    steps = len(x) // size
    optimizer, schedule = make(model.parameters(), epochs * steps)
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        for i in range(steps):
            rows = order[size * i : size * i + size]
            optimizer.zero_grad()
            loss(model, x[rows], y[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def sgd(parameters, steps):
    "The protocol's optimizer."
    optimizer = torch.optim.SGD(parameters, 0.02, 0.9, weight_decay=5e-4)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)


def entropy(model, x, y):
    return nn.functional.cross_entropy(model(x), y)


def test_hardware_aware_training_is_a_plain_loop_to_the_last_bit(examples):
    x, y = examples
    net = two_layers()
    protocol = Protocol(hwa_epochs=2, hwa_batch_size=50)
    ours = train_hardware_aware(net, examples, None, protocol, 3, **QUIET)
    torch.manual_seed(3)
    theirs = to_analog(net)
    plain(theirs, x, y, 3, 2, 50, sgd, entropy)
    assert equal(ours, theirs) and not equal(ours, to_analog(net))


@pytest.mark.parametrize("hardware_aware", [False, True])
def test_a_loss_and_an_optimizer_of_the_user_are_a_plain_loop(examples, hardware_aware):
    x, _ = examples
    y = x @ torch.ones(6, 4)
    how = {"loss": nn.functional.l1_loss, "optimizer": adamw}

    def distance(model, inputs, targets):
        return (model(inputs) - targets).abs().mean()

    if hardware_aware:
        protocol = Protocol(hwa_epochs=2, hwa_batch_size=50)
        ours = train_hardware_aware(two_layers(), (x, y), None, protocol, 3, **QUIET, **how)
        theirs = to_analog(two_layers())
    else:
        protocol = Protocol(epochs=2, batch_size=50)
        ours = train_digital(two_layers(), (x, y), protocol, 3, **QUIET, **how)
        theirs = two_layers()
    plain(theirs, x, y, 3, 2, 50, adamw, distance)
    assert all(torch.allclose(p, q) for p, q in zip(ours.parameters(), theirs.parameters()))


@given(st.integers(0, 2**31), st.floats(0.5, 10), st.sampled_from([(), (3,), (2, 2)]))
def test_the_soft_loss_is_hintons(seed, temperature, places):
    "T^2 KL(p || q), from its definition; classes last for three dimensions, second otherwise."
    rng = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 4, 5, *places, generator=rng, dtype=torch.float64)
    p = (teacher / temperature).softmax(1)
    q = (student / temperature).softmax(1)
    expected = temperature**2 * (p * (p / q).log()).sum(1).mean()
    if len(places) == 1:
        student, teacher = student.transpose(1, 2), teacher.transpose(1, 2)
    assert float(soft_loss(student, teacher, temperature)) == pytest.approx(float(expected))


def test_the_gradient_of_the_soft_loss_tends_to_that_of_the_logits():
    "For high temperatures it is (z - v) / N / n (Hinton et al. 2015, equation 4), both centred."
    rng = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 8, 5, generator=rng, dtype=torch.float64)
    student = (student - student.mean(1, keepdim=True)).requires_grad_()
    teacher = teacher - teacher.mean(1, keepdim=True)
    soft_loss(student, teacher, 1e3).backward()
    assert torch.allclose(student.grad, (student - teacher).detach() / 5 / 8, atol=1e-3)


def test_distillation_mixes_teacher_and_targets_as_written(examples):
    x, y = examples
    teacher = two_layers()
    before = weights(teacher)
    protocol = Protocol(hwa_epochs=1, hwa_batch_size=50)
    ours = train_hardware_aware(
        teacher, examples, None, protocol, 3, **QUIET, distillation=2.0, distillation_weight=0.7
    )

    def mixed(model, inputs, targets):
        outputs = model(inputs)
        with torch.no_grad():
            p = (teacher(inputs) / 2).softmax(1)
        soft = 4 * (p * (p.log() - (outputs / 2).log_softmax(1))).sum(1).mean()
        return 0.7 * soft + 0.3 * nn.functional.cross_entropy(outputs, targets)

    theirs = plain(to_analog(teacher), x, y, 3, 1, 50, sgd, mixed)
    assert all(
        torch.allclose(p, q, atol=1e-6) for p, q in zip(ours.parameters(), theirs.parameters())
    )
    assert all(torch.equal(p, q) for p, q in zip(before, teacher.parameters()))


def test_a_teacher_alone_needs_no_right_targets(examples):
    "It is in evaluation mode meanwhile, and has its mode back afterwards."
    x, y = examples
    teacher = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
    teacher.train()
    statistics = teacher[1].running_mean.clone()
    how = {"distillation": 3.0, "distillation_weight": 1.0} | QUIET
    protocol = Protocol(hwa_epochs=1, hwa_batch_size=50)
    right, wrong = (
        train_hardware_aware(teacher, (x, targets), None, protocol, 3, **how)
        for targets in (y, torch.zeros_like(y))
    )
    assert equal(right, wrong)
    assert teacher.training and torch.equal(teacher[1].running_mean, statistics)


def test_distillation_brings_the_chip_nearer_to_the_digital_network(examples):
    x, y = examples
    net = two_layers()
    train_digital(net, examples, Protocol(epochs=30, batch_size=50), 1, **QUIET)
    with torch.no_grad():
        data = x, net(x).softmax(1)
    protocol = Protocol(hwa_epochs=30, hwa_batch_size=50)
    how = {"optimizer": adamw} | QUIET

    def apart(model):
        def far(outputs, targets):
            return (outputs.softmax(1) - targets).abs().sum(1).mean()

        return measure_drift(model, data, n_rep=5, metric=far, progress=False).mean.mean()

    shuffled = x, y[torch.randperm(200)]
    taught = train_hardware_aware(
        net, shuffled, None, protocol, 3, distillation=1.0, distillation_weight=1.0, **how
    )
    assert apart(taught) < 0.7 * apart(
        train_hardware_aware(net, shuffled, None, protocol, 3, **how)
    )


# ---- refused, and logged -------------------------------------------------------------------------


def test_number_targets_need_a_loss(examples):
    with pytest.raises(ConfigError, match="loss=nn.functional.mse_loss"):
        train_digital(two_layers(), (examples[0], torch.rand(200, 4)), **QUIET)


@pytest.mark.parametrize(
    "how, says",
    [
        ({"loss": lambda outputs, targets: outputs.sum(1)}, r"one number; got \(64,\)"),
        ({"loss": lambda outputs, targets: 3.0}, "one number; got float"),
        ({"optimizer": lambda parameters, steps: "SGD"}, "returned a str"),
        (
            {"optimizer": lambda parameters, steps: (torch.optim.SGD(parameters), "cosine")},
            "got a str",
        ),
    ],
)
def test_what_is_no_loss_or_optimizer_is_refused(examples, how, says):
    with pytest.raises(ConfigError, match=says):
        train_digital(two_layers(), examples, Protocol(epochs=1), **QUIET, **how)


@pytest.mark.parametrize(
    "how",
    [
        {"distillation": 0},
        {"distillation": math.nan},
        {"distillation": 2.0, "distillation_weight": 1.5},
    ],
)
def test_temperatures_and_weights_that_cannot_be_are_refused(examples, how):
    with pytest.raises(ConfigError, match="distillation"):
        train_hardware_aware(two_layers(), examples, **QUIET, **how)


@pytest.mark.parametrize("name, value", [("validation", 0.2), ("resolution", 4), ("augment", True)])
def test_parts_of_a_protocol_that_are_for_images_are_refused_for_a_pair(examples, name, value):
    with pytest.raises(ConfigError, match=f"{name} of a Protocol need"):
        train_digital(two_layers(), examples, Protocol(**{name: value}), **QUIET)


def test_a_pair_is_cut_to_max_train(examples):
    seen = []

    def spy(outputs, targets):
        seen.extend(targets.tolist())
        return cross_entropy(outputs, targets)

    protocol = Protocol(epochs=1, batch_size=10, max_train=30)
    train_digital(two_layers(), (examples[0], torch.arange(200) % 4), protocol, loss=spy, **QUIET)
    assert len(seen) == 30


def test_a_loss_of_nan_is_logged_with_its_epoch(examples, caplog):
    diverging = {"optimizer": lambda parameters, steps: torch.optim.SGD(parameters, lr=1e12)}
    train_digital(two_layers(), examples, Protocol(epochs=3), **QUIET, **diverging)
    assert "digital training, epoch 3: the loss of 3 of 3 batches is NaN" in caplog.text


def test_aihwkits_tiles_are_trained_by_its_optimizers_only(examples):
    chip = create_rpu_config()
    chip.forward.noise_management = NoiseManagementType.ABS_MAX
    protocol = Protocol(hwa_epochs=1)
    with pytest.raises(ConfigError, match="AdamW does not update: use aihwkit.optim.AnalogSGD"):
        train_hardware_aware(two_layers(), examples, chip, protocol, optimizer=adamw, **QUIET)
    adam = partial(AnalogAdam, lr=0.01)
    train_hardware_aware(
        two_layers(), examples, chip, protocol, optimizer=lambda p, steps: adam(p), **QUIET
    )


def test_a_killed_training_goes_on_with_its_schedule(examples, tmp_path):
    class Killed(Exception):
        pass

    epochs = iter([None, None, Killed()])

    def kill():
        error = next(epochs, None)
        if error:
            raise error

    protocol = Protocol(epochs=5)
    path = tmp_path / "c.pt"
    whole = train_digital(two_layers(), examples, protocol, 3, optimizer=adamw, **QUIET)
    first = Checkpoint(path, kill)
    first.open({})
    with pytest.raises(Killed):
        train_digital(two_layers(), examples, protocol, 3, False, first, optimizer=adamw)
    rest = Checkpoint(path)
    rest.open({})
    again = train_digital(two_layers(), examples, protocol, 3, False, rest, optimizer=adamw)
    assert rest.epochs == 2 and equal(again, whole)


# ---- networks of other kinds, trained and measured on the chip -----------------------------------

IDEAL = create_rpu_config(
    prog_noise_scale=0, read_noise_scale=0, drift_scale=0, out_noise=0, dac_bits=16, adc_bits=16
)


def test_a_regression():
    "The chip's error is that of the digital network on an ideal chip, and grows on a real one."
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(400, 6, generator=rng) * 2 - 1
    y = (x @ torch.tensor([1.0, -2, 0.5, 0, 1, 2])).sin()
    net = two_layers(outputs=1)
    how = {"loss": lambda outputs, targets: (outputs.squeeze(1) - targets).square().mean()}
    train_digital(net, (x, y), Protocol(epochs=40), 1, optimizer=adamw, **how, **QUIET)
    digital = evaluate(net, (x, y), "rmse")
    assert digital < 0.3 < float(y.std())
    ideal = measure_drift(to_analog(net, IDEAL), (x, y), n_rep=1, metric="rmse", **QUIET)
    assert np.allclose(ideal.acc, digital, atol=2e-3)
    protocol = Protocol(hwa_epochs=10)
    analog = train_hardware_aware(net, (x, y), None, protocol, 2, optimizer=adamw, **how, **QUIET)
    record = measure_drift(analog, (x, y), n_rep=5, metric="rmse", **QUIET)
    assert record.mean[0] > digital and record.avm > 0
    r2 = measure_drift(analog, (x, y), n_rep=5, metric="r2", **QUIET)
    assert r2.avm > 0  # more is better, and a loss is positive all the same


def test_a_segmentation():
    "Pixels that are brighter than their neighbours."
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(60, 1, 8, 8, generator=rng)
    y = (x > nn.functional.avg_pool2d(x, 3, 1, 1))[:, 0].long()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 2, 1))
    train_digital(net, (x, y), Protocol(epochs=30, batch_size=20), 1, optimizer=adamw, **QUIET)
    with torch.no_grad():
        predicted = net(x).argmax(1)
    expected = 100 * jaccard_score(y.flatten(), predicted.flatten(), average="macro")
    assert evaluate(net, (x, y), "miou") == pytest.approx(expected) and expected > 85
    ideal = measure_drift(to_analog(net, IDEAL), (x, y), n_rep=1, metric="miou", **QUIET)
    assert np.allclose(ideal.acc, expected, atol=0.5)
    record = measure_drift(to_analog(net), (x, y), n_rep=5, metric="miou", **QUIET)
    assert record.unit == "%" and record.mean[0] < expected and record.avm > 0


class Bigrams(nn.Module):
    "A language model in the form of Hugging Face's."

    def __init__(self, words):
        super().__init__()
        self.embed = nn.Embedding(words, 12)
        self.head = nn.Linear(12, words)

    def forward(self, input_ids, attention_mask=None):
        return SimpleNamespace(logits=self.head(self.embed(input_ids)))


def test_a_language_model():
    "Words follow each other with known probabilities, so the best perplexity is known too."
    words = 5
    rng = np.random.default_rng(0)
    follows = rng.dirichlet(np.full(words, 0.3), words)
    tokens = np.zeros((120, 21), int)
    for i in range(20):
        for row in tokens:
            row[i + 1] = rng.choice(words, p=follows[row[i]])
    counts = np.zeros((words, words))
    np.add.at(counts, (tokens[:, :-1], tokens[:, 1:]), 1)
    seen = counts / counts.sum(1, keepdims=True)
    occurs = counts > 0
    best = math.exp(-(counts[occurs] * np.log(seen[occurs])).sum() / counts.sum())
    ids = torch.from_numpy(tokens[:, :-1].copy())
    data = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.from_numpy(tokens[:, 1:].copy()),
    }
    torch.manual_seed(0)
    net = Bigrams(words)
    train_digital(net, data, Protocol(epochs=40, batch_size=20), 1, optimizer=adamw, **QUIET)
    digital = evaluate(net, data, "perplexity")
    assert best <= digital < 1.02 * best
    ideal = measure_drift(to_analog(net, IDEAL), data, n_rep=1, metric="perplexity", **QUIET)
    assert np.allclose(ideal.acc, digital, rtol=0.02)
    protocol = Protocol(hwa_epochs=10, hwa_batch_size=20)
    analog = train_hardware_aware(
        net, data, None, protocol, 2, optimizer=adamw, distillation=1.0, **QUIET
    )
    record = measure_drift(analog, data, n_rep=5, metric="perplexity", **QUIET)
    assert record.mean[0] > digital and record.avm > 0


# ---- labels that are no class --------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 150])  # also where the first batch has none of them
@pytest.mark.parametrize("label", [4, 13, -1])
def test_labels_outside_the_classes_are_explained_before_a_step(examples, label, at):
    x, y = examples[0], examples[1].clone()
    y[at] = label
    model, low, high = two_layers(), min(label, 0), max(label, 3)
    before = weights(model)
    says = f"Targets of {low} to {high} are not among the network's classes, 0 to 3"
    protocol = Protocol(epochs=1, hwa_epochs=1, batch_size=50, hwa_batch_size=50)
    for train in (train_digital, train_hardware_aware):
        with pytest.raises(ConfigError, match=says):
            train(model, (x, y), protocol=protocol, **QUIET)
    placed = partial(train_hardware_aware, placement=("analog", "int8"), distillation=2.0)
    with pytest.raises(ConfigError, match=says):
        placed(model, (x, y), protocol=protocol, **QUIET)
    assert all(torch.equal(a, b) for a, b in zip(weights(model), before, strict=True))


def test_labels_that_are_left_out_and_those_of_other_types_train_as_before(examples):
    x, y = examples[0], examples[1].clone()
    y[:3] = -100  # PyTorch's `ignore_index`
    trained = []
    for targets in (y, y.int()):
        protocol = Protocol(epochs=1, batch_size=50)
        trained.append(train_digital(two_layers(), (x, targets), protocol, **QUIET))
    assert equal(*trained)
    # a teacher alone, and a loss of one's own, take targets that are no class
    odd = (x, y + 50)
    protocol = Protocol(epochs=1, hwa_epochs=1, batch_size=50, hwa_batch_size=50)
    train_hardware_aware(
        two_layers(), odd, protocol=protocol, distillation=2.0, distillation_weight=1.0, **QUIET
    )
    loss = lambda outputs, targets: (outputs.mean(1) - targets).abs().mean()
    train_digital(two_layers(), odd, protocol, loss=loss, **QUIET)
