"""Do the tests notice when the code is wrong? Changes it in small ways (mutants) and runs its tests.

    make mutants                   a sample of 420 mutants; a table by package, and the survivors
    make mutants ARGS="--again"    run only those again that survived the last time

Cosmic Ray draws the mutants (.ci/mutate.py). Each is run against the tests of its own module: those
that reach the changed statement, the shortest first, until one fails. The tests of a module are
collected once, in a process that is forked for each mutant; the changed function replaces the
original one there. A change outside functions, or in one that Numba compiles, is imported anew.
Everything happens in a copy of the tree in _mutants/.
"""

import argparse
import ast
import functools
import gc
import glob
import hashlib
import inspect
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    max_examples=15,  # a third of the usual number, to save time
    suppress_health_check=list(HealthCheck),
)

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "_mutants"
SCRATCH = WORK / "job0"  # of one process; see `run`
COPY = SCRATCH / "tree"
CONFIG = tomllib.loads((ROOT / ".ci" / "mutants.toml").read_text(encoding="utf-8"))
SLOW = 8.0  # seconds of a test that is left out
STARTUP = 20.0  # seconds of processor time a mutant gets beyond five times that of its tests
SILENT = 240.0  # seconds of waiting after which a mutant hangs
MEMORY = 8 << 30  # bytes of data a mutant may hold
KILLED, SURVIVED, HANGS = "killed", "survived", "killed (time limit)"
PREPARED = "torch aihwkit.nn numba scipy.stats sklearn.base pandas hypothesis.strategies xgboost"


def module_files() -> list[str]:
    "Return the modules that are changed, as paths from the root."
    found = [path for pattern in CONFIG["modules"] for path in glob.glob(pattern, root_dir=ROOT)]
    return sorted(path for path in found if not path.endswith("__init__.py"))


def test_files(module: str) -> list[str]:
    "Return the files that test a module, as paths from the root."
    package, name = Path(module).with_suffix("").parts[-2:]
    names = [f"{package}/test_{name}.py", *CONFIG["tests"].get(f"{package}/{name}", ())]
    return [f"tests/{file}" for file in names if (ROOT / "tests" / file).exists()]


def draw(python: str, number: int, seed: int) -> dict:
    "Return the number of sites and the drawn mutants; drawn anew when a module changes."
    files = module_files()
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in files]
    texts.append((ROOT / ".ci" / "mutate.py").read_text(encoding="utf-8"))
    about = hashlib.sha256(json.dumps([number, seed, files, texts]).encode()).hexdigest()[:16]
    kept = WORK / f"drawn_{about}.json"
    if not kept.exists():
        command = [python, str(ROOT / ".ci" / "mutate.py"), str(number), str(seed), *files]
        kept.write_bytes(subprocess.check_output(command, cwd=ROOT))
    return json.loads(kept.read_text(encoding="utf-8"))


def copy_tree() -> None:
    "Copy what git knows or would add."
    shutil.rmtree(SCRATCH, ignore_errors=True)
    COPY.mkdir(parents=True)
    listed = subprocess.check_output(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT)
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, COPY / name)


# What tests reach


TOOL = sys.monitoring.COVERAGE_ID
LINE = sys.monitoring.events.LINE


class Reached:
    """Record which lines of a module each test reaches, how long it takes, and if it starts
    processes.

    What several tests share counts for each: lines of fixtures, and of functions with a cache,
    which is cleared before every test."""

    def __init__(self, path: Path):
        self.path = str(path)
        self.lines: set[int] = set()
        self.by_fixture: dict[object, set[int]] = defaultdict(set)
        self.caches: list[functools._lru_cache_wrapper] = []
        self.starts_processes = False
        self.tests: dict[str, dict] = {}
        sys.monitoring.use_tool_id(TOOL, "mutants")
        sys.monitoring.register_callback(TOOL, LINE, self.line)
        sys.monitoring.set_events(TOOL, LINE)
        sys.addaudithook(self.audit)

    def watch(self, functions: Iterable[FunctionType]) -> None:
        "Record from here on only lines of these functions."
        self.caches = caches_of(Path(self.path))
        sys.monitoring.set_events(TOOL, 0)
        for f in functions:
            for code in with_inner(f.__code__):
                sys.monitoring.set_local_events(TOOL, code, LINE)

    def line(self, code: CodeType, number: int) -> object:
        "Record a line, and do not call again for it."
        if code.co_filename == self.path:
            self.lines.add(number)
        return sys.monitoring.DISABLE

    def audit(self, event: str, arguments: tuple) -> None:
        "Record that a process is started."
        if event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
            self.starts_processes = True

    def taken(self) -> list[int]:
        "Return the lines since the last call and begin anew."
        lines, self.lines = self.lines, set()
        sys.monitoring.restart_events()
        return sorted(lines)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        before = self.taken()
        result = yield
        self.by_fixture[fixturedef] |= self.lines
        self.lines.update(before)
        return result

    def of_fixtures(self, item) -> set[int]:
        "Return the lines that the fixtures of a test reached, when they were set up for any test."
        used = [f for same in item._fixtureinfo.name2fixturedefs.values() for f in same]
        return set().union(*(self.by_fixture[fixture] for fixture in used))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        for cache in self.caches:
            cache.cache_clear()
        self.taken()
        self.starts_processes = False
        before = time.process_time()
        result = yield
        self.tests.setdefault(item.nodeid, {}).update(
            seconds=time.process_time() - before,
            lines=sorted(self.of_fixtures(item).union(self.taken())),
            starts_processes=self.starts_processes,
        )
        return result

    def pytest_runtest_logreport(self, report):
        if report.failed or report.skipped:
            self.tests.setdefault(report.nodeid, {})["left out"] = report.outcome


class Selected:
    "Run the given tests in the given order; all of them if one of them is missing."

    def __init__(self, names: list[str]):
        self.names = names

    def pytest_collection(self):
        settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        by_name = {item.nodeid: item for item in items}
        if all(name in by_name for name in self.names):
            items[:] = [by_name[name] for name in self.names]


def run_pytest(files: list[str], *plugins: object) -> int:
    "Run tests of the copy in this process."
    arguments = [
        "-x",
        "-q",
        "--no-header",
        "--tb=short",
        "-W",
        "ignore",
        "-m",
        "not slow and not browser",
    ]
    return int(pytest.main([*arguments, *files], plugins=list(plugins)))


class Server:
    "After the collection, run every test once and then each mutant in a process of its own."

    def __init__(self, module: str, mutants: list[dict], report: Callable[[dict], None]):
        self.module = module
        self.mutants = mutants
        self.report = report
        self.anew: list[tuple[dict, list[str]]] = []  # mutants to be imported anew
        self.checked = False
        self.reached = Reached(COPY / module)

    def pytest_collection(self):
        settings.load_profile("mutants")  # tests take their settings when they are imported

    def pytest_runtestloop(self, session):
        imported = set(self.reached.taken())
        functions = functions_of(COPY / self.module)
        self.tests = self.baseline(session, functions)
        sys.monitoring.set_events(TOOL, 0)
        for mutant in self.mutants:
            lines = statement_lines(COPY / self.module, mutant)
            compiled = is_compiled(COPY / self.module, mutant)
            names = self.covering(imported | (lines if compiled else set()), lines)
            changed = changed_functions(COPY / self.module, mutant["source"])
            at_import = compiled or bool(imported & lines)
            if not names:  # perhaps another thread or process reaches it: only without a fork
                self.anew.append((mutant, self.all_short()))
            elif at_import or changed is None or not replaceable(functions, changed):
                self.anew.append((mutant, names))
            else:
                self.check(session, names)
                job = in_place(session, names, functions, changed)
                self.report(mutant | finish(job, self.module, mutant, self.seconds(names)))
        return True

    def check(self, session, names: list[str]) -> None:
        "Check once that the tests pass in their new order when nothing is changed."
        if not self.checked:
            expect_passing(in_place(session, names, {}, {}), self.module, self.seconds(names))
            self.checked = True

    def baseline(self, session, functions: dict) -> dict[str, dict]:
        "Run every test in a forked process; return what each reached."
        file = SCRATCH / "baseline.json"
        if (child := os.fork()) == 0:
            session.config.pluginmanager.register(self.reached)
            self.reached.watch(f for same in functions.values() for f in same)
            for n, item in enumerate(session.items):
                following = session.items[n + 1] if n + 1 < len(session.items) else None
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            file.write_text(json.dumps(self.reached.tests), encoding="utf-8")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError(f"The tests of {self.module} ended their process: {status}")
        return json.loads(file.read_text(encoding="utf-8"))

    def covering(self, imported: set, lines: set[int]) -> list[str]:
        "Return the tests that reach a statement, shortest first, those that start processes last."
        kept = [name for name, test in self.tests.items() if usable(test)]
        if not lines & imported:
            kept = [name for name in kept if self.reaches(name, lines)]
        return sorted(kept, key=self.rank)

    def all_short(self) -> list[str]:
        "Return all tests but slow ones, also those that fail in a forked process."
        return [name for name, test in self.tests.items() if test.get("seconds", 0) < SLOW]

    def reaches(self, name: str, lines: set[int]) -> bool:
        test = self.tests[name]
        return test["starts_processes"] or bool(lines & set(test["lines"]))

    def rank(self, name: str) -> tuple[bool, float]:
        return self.tests[name]["starts_processes"], self.tests[name]["seconds"]

    def seconds(self, names: list[str]) -> float:
        return sum(self.tests[name]["seconds"] for name in names)


def usable(test: dict) -> bool:
    "Return whether a test passes unchanged and is not slow."
    return "left out" not in test and test["seconds"] < SLOW


def statement_lines(path: Path, mutant: dict) -> set[int]:
    "Return the lines of the smallest statement around a change, without the statements inside it."
    tree = ast.parse(path.read_text(encoding="utf-8"))
    place = mutant["line"]
    around = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and contains(n, place)]
    if not around:
        return {place}
    inner = max(around, key=lambda n: n.lineno)
    body = getattr(inner, "body", [])
    last = body[0].lineno - 1 if body else inner.end_lineno
    decorators = [d.lineno for d in getattr(inner, "decorator_list", [])]
    return set(range(min([inner.lineno, *decorators]), max(last or 0, place) + 1))


def is_compiled(path: Path, mutant: dict) -> bool:
    "Return whether a change is in a function that Numba compiles: its lines are not recorded."
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    around = [f for f in functions if contains(f, mutant["line"])]
    return any(ast.unparse(d).startswith("compiled(") for f in around for d in f.decorator_list)


def contains(node: ast.stmt, line: int) -> bool:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return first <= line <= (node.end_lineno or 0)


# A changed function instead of the original one

Key = tuple[str, int]  # qualified name and first line


def outer_functions(code: CodeType) -> Iterator[CodeType]:
    "Yield the functions of a module and of its classes, without those inside functions."
    for part in code.co_consts:
        if isinstance(part, CodeType):
            if part.co_flags & inspect.CO_OPTIMIZED:  # the body of a class is not
                yield part
            else:
                yield from outer_functions(part)


def with_inner(code: CodeType) -> Iterator[CodeType]:
    "Yield a function and the functions inside it."
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from with_inner(part)


def key_of(code: CodeType) -> Key:
    return code.co_qualname, code.co_firstlineno


def changed_functions(path: Path, source: str) -> dict[Key, CodeType] | None:
    "Return the functions that a changed text changes; None if it changes anything else."
    original = compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)
    mutated = compile(source, str(path), "exec", dont_inherit=True)
    before = {key_of(code): code for code in outer_functions(original)}
    after = {key_of(code): code for code in outer_functions(mutated)}
    if before.keys() != after.keys() or skeleton(original) != skeleton(mutated):
        return None
    return {key: after[key] for key in before if before[key] != after[key]}


def skeleton(code: CodeType) -> tuple:
    "Return what a module computes outside its functions, in a form that compares by value."
    inner = set(map(id, outer_functions(code)))
    parts = []
    for part in code.co_consts:
        if id(part) in inner:
            parts.append(("function", key_of(part)))
        elif isinstance(part, CodeType):
            parts.append(("class", skeleton(part)))
        else:
            parts.append((type(part).__name__, repr(part)))
    return code.co_code, code.co_names, tuple(parts)


def objects_of_type(kind: type) -> list:
    "Return what of exactly one type is alive; `isinstance` would ask a dead weak proxy, which raises."
    return [thing for thing in gc.get_objects() if type(thing) is kind]


def functions_of(path: Path) -> dict[Key, list[FunctionType]]:
    "Return the functions of a module that exist in this process."
    found = defaultdict(list)
    for function in objects_of_type(FunctionType):
        if function.__code__.co_filename == str(path):
            found[key_of(function.__code__)].append(function)
    return found


def caches_of(path: Path) -> list[functools._lru_cache_wrapper]:
    "Return the functions of a module that keep their results."
    return [
        f
        for f in objects_of_type(functools._lru_cache_wrapper)
        if getattr(f.__wrapped__, "__code__", None) is not None
        and f.__wrapped__.__code__.co_filename == str(path)
    ]


def replaceable(functions: dict, changed: dict) -> bool:
    "Return whether each changed function exists here, with the same variables from outside."
    for key, code in changed.items():
        there = functions.get(key, [])
        if not there or any(f.__code__.co_freevars != code.co_freevars for f in there):
            return False
        if any(compiled_by_numba(f) for f in there):
            return False
    return True


def compiled_by_numba(f: FunctionType) -> bool:
    return type(f.__globals__.get(f.__name__)).__name__ == "CPUDispatcher"


# Processes


def in_place(session, names: list[str], functions: dict, changed: dict) -> Callable[[], int]:
    "Return a job that runs collected tests with changed functions."
    by_name = {item.nodeid: item for item in session.items}
    items = [by_name[name] for name in names]

    def job() -> int:
        for key, code in changed.items():
            for f in functions[key]:
                f.__code__ = code
        failed = Failed()
        session.config.pluginmanager.register(failed)
        for n, item in enumerate(items):
            following = items[n + 1] if n + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if failed.any:
                return 1
        return 0

    return job


class Failed:
    "Notice a failure and write down which test it was."

    any = False

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.any = True
            text = f"{report.nodeid}\n{report.longreprtext[-1000:]}"
            (SCRATCH / "failed.txt").write_text(text, encoding="utf-8")


def imported_anew(files: list[str], names: list[str]) -> Callable[[], int]:
    "Return a job that imports and collects everything with the changed module."
    return lambda: run_pytest(files, Selected(names), Failed())


def finish(job: Callable[[], int], module: str, mutant: dict, seconds: float) -> dict:
    "Run a job in a forked process, with the mutant's text in the file; return what became of it."
    path = COPY / module
    original = path.read_bytes()
    before = path.stat()
    (SCRATCH / "failed.txt").unlink(missing_ok=True)
    path.write_text(mutant["source"], encoding="utf-8")
    try:
        result = run_forked(job, 5 * seconds + STARTUP)
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    by = SCRATCH / "failed.txt"
    return {
        "result": result,
        "by": by.read_text(encoding="utf-8").splitlines()[0] if by.exists() else "",
    }


def expect_passing(job: Callable[[], int], module: str, seconds: float) -> None:
    "Raise if a job fails with the text of a module as it is."
    text = (COPY / module).read_text(encoding="utf-8")
    outcome = finish(job, module, {"source": text}, seconds)
    if outcome["result"] != SURVIVED:
        raise RuntimeError(f"The tests of {module} fail with nothing changed: {outcome}")


def run_forked(job: Callable[[], int], limit: float) -> str:
    "Run a job in a forked process with limits of time and memory."
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        quiet = os.open(SCRATCH / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = 99
        try:
            code = job()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return wait_for(child, 10 * limit)


def wait_for(child: int, longest: float) -> str:
    """Wait for a process; end it when it has been waiting too long without using the processor.

    One that asks again and again whether something has happened uses a little, and is ended after
    `longest` seconds."""
    idle = 0.0
    used = 0.0
    waited = 0.0
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
        now = processor_time(child)
        waited += 0.05  # counts no time in which this process is stopped
        idle = 0.0 if now > used else idle + 0.05
        used = max(now, used)
        if idle > SILENT or waited > longest:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return HANGS
    end_group(child)
    if os.WIFSIGNALED(status):
        return HANGS if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else KILLED
    return SURVIVED if os.WEXITSTATUS(status) == 0 else KILLED


def processor_time(process: int) -> float:
    "Return the ticks that a process and its ended children used."
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return float(sum(int(field) for field in fields[11:15]))


def end_group(leader: int) -> None:
    "End what a process left running."
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


# The run


def run_module(module: str, mutants: list[dict], report: Callable[[dict], None]) -> None:
    "Run the mutants of a module, in processes forked from this one."
    files = test_files(module)
    handed = SCRATCH / "anew.json"
    handed.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            server = Server(module, mutants, report)
            code = run_pytest(files, server)
            every = {name: test.get("seconds", 0) for name, test in server.tests.items()}
            handed.write_text(json.dumps({"anew": server.anew, "seconds": every}), encoding="utf-8")
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.waitpid(child, 0)
    if not handed.exists():
        raise RuntimeError(f"The tests of {module} could not be collected: see the lines above")
    left = json.loads(handed.read_text(encoding="utf-8"))
    for n, (mutant, names) in enumerate(left["anew"]):
        seconds = sum(left["seconds"][name] for name in names)
        if n == 0:
            expect_passing(imported_anew(files, names), module, seconds)
        outcome = finish(imported_anew(files, names), module, mutant, seconds)
        report(mutant | outcome | {"anew": True})


def run(mutants: list[dict], results: Path, jobs: int) -> None:
    """Run mutants module by module, in so many processes at once, and append to `results` what
    became of each."""
    prepare()
    by_module = defaultdict(list)
    for mutant in mutants:
        by_module[mutant["module"]].append(mutant)
    parts = [list(by_module.values())[n::jobs] for n in range(jobs)]
    children = [start_job(n, part, results) for n, part in enumerate(parts)]
    for child in children:
        os.waitpid(child, 0)


def start_job(number: int, parts: list[list[dict]], results: Path) -> int:
    "Fork a process that runs some modules in a copy of its own; return its number."
    child = os.fork()
    if child:
        return child
    global SCRATCH, COPY
    SCRATCH = WORK / f"job{number}"
    COPY = SCRATCH / "tree"
    try:
        copy_tree()
        os.chdir(COPY)
        os.environ["PYTHONPATH"] = str(COPY)
        sys.path.insert(0, str(COPY))
        for mutants in parts:
            run_or_skip(mutants, results)
    finally:
        sys.stdout.flush()
        os._exit(0)


def run_or_skip(mutants: list[dict], results: Path) -> None:
    "Run the mutants of a module; those whose tests do not pass unchanged miss in the table."

    def report(mutant: dict) -> None:
        kept = {key: value for key, value in mutant.items() if key != "source"}
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")

    module = mutants[0]["module"]
    print(time.strftime("%X"), module, len(mutants), flush=True)
    try:
        run_module(module, mutants, report)
    except RuntimeError as e:
        print(e, flush=True)


def latest(results: Path) -> dict[str, dict]:
    "Return the last result of each mutant."
    if not results.exists():
        return {}
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return {identity(row): row for row in rows}


def identity(mutant: dict) -> str:
    "Return a text by which a mutant is recognised when other parts of its module have changed."
    return f"{mutant['key']} {mutant['becomes']}"


# The table


def explanation(mutant: dict) -> str:
    "Return why no test can or need notice a mutant; empty if nobody has said."
    for entry in CONFIG.get("explained", ()):
        if all(mutant[name] == entry[name] for name in ("module", "text", "becomes")):
            return entry["why"]
    return ""


def print_table(drawn: dict, found: dict[str, dict]) -> None:
    "Print results by package, with the Wilson interval of the share that was killed."
    from scipy.stats import binomtest

    rows = [found[identity(mutant)] for mutant in drawn["mutants"] if identity(mutant) in found]
    groups = defaultdict(list)
    for row in rows:
        groups[Path(row["module"]).parts[1]].append(row)
    every = len(drawn["mutants"])
    print(f"{every} mutants drawn from {drawn['sites']} sites; {len(rows)} of them ran\n")
    print(f"{'package':<18} mutants  killed  explained  survived   share killed [95 % interval]")
    for package, few in [*groups.items(), ("all", rows)]:
        survivors = [row for row in few if row["result"] == SURVIVED]
        killed = len(few) - len(survivors)
        explained = sum(bool(explanation(row)) for row in survivors)
        low, high = binomtest(killed, len(few)).proportion_ci(method="wilson")
        share = f"{killed / len(few):.1%} [{low:.1%}, {high:.1%}]"
        left = len(survivors) - explained
        print(f"{package:<18} {len(few):>7} {killed:>7} {explained:>10} {left:>9}   {share}")


def print_survivors(rows: list[dict]) -> None:
    "Print the mutants that no test noticed and nobody explained."
    for row in rows:
        if row["result"] == SURVIVED and not explanation(row):
            print(f"\n{row['module']}:{row['line']}  {row.get('why', '')}")
            print(f"  - {row['text']}\n  + {row['becomes']}")


def prepare() -> None:
    "Set what the large libraries read when they are imported."
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1"}
    os.environ["NUMBA_CACHE_DIR"] = str(WORK / "numba")
    sys.dont_write_bytecode = True
    for name in PREPARED.split():
        __import__(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=420, help="of mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="run the survivors again")
    parser.add_argument("--table", action="store_true", help="print the last table again")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--only", default="", help="part of the modules' path")
    parser.add_argument("--mutate", default=sys.executable, help="a Python that has Cosmic Ray")
    options = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    results = WORK / f"results_{options.seed}.jsonl"
    drawn = draw(options.mutate, options.number, options.seed)
    if not options.table:
        found = latest(results)
        done = {k for k, row in found.items() if not (options.again and row["result"] == SURVIVED)}
        mutants = [mutant for mutant in drawn["mutants"] if options.only in mutant["module"]]
        left = [mutant for mutant in mutants if identity(mutant) not in done]
        run(left, results, options.jobs)
    found = latest(results)
    print_table(drawn, found)
    print_survivors([found[name] for name in map(identity, drawn["mutants"]) if name in found])


if __name__ == "__main__":
    main()
