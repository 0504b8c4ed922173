"""The recipe: it trains, it repeats, its numbers are what they say, and nonsense is refused before the work begins."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from aihwkit.simulator.parameters.enums import NoiseManagementType
from torch import nn

from analognas.analog.convert import digital_state_dict
from analognas.analog.hardware import create_rpu_config
from analognas.core import ConfigError, DatasetInfo
from analognas.datasets.load import Dataset, load_dataset
from analognas.search_spaces.config_space import ConfigSpace
from analognas.training import protocol as protocol_module
from analognas.training.checkpoint import Checkpoint
from analognas.training.protocol import (
    Protocol,
    measure,
    subsample,
    train_and_measure,
    train_digital,
    train_hardware_aware,
)

TINY = Protocol(epochs=3, hwa_epochs=1, n_rep=2, batch_size=32, hwa_batch_size=64)


def make():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(54, 10)
    )


class Only:
    "A space of one network."

    def __init__(self, make_network):
        self.make_network = make_network

    def build_network(self, config):
        return self.make_network()


def measured(make_network, data, rpu_config=None, protocol=Protocol(), seed=0, *args, **how):
    "Train and measure the network that a function returns."
    space = Only(make_network)
    return train_and_measure(space, {}, data, protocol, rpu_config, seed, *args, **how)


@pytest.fixture(scope="module")
def data():
    "A third of digits."
    whole = load_dataset("digits")
    return Dataset(
        whole.info, whole.x_train[:480], whole.y_train[:480], *whole.test, "a third of digits"
    )


@pytest.fixture(scope="module")
def result(data):
    return measured(make, data, protocol=TINY, seed=3, progress=False)


def share_right(model, data):
    with torch.no_grad():
        return 100 * np.mean(model(data.x_test).numpy().argmax(1) == data.y_test.numpy())


def test_training_beats_chance_by_far(data, result):
    "Ten classes: 10 % by chance, with a standard deviation of 1.6 points on 360 images."
    assert result.acc_digital > 70 and result.acc_hwa > 60 and result.drift.acc_1d > 50


def test_numbers_are_what_they_say(data):
    "The digital accuracy is that of the network which `make_network` made, after training."
    made = []

    def remember():
        made.append(make())
        return made[-1]

    r = measured(remember, data, protocol=TINY, seed=3, progress=False)
    assert len(made) == 1 and r.acc_digital == pytest.approx(share_right(made[0].eval(), data))
    assert all(
        type(m) in (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Flatten, nn.Linear) for m in made[0]
    )
    quiet = create_rpu_config(out_noise=0)
    analog = train_hardware_aware(made[0], data, quiet, TINY, 0, progress=False)
    assert abs(share_right(analog.eval(), data) - r.acc_hwa) < 20


def test_same_seed_same_result(data, result):
    torch.manual_seed(99)
    again = measured(make, data, protocol=TINY, seed=3, progress=False)
    assert np.array_equal(again.drift.acc, result.drift.acc)
    assert (again.acc_digital, again.acc_hwa) == (result.acc_digital, result.acc_hwa)
    other = measured(make, data, protocol=TINY, seed=4, progress=False)
    assert (other.acc_digital, other.drift.acc.tolist()) != (
        result.acc_digital,
        result.drift.acc.tolist(),
    )


def test_measure_with_a_function_still_works_and_warns(data, result):
    with pytest.warns(DeprecationWarning, match="now train_and_measure"):
        again = measure(make, data, protocol=TINY, seed=3, progress=False)
    assert np.array_equal(again.drift.acc, result.drift.acc)


def test_the_configuration_is_the_one_that_is_trained(data):
    "And the space is asked for its network once, with PyTorch's generator seeded."
    asked = []

    class Space:
        def build_network(self, config):
            asked.append((config, torch.initial_seed()))
            return make()

    tiny = Protocol(epochs=0, hwa_epochs=0, n_rep=1)
    for seed in (1, 1, 2):
        train_and_measure(Space(), {"width": 3}, data, tiny, seed=seed, progress=False)
    assert [config for config, _ in asked] == [{"width": 3}] * 3
    assert asked[0][1] == asked[1][1] != asked[2][1]


def printed_config():
    return {"out_channel0": 8, "M": 1, "R1": 1, "convblock1": 1, "widenfact1": 0.5, "B1": 1}


def test_a_config_without_inactive_hyperparameters_is_measured(data):
    space = ConfigSpace("digits")
    tiny = Protocol(epochs=0, hwa_epochs=0, n_rep=1, max_test=20)
    inactive = {f"{h}{m}": 0 for m in range(2, 6) for h in ("R", "convblock", "widenfact", "B")}
    found = [
        train_and_measure(space, config, data, tiny, progress=False)
        for config in (printed_config(), printed_config() | inactive)
    ]
    assert np.array_equal(found[0].drift.acc, found[1].drift.acc)


def test_what_cannot_be_measured_is_refused_before_anything_is_trained(data, monkeypatch):
    monkeypatch.setattr(protocol_module, "_Run", None)
    space, config = ConfigSpace("digits"), printed_config()
    channels = ConfigSpace("CIFAR-10")
    classes = ConfigSpace(DatasetInfo("mine", (1, 8, 8), 3))
    smaller = ConfigSpace(DatasetInfo("mine", (1, 4, 8), 10))
    cases = [
        (space, {"M": 1}, data, {}, "'out_channel0' is missing; 'R1' is missing"),
        (space, config | {"B1": 77}, data, {}, "B1 = 77 is not allowed"),
        (
            channels,
            config,
            data,
            {},
            "networks for DatasetInfo.*'CIFAR-10'.*the data are.*'digits'",
        ),
        (classes, config, data, {}, "classes=3.*classes=10.*for_dataset"),
        (smaller, config, data, {}, r"\(1, 4, 8\).*\(1, 8, 8\)"),
        (space, config, data.train, {}, "A Dataset is needed.*got a tuple"),
        (space, config, data, {"seed": -1}, "seed must be .*at least 0 .*got -1"),
        (space, config, data, {"seed": 0.5}, "seed must be a whole number.*got 0.5"),
        (space, config, data, {"rpu_config": 7}, "A chip is a preset's name.*got int"),
    ]
    for space, config, data, options, message in cases:
        with pytest.raises(ConfigError, match=message):
            train_and_measure(space, config, data, **options)


def test_the_users_generator_is_left_alone(data):
    state = torch.random.get_rng_state()
    measured(make, data, protocol=Protocol(epochs=1, hwa_epochs=1, n_rep=1), progress=False)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_measurement_is_json(result):
    read = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert read["acc_1d"] == pytest.approx(np.mean(np.array(read["acc"])[:, 2]))
    assert set(read) == {
        "acc_1d",
        "avm",
        "std_1d",
        "acc_digital",
        "acc_hwa",
        "seconds",
        "t_inference",
        "acc",
    }


def test_a_measurement_of_one_chip_is_json_too(data):
    "NaN is no JSON: one repeat has no spread, and says so in a way that any reader understands."
    r = measured(make, data, protocol=Protocol(epochs=0, hwa_epochs=0, n_rep=1), progress=False)
    json.dumps(r.to_dict(), allow_nan=False)


def test_no_epochs_no_training(data):
    torch.manual_seed(0)
    net = make()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    train_digital(net, data, Protocol(epochs=0), progress=False)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    r = measured(make, data, protocol=Protocol(epochs=0, hwa_epochs=0, n_rep=2), progress=False)
    assert r.acc_digital < 40


def test_training_follows_plain_pytorch(data):
    """A second implementation: SGD with momentum and one cycle over full batches, in the order that
    the seed gives."""
    torch.manual_seed(0)
    ours, theirs = make(), make()
    theirs.load_state_dict(ours.state_dict())
    protocol = Protocol(epochs=2, batch_size=100, lr=0.1)
    train_digital(ours, data, protocol, seed=5, progress=False)
    torch.manual_seed(5)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=2 * 4
    )  # 480 images: four batches and a rest
    for _ in range(2):
        order = torch.randperm(480)
        for i in range(4):
            rows = order[100 * i : 100 * i + 100]
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(theirs(data.x_train[rows]), data.y_train[rows]).backward()
            optimizer.step()
            schedule.step()
    assert not ours.training
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values()):
        assert torch.allclose(a, b, atol=1e-6)


def test_hardware_aware_training_leaves_the_digital_network(data):
    torch.manual_seed(0)
    net = make()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    analog = train_hardware_aware(net, data, protocol=Protocol(hwa_epochs=1), progress=False)
    assert (
        all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and not analog.training
    )
    weight = digital_state_dict(analog)["0.weight"]
    assert not torch.allclose(weight.flatten(), net[0].weight.flatten(), atol=1e-3)


def test_lower_resolution_is_the_mean_of_blocks(data):
    x, y = subsample(data.test, 50, resolution=4)
    full, same = subsample(data.test, 50)
    assert torch.equal(y, same)
    assert np.allclose(x, full.numpy().reshape(50, 1, 4, 2, 4, 2).mean((3, 5)), atol=1e-6)


def test_training_and_measuring_see_the_lower_resolution(data):
    sizes = set()

    class Spy(nn.Module):
        def forward(self, x):
            sizes.add(tuple(x.shape[1:]))
            return x

    spied = lambda: nn.Sequential(
        Spy(),
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 10),
    )
    measured(
        spied,
        data,
        protocol=Protocol(epochs=1, hwa_epochs=1, n_rep=2, resolution=4),
        progress=False,
    )
    assert sizes == {(1, 4, 4)}


def test_a_resolution_beyond_the_data_is_refused(data):
    with pytest.raises(ConfigError, match="at most that of the data, 8 x 8; got 9"):
        measured(make, data, protocol=Protocol(resolution=9), progress=False)


def test_a_batch_larger_than_the_data_is_refused(data):
    for use in (
        lambda p: train_digital(make(), data, p, progress=False),
        lambda p: train_hardware_aware(make(), data, None, p, progress=False),
    ):
        with pytest.raises(
            ConfigError, match="batch_size 481 is larger than the 480 training examples of digits"
        ):
            use(Protocol(batch_size=481, hwa_batch_size=481, epochs=1, hwa_epochs=1))


@pytest.mark.parametrize(
    "field, bad",
    [
        *(
            (f, b)
            for f in ("epochs", "hwa_epochs", "batch_size", "hwa_batch_size", "n_rep", "resolution")
            for b in (-1, 1.5, None, "3", True)
        ),
        *((f, 0) for f in ("batch_size", "hwa_batch_size", "n_rep", "lr", "hwa_lr")),
        *(
            (f, b)
            for f in ("lr", "hwa_lr", "momentum", "weight_decay")
            for b in (-0.1, math.nan, math.inf, None, "x")
        ),
        *(
            ("t_inference", b)
            for b in (
                (),
                (10.0, 1.0),
                (1.0, 1.0),
                (1.0, math.nan),
                (-1.0, 86400.0),
                (1.0, math.inf),
                (1.0, "a"),
                5,
            )
        ),
    ],
)
def test_a_bad_protocol_is_refused_at_once(field, bad):
    with pytest.raises(ConfigError, match=field):
        Protocol(**{field: bad})


@pytest.mark.parametrize("times", [(1.0,), (1.0, 86400.0), (1.0, 2592000.0)])
def test_times_without_a_day_or_a_month_are_refused_before_training(data, times):
    "The labels need both: it is too late to notice after the training."
    made = []
    with pytest.raises(ConfigError):
        p = Protocol(epochs=0, hwa_epochs=0, n_rep=1, t_inference=times)
        measured(lambda: made.append(1) or make(), data, protocol=p, progress=False).to_dict()
    assert not made


def test_a_protocol_can_be_compared_and_is_plain():
    assert Protocol() == Protocol(t_inference=[1, 3600, 86400, 2592000]) and Protocol() != Protocol(
        epochs=11
    )
    assert hash(Protocol()) == hash(Protocol())


def test_any_dataset_of_the_right_kind():
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 2
    x = torch.randn(200, 2, 3, 3, generator=rng) + 2 * (2 * y - 1).view(-1, 1, 1, 1)
    mine = Dataset(DatasetInfo("two", (2, 3, 3), 2), x[:150], y[:150], x[150:], y[150:])
    r = measured(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(18, 2)), mine, protocol=TINY, progress=False
    )
    assert r.acc_digital > 95 and r.drift.acc_1d > 90


# ---- held out -------------------------------------------------------------------------------------------------------


def test_a_protocol_that_holds_out_never_looks_at_the_test_part(data):
    "With nonsense in place of the test part the result is the same."
    how = replace(TINY, validation=0.2)
    nonsense = replace(data, x_test=torch.full_like(data.x_test, 1e3))
    first, second = (
        measured(make, d, protocol=how, seed=1, progress=False) for d in (data, nonsense)
    )
    assert np.array_equal(first.drift.acc, second.drift.acc)
    assert first.acc_digital == second.acc_digital
    assert first.acc_digital * 96 / 100 == pytest.approx(
        round(first.acc_digital * 96 / 100)
    )  # a fifth of 480 examples


# ---- killed, and gone on with ---------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def killed_after(n):
    "A function that raises when it is called for the n-th time."
    calls = iter(range(1, n))

    def call():
        if next(calls, None) is None:
            raise Killed

    return call


STEPS = (
    TINY.epochs + 1 + TINY.hwa_epochs + 1 + TINY.n_rep
)  # epochs, the ends of both trainings, repeats


@pytest.mark.parametrize("n", range(1, STEPS + 1))
def test_killed_after_any_epoch_or_repeat_the_result_is_the_same(data, result, tmp_path, n):
    path = tmp_path / "c.pt"
    with pytest.raises(Killed):
        measured(
            make,
            data,
            protocol=TINY,
            seed=3,
            progress=False,
            checkpoint=Checkpoint(path, killed_after(n)),
        )
    rest = Checkpoint(path)
    again = measured(make, data, protocol=TINY, seed=3, progress=False, checkpoint=rest)
    assert np.array_equal(again.drift.acc, result.drift.acc)
    assert (again.acc_digital, again.acc_hwa) == (result.acc_digital, result.acc_hwa)
    for name, value in digital_state_dict(result.model).items():
        assert torch.equal(digital_state_dict(again.model)[name], value), name
    lost_at_most_one = TINY.epochs + TINY.hwa_epochs - max(0, n - 1)
    assert rest.epochs <= max(lost_at_most_one, 0) + 1


def test_a_checkpoint_of_another_measurement_is_refused(data, tmp_path):
    path = tmp_path / "c.pt"
    with pytest.raises(Killed):
        measured(
            make,
            data,
            protocol=TINY,
            seed=3,
            progress=False,
            checkpoint=Checkpoint(path, killed_after(2)),
        )
    with pytest.raises(ConfigError, match="belongs to another measurement"):
        measured(make, data, protocol=TINY, seed=4, progress=False, checkpoint=Checkpoint(path))


@pytest.mark.parametrize("repeats", [0, 1, 2])
def test_examples_are_counted_in_every_repeat_once(data, tmp_path, repeats):
    "Also when the process was killed after the first or the second of them."
    path = tmp_path / "c.pt"
    options = {"protocol": replace(TINY, n_rep=3), "seed": 3, "progress": False}
    if repeats:
        kill = killed_after(STEPS - TINY.n_rep + repeats)
        with pytest.raises(Killed):
            measured(make, data, **options, checkpoint=Checkpoint(path, kill))
        assert len(torch.load(path, weights_only=True)["acc"]) == repeats
    found = measured(make, data, **options, checkpoint=Checkpoint(path))
    right = torch.load(path, weights_only=True)["right"]
    assert right.shape == (len(TINY.t_inference), len(data.y_test))
    assert right.min() >= 0 and right.max() == 3
    assert 100 * right.double().mean(1).numpy() / 3 == pytest.approx(found.drift.acc.mean(0))


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"no archive", lambda raw: b""]
)
def test_a_damaged_checkpoint_starts_over_and_says_so(data, result, tmp_path, caplog, damage):
    path = tmp_path / "c.pt"
    with pytest.raises(Killed):
        measured(
            make,
            data,
            protocol=TINY,
            seed=3,
            progress=False,
            checkpoint=Checkpoint(path, killed_after(3)),
        )
    path.write_bytes(damage(path.read_bytes()))
    again = measured(make, data, protocol=TINY, seed=3, progress=False, checkpoint=Checkpoint(path))
    assert np.array_equal(again.drift.acc, result.drift.acc)
    assert "starts over" in caplog.text


def test_a_checkpoint_that_would_run_code_is_not_run(data, tmp_path):
    class Payload:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    torch.save({"about": Payload()}, tmp_path / "c.pt")
    measured(
        make, data, protocol=TINY, seed=3, progress=False, checkpoint=Checkpoint(tmp_path / "c.pt")
    )
    assert not (tmp_path / "ran").exists()


def test_aihwkits_own_tiles_start_hardware_aware_training_over(data, tmp_path, caplog):
    "Their state is no plain tensors; the digital training is kept all the same."
    chip = create_rpu_config()
    chip.forward.noise_management = NoiseManagementType.ABS_MAX  # not covered by the fast layers
    path = tmp_path / "c.pt"
    with pytest.raises(Killed):
        measured(
            make,
            data,
            chip,
            TINY,
            3,
            False,
            checkpoint=Checkpoint(path, killed_after(TINY.epochs + 2)),
        )
    rest = Checkpoint(path)
    measured(make, data, chip, TINY, 3, False, checkpoint=rest)
    assert "starts over" in caplog.text
    assert rest.state["phase"] == "hardware-aware"


@pytest.mark.parametrize("device", ["cuda:99", "meta", "nowhere"])
def test_a_device_that_does_not_work_is_named(data, device):
    with pytest.raises(ConfigError, match=f"The device '{device}' cannot be used"):
        measured(make, data, protocol=TINY, progress=False, device=device)


def test_defaults_are_those_that_stored_labels_mean():
    protocol = Protocol()
    assert (protocol.momentum, protocol.weight_decay) == (0.9, 5e-4)
    assert (protocol.lr, protocol.hwa_lr) == (0.05, 0.02)
    assert (protocol.epochs, protocol.hwa_epochs, protocol.n_rep) == (10, 4, 10)
    assert (protocol.batch_size, protocol.hwa_batch_size) == (64, 128)


@pytest.mark.parametrize("data", [(torch.zeros(4, 1, 8, 8), torch.zeros(4).long()), None])
def test_training_and_measuring_need_both_parts(data):
    space = ConfigSpace("digits")
    config = space.sample_arch(0)
    with pytest.raises(ConfigError, match=f"A Dataset is needed.*got a {type(data).__name__}"):
        train_and_measure(space, config, data, Protocol(epochs=1), progress=False)
