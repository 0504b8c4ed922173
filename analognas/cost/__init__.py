"""Crossbar tiles, energy and latency of networks on chips. Needs no aihwkit.

What `__init__.pyi` names can be imported from here; each name is loaded when it is first used.
"""

import lazy_loader

from ..core import renamed

_offered, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_old = renamed(
    __name__,
    {
        "HERMES": "cost.model:HERMES",
        "HERMES_4PHASE": "cost.model:HERMES_4PHASE",
        "ISAAC": "cost.model:ISAAC",
        "ISAAC_CELLS": "cost.model:ISAAC_CELLS",
        "ISAAC_CYCLE": "cost.model:ISAAC_CYCLE",
        "ISAAC_INPUT_BITS": "cost.model:ISAAC_INPUT_BITS",
        "ISAAC_POWER": "cost.model:ISAAC_POWER",
        "LE_GALLO": "cost.model:LE_GALLO",
        "find_chip": "cost.model:find_chip",
    },
)


def __getattr__(name: str):
    return _offered(name) if name in __all__ else _old(name)
