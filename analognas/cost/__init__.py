"""Crossbar tiles, energy, latency and area of networks on chips. Needs no aihwkit."""
from .model import *
