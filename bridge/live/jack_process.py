"""The process that is a JACK client: started by `bridge.live.board`, not by hand."""

from __future__ import annotations

import json
import sys

import numpy as np

from bridge.live.exchange import Exchange


def main() -> None:
    """Serve until standard input closes. Argument: JSON with name, channels, device (the JACK server's name)."""
    import jack  # type: ignore[import-untyped, unused-ignore]

    wanted = json.loads(sys.argv[1])
    channels = wanted["channels"]
    client = jack.Client(wanted["name"], no_start_server=True, servername=wanted["device"] or None)
    exchange = Exchange(client.name, client.samplerate, channels, client.blocksize)
    inputs = [client.inports.register(f"in_{i + 1}") for i in range(channels)]
    outputs = [client.outports.register(f"out_{i + 1}") for i in range(channels)]
    midi = client.midi_inports.register("midi_in")
    block = np.zeros((channels, client.blocksize), np.float32)

    @client.set_process_callback  # type: ignore[untyped-decorator]
    def process(count: int) -> None:
        for i, port in enumerate(inputs):
            block[i] = port.get_array()
        for offset, data in midi.incoming_midi_events():
            exchange.midi(offset, bytes(data))
        back = exchange.period(block)
        for i, port in enumerate(outputs):
            port.get_array()[:] = back[i]

    def connection(first: object, second: object, made: bool) -> None:
        if not made and midi in (first, second):  # a keyboard is unplugged: what it holds must not go on
            exchange.midi(0, b"")

    client.set_port_connect_callback(connection, only_available=False)

    @client.set_xrun_callback  # type: ignore[untyped-decorator]
    def xrun(delay: float) -> None:
        exchange.xruns += 1

    @client.set_shutdown_callback  # type: ignore[untyped-decorator]
    def shutdown(status: object, reason: str) -> None:
        exchange.ended.set()

    with client:
        exchange.serve()


if __name__ == "__main__":
    main()
