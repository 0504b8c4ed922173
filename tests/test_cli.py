"""The parser and the program: exit statuses, one line for a user's error, help for every command."""

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
