"""Conformance suites: what an evaluator, an optimizer or a space of one's own has to hold."""
from .evaluators import *
from .optimizers import *
