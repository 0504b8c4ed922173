"""`analognas collect` from the command line: what it prints, what it refuses, what it leaves behind."""

import pytest

from analognas.cli import main
from analognas.core import ConfigError
from analognas.training.label_store import LabelStore


def test_no_time_no_work_and_the_store_can_be_continued(tmp_path, capsys):
    path = tmp_path / "s.sqlite"
    assert main(["collect", "digits", "-n", "3", "--minutes", "0", "--store", str(path)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("rows 0, epochs 0, seconds ")
    assert (
        said.out.splitlines()[1] == "5 open, 0 claimed, 0 done, 0 failed"
    )  # the first is trained three times
    assert "plan quick of digits, changed" in said.err
    assert LabelStore(path).metadata["protocol"]["epochs"] == 8
    assert [part["n"] for part in LabelStore(path).parts()] == []  # nothing was measured


@pytest.mark.parametrize(
    "wrong, says",
    [
        (["--plan", "ful"], "Unknown plan for digits 'ful'. Allowed: 'quick'"),
        (["--device", "cuda:99"], "The device 'cuda:99' cannot be used"),
        (["--processes", "0"], "processes must be a whole number at least 1"),
        (["--minutes", "-1"], "minutes must be a finite number at least 0; got -1.0"),
        (["--min-params", "5000", "--max-params", "100"], "max_params that is not smaller"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_claimed(tmp_path, capsys, wrong, says):
    path = tmp_path / "s.sqlite"
    assert main(["collect", "digits", "--store", str(path), *wrong]) == 2
    assert says in capsys.readouterr().err
    assert not path.exists()


def test_another_plan_does_not_go_into_the_same_store(tmp_path, capsys):
    path = tmp_path / "s.sqlite"
    main(["collect", "digits", "-n", "1", "--minutes", "0", "--store", str(path)])
    with pytest.raises(ConfigError):
        LabelStore(path, {"protocol": "another"})
