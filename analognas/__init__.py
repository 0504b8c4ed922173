"""Neural architecture search for analog in-memory-computing hardware.

The classes below can be imported from here; each is loaded when it is first asked for, so that `import analognas` is instant.
"""
import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_WHERE = {
    "ConfigSpace": "search_spaces.config_space",
    "NASBench201Space": "search_spaces.nasbench201",
    "Network": "search_spaces.resnet_macro_architecture",
    "create_rpu_config": "analog.hardware",
    "measure_drift": "analog.measure",
    "load_dataset": "datasets.load",
    "Protocol": "training.protocol",
    "Evaluator": "evaluators.base_evaluator",
    "MLPEvaluator": "evaluators.mlp",
    "MeasuredEvaluator": "evaluators.measured",
    "TableEvaluator": "evaluators.table",
    "XGBoostEvaluator": "evaluators.xgboost",
    "RandomSearch": "search_algorithms.random_search",
    "EAOptimizer": "search_algorithms.ea_optimized",
    "Worker": "search_algorithms.worker",
}
__all__ = sorted(_WHERE)

if TYPE_CHECKING:  # the same names, for type checkers and editors
    from .analog.hardware import create_rpu_config
    from .analog.measure import measure_drift
    from .datasets.load import load_dataset
    from .evaluators.base_evaluator import Evaluator
    from .evaluators.measured import MeasuredEvaluator
    from .evaluators.mlp import MLPEvaluator
    from .evaluators.table import TableEvaluator
    from .evaluators.xgboost import XGBoostEvaluator
    from .search_algorithms.ea_optimized import EAOptimizer
    from .search_algorithms.random_search import RandomSearch
    from .search_algorithms.worker import Worker
    from .search_spaces.config_space import ConfigSpace
    from .search_spaces.nasbench201 import NASBench201Space
    from .search_spaces.resnet_macro_architecture import Network
    from .training.protocol import Protocol
else:

    def __getattr__(name: str):
        if name not in _WHERE:
            raise AttributeError(f"module 'analognas' has no attribute {name!r}")
        return getattr(importlib.import_module(f"analognas.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])


# Modules of earlier releases and what they are called now.
MOVED = {
    "analognas.analog.cost": "analognas.cost",
    "analognas.analog.product": "analognas.analog.mvm",
    "analognas.evaluators.shipped": "analognas.evaluators.pretrained",
    "analognas.evaluators.conformance": "analognas.testing.evaluators",
    "analognas.search_algorithms.conformance": "analognas.testing.optimizers",
    "analognas.search_algorithms.pool": "analognas.search_algorithms.candidates",
}


class _MovedFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    "Import a module under its old name, with a warning that names the new one."

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in MOVED:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module):
        # The import system uses what it finds in sys.modules once a module has been loaded.
        old = module.__name__
        warnings.warn(
            f"{old} is now {MOVED[old]}; the old name will go away.", DeprecationWarning, stacklevel=2
        )
        sys.modules[old] = importlib.import_module(MOVED[old])


sys.meta_path.append(_MovedFinder())  # last: no module that exists under its own name pays for it
