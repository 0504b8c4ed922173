"""Figures. Everything public in the modules of this package can be imported from here."""
from .accuracy import *
from .architecture import *
from .devices import *
from .search import *
from .style import *
