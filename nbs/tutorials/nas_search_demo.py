"""The search of nas_search_demo.ipynb from the command line: the same settings, the same winner.

    python nas_search_demo.py --seed 0 --out runs/demo

Searches the ResNet-like family for handwritten digits with evolution on predicted accuracy, beside random search; trains and
programs the winner; writes everything to the run directory. Run again with the same --out, it goes on where it was ended."""

import argparse
from collections.abc import Sequence

from analognas.core import ConfigError, FileFormatError, InfeasibleError, format_time
from analognas.evaluators.xgboost import XGBoostEvaluator
from analognas.plots import plot_best_so_far, plot_drift, save_figure
from analognas.search_algorithms.constraints import Constraints
from analognas.search_algorithms.ea_optimized import EAOptimizer
from analognas.search_algorithms.worker import Worker
from analognas.search_spaces.config_space import ConfigSpace

LIMITS = Constraints(
    max_nb_param=0.05, T_AVM=5, allow_extrapolation=False
)  # million parameters; points lost in a month
POPULATION, GENERATIONS, RUNS = 20, 10, 3


def make_worker(
    seed: int = 0,  # every run's seed comes from this one
    out: str | None = None,  # run directory; None makes a new one under runs/
) -> Worker:
    "The demonstration's search, not yet begun."
    optimizer = EAOptimizer(
        XGBoostEvaluator(), nb_iter=GENERATIONS, population_size=POPULATION, constraints=LIMITS
    )
    return Worker(
        ConfigSpace("digits"), optimizer, runs=RUNS, seed=seed, run_dir=out, progress=False
    )


def measure_winner(worker: Worker) -> None:
    "Train, program and drift the winner; its accuracy over time as text and figure."
    from analognas.training.protocol import (
        Protocol,
    )  # torch and aihwkit, only where networks are trained

    drift = worker.train_best(protocol=Protocol(n_rep=5)).drift
    for t, mean, std in zip(drift.t_inference, drift.mean, drift.std, strict=True):
        print(f"{format_time(t):>8} after programming: {mean:.2f} % ± {std:.2f}")
    print(
        f"predicted after a day {worker.best_acc:.2f} %, measured {drift.acc_1d:.2f} ± "
        f"{drift.std_1d:.2f} %"
    )
    save_figure(plot_drift({"winner": drift}), worker.directory.path / "drift.png")


def main(arguments: Sequence[str] | None = None) -> Worker:
    "The program; returns the worker, so that it can be called from Python."
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the search (default 0)")
    parser.add_argument("--out", help="run directory; a new one under runs/ unless given")
    parser.add_argument(
        "--search-only", action="store_true", help="do not train and measure the winner"
    )
    args = parser.parse_args(arguments)
    try:
        worker = make_worker(args.seed, args.out)
        worker.search()
    except (ConfigError, FileFormatError, InfeasibleError) as e:
        parser.exit(2, f"{parser.prog}: {e}\n")
    worker.result_summary()
    save_figure(plot_best_so_far(worker.evaluations), worker.directory.path / "search.png")
    if not args.search_only:
        measure_winner(worker)
    return worker


if __name__ == "__main__":
    main()
