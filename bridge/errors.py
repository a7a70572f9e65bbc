"""What can go wrong between a client and the worker."""

from __future__ import annotations

from neural_fx.errors import NeuralFXError


class BridgeError(NeuralFXError, ConnectionError):
    """The worker cannot be reached, or refused what was asked.

    Args:
        reason: a sentence.
        code: one of `bridge.protocol.Refusal`, when the worker refused.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        self.code = code
        super().__init__(reason)


class ProtocolError(BridgeError):
    """Bytes that are no message of the streaming protocol, or one where it may not stand."""
