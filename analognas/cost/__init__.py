"""Crossbar tiles, energy, latency and area of networks on chips. Needs no aihwkit."""
from .model import *
from .model import find_chip  # noqa: F401 - a name of 0.1.0
