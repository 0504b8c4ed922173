"""Data in: CIFAR-10, Visual Wake Words, Keyword Spotting, digits, folders of images, tensors of one's own.

What `__init__.pyi` names can be imported from here; each name is loaded when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
