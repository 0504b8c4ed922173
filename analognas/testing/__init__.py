"""Conformance suites, which an evaluator, an optimizer or a space of one's own has to pass, and fakes for tests."""
from .evaluators import *
from .fakes import *
from .optimizers import *
