"""Errors between a client and the worker."""

from __future__ import annotations

from neural_fx.errors import NeuralFXError


class BridgeError(NeuralFXError, ConnectionError):
    """The worker cannot be reached, or refused a request.

    Args:
        reason: the message.
        code: one of `bridge.protocol.Refusal` if the worker refused; empty otherwise.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        self.code = code
        super().__init__(reason)


class ProtocolError(BridgeError):
    """Bytes are not a message of the streaming protocol, or the message is not allowed at this point."""
