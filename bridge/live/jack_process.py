"""The process that is a JACK client: it moves blocks between JACK and two rings, and does nothing else.

Run as ``python -m bridge.live.jack_process`` by `bridge.live.jack`; not meant to be started by hand.
"""

from __future__ import annotations

import json
import os
import sys
import threading

import numpy as np

from bridge.live.ring import Ring


def main() -> None:
    """Serve until standard input closes. Arguments: JSON with name, channels, rings, wake."""
    import jack  # type: ignore[import-untyped, unused-ignore]

    wanted = json.loads(sys.argv[1])
    client = jack.Client(wanted["name"], no_start_server=True, servername=wanted["server"] or None)
    channels, frames = wanted["channels"], client.blocksize
    print(json.dumps({"frames": frames, "rate": client.samplerate, "name": client.name}), flush=True)
    descriptors = json.loads(sys.stdin.readline())
    to_worker = Ring(channels, frames, descriptor=descriptors["in"])
    from_worker = Ring(channels, frames, descriptor=descriptors["out"])
    midi_out, wake = descriptors["midi"], descriptors["wake"]
    inputs = [client.inports.register(f"in_{i + 1}") for i in range(channels)]
    outputs = [client.outports.register(f"out_{i + 1}") for i in range(channels)]
    midi = client.midi_inports.register("midi_in")
    block, before = np.zeros((channels, frames), np.float32), np.zeros((channels, frames), np.float32)
    back = np.zeros((channels, frames), np.float32)
    counts = np.zeros(3, np.int64)  # dropouts, xruns, late blocks that are still to come and must not be played

    @client.set_process_callback  # type: ignore[untyped-decorator]
    def process(count: int) -> None:
        for i, port in enumerate(inputs):
            block[i] = port.get_array()
        to_worker.put(block)
        for offset, data in midi.incoming_midi_events():
            os.write(midi_out, bytes([min(len(data), 255)]) + offset.to_bytes(4, "little") + bytes(data)[:255])
        os.eventfd_write(wake, 1)
        while counts[2] and from_worker.take(back):
            counts[2] -= 1
        if counts[2] or not from_worker.take(back):
            counts[0] += 1
            counts[2] += 1
            back[:] = before  # the dry signal, as late as the board's would have been by the period
        before[:] = block
        for i, port in enumerate(outputs):
            port.get_array()[:] = back[i]

    @client.set_xrun_callback  # type: ignore[untyped-decorator]
    def xrun(delay: float) -> None:
        counts[1] += 1

    @client.set_shutdown_callback  # type: ignore[untyped-decorator]
    def shutdown(status: object, reason: str) -> None:
        ended.set()

    ended = threading.Event()
    with client:
        for line in sys.stdin:  # "status" is answered; the end of the worker is the end of this
            if ended.is_set():
                break
            if line.strip() == "status":
                print(json.dumps({"dropouts": int(counts[0]), "xruns": int(counts[1])}), flush=True)


if __name__ == "__main__":
    main()
