"""Connect boards to the outside: the command line (`bridge.cli`), the worker that hosts boards, and its clients.

>>> import bridge
>>> bridge.connect("localhost:1", timeout=0.1)
Traceback (most recent call last):
    ...
bridge.errors.BridgeError: no worker at localhost:1: Connection refused; is `neural-fx serve` running?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.client import RemoteBoard, connect

__all__ = ["RemoteBoard", "connect"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from bridge import client

        return getattr(client, name)
    raise AttributeError(f"module 'bridge' has no attribute {name!r}")
