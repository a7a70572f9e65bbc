"""Play through an audio interface (PortAudio), in a process that `bridge.live.board` starts."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bridge import limits
from bridge.live.exchange import Exchange, prepare


class Watch:
    """End the exchange when the interface requests no more audio."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.periods = -1
        self.since = time.monotonic()

    def tend(self) -> None:
        """Compare the number of periods with that of the last call."""
        periods, now = self.exchange.counters.read()["periods"], time.monotonic()
        if periods != self.periods:
            self.periods, self.since = periods, now
        elif now - self.since > limits.LIVE_SILENT_SECONDS:
            self.exchange.end("the audio interface asks for no more audio")


def main() -> None:
    """Serve until standard input closes. Argument: JSON with channels, device (part of a name), frames, rate, files."""
    wanted, output = prepare()
    import sounddevice  # type: ignore[import-untyped, unused-ignore]

    channels, frames, rate = wanted["channels"], wanted["frames"], wanted["rate"]
    device = wanted["device"] or None
    sounddevice.check_input_settings(device, channels, "float32", samplerate=rate)
    sounddevice.check_output_settings(device, channels, "float32", samplerate=rate)
    exchange = Exchange(device or "default", rate, channels, frames, wanted["files"], output)
    block = np.zeros((channels, frames), np.float32)

    def process(incoming: Any, outgoing: Any, count: int, times: Any, status: Any) -> None:
        if status:
            exchange.counters.add("xruns")
        block[:] = incoming.T
        outgoing[:] = exchange.period(block).T

    def finished() -> None:
        exchange.end("the audio interface stopped")

    stream = sounddevice.Stream(
        rate, frames, device, channels, "float32", latency="low", callback=process, finished_callback=finished
    )
    with stream:
        exchange.start()
        exchange.serve(Watch(exchange).tend)


if __name__ == "__main__":
    main()
