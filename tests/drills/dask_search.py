"""A search on a Dask cluster that is broken under way: `python dask_search.py FOLDER LOG worker|scheduler`."""

import logging
import sys
from argparse import Namespace

from dask.distributed import Client, LocalCluster
from victims import make_worker, note

from analognas import cli

SIZES = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}


def search(folder, log, how):
    "Search, and break the cluster after twenty evaluations, or let a worker die over one."
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    seen = []
    with LocalCluster(**SIZES, memory_limit=0) as cluster, Client(cluster) as client:
        worker = make_worker(
            f"{folder}/run",
            log,
            wrong="dies once" if how == "worker" else None,
            executor=client.get_executor(pure=False),
        )

        def on_evaluation(method, run, trial):
            note(log, "done", method, run, trial.key)
            seen.append(trial)
            if how == "scheduler" and len(seen) == 20:
                cluster.close()

        worker.on_evaluation = on_evaluation
        worker.search()
    return 0


if __name__ == "__main__":
    sys.exit(cli.call(Namespace(command="search", call=lambda _: search(*sys.argv[1:]))))
