"""The simulated chip: settings, converters, tiles, layers, conversion, programming, drift, measurement.

What `__init__.pyi` names can be imported from here; each name is loaded when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
