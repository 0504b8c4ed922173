"""Random draws and results of every kind, as numbers that can be compared between processes and machines.

python tests/draws.py            print them as JSON
python tests/draws.py --golden   write them to tests/data/draws.json, with the versions they hold for
"""

import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from analognas.analog.convert import to_analog
from analognas.analog.hardware import create_rpu_config
from analognas.analog.measure import measure_drift
from analognas.analog.noise import add_normal_, torch_seed
from analognas.analog.programming import analog_layers, drift, program
from analognas.core import DAY, spawn_seeds
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_spaces.config_space import ConfigSpace

GOLDEN = Path(__file__).resolve().parent / "data" / "draws.json"
LIBRARIES = ("aihwkit", "numba", "numpy", "scipy", "torch", "xgboost")
SPACE = ConfigSpace("CIFAR-10")


def versions() -> dict[str, str]:
    "Return what the last digits of floating-point numbers may depend on."
    found = {name: version(name).partition("+")[0] for name in LIBRARIES}
    return found | {"machine": f"{platform.system()} {platform.machine()}"}


def network() -> nn.Module:
    "Return a network whose weights NumPy draws."
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)).eval()
    for p in net.parameters():
        p.data = torch.from_numpy(rng.normal(0, 0.2, p.shape).astype(np.float32))
    return net


def images() -> torch.Tensor:
    "Return inputs that NumPy draws, shape (64, 2, 6, 6)."
    return torch.from_numpy(np.random.default_rng(1).normal(size=(64, 2, 6, 6)).astype(np.float32))


def chip() -> nn.Module:
    "Return the network programmed and one day old."
    model = to_analog(network(), create_rpu_config()).eval()
    with torch_seed(2):
        program(model)
        drift(model, DAY)
    return model


def noise() -> list:
    with torch_seed(3):
        return add_normal_(torch.zeros(200), 1.0).tolist()


def programmed() -> list:
    weights = [layer.tile_states[0].weights.flatten() for layer in analog_layers(chip()).values()]
    return torch.cat(weights).tolist()


def outputs() -> list:
    model = chip()
    with torch_seed(4), torch.no_grad():
        return model(images()).flatten().tolist()


def accuracies() -> list:
    net = network()
    labels = net(images()).argmax(1)
    model = to_analog(net, create_rpu_config())
    return measure_drift(model, (images(), labels), n_rep=6, progress=False).acc.flatten().tolist()


def configs() -> list:
    return [list(map(float, row)) for row in SPACE.encode(SPACE.sample_arch_uniformly(8, 5))]


def predictions() -> list:
    evaluator = XGBoostEvaluator().bind(SPACE)
    return evaluator.query_pop(SPACE.sample_arch_uniformly(8, 5)).acc_1d.tolist()


def search() -> list:
    optimizer = EAOptimizer(ParamsEvaluator(), 4, 8, max_nb_param=None, T_AVM=None)
    history = optimizer.run(SPACE, rng=6).history
    return history[SPACE.get_hyperparameters()].to_numpy(float).flatten().tolist()


KINDS = {
    "seeds": lambda: spawn_seeds(0, 8),
    "configs": configs,
    "search": search,
    "noise": noise,
    "programmed": programmed,
    "outputs": outputs,
    "accuracies": accuracies,
    "predictions": predictions,
}


def digest(values: list) -> str:
    "Return a hash of numbers, to the last bit."
    return hashlib.sha256(np.asarray(values, float).tobytes()).hexdigest()


def draws() -> dict[str, list]:
    "Return every kind of draw."
    return {name: make() for name, make in KINDS.items()}


if __name__ == "__main__":
    found = draws()
    if "--golden" in sys.argv:
        digests = {name: digest(values) for name, values in found.items()}
        golden = {"versions": versions(), "digests": digests, "draws": found}
        GOLDEN.write_text(json.dumps(golden) + "\n", encoding="utf-8")
    else:
        json.dump(found, sys.stdout)
