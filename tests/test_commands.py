"""The commands: `search` on executors, `collect` into a store, results of benches as a table."""

import json
import sqlite3
from contextlib import closing

import pytest
from distributed import Client, LocalCluster

from analognas import commands
from analognas.bench.record import PEERS
from analognas.cli import INTERRUPTED, main
from analognas.commands import BENCHES, MEASURED_BENCHES, result_lines
from analognas.core import ConfigError
from analognas.search_algorithms.worker import Worker
from analognas.training.label_store import LabelStore

SMALL_SEARCH = (
    "search digits --optimizer random_search --population 8 --iterations 1 --runs 1 --seed 3"
).split()


def search(folder, *options) -> dict:
    "Run a small search, and return what it found."
    run_dir = folder / "run"
    assert main([*SMALL_SEARCH, "--run-dir", str(run_dir), *options]) == 0
    summary = json.loads((run_dir / "summary.json").read_text())
    return {key: summary[key] for key in ("best_config", "acc_1d", "evaluations")}


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> dict:
    "What the search finds without an executor."
    return search(tmp_path_factory.mktemp("serial"))


def failed(run_dir) -> int:
    "How many evaluations of a run directory failed."
    with closing(sqlite3.connect(run_dir / "evaluations.sqlite")) as db:
        query = "select count(*) from evaluation where state = 'failed'"
        return db.execute(query).fetchone()[0]


def test_run_search_retries_failed_evaluations_if_asked_to(serial, tmp_path):
    search(tmp_path)
    with closing(sqlite3.connect(tmp_path / "run" / "evaluations.sqlite")) as db, db:
        db.execute("update evaluation set state = 'failed', error = 'no memory' where id in (2, 3)")
    search(tmp_path)
    assert failed(tmp_path / "run") == 2
    assert search(tmp_path, "--retry-failed") == serial
    assert failed(tmp_path / "run") == 0


@pytest.mark.parametrize("executor", ["threads:2", "processes:2"])
def test_run_search_finds_the_same_with_a_pool(executor, serial, tmp_path):
    assert search(tmp_path, "--executor", executor) == serial


def test_run_search_finds_the_same_on_a_dask_cluster(serial, tmp_path):
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False}
    with LocalCluster(**options, dashboard_address=None) as cluster, closing(Client(cluster)):
        assert search(tmp_path, "--executor", f"dask:{cluster.scheduler_address}") == serial


@pytest.mark.parametrize(
    "executor, message",
    [
        ("processes", "must say how many"),
        ("threads:0", "must say how many"),
        ("threads:1000000000", "at most 1024"),
        ("processes:" + 5001 * "9", "at most 1024"),
        ("gpu:2", "'threads', 'processes', 'dask'"),
        ("dask:tcp://127.0.0.1:9", "no Dask scheduler answers"),
    ],
)
def test_make_executor_refuses_before_anything_is_written(
    executor, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(commands, "DASK_TIMEOUT", "1s")
    run_dir = tmp_path / "run"
    assert main(["search", "digits", "--run-dir", str(run_dir), "--executor", executor]) == 2
    assert message in capsys.readouterr().err
    assert not run_dir.exists()


def test_run_collect_without_time_makes_a_store_that_can_be_continued(tmp_path, capsys):
    path = tmp_path / "s.sqlite"
    assert main(["collect", "digits", "-n", "3", "--minutes", "0", "--store", str(path)]) == 0
    captured = capsys.readouterr()
    tally, counts = captured.out.splitlines()[:2]
    assert tally.startswith("rows 0, epochs 0, seconds ")
    assert counts == "5 open, 0 claimed, 0 done, 0 failed"  # the first is trained three times
    assert "plan quick of digits, changed" in captured.err
    assert LabelStore(path).metadata["protocol"]["epochs"] == 8
    assert [part["n"] for part in LabelStore(path).parts()] == []  # nothing was measured


@pytest.mark.parametrize(
    "options, message",
    [
        (["--plan", "ful"], "Unknown plan for digits 'ful'. Allowed: 'quick'"),
        (["--device", "cuda:99"], "The device 'cuda:99' cannot be used"),
        (["--processes", "0"], "processes must be a whole number at least 1"),
        (["--minutes", "-1"], "minutes must be a finite number at least 0; got -1.0"),
        (["--min-params", "5000", "--max-params", "100"], "max_params that is not smaller"),
    ],
)
def test_run_collect_refuses_bad_options_before_it_makes_a_store(
    tmp_path, capsys, options, message
):
    path = tmp_path / "s.sqlite"
    assert main(["collect", "digits", "--store", str(path), *options]) == 2
    assert message in capsys.readouterr().err
    assert not path.exists()


def test_run_collect_tries_failed_ones_again_when_it_is_told_to(tmp_path, capsys):
    path = tmp_path / "s.sqlite"
    command = ["collect", "digits", "-n", "3", "--minutes", "0", "--store", str(path)]
    assert main(command) == 0
    task_id, *_ = LabelStore(path).claim()
    LabelStore(path).finish(task_id, {"error": "the machine was switched off"}, 1.0, "failed")
    capsys.readouterr()
    assert main(command) == 1  # something failed
    assert "4 open, 0 claimed, 0 done, 1 failed" in capsys.readouterr().out
    assert main([*command, "--reopen"]) == 0
    assert "5 open, 0 claimed, 0 done, 0 failed" in capsys.readouterr().out


def test_run_collect_does_not_mix_plans_in_a_store(tmp_path):
    path = tmp_path / "s.sqlite"
    main(["collect", "digits", "-n", "1", "--minutes", "0", "--store", str(path)])
    with pytest.raises(ConfigError):
        LabelStore(path, {"protocol": "another"})


def interrupted_after(n, monkeypatch):
    "Let Ctrl-C come after n evaluations of any search."
    start = Worker._start

    def begin(self):
        seen = iter(range(n))

        def on_evaluation(*_):
            if next(seen, None) is None:
                raise KeyboardInterrupt

        self.on_evaluation = on_evaluation
        return start(self)

    monkeypatch.setattr(Worker, "_start", begin)


def test_an_interrupted_search_is_no_success(tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patched:
        interrupted_after(9, patched)
        assert main([*SMALL_SEARCH, "--run-dir", str(tmp_path / "run")]) == 130
    captured = capsys.readouterr()
    assert f"interrupted; --run-dir {tmp_path / 'run'} goes on with it." in captured.err
    assert search(tmp_path)["evaluations"] == [16]


def test_an_interrupted_demo_does_not_go_on(tmp_path, monkeypatch):
    from analognas import demo

    parts = []
    monkeypatch.setattr(demo, "measure_winner", lambda worker: parts.append(3))
    interrupted_after(120, monkeypatch)
    assert main(["demo", "--run-dir", str(tmp_path)]) == 130
    assert not parts and not (tmp_path / "predicting").exists()


@pytest.mark.parametrize("minutes, status", [((), 1), (("--minutes", "0"), 0)])
def test_a_collection_that_leaves_what_others_have_claimed_is_no_success(
    tmp_path, capsys, monkeypatch, minutes, status
):
    path = tmp_path / "s.sqlite"
    command = ["collect", "digits", "-n", "1", "--repeats", "0", "--store", str(path)]
    assert main([*command, "--minutes", "0"]) == 0
    store = LabelStore(path)
    assert store.claim() is not None
    with store.tasks.transaction() as db:
        db.execute("update task set host = 'elsewhere', pid = 12")
    assert main([*command, *minutes]) == status
    note = "claimed by process 12 on elsewhere (1). If a machine is gone, run the same command"
    assert (note in capsys.readouterr().err) == (status == 1)


def test_result_lines_nest_dicts_and_leave_out_none():
    result = {"tau": 0.123456, "ceiling": None, "n": 3, "low": {"acc": 1.0}}
    assert result_lines("digits", result) == [
        "digits                  tau 0.1235      n 3",
        "  low                     acc 1",
    ]


def test_run_bench_names_the_benches(capsys):
    assert main(["bench", "serch"]) == 2
    message = capsys.readouterr().err
    assert "Did you mean 'search'?" in message
    assert all(name in message for name in BENCHES)


@pytest.fixture
def everything(monkeypatch, capsys):
    "The JSON of `bench all`, in which each bench that measures returns its name."
    for name in MEASURED_BENCHES:
        monkeypatch.setitem(BENCHES, name, lambda args, name=name: {"name": name})
    assert main(["bench", "all", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", MEASURED_BENCHES)
def test_bench_all_has_what_each_bench_returns(everything, name):
    assert everything[name] == {"name": name}


def test_bench_all_has_versions_and_machine(everything):
    assert everything["versions"].keys() == {"analognas", *PEERS}
    assert everything["machine"]["cores"] >= 1


def test_bench_all_keeps_what_was_measured_before_an_interruption(monkeypatch, tmp_path, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    file = tmp_path / "new" / "all.json"
    command = ["bench", "all", "--json", "--out", str(file)]
    first, second, *others = MEASURED_BENCHES
    for name in others:
        monkeypatch.setitem(BENCHES, name, lambda args: {"ratio": 2.0})
    monkeypatch.setitem(BENCHES, first, lambda args: {"ratio": 1.0})
    monkeypatch.setitem(BENCHES, second, interrupted)
    assert main(command) == INTERRUPTED
    assert json.loads(file.read_text())[first] == {"ratio": 1.0}
    assert second not in json.loads(file.read_text())

    monkeypatch.setitem(BENCHES, first, interrupted)  # must not run again
    monkeypatch.setitem(BENCHES, second, lambda args: {"ratio": 3.0})
    capsys.readouterr()
    assert main(command) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out).items() >= json.loads(file.read_text()).items()
    assert json.loads(printed.out)[first] == {"ratio": 1.0}
    assert json.loads(printed.out)[second] == {"ratio": 3.0}
    left = len(MEASURED_BENCHES) - 1
    assert f"bench 1 of {left}: {second}\n" in printed.err


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"seconds": {}}', "is no record of `analognas bench all`"),
        ("[1]", "should hold a JSON object"),
        ('{"machine": ', "is not valid JSON"),
    ],
)
def test_bench_all_refuses_a_file_that_is_no_record(text, message, tmp_path, capsys):
    file = tmp_path / "all.json"
    file.write_text(text)
    assert main(["bench", "all", "--out", str(file)]) == 2
    assert message in capsys.readouterr().err
    assert file.read_text() == text


@pytest.mark.parametrize("part, name", [("machine", "processor"), ("versions", "torch")])
def test_bench_all_refuses_a_record_of_elsewhere(everything, part, name, tmp_path, capsys):
    file = tmp_path / "all.json"
    everything[part][name] = "another"
    file.write_text(json.dumps(everything))
    assert main(["bench", "all", "--out", str(file)]) == 2
    assert f"was measured where {name} was 'another'" in capsys.readouterr().err


def test_bench_all_writes_before_it_measures(monkeypatch, tmp_path, capsys):
    "A path that cannot be written is noticed before minutes are spent."
    (tmp_path / "file").write_text("")
    for name in MEASURED_BENCHES:
        monkeypatch.setitem(BENCHES, name, lambda args: pytest.fail("was measured"))
    assert main(["bench", "all", "--out", str(tmp_path / "file" / "all.json")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_run_bench_takes_out_for_all_only(tmp_path, capsys):
    assert main(["bench", "query", "--out", str(tmp_path / "all.json")]) == 2
    assert "--out is an option of `bench all`, not of `bench query`" in capsys.readouterr().err


def test_bench_all_says_what_is_from_the_record(everything):
    assert everything["recorded"] == ["search", "baselines", "winners", "cosearch", "mapping"]
    assert everything["search"]["regret"]["bo"].keys() >= {"50", "100", "200"}
    assert everything["baselines"]["rows"][0].keys() >= {"limit", "name", "acc_1d", "avm"}
    assert everything["mapping"].keys() >= {"resnet8_recovered", "resnet20_analog_share"}
