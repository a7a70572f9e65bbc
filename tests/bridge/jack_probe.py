"""A JACK client in a process of its own: plays a signal into a board and records what comes back.

python jack_probe.py SERVER CLIENT[:IN:OUT] SIGNAL.npy RECORDED.npy [MIDI-HEX]
"""

from __future__ import annotations

import sys
import threading
import time

import jack
import numpy as np


def main() -> None:
    """Play once."""
    server, board, source, target, *midi = sys.argv[1:]
    board, in_port, out_port = [*board.split(":"), "in_1", "out_1"][:3]
    signal = np.load(source)
    client = jack.Client("probe", no_start_server=True, servername=server)
    recorded = np.zeros(len(signal) + 8 * client.blocksize, np.float32)
    out, into = client.outports.register("out"), client.inports.register("in")
    notes = client.midi_outports.register("midi")
    state = {"at": -1, "xruns": 0}
    done = threading.Event()
    silence = np.zeros(client.blocksize, np.float32)

    @client.set_xrun_callback  # type: ignore[untyped-decorator]
    def xrun(delay: float) -> None:
        state["xruns"] += 1

    @client.set_process_callback  # type: ignore[untyped-decorator]
    def process(frames: int) -> None:
        notes.clear_buffer()
        at = state["at"]
        if at < 0:
            out.get_array()[:] = silence
            return
        block = silence.copy()
        part = signal[at : at + frames]
        block[: len(part)] = part
        out.get_array()[:] = block
        if at == 0 and midi:
            notes.write_midi_event(17, bytes.fromhex(midi[0]))
        end = min(at + frames, len(recorded))
        recorded[at:end] = into.get_array()[: end - at]
        state["at"] = end
        if end == len(recorded):
            done.set()

    with client:
        client.connect(f"{board}:{out_port}", into)
        client.connect(out, f"{board}:{in_port}")
        if midi:
            client.connect(notes, f"{board}:midi_in")
        time.sleep(0.3)
        state["at"] = 0
        done.wait(len(signal) / client.samplerate + 30)
    np.save(target, recorded)
    print(state["xruns"])


if __name__ == "__main__":
    main()
