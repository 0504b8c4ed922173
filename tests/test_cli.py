"""The parser and the program: exit statuses, one line for a user's error, help for every command."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor

import pytest

from analognas import cli
from analognas.core import ConfigError
from analognas.search_algorithms.registry import selectable_optimizers


@pytest.mark.parametrize(
    "command", ["demo", "lab", "doctor", "search", "measure", "collect", "bench"]
)
def test_make_parser_has_help_for_every_command(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    assert f"analognas {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error, status, message",
    [
        (ConfigError("not so"), 2, "analognas doctor: not so\n"),
        (KeyboardInterrupt(), 130, "analognas doctor: interrupted.\n"),
        (
            OSError(28, "No space left", "a/b"),
            2,
            "analognas doctor: [Errno 28] No space left: 'a/b'\n",
        ),
        (BrokenExecutor("all gone"), 2, "analognas doctor: all gone\n"),
        (MemoryError("3 GB"), 2, "analognas doctor: Not enough memory (3 GB).\n"),
    ],
)
def test_main_prints_a_users_error_in_one_line(monkeypatch, capsys, error, status, message):
    def fail(args):
        raise error

    monkeypatch.setattr(cli, "run_doctor", fail)
    assert cli.main(["doctor"]) == status
    assert capsys.readouterr().err == message


def test_main_keeps_the_traceback_of_a_bug(monkeypatch):
    def fail(args):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "run_doctor", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


@pytest.mark.parametrize("config", ['{"M": 1', "M=1"])
def test_main_refuses_a_config_that_is_no_json(config, capsys):
    assert cli.main(["measure", "digits", "--config", config]) == 2
    assert "--config must be a JSON object" in capsys.readouterr().err


def test_search_help_names_every_optimizer_that_takes_one_evaluator(capsys):
    with pytest.raises(SystemExit):
        cli.main(["search", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(selectable_optimizers()) <= set(words)


# Typical wrong input of each command: {d} is an empty folder, {f} a file with text in it.
WRONG = {
    "demo --run-dir {f}": "cannot be written",
    "demo --run-dir {f}/run": "cannot be written",
    "lab --folder {f}": "{f}",
    "search digitz": "Did you mean 'digits'?",
    "search digits --optimizer eas": "Unknown optimizer 'eas'",
    "search digits --iterations -1": "nb_iter must be",
    "search digits --population -3": "population_size must be",
    "search digits --runs 0": "runs must be",
    "search digits --seed -1": "seed must be",
    "search digits --max-nb-param nan": "max_nb_param must be",
    "search digits --t-avm nan": "T_AVM must be",
    "search digits --chunk 0": "chunksize must be",
    "search digits --weights {d}/nowhere": "There is no evaluator in {d}/nowhere",
    "search digits --weights {f}": "There is no evaluator in {f}",
    "search digits --run-dir {f}": "is already in use: it is a file",
    "search digits --run-dir {f}/run": "cannot be written",
    "search digits --executor threads:x": "must say how many",
    "search digits --executor threads:2 --time-limit 5": "need processes",
    "search digits --memory-limit 5": "need processes",
    "search digits --executor processes:2 --time-limit 0": "time_limit must be",
    "measure digits --config []": "--config must be a JSON object",
    "measure digits --config 3": "--config must be a JSON object",
    'measure digits --config {{"M":1}}': "'out_channel0' is missing",
    "measure digits --seed -3 --config "
    '{{"out_channel0":8,"M":1,"R1":1,"convblock1":1,"widenfact1":0.5,"B1":1}}': "seed must be",
    "measure digits --config {{}} --dataset digit": "Did you mean 'digits'?",
    "measure CIFAR-10 --config {{}} --dataset CIFAR-10 --root {d}": "{d}",
    "measure KWS --config {{}} --dataset KWS": "root",
    "measure CIFAR-10 --config {{}}": "CIFAR-10 needs root=",
    "measure nasbench201 --config {{}}": "CIFAR-10 needs root=",
    "measure VWW --config {{}} --root {d}/nowhere": "{d}/nowhere",
    "measure digits --config {{}} --root {d}": "reads no files; got root='{d}'",
    "measure KWS --config {{}} --dataset digits --root {d}": "reads no files; got root='{d}'",
    "collect digits --root {d}": "reads no files; got root='{d}'",
    "bench winners --dataset digits --root {d}": "reads no files; got root='{d}'",
    "measure KWS --config {{}} --dataset KWS --root {f}": "{f}",
    "collect digitz": "Did you mean 'digits'?",
    "collect digits --store {d}": "is a folder",
    "collect digits --store {f}": "is damaged, or is no label store",
    "collect digits --store {f}/x": "cannot be a label store",
    "collect digits -n 0": "n must be",
    "collect digits -n 1 --repeats 5": "repeats",
    "collect digits --plan ful": "Unknown plan",
    "collect VWW --root {d}/nowhere": "{d}/nowhere",
    "bench serch": "Did you mean 'search'?",
    "bench search --seeds 0 --store {d}/s": "seeds must be",
    "bench baselines --seeds 0": "seeds must be",
    "bench baselines --root {d}": "{d}",
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_input_is_one_line_and_no_traceback(command, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    file = tmp_path / "file"
    file.write_text("no database, no weights")
    monkeypatch.chdir(folder)
    places = {"d": folder, "f": file}
    assert cli.main([word.format(**places) for word in command.split()]) == 2
    captured = capsys.readouterr().err
    assert f"analognas {command.split()[0]}: " in captured
    assert WRONG[command].format(**places) in captured
    assert file.read_text() == "no database, no weights"


def python(code, **options):
    "Start a process that has the command line."
    script = f"import sys; from analognas import cli; {code}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", script], **pipes | options)


def test_a_reader_of_a_pipe_that_has_ended_is_no_error():
    code = (
        "cli.run_doctor = lambda args: [print('x' * 999) for _ in range(9999)] and 0; "
        "sys.exit(cli.main(['doctor']))"
    )
    process = python(code)
    assert process.stdout.read(3) == "xxx"
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""


def test_a_terminal_without_a_character_gets_another_one():
    code = (
        "cli.run_doctor = lambda args: print('99 ± 1 µS 漢') or 0; sys.exit(cli.main(['doctor']))"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    out, errors = python(code, env=environment).communicate(timeout=60)
    assert (out, errors) == ("99 +/- 1 uS ?\n", "")


def test_sigterm_ends_a_command_as_ctrl_c_does():
    code = (
        "import time; cli.run_doctor = lambda args: print('on', flush=True) or time.sleep(600); "
        "sys.exit(cli.main(['doctor']))"
    )
    process = python(code)
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert process.stderr.read() == "analognas doctor: interrupted.\n"


def swallow_every_error(ready):
    "What a pool's process does: it returns whatever a task raises, and waits for the next one."
    while True:
        try:
            ready.set()
            threading.Event().wait(600)
        except BaseException:  # noqa: BLE001 - as `concurrent.futures.process._process_worker`
            continue


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows forks no process")
def test_sigterm_ends_a_forked_process_that_swallows_errors():
    "Else a pool that ends its processes, because one of them was killed, waits for ever."
    forking = multiprocessing.get_context("fork")
    ready = forking.Event()
    received = []
    with cli.terminated_as_interrupt(received):
        child = forking.Process(target=swallow_every_error, args=(ready,))
        child.start()
        assert ready.wait(60)
        child.terminate()
        child.join(20)
        status = child.exitcode
    child.kill()
    child.join()
    assert status == -signal.SIGTERM
    assert received == []


def test_a_stream_that_cannot_be_reconfigured_is_left_alone(monkeypatch):
    monkeypatch.setattr(cli, "run_doctor", lambda args: print("fine") or 0)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["doctor"]) == 0
    assert stream.getvalue() == "fine\n"
