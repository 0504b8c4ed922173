"""aihwkit's compiled tiles with a torch that does not fit: refused where they are used, and only there."""

import pytest
import torch
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters.enums import NoiseManagementType
from aihwkit.simulator.tiles.inference import InferenceTile
from torch import nn

from analognas.analog import compiled_tiles, create_rpu_config, program, to_aihwkit, to_analog
from analognas.core import MissingExtraError


@pytest.fixture
def misfit(monkeypatch):
    "Compiled tiles fail at their update, as with torch 2.11 and 2.13."

    def update(*args, **kwargs):
        raise RuntimeError("weights must be a CPU tensor\nException raised from here")

    monkeypatch.setattr(InferenceTile, "update", update)
    compiled_tiles._check_one_step.cache_clear()
    yield
    compiled_tiles._check_one_step.cache_clear()


def uncovered() -> InferenceRPUConfig:
    "A chip on compiled tiles that the fast layers do not cover."
    config = InferenceRPUConfig()
    config.forward.noise_management = NoiseManagementType.ABS_MAX
    return config


SENTENCE = (
    r"The compiled tiles of aihwkit .* do not work with torch .*\(weights must be a CPU tensor\): "
)


def test_to_analog_refuses_compiled_tiles_that_do_not_fit_the_torch(misfit):
    with pytest.raises(MissingExtraError, match=SENTENCE):
        to_analog(nn.Linear(3, 2), uncovered())


def test_to_aihwkit_refuses_compiled_tiles_that_do_not_fit_the_torch(misfit):
    fast = to_analog(nn.Linear(3, 2), InferenceRPUConfig(**vars_of_fast()))
    with pytest.raises(MissingExtraError, match=SENTENCE):
        to_aihwkit(fast)


def vars_of_fast() -> dict:
    "The settings of a chip that the fast layers cover, for `InferenceRPUConfig`."
    config = create_rpu_config()
    names = ("forward", "pre_post", "modifier", "clip", "remap", "mapping", "noise_model")
    return {name: getattr(config, name) for name in names}


def test_fast_layers_and_torch_tiles_work_all_the_same(misfit):
    fast = to_analog(nn.Linear(3, 2)).eval()
    program(fast)
    assert fast(torch.ones(1, 3)).shape == (1, 2)
    assert to_aihwkit(to_analog(nn.Linear(3, 2)))(torch.ones(1, 3)).shape == (1, 2)


def test_the_check_is_made_once_and_passes_with_this_torch(monkeypatch):
    calls = []
    monkeypatch.setattr(compiled_tiles, "train_step", lambda compiled: calls.append(compiled))
    compiled_tiles._check_one_step.cache_clear()
    for _ in range(3):
        compiled_tiles.check_compiled_tiles(uncovered())
    compiled_tiles._check_one_step.cache_clear()
    assert calls == [True]
