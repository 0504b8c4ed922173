"""Every notebook runs from top to bottom in a fresh kernel, as it would in JupyterLab; kernels are
forked, see `forked_kernels`.

The lessons, a minute each, count as slow here: `make test-browser` runs every one of them in
JupyterLab itself. So do notebooks that take ten seconds or more."""

import sys
from pathlib import Path

import nbformat
import pytest
from forked_kernels import ForkedKernel
from jupyter_client.provisioning import local_provisioner
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
NOTEBOOKS = sorted(NBS.rglob("*.ipynb"))


def name(path: Path) -> str:
    "Return folder and file name of a notebook: `core/10_errors`."
    return path.relative_to(NBS).with_suffix("").as_posix()


SLOW = {
    "30_demo",
    "bench/10_analog",
    "bench/12_networks",
    "bench/20_evaluators",
    "bench/30_baselines",
    "bench/32_winners",
    "bench/50_scale",
    "bench/55_kernels",
    "evaluators/22_low_fidelity",
    "evaluators/40_surrogate",
    "evaluators/80_pretrained",
    "plots/40_devices",
    "search_algorithms/100_halving",
    "search_algorithms/148_measured_search",
    "search_algorithms/150_worker",
    "search_algorithms/30_random_search",
    "search_algorithms/50_ea_optimized",
    "search_algorithms/70_bo",
    "search_algorithms/80_predictor_guided",
    "search_algorithms/90_pareto",
    "search_algorithms/95_mobo",
    "training/20_protocol",
    "training/40_collect",
    "widgets/38_drift_model",
    "widgets/40_drift_explorer",
    "widgets/50_compare",
    "widgets/62_mapping_explorer",
} | {name(p) for p in NOTEBOOKS if p.parent.name == "tutorials"}


def tracebacks(nb) -> list[str]:
    "What threads printed of errors that no cell raised, a panel's, say."
    outputs = (o for cell in nb.cells if cell.cell_type == "code" for o in cell.outputs)
    texts = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    return [text for text in texts if "Traceback (most recent call last)" in text]


@pytest.mark.parametrize("path", [pytest.param(p, id=name(p)) for p in NOTEBOOKS])
def test_saved_outputs_show_no_error_of_a_thread(path):
    assert tracebacks(nbformat.read(path, as_version=4)) == []


def test_the_notebooks_are_found():
    assert len(NOTEBOOKS) > 20


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, id=name(p), marks=pytest.mark.slow if name(p) in SLOW else ())
        for p in NOTEBOOKS
    ],
)
def test_notebook_runs(path, tmp_path, monkeypatch):
    # a kernel starts where the client says; nothing may depend on the working directory
    monkeypatch.chdir(tmp_path)
    if sys.platform == "linux":  # elsewhere a fork of a process with these libraries is not safe
        monkeypatch.setattr(local_provisioner, "launch_kernel", ForkedKernel)
    nb = nbformat.read(path, as_version=4)
    NotebookClient(nb, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert tracebacks(nb) == []
