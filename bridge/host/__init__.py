"""Host boards and instruments in the worker."""

from bridge.host.board import BoardHost
from bridge.host.changes import Change, last_ones
from bridge.host.hosted import Hosted
from bridge.host.instruments import InstrumentHost, as_message
from bridge.host.sources import ForeignBoard, board_from, board_in, board_named, instrument_from
from bridge.host.stream import BoardStream
from bridge.host.telemetry import BoardTelemetry, Observer, Telemetry

__all__ = [
    "BoardHost",
    "BoardStream",
    "BoardTelemetry",
    "Change",
    "ForeignBoard",
    "Hosted",
    "InstrumentHost",
    "Observer",
    "Telemetry",
    "as_message",
    "board_from",
    "board_in",
    "board_named",
    "instrument_from",
    "last_ones",
]
