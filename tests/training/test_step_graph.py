"""A recorded step against a step without a recording; the GPU is played by a double."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from analognas.analog import create_rpu_config, to_analog
from analognas.analog.noise import torch_seed
from analognas.training import fit as module
from analognas.training.augment import Augment
from analognas.training.checkpoint import Checkpoint
from analognas.training.fit import Fit, Objective, one_cycle
from analognas.training.step_graph import WARM_UP, StepGraph, wants_graph

ROWS = 8


class GraphDouble:
    "Replay by computing again, into the same tensors, as a graph's kernels do."

    def __init__(self):
        self.replays = 0

    def attach(self, step: StepGraph) -> None:
        self.step = step

    def replay(self) -> None:
        self.replays += 1
        loss = self.step._backward()
        self.step._loss.copy_(loss)


@pytest.fixture
def recorder(monkeypatch):
    "Let steps be recorded here; the list holds the graphs."
    graphs = []
    record = StepGraph._record

    @contextmanager
    def capture(graph):
        "A recording computes nothing: undo what the block does."
        values = [*graph.step._model.parameters(), *graph.step._model.buffers()]
        kept = [v.detach().clone() for v in values]
        state = torch.get_rng_state()
        yield
        torch.set_rng_state(state)
        with torch.no_grad():
            for value, old in zip(values, kept, strict=True):
                value.copy_(old)

    def attached(self, batch):
        def make():
            graph = GraphDouble()
            graph.attach(self)
            graphs.append(graph)
            return graph

        monkeypatch.setattr(torch.cuda, "CUDAGraph", make)
        record(self, batch)

    class Stream:
        def wait_stream(self, other):
            pass

    @contextmanager
    def on_stream(stream):
        yield

    monkeypatch.setattr(StepGraph, "_record", attached)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", on_stream)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.get_rng_state())
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: torch.set_rng_state(state)
    )
    monkeypatch.setattr(module, "wants_graph", lambda device: True)
    return graphs


def network() -> nn.Module:
    with torch_seed(0):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(4 * 36, 3),
        )


def analog_network() -> nn.Module:
    "Without clipping, which is done once more where a step is recorded."
    chip = create_rpu_config("pcm")
    chip.clip.type = type(chip.clip.type).NONE
    return to_analog(network(), chip)


def trained(model: nn.Module, phase: str) -> dict:
    "Return the state of a network after two epochs."
    with torch_seed(1):
        inputs = torch.randn(5 * ROWS, 1, 6, 6)
        targets = torch.arange(5 * ROWS) % 3
        make = one_cycle(torch.optim.SGD, 0.05, momentum=0.9)
        augment = Augment(crop=1, flip=True)
        Fit(phase, 2, ROWS, make, Objective(), augment, False, Checkpoint()).run(
            model, inputs, targets, "these"
        )
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("make, phase", [(network, "digital"), (analog_network, "hardware-aware")])
def test_recorded_steps_train_as_others(request, make, phase):
    wanted = trained(make(), phase)
    graphs = request.getfixturevalue("recorder")
    found = trained(make(), phase)
    assert [graph.replays for graph in graphs] == [10]
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        # the first replay remaps, which rounds once more
        np.testing.assert_allclose(found[name], value, 1e-5, 1e-6, err_msg=name)


def test_recording_changes_neither_values_nor_random_numbers(recorder):
    model = network().train()
    calls = []

    def compute(batch):
        calls.append(batch.clone())
        return nn.functional.cross_entropy(model(torch.randn(len(batch), 1, 6, 6)), batch % 3)

    before = {k: v.clone() for k, v in model.state_dict().items()}
    step = StepGraph(model, compute)
    state = torch.get_rng_state()
    monitored = GraphDouble.replay
    try:
        GraphDouble.replay = lambda self: None
        step(torch.arange(ROWS))
    finally:
        GraphDouble.replay = monitored
    assert len(calls) == WARM_UP + 1
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_replay_computes_the_batch_it_is_given(recorder):
    model = nn.Linear(1, 1, bias=False).train()
    step = StepGraph(model, lambda batch: model(batch[:, None].float()).sum())
    step(torch.tensor([1, 2]))
    assert model.weight.grad.item() == 3
    loss = step(torch.tensor([3, 4]))
    assert model.weight.grad.item() == 7
    assert loss.item() == pytest.approx(7 * model.weight.item())


def test_weights_of_a_recorded_step_are_clipped(recorder):
    analog = to_analog(network(), create_rpu_config("pcm")).train()
    layer = analog[0]
    step = StepGraph(analog, lambda batch: analog(torch.ones(len(batch), 1, 6, 6)).sum())
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] = 50.0  # far outside twice the standard deviation
    step(torch.arange(ROWS))
    assert layer.weight.max().item() < 50


@pytest.mark.parametrize(
    "kind, value, wanted",
    [("cuda", "1", True), ("cuda", "0", False), ("cuda", None, False), ("cpu", "1", False)],
)
def test_graphs_are_used_on_request_and_on_a_gpu_only(monkeypatch, kind, value, wanted):
    monkeypatch.delenv("ANALOGNAS_CUDA_GRAPHS", raising=False)
    if value is not None:
        monkeypatch.setenv("ANALOGNAS_CUDA_GRAPHS", value)
    assert wants_graph(torch.device(kind)) is wanted
