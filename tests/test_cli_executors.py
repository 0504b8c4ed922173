"""`analognas search --executor`: the same seed finds the same with threads, processes and a Dask cluster as without."""

import json
from contextlib import closing

import pytest
from distributed import Client, LocalCluster

from analognas.cli import main


def found(folder, *options):
    "What `analognas search` says of a small search, and the evaluations of it."
    where = folder / "run"
    assert (
        main(
            [
                "search",
                "digits",
                "--optimizer",
                "random_search",
                "--population",
                "8",
                "--iterations",
                "1",
                "--runs",
                "1",
                "--seed",
                "3",
                "--run-dir",
                str(where),
                *options,
            ]
        )
        == 0
    )
    summary = json.loads((where / "summary.json").read_text())
    return {k: v for k, v in summary.items() if k in ("best_config", "acc_1d", "evaluations")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return found(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("executor", ["threads:2", "processes:2"])
def test_pools(executor, plain, tmp_path):
    assert found(tmp_path, "--executor", executor) == plain


def test_a_dask_cluster(plain, tmp_path):
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        closing(Client(cluster)),
    ):
        assert found(tmp_path, "--executor", f"dask:{cluster.scheduler_address}") == plain


@pytest.mark.parametrize(
    "executor, says",
    [
        ("processes", "must say how many"),
        ("threads:0", "must say how many"),
        ("gpu:2", "'threads', 'processes', 'dask'"),
        ("dask:tcp://127.0.0.1:9", "no Dask scheduler answers"),
    ],
)
def test_what_is_not_an_executor_is_said_in_one_line(executor, says, tmp_path, capsys):
    assert (
        main(["search", "digits", "--run-dir", str(tmp_path / "run"), "--executor", executor]) != 0
    )
    assert says in capsys.readouterr().err and not (tmp_path / "run").exists()
