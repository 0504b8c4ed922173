"""Hyperparameters with conditions, search spaces, and the families of networks that they describe.

What `__init__.pyi` names can be imported from here; each name is loaded when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
