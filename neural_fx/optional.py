"""Packages that are not installed with the base package: which extra brings them, and what needs them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from neural_fx.errors import MissingPackageError

EXTRAS = {
    "auraloss": "train",
    "jack": "live",
    "matplotlib": "train",
    "rtmidi": "live",
    "sounddevice": "live",
    "swift_f0": "train",
    "torch": "torch",
}
"""The extra of ``pip install 'neural-fx[EXTRA]'`` that brings each optional package, by the package's module."""


def is_installed(module: str) -> bool:
    """Return whether an optional module can be imported: installed, and not broken."""
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def install_command(module: str) -> str:
    """Return the command that installs an optional package.

    >>> install_command("torch")
    "pip install 'neural-fx[torch]'"
    """
    return f"pip install 'neural-fx[{EXTRAS[module.partition('.')[0]]}]'"


def need(module: str, what: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: such as ``torch``.
        what: needs it, to begin the error's sentence with, such as ``training``.

    Raises:
        MissingPackageError: it is not installed; says which command installs it.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0].replace("_", "-")
        raise MissingPackageError(
            f"{what} needs {package}, which is not installed: {install_command(module)}"
        ) from None
