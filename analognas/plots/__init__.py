"""Figures: each has a function that computes its data and one that draws it."""

from ..core import renamed
from .accuracy import plot_distribution, plot_drift
from .architecture import plot_architecture
from .cell import plot_cell
from .devices import plot_conductances, plot_device_drift, plot_noise, plot_ranges, plot_sensitivity
from .evaluator import plot_agreement, plot_attribution
from .floor_plan import plot_floor_plan
from .pareto import plot_pareto
from .search import plot_best_so_far, plot_parallel
from .style import PALETTE, new_axes, save_figure, style  # the function, not its module

__all__ = [
    "PALETTE",
    "new_axes",
    "plot_agreement",
    "plot_architecture",
    "plot_attribution",
    "plot_best_so_far",
    "plot_cell",
    "plot_conductances",
    "plot_device_drift",
    "plot_distribution",
    "plot_drift",
    "plot_floor_plan",
    "plot_noise",
    "plot_parallel",
    "plot_pareto",
    "plot_ranges",
    "plot_sensitivity",
    "save_figure",
    "style",
]
__getattr__ = renamed(
    __name__,
    {
        "FEWEST_FOR_SHAPE": "plots.accuracy:FEWEST_FOR_SHAPE",
        "distribution_data": "plots.accuracy:distribution_data",
        "drift_data": "plots.accuracy:drift_data",
        "alt_distribution": "plots.accuracy:alt_text_distribution",
        "alt_drift": "plots.accuracy:alt_text_drift",
        "MAX_DRAWN": "plots.architecture:MAX_DRAWN",
        "alt_architecture": "plots.architecture:alt_text_architecture",
        "KINDS": "plots.blocks:KINDS",
        "architecture_data": "plots.blocks:architecture_data",
        "agreement_data": "plots.evaluator:agreement_data",
        "alt_agreement": "plots.evaluator:alt_text_agreement",
        "alt_attribution": "plots.evaluator:alt_text_attribution",
        "attribution_data": "plots.evaluator:attribution_data",
        "AXIS_LABELS": "plots.pareto:AXIS_LABELS",
        "alt_pareto": "plots.pareto:alt_text_pareto",
        "axis_label": "plots.pareto:axis_label",
        "pareto_data": "plots.pareto:pareto_data",
        "METHOD_NAMES": "plots.search:METHOD_NAMES",
        "NOT_HYPERPARAMETERS": "plots.search:NOT_HYPERPARAMETERS",
        "PARALLEL_LABELS": "plots.search:PARALLEL_LABELS",
        "PARALLEL_TOP": "plots.search:PARALLEL_TOP",
        "alt_best_so_far": "plots.search:alt_text_best_so_far",
        "alt_parallel": "plots.search:alt_text_parallel",
        "best_so_far_data": "plots.search:best_so_far_data",
        "most_varied": "plots.search:most_varied",
        "parallel_data": "plots.search:parallel_data",
        "LINES": "plots.style:LINES",
        "MARKERS": "plots.style:MARKERS",
        "conductance_data": "analog.characterize:conductance_data",
        "device_drift_data": "analog.characterize:device_drift_data",
        "noise_data": "analog.characterize:noise_data",
        "range_data": "analog.characterize:range_data",
        "STAGES": "analog.characterize:STAGES",
        "SHARES": "analog.characterize:SHARES",
        "QUANTILE": "analog.characterize:QUANTILE",
        "plot_conductance_histogram": "plots.devices:plot_conductance_histogram",
        "DRAWN": "plots.devices:MAX_POINTS",
        "RANGES": "plots.devices:RANGES",
        "alt_conductances": "plots.devices:alt_text_conductances",
        "alt_device_drift": "plots.devices:alt_text_device_drift",
        "alt_noise": "plots.devices:alt_text_noise",
        "alt_sensitivity": "plots.devices:alt_text_sensitivity",
        "alt_ranges": "plots.devices:alt_text_ranges",
    },
)
