"""Drawings of cells: an arrow for every edge."""

from matplotlib.figure import Figure

from analognas.plots.cell import plot_cell
from analognas.search_spaces.nasbench201_cells import EDGES, OPERATIONS, config_of

CELL = config_of((2, 0, 3, 1, 4, 2))


def test_plot_cell_draws_an_arrow_for_every_operation_but_none():
    figure = Figure()
    ax = plot_cell(CELL, figure.subplots())
    operations = [t.get_text() for t in ax.texts if t.get_text() in OPERATIONS]
    assert sorted(operations) == sorted(OPERATIONS[op] for op in CELL.values())
    heads = [p for p in ax.patches if "CurveFilled" in type(p.get_arrowstyle()).__name__]
    assert len(ax.patches) == len(EDGES) and len(heads) == sum(op != 1 for op in CELL.values())
