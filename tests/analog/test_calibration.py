"""Input ranges from data against aihwkit's calibration, and against unfolding where it has no layer."""

import copy
import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from aihwkit.inference.calibration import InputRangeCalibrationType, calibrate_input_ranges
from aihwkit.nn import AnalogWrapper
from aihwkit.simulator.parameters.enums import NoiseManagementType, RPUDataType
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from analognas.analog import calibration
from analognas.analog.calibration import METHODS, counted_quantile
from analognas.analog.convert import to_aihwkit, to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.programming import analog_layers, drift, program
from analognas.core import ConfigError

KINDS = {method: InputRangeCalibrationType[method.upper()] for method in METHODS}


def calibrate(model, data, **settings):
    calibration.calibrate_input_ranges(model, data, progress=False, **settings)


def quiet(tile_size=512):
    "A chip without noise, in double precision, so that rounding decides nothing by chance."
    config = create_rpu_config(out_noise=0.0, tile_size=tile_size)
    config.runtime.data_type = RPUDataType.DOUBLE
    return config


def convnet():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 16, 5),
    ).double()


def sparse(*shape):
    "Inputs of which many are 0, so that some rows are all zeros."
    torch.manual_seed(1)
    return torch.relu(torch.randn(*shape, dtype=torch.float64) - 1)


def ranges(model):
    "Input ranges of all tiles, in the order in which aihwkit has them."
    parts = [layer.input_range[:, :, 0].flatten() for layer in analog_layers(model).values()]
    return torch.cat(parts).detach()


def aihwkit_ranges(model):
    "The same of aihwkit's network."
    layers = analog_layers(model).values()
    return torch.stack([tile.input_range[0] for la in layers for tile in la.analog_tiles()])


def calibrate_aihwkit(model, batches, method, **settings):
    "Ranges of a copy on aihwkit's tiles, by aihwkit's calibration of the same batches."
    theirs = to_aihwkit(model)
    for layer in analog_layers(theirs).values():
        for tile in layer.analog_tiles():
            tile.input_range_update_idx.data.zero_()
    torch.manual_seed(0)
    calls = [(batch if isinstance(batch, tuple) else (batch,), {}) for batch in batches]
    calibrate_input_ranges(AnalogWrapper(theirs), KINDS[method], calls, **settings)
    return aihwkit_ranges(theirs).detach()


def assert_equal_to_aihwkit(model, batches, method, **settings):
    wanted = calibrate_aihwkit(model, batches, method, **settings)
    data = [(batch, torch.zeros(1)) for batch in batches]  # with targets, which do not matter
    calibrate(model, data, method=method, **settings)
    torch.testing.assert_close(ranges(model), wanted, rtol=1e-6, atol=1e-9)
    assert not (wanted == 3.0).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tile_size", (512, 20))
def test_convolutions_and_linear_layers_equal_aihwkits(method, tile_size):
    model = to_analog(convnet(), quiet(tile_size))
    batches = [sparse(4, 3, 8, 8), 2 * sparse(6, 3, 8, 8), sparse(1, 3, 8, 8)]
    assert_equal_to_aihwkit(model, batches, method, quantile=0.97, max_samples=50)


@pytest.mark.parametrize("method", METHODS)
def test_a_calibration_after_training_begins_anew(method):
    model = to_analog(convnet(), quiet()).train()
    step = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(3):
        model(sparse(8, 3, 8, 8)).square().mean().backward()
        step.step()
    model.eval()
    assert_equal_to_aihwkit(model, [sparse(4, 3, 8, 8), 2 * sparse(4, 3, 8, 8)], method)


@pytest.mark.parametrize("method", METHODS)
def test_attention_equals_aihwkits_linear_layers(method):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(12, 2, 20, dropout=0.0, batch_first=True).double()
    model = to_analog(encoder, quiet(8)).eval()
    batches = [torch.randn(3, 7, 12).double(), torch.randn(2, 5, 12).double()]
    assert_equal_to_aihwkit(model, batches, method, quantile=0.98)


class WithState(nn.Module):
    "A recurrent layer that takes its state batch first, (N, layers, H)."

    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn

    def forward(self, x, *state):
        state = tuple(s.transpose(0, 1).contiguous() for s in state)
        return self.rnn(x, state if len(state) == 2 else state[0])[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", (nn.LSTM, nn.GRU, nn.RNN))
def test_recurrent_layers_equal_aihwkits_linear_layers_at_each_step(method, kind):
    torch.manual_seed(0)
    rnn = kind(5, 9, num_layers=2, bidirectional=True, batch_first=True).double()
    model = to_analog(WithState(rnn), quiet(7)).eval()
    state = [torch.randn(3, 4, 9).double() for _ in range(2 if kind is nn.LSTM else 1)]
    batches = [(torch.randn(3, length, 5).double(), *state) for length in (6, 4)]
    assert_equal_to_aihwkit(model, batches, method, quantile=0.9)


def unfolded(layer, x):
    "Rows of the unfolded input of each group that are not all zeros."
    found = []
    for part in x.chunk(layer.groups, 1):
        columns = F.unfold(part, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        rows = columns.transpose(1, 2).flatten(0, 1)
        found.append(rows[(rows != 0).any(1)])
    return found


BY_HAND = {
    "moving_std": lambda rows: 2.5 * rows.std(),
    "moving_quantile": lambda rows: rows.flatten().quantile(0.9),
    "cache_quantile": lambda rows: rows.flatten().quantile(0.9),
    "max": lambda rows: rows.abs().max(),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("groups", (2, 6))
def test_each_group_has_the_range_of_its_own_inputs(method, groups):
    conv = nn.Conv2d(6, 6, 3, 2, 1, groups=groups).double()
    x = sparse(3, 6, 9, 9) * torch.arange(1, 7).view(-1, 1, 1)
    model = to_analog(conv, quiet())
    calibrate(model, x, method=method, quantile=0.9, std_alpha=2.5)
    wanted = torch.stack([BY_HAND[method](rows) for rows in unfolded(conv, x)])
    torch.testing.assert_close(model.input_range[0, 0].detach(), wanted)


def as_image(x):
    return F.unfold(x.unsqueeze(2), (1, 3), 1, (0, 1), (1, 2)).transpose(1, 2)


def as_depths(x):
    "Windows of 2 x 2 x 2."
    windows = x.unfold(2, 2, 1).unfold(3, 2, 1).unfold(4, 2, 1)
    return windows.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4)


def as_pixels(x):
    return x.flatten(2).transpose(1, 2)


OTHERS = {
    "Conv1d": (nn.Conv1d(3, 4, 3, 2, 1), (4, 3, 11), as_image),
    "Conv3d": (nn.Conv3d(2, 4, 2), (3, 2, 4, 5, 6), as_depths),
    "ConvTranspose1d": (nn.ConvTranspose1d(3, 4, 3, 2), (4, 3, 7), as_pixels),
    "ConvTranspose2d": (nn.ConvTranspose2d(3, 4, 3, 2), (4, 3, 5, 6), as_pixels),
    "circular": (
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
        (2, 3, 5, 6),
        lambda x: F.unfold(F.pad(x, (1, 1, 1, 1), mode="circular"), 3).transpose(1, 2),
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", OTHERS)
def test_other_convolutions_have_the_range_of_what_their_tile_receives(name, method):
    layer, shape, rows_of = OTHERS[name]
    x = sparse(*shape)
    model = to_analog(layer.double(), quiet())
    calibrate(model, x, method=method, quantile=0.9, std_alpha=2.5)
    rows = rows_of(x).flatten(0, -2)
    wanted = BY_HAND[method](rows[(rows != 0).any(1)])
    assert model.input_range.item() == pytest.approx(float(wanted), rel=1e-6)


def test_the_cache_holds_rows_drawn_from_all_batches():
    """As in aihwkit, half of the cache is new after each batch: after three of 1,000 ascending
    inputs it holds shares of 1/4, 1/4 and 1/2, so that the median is 2/3. It varies by 0.011."""
    torch.manual_seed(0)
    x = torch.arange(3000).view(-1, 1) / 3000
    found = []
    for seed in range(5):
        model = to_analog(nn.Linear(1, 2))
        calibrate(model, x, quantile=0.5, batch_size=1000, seed=seed)
        found.append(float(model.input_range))
    assert len(set(found)) == 5
    assert np.allclose(found, 2 / 3, atol=0.05)


def test_a_quantile_of_more_numbers_than_torch_takes():
    copies = torch.tensor([1e8, 1e8, 1.0], dtype=torch.float64)
    values = torch.tensor([[1.0, 3.0, 7.0]])
    n = torch.tensor([400_000_001])
    for q, wanted in ((0.3, 0.0), (0.6, 1.0), (0.9, 3.0), (1.0, 7.0)):
        assert float(counted_quantile(values, copies, n, q)) == wanted


@pytest.mark.parametrize("q", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_a_quantile_of_few_numbers_is_torchs(n, q):
    values = torch.rand(2, n, generator=torch.Generator().manual_seed(n)) + 0.5
    found = counted_quantile(values, torch.ones(n), torch.tensor([n, n]), q)
    torch.testing.assert_close(found, torch.quantile(values, q, dim=1))


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
def test_the_moving_quantile_of_one_batch_is_torchs(q):
    x = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)) + 0.5
    model = to_analog(nn.Linear(3, 2))
    calibrate(model, x, method="moving_quantile", quantile=q)
    assert model.input_range.item() == pytest.approx(torch.quantile(x, q).item())


@pytest.mark.parametrize("method", ["moving_std", "moving_quantile"])
def test_max_samples_limits_the_calls_that_aihwkit_limits(method):
    model = to_analog(convnet(), quiet())
    batches = [sparse(4, 3, 8, 8), 2 * sparse(6, 3, 8, 8)]
    assert_equal_to_aihwkit(model, batches, method, quantile=0.97, max_samples=1)


def test_256_inputs_are_taken_at_a_time():
    x = torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) ** 2
    models = [to_analog(nn.Linear(3, 2)) for _ in range(2)]
    calibrate(models[0], x, method="moving_quantile", quantile=0.9)
    loader = DataLoader(TensorDataset(x, torch.zeros(300)), batch_size=256)
    calibrate(models[1], loader, method="moving_quantile", quantile=0.9)
    assert torch.equal(models[0].input_range, models[1].input_range)


# ---- data, and what stays as it was --------------------------------------------------------------


def test_every_form_of_data_gives_the_same_ranges():
    x = torch.randn(8, 4)
    y = torch.zeros(8, dtype=torch.long)
    pairs = TensorDataset(x, y)
    forms = [
        x,
        (x, y),
        DataLoader(pairs, batch_size=4),
        DataLoader(TensorDataset(x), batch_size=4),
        [x[:4], x[4:], x[:1]],
        ({"x": some, "labels": y[:4]} for some in x.split(4)),
        {"x": x},
    ]
    for data in forms:
        model = to_analog(nn.Linear(4, 3))
        calibrate(model, data, method="max", batch_size=4)
        assert float(model.input_range) == float(x.abs().max())


def test_the_network_is_otherwise_as_it_was():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.LSTM(5, 4))
    model = to_analog(net).train()
    model[1].eval()
    program(model)
    drift(model, 3600.0)
    x = torch.randn(20, 6)
    random = torch.get_rng_state()
    own = ("input_range", "range_batches")
    before = {k: v.clone() for k, v in model.state_dict().items() if not k.endswith(own)}
    for method in METHODS:
        calibrate(model, x, method=method)
    after = model.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert any("programmed" in k for k in before)
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model] == [True, False, True, True]
    for layer in analog_layers(model).values():
        assert not layer._forward_pre_hooks and "without_bias" not in vars(layer)
        assert not layer.rpu_config.forward.is_perfect


def test_the_same_seed_gives_the_same_ranges():
    torch.manual_seed(0)
    x = torch.randn(300, 8)
    found = {}
    for method in METHODS:
        for seed in (0, 0, 1):
            model = to_analog(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3)))
            model.load_state_dict(found.setdefault("state", copy.deepcopy(model.state_dict())))
            calibrate(model, x, method=method, seed=seed, max_samples=50)
            found.setdefault(method, []).append(ranges(model))
    for method in METHODS:
        assert torch.equal(*found[method][:2])
    # the others round nothing and draw nothing
    assert not torch.equal(found["moving_std"][0], found["moving_std"][2])
    assert not torch.equal(found["cache_quantile"][0], found["cache_quantile"][2])
    assert torch.equal(found["max"][0], found["max"][2])


def test_a_programmed_network_is_calibrated_as_it_is_programmed():
    """The second layer receives what the devices of the first make of the inputs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    model = to_analog(net, create_rpu_config(prog_noise_scale=20.0)).eval()
    x = 0.1 * torch.randn(50, 6)
    calibrate(model, x, method="max")
    exact = ranges(model)
    program(model)
    calibrate(model, x, method="max")
    assert ranges(model)[0] == exact[0]
    assert abs(ranges(model)[1] / exact[1] - 1) > 0.05


@pytest.mark.parametrize("method", METHODS)
def test_training_leaves_calibrated_ranges_until_it_learns_them(method):
    torch.manual_seed(0)
    model = to_analog(nn.Linear(6, 5))
    calibrate(model, torch.randn(50, 6), method=method)
    twin = to_analog(nn.Linear(6, 5)).train()
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        twin(100 * torch.randn(50, 6))
    assert torch.equal(twin.input_range, model.input_range)


def test_a_layer_of_another_chip_is_left_out():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    model = to_analog(net, chips={"1": create_rpu_config("ideal")})
    calibrate(model, torch.ones(2, 6), method="max")
    assert float(model[0].input_range) == 1.0
    assert model[1].input_range is None


def test_ranges_that_no_input_reaches_stay_with_a_warning(caplog):
    torch.manual_seed(0)
    model = to_analog(nn.ModuleDict({"used": nn.Linear(3, 2), "idle": nn.Linear(3, 2)}))
    model.forward = model["used"].forward
    with caplog.at_level(logging.WARNING, "analognas"):
        calibrate(model, torch.ones(2, 3), method="max")
    assert "idle" in caplog.text and "used" not in caplog.text
    assert float(model["used"].input_range) == 1.0
    assert float(model["idle"].input_range) == 3.0


def test_a_progress_bar_is_shown_if_it_is_wanted(capsys):
    calibration.calibrate_input_ranges(to_analog(nn.Linear(3, 2)), torch.ones(2, 3))
    assert "calibrate" in capsys.readouterr().err
    calibrate(to_analog(nn.Linear(3, 2)), torch.ones(2, 3))
    assert not capsys.readouterr().err


# ---- what is refused -----------------------------------------------------------------------------


class Breaking(nn.Module):
    "Something between two layers turns into NaN."

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        return self.last(self.first(x) * torch.nan)


X = torch.ones(4, 3)
REFUSED = {
    "no analog layers": (nn.Linear(3, 2), X, {}),
    "no static input ranges": (to_analog(nn.Linear(3, 2), create_rpu_config("ideal")), X, {}),
    "The inputs are NaN": (to_analog(nn.Linear(3, 2)), X * torch.nan, {}),
    "The inputs of last are NaN": (to_analog(Breaking()), X, {}),
    "other than 0": (to_analog(nn.Linear(3, 2)), 0 * X, {}),
    "No layer received": (to_analog(nn.Linear(3, 2)), X[:0], {}),
    "which is no range": (to_analog(nn.Linear(3, 2)), -X, {}),
    "takes 3 inputs; got 2": (to_analog(nn.Linear(3, 2)), X[:, :2], {}),
    "Data must be tensors or arrays, .* got int": (to_analog(nn.Linear(3, 2)), 3, {}),
    "Unknown method 'mean'": (to_analog(nn.Linear(3, 2)), X, {"method": "mean"}),
    "quantile must be": (to_analog(nn.Linear(3, 2)), X, {"quantile": 1.1}),
    "max_samples must be": (to_analog(nn.Linear(3, 2)), X, {"max_samples": 0}),
    "batch_size must be": (to_analog(nn.Linear(3, 2)), X, {"batch_size": 0}),
    "batch_size must be a whole number": (to_analog(nn.Linear(3, 2)), X, {"batch_size": 1.5}),
    "std_alpha must be": (to_analog(nn.Linear(3, 2)), X, {"std_alpha": -1.0}),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused(words):
    model, data, settings = REFUSED[words]
    with pytest.raises(ConfigError, match=words):
        calibrate(model, data, **settings)
    for module in model.modules():
        assert getattr(module, "input_range", None) is None or (module.input_range == 3).all()


def test_an_error_on_the_way_leaves_the_ranges_as_they_were():
    def batches():
        yield X
        raise RuntimeError("the disk is gone")

    model = to_analog(nn.Linear(3, 2))
    for method in METHODS:
        with pytest.raises(RuntimeError, match="the disk is gone"):
            calibrate(model, batches(), method=method, quantile=1.0)
        assert float(model.input_range) == 3.0
        assert not model.rpu_config.forward.is_perfect


def test_layers_on_aihwkits_tiles_are_refused_by_name():
    config = create_rpu_config()
    config.forward.noise_management = NoiseManagementType.ABS_MAX
    model = to_analog(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)), chips={"1": config})
    with pytest.raises(ConfigError, match="on aihwkit's tiles are 1"):
        calibrate(model, X)
