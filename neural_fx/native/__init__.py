"""The compiled kernels' sources, and their module `_core` where a compiler was found at installation.

`core` is that module, or None.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neural_fx.native import _core

    core = _core
else:
    try:
        core = import_module("neural_fx.native._core")
    except ImportError:  # there was no compiler at installation, so the torch engine runs everything
        core = None
