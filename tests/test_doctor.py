"""The doctor says what is broken and how to mend it."""

import builtins
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analognas import doctor
from analognas.doctor import EXTRAS, CheckResult

ROOT = Path(__file__).resolve().parent.parent


def break_import(monkeypatch, name: str, error: Exception) -> None:
    "Make `import name` raise."
    real = builtins.__import__

    def fake(module, *args, **kwargs):
        if module.split(".")[0] == name:
            raise error
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)


def test_this_installation_is_in_order():
    findings = doctor.report()
    assert [f for f in findings if not f.ok] == []
    assert {f.name for f in findings} >= {
        "Python",
        "torch",
        "aihwkit",
        "GPU",
        "xgboost",
        "cache folder",
    }


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("weights must be a CPU tensor\nmore"),
        ImportError("undefined symbol: _ZN3c10"),
        OSError("libtorch_cpu.so: cannot open shared object file"),
        TypeError("incompatible function arguments"),
    ],
)
def test_broken_tiles_are_quoted_and_have_a_remedy(monkeypatch, error):
    def broken(compiled):
        raise error

    monkeypatch.setattr(doctor, "train_step", broken)
    finding = doctor.check_tiles(compiled=True)
    assert (
        not finding.ok
        and str(error).splitlines()[0] in finding.detail
        and "\n" not in finding.detail
    )
    assert "pip install" in finding.remedy and "torch<2.16,>=2.15" in finding.remedy


def test_the_tiles_are_really_run(monkeypatch):
    "An update that fails inside aihwkit, as it does with a torch that does not fit, is found."
    from aihwkit.simulator.tiles.inference import InferenceTile

    def update(*args, **kwargs):
        raise RuntimeError("weights must be a CPU tensor")

    monkeypatch.setattr(InferenceTile, "update", update)
    finding = doctor.check_tiles(compiled=True)
    assert not finding.ok and finding.detail == "RuntimeError: weights must be a CPU tensor"
    assert doctor.check_tiles(compiled=False).ok  # the other kind is not touched


def test_an_update_without_effect_is_found(monkeypatch):
    from aihwkit.optim import AnalogSGD

    monkeypatch.setattr(AnalogSGD, "step", lambda self: None)
    assert "a training step turned the weights" in doctor.check_tiles(compiled=False).detail


def test_random_numbers_of_the_caller_stay():
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    doctor.check_tiles(compiled=False)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    "version, ok", [("2.15.0", True), ("2.15.3+cpu", True), ("2.13.0", False), ("2.16.0", False)]
)
def test_versions_are_compared_with_the_metadata(monkeypatch, version, ok):
    monkeypatch.setattr(importlib.metadata, "version", lambda package: version)
    finding = doctor.check_version("torch")
    assert finding.ok is ok and version in finding.detail
    assert ok or finding.remedy == 'Run: pip install "torch<2.16,>=2.15"'


def test_missing_package(monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert doctor.check_version("aihwkit") == CheckResult(
        "aihwkit", False, "not installed", 'Run: pip install "aihwkit<1.3,>=1.2"'
    )
    [only] = doctor.report()
    assert not only.ok and "pip install -e ." in only.remedy


def test_a_missing_aihwkit_is_a_note_where_it_is_not_required(monkeypatch):
    "As on Windows: the marker in the metadata excludes it."
    real = importlib.metadata.version

    def version(package):
        if package == "aihwkit":
            raise importlib.metadata.PackageNotFoundError(package)
        return real(package)

    required = [
        'aihwkit<1.3,>=1.2; sys_platform == "nowhere"',
        'aihwkit<1.3,>=1.2; extra == "aihwkit"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda package: required)
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    findings = [doctor.check_version("aihwkit"), doctor.check_tiles(compiled=True)]
    assert [(f.mark, f.detail.partition(";")[0]) for f in findings] == [
        ("note", "not installed"),
        ("ok", "not installed"),
    ]


@pytest.mark.parametrize(
    "version, ok", [("3.11.7", False), ("3.12.1", True), ("3.14.0", True), ("3.15.0", False)]
)
def test_python_version(monkeypatch, version, ok):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: version)
    assert doctor.check_python().ok is ok


@pytest.mark.parametrize(
    "system, how", [("Darwin", "brew install libomp"), ("Linux", "pip install --force-reinstall")]
)
def test_xgboost_that_does_not_load(monkeypatch, system, how):
    monkeypatch.setattr(doctor.platform, "system", lambda: system)
    break_import(
        monkeypatch,
        "xgboost",
        ValueError("XGBoost Library (libxgboost.dylib) could not be loaded."),
    )
    finding = doctor.check_xgboost()
    assert not finding.ok and "could not be loaded" in finding.detail and how in finding.remedy


def test_torch_that_does_not_load_breaks_the_tiles_not_the_doctor(monkeypatch):
    break_import(monkeypatch, "torch", OSError("libcudart.so.13: cannot open shared object file"))
    assert doctor.check_gpu().ok and "libcudart" in doctor.check_gpu().detail
    assert not doctor.check_tiles(compiled=False).ok


@pytest.mark.parametrize("names", [[], ["NVIDIA A", "NVIDIA B"]])
def test_gpu_or_none_is_no_failure(monkeypatch, names):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: names[i])
    finding = doctor.check_gpu()
    assert (
        finding.mark == "ok" and (", ".join(names) or "the CPU does everything") in finding.detail
    )


@pytest.mark.parametrize("extra", EXTRAS)
def test_missing_extra_is_a_note(monkeypatch, extra):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    finding = doctor.check_extra(extra)
    assert finding.mark == "note" and f'pip install "analognas[{extra}]"' in finding.remedy
    assert all(module in finding.detail for module in EXTRAS[extra])


def test_bench_without_its_data_is_broken(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "analognasbench").mkdir()
    (tmp_path / "analognasbench" / "__init__.py").write_text(
        "raise RuntimeError('the doctor must not import this')"
    )
    finding = doctor.check_extra("bench")
    assert not finding.ok and "data.anb" in finding.detail and "pip install" in finding.remedy
    (tmp_path / "analognasbench" / "data.anb").write_bytes(b"")
    assert doctor.check_extra("bench").mark == "ok"


def test_the_extras_are_those_of_the_package():
    declared = set(importlib.metadata.metadata("analognas").get_all("Provides-Extra"))
    assert set(EXTRAS) == declared - {
        "dev",
        "docs",
        "mutants",
        "all",
    }  # make docs and make mutants have environments of their own


def test_cache_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "file" / "cache"))
    finding = doctor.check_cache()
    assert not finding.ok and "ANALOGNAS_CACHE" in finding.remedy
    monkeypatch.setenv("ANALOGNAS_CACHE", str(tmp_path / "new" / "cache"))
    assert doctor.check_cache().ok and list((tmp_path / "new" / "cache").iterdir()) == []


@pytest.fixture
def crowded(tmp_path) -> Path:
    "A folder of packages with analognas, its alias, and a package that has the alias's name."
    (tmp_path / "analognas").symlink_to(ROOT / "analognas")
    shutil.copy(ROOT / "analogainas.py", tmp_path)
    (tmp_path / "analogainas").mkdir()
    (tmp_path / "analogainas" / "__init__.py").write_text("WHOSE = 'IBM'")
    return tmp_path


def run_in(folder: Path, code: str) -> str:
    "What a new interpreter prints that looks for packages in a folder first."
    env = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_a_package_that_shadows_the_alias_is_named(crowded):
    "Python takes the package before the module; the doctor says so, and the remedy mends it."
    code = "import analogainas; print(analogainas.WHOSE)"
    assert run_in(crowded, code) == "IBM"
    look = "import analognas.doctor as d; f = d.check_alias(); print(f.mark, f.detail, f.remedy)"
    found = run_in(crowded, look)
    assert found.startswith(f"note is another package, {crowded / 'analogainas'} ")
    assert "pip uninstall analogainas" in found
    shutil.rmtree(crowded / "analogainas")
    assert run_in(crowded, look) == "ok is analognas"


def test_the_alias_is_recognised_after_it_was_imported():
    look = "import analogainas, analognas.doctor as d; print(d.check_alias().detail)"
    assert run_in(ROOT, look) == "is analognas"


def test_a_missing_alias_is_a_note(monkeypatch):
    monkeypatch.delitem(sys.modules, "analogainas", raising=False)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert doctor.check_alias().mark == "note"


def test_report_is_printed_with_remedies_and_exit_status(monkeypatch, capsys):
    good, note = (
        CheckResult("torch", True, "2.15.0"),
        CheckResult("extra bo", True, "not installed", "pip install it"),
    )
    monkeypatch.setattr(doctor, "report", lambda: [good, note])
    assert doctor.print_report() == 0
    out = capsys.readouterr().out
    assert "pip install it" in out and out.endswith("All that analognas needs is in order.\n")
    monkeypatch.setattr(
        doctor, "report", lambda: [good, CheckResult("xgboost", False, "gone", "Run: this")]
    )
    assert doctor.print_report() == 1
    out = capsys.readouterr().out
    assert "BROKEN" in out and "Run: this" in out and out.endswith("Broken: xgboost.\n")


def test_the_doctor_itself_imports_nothing_that_may_be_broken():
    code = "import sys, analognas.doctor; print({'torch', 'aihwkit', 'xgboost', 'pandas'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        == "set()\n"
    )
