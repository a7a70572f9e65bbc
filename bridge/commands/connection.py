"""Commands that belong to the connection over which they come."""

from __future__ import annotations

from bridge.commands.registry import ALL_COST, Argument, Call, Command, Connection
from bridge.errors import BridgeError


def _connection(call: Call) -> Connection:
    if call.connection is None:
        raise BridgeError("there is no connection here")
    return call.connection


def _subscribe(call: Call) -> None:
    _connection(call).subscribe(call.arguments)


def _unsubscribe(call: Call) -> None:
    _connection(call).unsubscribe(call.arguments)


def _token(call: Call) -> None:
    _connection(call).check_token(call.arguments)


_PORT = Argument("port", "i", 1, 65535, optional=True)

# Senders of other programs add arguments that mean nothing here, so these check what they use themselves.

SUBSCRIBE = Command(
    "/subscribe",
    "sends meters, load, dropouts and changes from now on; over UDP to this port",
    _subscribe,
    (_PORT,),
    "connection",
    checks=False,
    cost=ALL_COST,
)

UNSUBSCRIBE = Command("/unsubscribe", "ends a subscription", _unsubscribe, (_PORT,), "connection", checks=False)

TOKEN = Command(
    "/token",
    "required once from other machines if the worker has a token",
    _token,
    (Argument("token"),),
    "connection",
    checks=False,
)
