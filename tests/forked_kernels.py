"""Kernels that are forked from a process that has imported the large libraries and this package:
nearly all of a kernel's start is that.

The notebook's own names are its own: what is shared are modules that it would import itself."""

import multiprocessing
import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "analognas"
LIBRARIES = [
    "torch",
    "torch._dynamo",  # which the first optimizer imports
    "aihwkit.nn",
    "numba",
    "scipy.stats",
    "sklearn.base",
    "pandas",
    "matplotlib.pyplot",
    "fastcore.test",
    "ipywidgets",
    "ipykernel.kernelapp",
]
INLINE = "module://matplotlib_inline.backend_inline"  # ipykernel's, where no other is named


def modules(package: Path) -> list[str]:
    "Return the names of a package's modules."
    files = sorted(package.rglob("*.py"))
    paths = [file.relative_to(package.parent).with_suffix("") for file in files]
    names = [".".join(path.parts) for path in paths if not path.name.startswith("_")]
    return [package.name, *names]


FORKING = multiprocessing.get_context("forkserver" if sys.platform == "linux" else None)
if sys.platform == "linux":
    FORKING.set_forkserver_preload([*LIBRARIES, *modules(PACKAGE)])


def run_kernel(leads_group, connection_file, env, cwd):
    "Become a kernel; in the forked process."
    os.setsid()
    leads_group.set()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:] = [path for path in sys.path if TESTS not in (Path(path), *Path(path).parents)]
    import matplotlib
    from ipykernel.kernelapp import IPKernelApp

    # read when matplotlib was imported, from another environment
    matplotlib.rcParams["backend"] = os.environ.get("MPLBACKEND") or INLINE
    IPKernelApp.launch_instance(argv=["-f", connection_file])


class ForkedKernel:
    "What jupyter_client wants of a `subprocess.Popen`."

    stdin = stdout = stderr = None

    def __init__(self, command, env, cwd, **_):
        file = command[command.index("-f") + 1]
        leads_group = FORKING.Event()
        arguments = (leads_group, file, dict(env), str(cwd))
        self.process = FORKING.Process(target=run_kernel, args=arguments)
        self.process.start()
        leads_group.wait()  # jupyter_client sends signals to the kernel's group
        self.pid = self.process.pid

    def poll(self):
        return self.process.exitcode

    def wait(self, timeout=None):
        self.process.join(timeout)
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def terminate(self):
        self.process.terminate()

    def kill(self):
        self.process.kill()
