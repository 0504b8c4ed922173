"""A Python without some packages, for a subprocess: `python without_packages.py aihwkit,torch script.py`."""

import importlib.abc
import runpy
import sys


class Blocked(importlib.abc.MetaPathFinder):
    "Refuse packages as if they were not installed."

    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


if __name__ == "__main__":
    sys.meta_path.insert(0, Blocked(sys.argv[1].split(",")))
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
