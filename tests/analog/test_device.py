"""What a GPU needs and a CPU shows: no step makes the host wait, no shape depends on values.

Once on a CPU, by PyTorch's calls, where a mode notes every call that hands a value to Python or
makes a shape of values; once on PyTorch's `meta` device, which has no values to look at and whose
tensors cannot meet one of main memory."""

import pytest
import torch
from aihwkit.inference import CustomDriftPCMLikeNoiseModel
from aihwkit.simulator.parameters.enums import WeightClipType, WeightModifierType, WeightRemapType
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from analognas.analog.compiled import by_torch
from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.layers import AnalogLayer
from analognas.analog.measure import accuracy, auto_batch_size
from analognas.analog.noise import torch_seed
from analognas.analog.programming import DeviceArray, drift, program

WAITS = (
    "_local_scalar_dense",
    "item",
    "is_nonzero",
    "equal",
    "allclose",
    "nonzero",
    "argwhere",
    "masked_select",
    "unique",
    "_unique",
    "unique_dim",
    "_unique2",
    "unique_consecutive",
    "bincount",
    "repeat_interleave.Tensor",
)
FIRST = 3  # batches that set the input ranges, in these tests


class Calls(TorchDispatchMode):
    "Counts calls, and notes those that make the host wait, or touch two devices."

    def __init__(self):
        super().__init__()
        self.waits, self.count = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out, name = func(*args, **(kwargs or {})), str(func).removeprefix("aten.")
        tensors = [v for v in tree_leaves((args, kwargs, out)) if isinstance(v, torch.Tensor)]
        masks = [v for v in tensors if v.dtype in (torch.bool, torch.uint8)]
        by_mask = name.startswith(("index.", "index_put")) and masks
        between_devices = len({v.device for v in tensors}) > 1
        if name in WAITS or name.split(".")[0] in WAITS or by_mask or between_devices:
            self.waits.append(name)
        self.count += 1
        return out


def chip(change=None, **knobs):
    config = create_rpu_config(**knobs)
    config.pre_post.input_range.init_from_data = FIRST
    if change:
        change(config)
    return config


def learned_factors(config):
    mapping = config.mapping
    mapping.learn_out_scaling = mapping.out_scaling_columnwise = True
    mapping.weight_scaling_columnwise = True
    config.remap.type = WeightRemapType.CHANNELWISE_SYMMETRIC


def fixed_clip(config):
    config.clip.type, config.clip.fixed_value = WeightClipType.FIXED_VALUE, 0.8


def rounded_weights(config):
    config.modifier.type = WeightModifierType.DISCRETIZE
    config.modifier.res, config.modifier.sto_round = 0.1, True


def other_converters(config):
    config.forward.inp_bound, config.forward.out_bound = 0.8, 0.5
    config.forward.out_res = -1
    config.pre_post.input_range.gradient_relative = False


CHIPS = {
    "pcm": lambda: chip(),
    "small tiles": lambda: chip(tile_size=20),
    "ideal": lambda: chip(preset="ideal"),
    "learned factors": lambda: chip(learned_factors),
    "fixed clip": lambda: chip(fixed_clip),
    "rounded weights": lambda: chip(rounded_weights),
    "other converters": lambda: chip(other_converters),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1, groups=2),
        nn.ReLU(),
        nn.Conv2d(8, 6, 1, 2),
        nn.Flatten(),
        nn.Linear(24, 5),
    )


def training(config, device="cpu"):
    "An analog network, a function that makes one step of training with batch `k`, and an input."
    net = to_analog(network().to(device), config).train()
    sgd = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    x = torch.randn(2 * FIRST, 6, 3, 8, 8).to(device)
    y = torch.randint(0, 5, (2 * FIRST, 6)).to(device)

    def step(k):
        sgd.zero_grad()
        nn.functional.cross_entropy(net(x[k]), y[k]).backward()
        sgd.step()

    return net, step, x[0]


def through_all(net, step, x):
    "Training, in the batches that set ranges and after; evaluation, exact and after a day."
    for k in range(2 * FIRST):
        step(k)
    for module in net.modules():
        module.training = False  # `eval` is no step: it may look at the input ranges
    with torch.no_grad():
        net(x)
        program(net)
        drift(net, 86400.0)
        return net(x)


@pytest.mark.parametrize("name", CHIPS)
def test_no_step_makes_the_host_wait(name):
    with by_torch():
        through_all(*training(CHIPS[name]()))  # what is looked up once in a process
        net, step, x = training(CHIPS[name]())
        with Calls() as calls:
            through_all(net, step, x)
    assert calls.waits == [] and calls.count > 500


@pytest.mark.parametrize("name", ["pcm", "small tiles", "learned factors", "other converters"])
def test_all_of_it_runs_where_there_are_no_values(name):
    through_all(*training(CHIPS[name]()))
    net, step, x = training(CHIPS[name](), "meta")
    with Calls() as calls:
        y = through_all(net, step, x)
    assert calls.waits == [] and y.device.type == "meta" and y.shape == (6, 5)


def test_the_mode_would_notice():
    x, caught = torch.arange(4.0), []
    for look in (
        lambda: bool((x > 1).any()),
        lambda: x[x > 1],
        lambda: x.unique(),
        lambda: float(x[0]),
        lambda: x.nonzero(),
        lambda: x.to("meta"),
        lambda: x.repeat_interleave(x.long()),
    ):
        with Calls() as calls:
            look()
        caught.append(bool(calls.waits))
    assert all(caught)
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(x.to("meta").any())


# ---- input ranges, which the loops look at and a GPU's steps may not -----------------------------


def ranges(net):
    return {n: v.detach().clone() for n, v in net.state_dict().items() if "range" in n}


def batches(net):
    return {n: v for n, v in ranges(net).items() if n.endswith("range_batches")}


@pytest.mark.parametrize(
    "look, tile_size", [((), 512), ((FIRST + 1,), 512), ((1, FIRST, FIRST + 2), 20)]
)
def test_ranges_are_set_by_the_first_batches_as_in_main_memory(look, tile_size):
    "Whenever `train` is called in between. At first there are only zeros, which do not count."
    found = []
    for path in ("loops", "torch"):
        torch.manual_seed(1)
        net = training(chip(tile_size=tile_size, out_noise=0.0, modifier_std=0.0))[0].double()
        found.append(_ranges_over_steps(net, path, look))
    for ours, theirs in zip(*found):
        assert ours.keys() == theirs.keys() and len(ours) == 8
        assert all(torch.allclose(ours[k], theirs[k], rtol=1e-9, atol=0) for k in ours)
    assert float(found[0][-1]["0.range_batches"].min()) == FIRST


def _ranges_over_steps(net, path, look):
    rng = torch.Generator().manual_seed(2)
    xs = torch.randn(2 * FIRST + 2, 6, 3, 8, 8, generator=rng).double()
    xs[:2] = 0.0
    sgd, seen = torch.optim.SGD(net.parameters(), 0.05), []
    for k, x in enumerate(xs):
        if k in look:
            net.train()
        with by_torch() if path == "torch" else torch.enable_grad():
            sgd.zero_grad()
            net(x).square().mean().backward()
        sgd.step()
        seen.append(ranges(net))
    return seen


def test_no_range_is_computed_after_train_has_seen_that_all_are_set():
    with by_torch():
        net, step, _ = training(chip())
        counts = []
        for k in (0, 1, 2, 3, 4):
            if k == 4:
                net.train()
            with Calls() as calls:
                step(k)
            counts.append(calls.count)
        anew = {k: torch.zeros_like(v) for k, v in batches(net).items()}
        net.load_state_dict(net.state_dict() | anew)
        with Calls() as calls:
            step(5)
            weights_settled_in = calls.count
            step(5)
    layers = sum(isinstance(m, AnalogLayer) for m in net.modules())
    assert counts[4] < counts[3] - 20 * layers  # some twenty calls a layer less
    assert calls.count - weights_settled_in == counts[1]  # all of them again for ranges to be set
    assert all(float(v.max()) == 2 for v in batches(net).values())


# ---- measuring -----------------------------------------------------------------------------------


def test_accuracy_asks_once():
    net, x = to_analog(network()).eval(), torch.randn(40, 3, 8, 8)
    y = torch.randint(0, 5, (40,))
    with by_torch(), torch_seed(0):
        parts = [(accuracy(net, a, b), len(a)) for a, b in zip(x.split(7), y.split(7))]
    with by_torch(), torch_seed(0), Calls() as calls:
        acc = accuracy(net, x, y, batch_size=7)
    assert calls.waits == ["_local_scalar_dense.default"]
    assert acc == pytest.approx(sum(part * n for part, n in parts) / 40)


class Elsewhere(nn.Module):
    "Lies on the `meta` device; answers 1 in main memory."

    def __init__(self):
        super().__init__()
        self.weight, self.got = nn.Parameter(torch.empty(1, device="meta")), []

    def forward(self, x):
        self.got.append(x.device.type)
        return torch.eye(3)[1].expand(len(x), 3)


def test_inputs_go_to_where_the_network_is():
    net = Elsewhere()
    assert accuracy(net, torch.zeros(4, 2), torch.tensor([1, 1, 0, 1]), batch_size=3) == 75.0
    assert net.got == ["meta", "meta"]


class NotForNumPy(torch.Tensor):
    "As one in a GPU's memory: NumPy cannot read it."

    def __array__(self, *args, **kwargs):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    numpy = __array__

    def cpu(self):
        return self.as_subclass(torch.Tensor)


CUSTOM = CustomDriftPCMLikeNoiseModel(
    {"g_lst": [0.0, 25.0], "nu_mean_lst": [0.05, 0.03], "nu_std_lst": [0.01, 0.01]}
)


@pytest.mark.parametrize("model", ["pcm", "hermes", "reram", "ideal", "custom drift"])
def test_devices_whose_model_is_written_with_numpy_drift_in_main_memory(model):
    knobs = dict(noise_model=CUSTOM) if model == "custom drift" else dict(preset=model)
    found, config = [], create_rpu_config(**knobs)
    target = torch.linspace(-1, 1, 40).view(5, 8)
    for there in (target.clone(), target.clone().as_subclass(NotForNumPy)):
        with torch_seed(0), by_torch():
            devices = DeviceArray.program(there, config)
            alpha = devices.drift(3600.0)
        assert type(devices.current) is type(there)
        results = [v.as_subclass(torch.Tensor).flatten() for v in (devices.current, alpha)]
        found.append(torch.cat(results))
    assert torch.equal(*found) and bool(found[0].isfinite().all())


def test_a_network_of_another_device_is_tried_there():
    "The size of a batch is chosen with an example where the network is."
    net = Elsewhere()
    with pytest.raises(ValueError, match="meta"):  # this device cannot be asked for its memory
        auto_batch_size(net, torch.zeros(4, 2))
    assert net.got == ["meta"]
