"""The conformance suite holds for every module and model of the catalogue; a new one needs one more
line there."""

import copy

import pytest
import torch
from catalogue import BIG, CASES
from torch.utils.checkpoint import checkpoint

from analognas.analog.convert import conversion_report, to_analog
from analognas.analog.coverage import BY_NATURE
from analognas.analog.hardware import create_rpu_config
from analognas.core import ConfigError
from analognas.testing.layers import LayerConformance
from analognas.testing.tensors import call, largest_difference, map_real, real_tensors


def suite(name):
    "A test class for one case."
    case = (CASES | BIG)[name]
    methods = {
        "make": lambda self: case.make(),
        "make_inputs": lambda self: case.make_inputs(),
    }
    kind = type(f"Test{name}", (LayerConformance,), methods | case.options)
    return pytest.mark.slow(kind) if case.slow else kind


SUITES = {name: suite(name) for name in CASES}
globals().update({kind.__name__: kind for kind in SUITES.values()})


def test_the_catalogue_has_at_least_sixty_modules_and_models():
    assert len(CASES) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("name", BIG)
def test_whole_models_are_on_the_chip(name):
    subject = suite(name)()
    subject.compares_training = False  # dropped paths draw random numbers
    subject.test_every_matrix_is_on_tiles_or_named()
    subject.test_huge_noise_moves_the_output()
    subject.test_the_ideal_chip_computes_what_the_digital_network_does()


def by_speed(names):
    "Parameters, of which those that take long are marked."
    return [pytest.param(n, marks=[pytest.mark.slow] * CASES[n].slow) for n in names]


@pytest.mark.parametrize("name", by_speed(CASES))
def test_functional_call_with_the_own_parameters_changes_nothing(name):
    subject = SUITES[name]()
    analog = subject._on_chip(subject._digital()).eval()
    inputs = subject._inputs()
    with torch.no_grad():
        want = subject._call(analog, inputs)
        own = dict(analog.named_parameters())
        arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        keywords = {}
        if isinstance(inputs, dict):
            arguments, keywords = (), inputs
        got = torch.func.functional_call(analog, own, arguments, keywords)
        assert largest_difference(want, subject.output(got)) < 1e-6


WRAPPED = [
    "Linear", "Conv1d", "Conv2d", "ConvTranspose2d", "LSTM", "EncoderLayer", "WeightReadAround",
    "TwoHeads",
]  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_compiled_networks_compute_the_same(name):
    subject = SUITES[name]()
    analog = subject._on_chip(subject._digital(), create_rpu_config(out_noise=0.0)).eval()
    torch._dynamo.reset()
    compiled = torch.compile(analog, backend="eager")
    assert largest_difference(subject._read(analog), subject._read(compiled)) == 0


@pytest.mark.parametrize("name", ["Linear", "Conv2d", "EncoderLayer", "TwoHeads"])
def test_export_is_refused_by_name(name):
    subject = SUITES[name]()
    analog = subject._on_chip(subject._digital()).eval()
    with pytest.raises(ConfigError, match="torch.export"):
        torch.export.export(analog, (subject._inputs(),))


@pytest.mark.parametrize("name", WRAPPED[:6])
def test_checkpointed_networks_have_the_same_gradients(name):
    subject = SUITES[name]()
    chip = create_rpu_config(out_noise=0.0, modifier_std=0.0)
    chip.pre_post.input_range.init_from_data = 0  # no range moves between the two passes
    analog = subject._on_chip(subject._digital(), chip).train()
    found = []
    for way in (call, lambda net, x: checkpoint(net, x, use_reentrant=False)):
        net = copy.deepcopy(analog)
        x = map_real(subject._inputs(), lambda v: v.clone().requires_grad_())
        sum(y.square().sum() for y in real_tensors(way(net, x))).backward()
        found.append([p.grad for p in net.parameters()])
    assert largest_difference(*found) < 1e-6


def digital_rows(name):
    "What the report has as digital, without what is so by nature."
    report = conversion_report(to_analog(CASES[name].make()))
    rest = report[(report["where"] == "digital") & ~report.why.str.startswith(BY_NATURE)]
    return sorted(rest.type)


@pytest.mark.parametrize(
    "name, types", [("BilinearNamed", ["Bilinear"]), ("Voxels", ["ConvTranspose3d"])]
)
def test_what_has_no_tiles_is_listed_without_being_named(name, types):
    assert digital_rows(name) == types
