"""Snapshots of what streams have done. Any number of observers read them, and none takes anything from another.

>>> peaks = Peaks()
>>> peaks.add(0.5, 0.25)
>>> marker = peaks.count
>>> peaks.add(0.125, 0.125)
>>> peaks.since(0), peaks.since(marker)
((0.5, 0.25), (0.125, 0.125))
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from bridge import limits

if TYPE_CHECKING:
    from bridge.host.stream import BoardStream


class Peaks:
    """The peaks of the latest blocks. One thread adds, any thread reads, and neither waits.

    Attributes:
        count: peaks that were added; the marker of an observer that has read all of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kept = [(0.0, 0.0)] * limits.TELEMETRY_BLOCKS

    def add(self, incoming: float, outgoing: float) -> None:
        """Add the largest magnitudes of the input and output of a block."""
        self._kept[self.count % len(self._kept)] = (incoming, outgoing)
        self.count += 1  # last, so that no reader counts what is not there yet

    def since(self, marker: int, end: int | None = None) -> tuple[float, float]:
        """Return the largest magnitudes (input, output) since a marker.

        They are those of the latest `limits.TELEMETRY_BLOCKS` blocks at most.

        Args:
            marker: value of `count` at the previous reading; 0 for all that is kept.
            end: value of `count` up to which to read; None for the current one.
        """
        end = self.count if end is None else end
        size = len(self._kept)
        kept = [self._kept[i % size] for i in range(max(marker, end - size, 0), end)]
        return max((peak[0] for peak in kept), default=0.0), max((peak[1] for peak in kept), default=0.0)


@dataclass(frozen=True)
class Telemetry:
    """A snapshot of a stream.

    Attributes:
        blocks: blocks that were played.
        late: blocks that took longer to compute than to play.
        load: share of the time that computing takes, smoothed.
        latency: samples that the output is behind the input.
        muted: whether the board failed and is bypassed.
        peaks: largest magnitudes of input and output since the observer's marker.
        marker: the observer's next marker.
    """

    blocks: int
    late: int
    load: float
    latency: int
    muted: bool
    peaks: tuple[float, float]
    marker: int


@dataclass(frozen=True)
class BoardTelemetry:
    """A snapshot of all streams of a board.

    Attributes:
        streams: how many there are.
        blocks, late, load: sums.
        latency: the largest, in samples.
        muted: how many failed and are bypassed.
        peaks: the largest magnitudes of input and output since the observer's previous snapshot.
    """

    streams: int
    blocks: int
    late: int
    load: float
    latency: int
    muted: int
    peaks: tuple[float, float]


class Observer:
    """Takes snapshots, and keeps its own markers: its peaks are those since its own previous snapshot."""

    def __init__(self) -> None:
        self._markers: WeakKeyDictionary[BoardStream, int] = WeakKeyDictionary()

    def snapshot(self, streams: Iterable[BoardStream]) -> BoardTelemetry:
        """Return a snapshot of the streams of a board."""
        found: list[Telemetry] = []
        for stream in list(streams):
            telemetry = stream.telemetry(self._markers.get(stream, 0))
            self._markers[stream] = telemetry.marker
            found.append(telemetry)
        return BoardTelemetry(
            streams=len(found),
            blocks=sum(t.blocks for t in found),
            late=sum(t.late for t in found),
            load=sum(t.load for t in found),
            latency=max((t.latency for t in found), default=0),
            muted=sum(t.muted for t in found),
            peaks=(max((t.peaks[0] for t in found), default=0.0), max((t.peaks[1] for t in found), default=0.0)),
        )
