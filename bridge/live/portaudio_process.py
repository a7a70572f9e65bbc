"""The process that plays through an audio interface (PortAudio): started by `bridge.live.board`, not by hand."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from bridge.live.exchange import Exchange


def main() -> None:
    """Serve until standard input closes. Argument: JSON with channels, device (part of its name), frames, rate."""
    import sounddevice  # type: ignore[import-untyped, unused-ignore]

    wanted = json.loads(sys.argv[1])
    channels, frames, rate = wanted["channels"], wanted["frames"], wanted["rate"]
    device = wanted["device"] or None
    sounddevice.check_input_settings(device, channels, "float32", samplerate=rate)
    sounddevice.check_output_settings(device, channels, "float32", samplerate=rate)
    exchange = Exchange(device or "default", rate, channels, frames)
    block = np.zeros((channels, frames), np.float32)

    def process(incoming: Any, outgoing: Any, count: int, times: Any, status: Any) -> None:
        exchange.xruns += bool(status)
        block[:] = incoming.T
        outgoing[:] = exchange.period(block).T

    with sounddevice.Stream(rate, frames, device, channels, "float32", latency="low", callback=process):
        exchange.serve()


if __name__ == "__main__":
    main()
