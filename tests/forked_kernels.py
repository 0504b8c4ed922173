"""Kernels that are forked from a process that has imported the large libraries: most of a kernel's start is that.

Nothing of this package is imported beforehand, and matplotlib is not, which reads its backend then."""

import multiprocessing
import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
LIBRARIES = ["ipykernel.kernelapp", "torch", "aihwkit.nn", "numba", "scipy.stats", "sklearn.base"]
FORKING = multiprocessing.get_context("forkserver" if sys.platform == "linux" else None)
if sys.platform == "linux":
    FORKING.set_forkserver_preload([*LIBRARIES, "pandas", "ipywidgets"])


def run_kernel(leads_group, connection_file, env, cwd):
    "Become a kernel; in the forked process."
    os.setsid()
    leads_group.set()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:] = [path for path in sys.path if TESTS not in (Path(path), *Path(path).parents)]
    from ipykernel.kernelapp import IPKernelApp

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
