"""`analogainas` is `analognas` under its old name: the very same modules and classes.

    from analogainas.search_spaces.config_space import ConfigSpace   # is analognas's ConfigSpace

Code written for AnalogNAS keeps running. Nothing is copied: every `analogainas.x` resolves to the module `analognas.x`.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys

import analognas

OLD, NEW = "analogainas", "analognas"


class _AliasFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers `import analogainas.x.y` with the module `analognas.x.y`."""

    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith(OLD + "."):
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module):
        # A module may replace itself in sys.modules while it loads; the import system then uses what it finds there.
        name = module.__name__
        sys.modules[name] = importlib.import_module(NEW + name[len(OLD) :])


# First in line: the ordinary finders would load a second copy through analognas's own __path__.
sys.meta_path.insert(0, _AliasFinder())
sys.modules[__name__] = analognas
