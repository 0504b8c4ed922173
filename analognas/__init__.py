"""Neural architecture search for analog in-memory-computing hardware.

The classes below can be imported from here; each is loaded when it is first asked for, so that `import analognas` is instant.
"""
import importlib

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


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module 'analognas' has no attribute {name!r}")
    return getattr(importlib.import_module(f"analognas.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
