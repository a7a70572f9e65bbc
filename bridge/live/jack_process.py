"""Run a JACK client, in a process that `bridge.live.board` starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.live.exchange import Exchange, prepare


class Connections:
    """Make earlier port connections again, and report the present ones to the worker.

    Args:
        client: a `jack.Client`.
        exchange: the exchange, which has the connections to make again.
        ports: the client's own ports by their short names.
    """

    def __init__(self, client: Any, exchange: Exchange, ports: dict[str, Any]) -> None:
        self.client, self.exchange, self.ports = client, exchange, ports
        self.missing = set(exchange.connections)
        self.reported = set(exchange.connections)
        self.before: set[tuple[str, str]] = set()
        self.looks = 1

    def changed(self) -> None:
        """Check the connections at the next two calls of `tend`. A server that ends undoes them one after another."""
        self.looks = 2

    def tend(self) -> None:
        """Connect to missing ports that have appeared, and report changes."""
        if self.missing:
            self._connect()
        if self.looks:
            self.looks -= 1
            self._report()

    def _connect(self) -> None:
        there = {port.name for port in self.client.get_ports()}
        for own, other in sorted(self.missing):
            if other in there and own in self.ports:
                port = self.ports[own]
                ends = (other, port.name) if port.is_input else (port.name, other)
                self.missing.discard((own, other))
                if not any(peer.name == other for peer in port.connections):
                    self.client.connect(*ends)

    def _report(self) -> None:
        now = {(own, peer.name) for own, port in self.ports.items() for peer in port.connections}
        undone = self.reported - now - self.before - self.missing
        self.before = now
        if self.exchange.ended.is_set():  # a server that ends removes its ports; keep the user's connections
            return
        for made, pairs in ((True, now - self.reported), (False, undone)):
            for own, other in pairs:
                if not self.exchange.connected(own, other, made):
                    self.looks = 2
                elif made:
                    self.reported.add((own, other))
                else:
                    self.reported.discard((own, other))


def main() -> None:
    """Serve until standard input closes. Argument: JSON with name, channels, device (the JACK server's name), files."""
    wanted, output = prepare()
    import jack  # type: ignore[import-untyped, unused-ignore]

    channels = wanted["channels"]
    client = jack.Client(wanted["name"], no_start_server=True, servername=wanted["device"] or None)
    exchange = Exchange(client.name, client.samplerate, channels, client.blocksize, wanted["files"], output)
    inputs = [client.inports.register(f"in_{i + 1}") for i in range(channels)]
    outputs = [client.outports.register(f"out_{i + 1}") for i in range(channels)]
    midi = client.midi_inports.register("midi_in")
    connections = Connections(client, exchange, {port.shortname: port for port in (*inputs, *outputs, midi)})
    block = np.zeros((channels, exchange.frames), np.float32)

    @client.set_process_callback  # type: ignore[untyped-decorator]
    def process(count: int) -> None:
        if count != exchange.frames:  # `blocksize` ends this client
            for port in outputs:
                port.get_array()[:] = 0
            return
        try:
            for i, port in enumerate(inputs):
                block[i] = port.get_array()
            for offset, data in midi.incoming_midi_events():
                exchange.midi(offset, bytes(data))
            back = exchange.period(block)
            for i, port in enumerate(outputs):
                port.get_array()[:] = back[i]
        except Exception as error:  # JACK would stop calling without a message
            exchange.end(f"the JACK client failed: {type(error).__name__}: {error}")

    @client.set_blocksize_callback  # type: ignore[untyped-decorator]
    def blocksize(frames: int) -> None:
        if frames != exchange.frames:
            exchange.end(f"the JACK server changed its period to {frames} frames")

    @client.set_samplerate_callback  # type: ignore[untyped-decorator]
    def samplerate(rate: int) -> None:
        if rate != exchange.rate:
            exchange.end(f"the JACK server changed its sample rate to {rate} Hz")

    def connection(first: object, second: object, made: bool) -> None:
        if not made and midi in (first, second):  # release the notes of a keyboard that was unplugged
            exchange.midi(0, b"")
        connections.changed()

    client.set_port_connect_callback(connection, only_available=False)

    @client.set_xrun_callback  # type: ignore[untyped-decorator]
    def xrun(delay: float) -> None:
        exchange.counters.add("xruns")

    @client.set_shutdown_callback  # type: ignore[untyped-decorator]
    def shutdown(status: object, reason: str) -> None:
        exchange.end(f"the JACK server ended the client: {reason}")

    with client:
        exchange.start()
        exchange.serve(connections.tend)


if __name__ == "__main__":
    main()
