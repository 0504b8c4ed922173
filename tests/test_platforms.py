"""What works without aihwkit, without torch, and where an operating system is not Unix."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WITHOUT = ROOT / "tests" / "without_packages.py"
SENTENCE = "aihwkit, which simulates the chip, is not installed: pip install"
# What Windows does not allow in the name of a file, and names that it keeps for devices.
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[ .]$')
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?$", re.IGNORECASE)
# The packages and modules of the simulation, which need aihwkit when they are imported.
PHYSICS = re.compile(
    r"analognas\.(?:analog\..+|bench\.(?:analog|baselines|measured_winner|winners|mapping.*|networks)"
    r"|search_algorithms\.placement.*|testing\.(?:layers|subjects|tensors)"
    r"|training\.(?:collect|collector|placements)"
    r"|widgets\.(?:compare|drift_explorer|drift_model|mapping_explorer|mapping_model))"
)
IMPORT_ALL = """
import importlib, json, pkgutil, sys
import analognas
refused = {}
for module in pkgutil.walk_packages(analognas.__path__, "analognas."):
    try:
        importlib.import_module(module.name)
    except ImportError as e:
        refused[module.name] = [type(e).__name__, str(e)]
print(json.dumps({"refused": refused, "loaded": [m for m in BLOCKED if m in sys.modules]}))
"""


def run(script: str, *, without: str, folder: Path, env: dict | None = None):
    "Run a script in a new Python that lacks some packages."
    file = folder / "script.py"
    file.write_text(f"BLOCKED = {without.split(',')!r}\n{script}", encoding="utf-8")
    return subprocess.run(
        [sys.executable, WITHOUT, without, file],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"} | (env or {}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",  # what was printed in another encoding
        check=False,
    )


def printed(process) -> str:
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout


def last_line(process) -> dict:
    return json.loads(printed(process).strip().splitlines()[-1])


def test_without_aihwkit_only_the_simulation_is_refused(tmp_path):
    refused = last_line(run(IMPORT_ALL, without="aihwkit", folder=tmp_path))["refused"]
    assert [name for name in refused if not PHYSICS.fullmatch(name)] == []
    assert {kind for kind, _ in refused.values()} == {"MissingExtraError"}
    assert [text for _, text in refused.values() if not text.startswith(SENTENCE)] == []
    assert {"analognas.analog.convert", "analognas.training.collect"} <= set(refused)


USE = """
import json
import torch
from analognas import ConfigSpace, EAOptimizer, NASBench201Space, Worker, XGBoostEvaluator
from analognas.core import MissingExtraError
from analognas.cost import hardware_cost, model_cost
from analognas.datasets import load_dataset
from analognas.evaluators import MeasuredEvaluator
from analognas.evaluators.base_evaluator import ParamsEvaluator
from analognas.plots import plot_best_so_far, plot_conductances, save_figure
from analognas.training import Protocol, train_digital
from analognas.training.protocol import train_and_measure, train_hardware_aware

facts = {}
space = ConfigSpace("digits")
worker = Worker(space, EAOptimizer(XGBoostEvaluator(), population_size=4, nb_iter=2), runs=1,
                run_dir="run", progress=False)
worker.search()
worker.result_summary()
facts["evaluations"] = len(worker.evaluations)
save_figure(plot_best_so_far(worker.evaluations), "search.png")
facts["energy"] = float(hardware_cost(space, [worker.best_config]).energy.iloc[0])
net = space.build_network(worker.best_config)
facts["layers"] = len(model_cost(net, torch.zeros(1, 1, 8, 8)).layers)
facts["cells"] = int(NASBench201Space().compute_cs_size())
data = load_dataset("digits")
recipe = Protocol(epochs=1, max_train=200, batch_size=50)
train_digital(net, data, recipe, progress=False)


def refusal(call):
    try:
        call()
    except MissingExtraError as e:
        return str(e)


facts["refused"] = {
    "train_hardware_aware": refusal(lambda: train_hardware_aware(net, data, progress=False)),
    "train_and_measure": refusal(
        lambda: train_and_measure(space, worker.best_config, data, recipe, progress=False)),
    "train_best": refusal(lambda: worker.train_best(protocol=recipe)),
    "MeasuredEvaluator": refusal(
        lambda: MeasuredEvaluator(data, progress=False).bind(space).query(worker.best_config)),
    "to_analog": refusal(lambda: __import__("analognas.analog", fromlist=["x"]).to_analog),
    "create_rpu_config": refusal(lambda: __import__("analognas").create_rpu_config()),
}
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    folder = tmp_path_factory.mktemp("without-aihwkit")
    return last_line(run(USE, without="aihwkit", folder=folder)) | {"folder": folder}


def test_without_aihwkit_a_search_runs_and_is_drawn(used):
    assert used["evaluations"] > 8  # of the search, and of random search beside it
    assert (used["folder"] / "search.png").stat().st_size > 1000
    assert used["cells"] == 5**6


def test_without_aihwkit_costs_are_computed(used):
    assert used["energy"] > 0
    assert used["layers"] > 1


def test_without_aihwkit_what_simulates_says_in_one_sentence_what_is_missing(used):
    assert len(used["refused"]) == 6
    assert {str(text)[: len(SENTENCE)] for text in used["refused"].values()} == {SENTENCE}


CLI = "import sys\nfrom analognas.cli import main\nsys.exit(main(sys.argv[1:] or ARGS))"


def test_without_aihwkit_the_command_line_prints_the_sentence_without_a_traceback(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"out_channel0": 8}', encoding="utf-8")
    script = f"ARGS = ['collect', 'digits', '--plan', 'cpu']\n{CLI}"
    process = run(script, without="aihwkit", folder=tmp_path)
    assert process.returncode not in (0, -9)
    assert SENTENCE in process.stderr
    assert "Traceback" not in process.stderr


WITHOUT_TORCH = """
import json
from analognas import ConfigSpace, EAOptimizer, TableEvaluator, Worker, XGBoostEvaluator
from analognas.cost.model import hardware_cost
from analognas.plots import plot_best_so_far, save_figure
space = ConfigSpace("digits")
optimizer = EAOptimizer(XGBoostEvaluator(), population_size=4, nb_iter=2)
worker = Worker(space, optimizer, runs=1, run_dir="run", progress=False)
worker.search()
worker.result_summary()
save_figure(plot_best_so_far(worker.evaluations), "search.png")
energy = float(hardware_cost(space, [worker.best_config]).energy.iloc[0])
print(json.dumps({"evaluations": len(worker.evaluations), "energy": energy}))
"""


def test_without_torch_and_numba_a_search_runs_is_drawn_and_has_costs(tmp_path):
    "As on a Mac with an Intel processor, for which torch has no wheels."
    facts = last_line(run(WITHOUT_TORCH, without="torch,aihwkit,numba", folder=tmp_path))
    assert facts["evaluations"] > 8 and facts["energy"] > 0


LESSON = """
import json, sys
from pathlib import Path
import matplotlib.pyplot as plt
from analognas.core import MissingExtraError
notebook = json.loads(Path(NOTEBOOK).read_text(encoding="utf-8"))
names, refused, ran = {"__name__": "__main__", "display": print}, [], 0
for cell in notebook["cells"]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code" or source.lstrip().startswith("%"):
        continue
    try:
        exec(compile(source, cell["id"], "exec"), names)
        ran += 1
    except (MissingExtraError, NameError) as e:  # NameError: what a refused cell would have made
        refused.append([cell["id"], str(e)])
    plt.close("all")
print(json.dumps({"ran": ran, "refused": refused}))
"""
# Lesson -> how many of its cells simulate a chip or use the result
LESSONS = {
    "lesson_3_search_space": 2,
    "lesson_4_evaluator": 0,
    "lesson_5_optimizer": 0,
    "lesson_7_pareto": 0,
    "starter_notebook": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_lessons_on_spaces_evaluators_and_searches_run_without_aihwkit(name, tmp_path):
    notebook = ROOT / "nbs" / "tutorials" / f"{name}.ipynb"
    script = f"NOTEBOOK = {str(notebook)!r}\n{LESSON}"
    facts = last_line(run(script, without="aihwkit", folder=tmp_path))
    assert len(facts["refused"]) <= LESSONS[name], facts["refused"]
    assert facts["ran"] > 6
    if facts["refused"]:
        assert facts["refused"][0][1].startswith(SENTENCE)


NOT_UNIX = """
import builtins, json, os, signal, sys
import matplotlib.pyplot, numba, pandas, scipy.stats, sklearn.ensemble, torch, xgboost
import aihwkit.nn, ipywidgets, multiprocessing.resource_tracker, concurrent.futures.process
for name in ("fork", "register_at_fork", "getuid", "geteuid", "getgid", "getppid", "killpg", "setsid",
             "sched_getaffinity", "sysconf", "uname", "getloadavg", "mkfifo", "statvfs", "chown",
             "nice", "readlink", "O_DIRECTORY"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGALRM", "SIGCHLD", "alarm", "setitimer"):
    delattr(signal, name)
real = builtins.__import__


def without_unix(name, globals=None, *args, **kwargs):
    ours = str((globals or {}).get("__name__", "")).startswith("analognas")
    if ours and name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "syslog"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, *args, **kwargs)


builtins.__import__ = without_unix
_open = builtins.open
import importlib, io, pkgutil
from pathlib import Path


def no_proc(call):
    def opened(path, *args, **kwargs):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(path)
        return call(path, *args, **kwargs)
    return opened


builtins.open = no_proc(builtins.open)
io.open = no_proc(io.open)
import analognas
for module in pkgutil.walk_packages(analognas.__path__, "analognas."):
    importlib.import_module(module.name)
from analognas import ConfigSpace, EAOptimizer, Worker, XGBoostEvaluator
from analognas.analog import program, to_analog
from analognas.core.processes import process_realm, process_start
optimizer = EAOptimizer(XGBoostEvaluator(), population_size=4, nb_iter=2)
worker = Worker(ConfigSpace("digits"), optimizer, runs=1, run_dir="run", progress=False)
worker.search()
analog = to_analog(torch.nn.Linear(4, 3))
program(analog)
again = Worker.open("run", XGBoostEvaluator())
print(json.dumps({"evaluations": len(worker.evaluations), "again": len(again.evaluations),
                  "outputs": list(analog(torch.ones(2, 4)).shape),
                  "realm": process_realm(), "start": process_start(os.getpid())}))
"""


def test_without_what_only_unix_has_modules_load_a_search_runs_and_a_layer_computes(tmp_path):
    facts = last_line(run(NOT_UNIX, without="nobody", folder=tmp_path))
    assert facts["evaluations"] == facts["again"] > 8
    assert facts["outputs"] == [2, 3]
    assert facts["realm"] is facts["start"] is None


LATIN = """
import json, os, sys, warnings
import matplotlib.pyplot, numba, pandas, torch, xgboost, aihwkit.nn, sklearn.ensemble, scipy.stats
warnings.filterwarnings("error", category=EncodingWarning, module=r"analognas")
from analognas import ConfigSpace, EAOptimizer, Worker, XGBoostEvaluator
from analognas.core import read_json, write_json
optimizer = EAOptimizer(XGBoostEvaluator(), population_size=4, nb_iter=2)
worker = Worker(ConfigSpace("digits"), optimizer, runs=1, run_dir="run", progress=False)
worker.search()
evaluator = XGBoostEvaluator()
write_json("text.json", {"Straße": "5 µS ± 1, 日本"})
text = read_json("text.json")
files = sorted(os.path.relpath(os.path.join(d, f)) for d, _, fs in os.walk(".") for f in fs)
print(json.dumps({"utf8": sys.flags.utf8_mode, "encoding": sys.stdout.encoding, "text": text,
                  "files": files, "again": len(Worker.open("run", evaluator).evaluations),
                  "evaluations": len(worker.evaluations)}))
"""
NOT_UTF8 = {
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "LC_ALL": "C",
    "PYTHONWARNDEFAULTENCODING": "1",  # `EncodingWarning` where a text is opened without one
}


@pytest.fixture(scope="module")
def latin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latin")
    return last_line(run(LATIN, without="nobody", folder=folder, env=NOT_UTF8))


def test_files_are_utf8_where_the_systems_encoding_is_another(latin):
    assert latin["utf8"] == 0 and latin["encoding"].lower() not in ("utf-8", "utf8")
    assert latin["text"] == {"Straße": "5 µS ± 1, 日本"}
    assert latin["again"] == latin["evaluations"] > 8


def test_names_of_files_that_a_search_makes_are_allowed_on_windows(latin):
    parts = [part for name in latin["files"] for part in Path(name).parts]
    assert "settings.json" in parts
    assert [part for part in parts if FORBIDDEN.search(part) or DEVICES.match(part)] == []


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_the_command_line_prints_where_the_output_cannot_hold_a_character(tmp_path, encoding):
    script = f"ARGS = ['search', 'digits', '--iterations', '2', '--population', '4']\n{CLI}"
    process = run(script, without="nobody", folder=tmp_path, env={"PYTHONIOENCODING": encoding})
    assert "Kendall tau" in process.stdout
    assert "Error" not in process.stderr


def test_names_of_files_in_the_repository_are_allowed_on_windows():
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT).decode().split("\0")
    parts = {part for name in names for part in name.split("/") if part}
    assert [part for part in parts if FORBIDDEN.search(part) or DEVICES.match(part)] == []
    assert len({name.lower() for name in names}) == len(names)


def texts_without_encoding(path: Path) -> list[int]:
    "Lines of calls that read or write text in the encoding of the system."
    lines = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or any(k.arg == "encoding" for k in node.keywords):
            continue
        method = isinstance(node.func, ast.Attribute) and node.func.attr
        binary = any(isinstance(a, ast.Constant) and "b" in str(a.value) for a in node.args[1:])
        plain = isinstance(node.func, ast.Name) and node.func.id == "open" and not binary
        if plain or method in ("read_text", "write_text"):
            lines.append(node.lineno)
    return lines


def test_every_text_is_opened_with_an_encoding():
    files = [*(ROOT / "analognas").rglob("*.py"), *(ROOT / ".ci").glob("*.py")]
    found = {path.name: texts_without_encoding(path) for path in files}
    assert {name: lines for name, lines in found.items() if lines} == {}
