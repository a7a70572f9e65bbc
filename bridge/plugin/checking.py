"""Check that a plugin works on this machine: load it as a host does, and play one second through a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mido
import numpy as np
import pedalboard

from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost, instrument_from
from bridge.stream_server import StreamServer
from neural_fx.errors import reason
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import make_pedal

RATE, BLOCK = 48000, 256


def check(bundle: Path) -> dict[str, float]:
    """Load a VST3 through pedalboard and play one second through a worker that is started for it.

    The output of an effect must equal that of the same pedal in this process. An instrument must sound when a note is
    played.

    Args:
        bundle: the VST3.

    Returns:
        ``latency`` in samples and ``dropouts``. For an effect also ``error``, the largest difference as a share of the
        peak; for an instrument ``peak``, full scale = 1.

    Raises:
        BridgeError: the plugin cannot be loaded, drops out, or its output is wrong.
    """
    with _worker() as (server, boards), patch.dict(os.environ, NEURAL_FX_WORKER=f"127.0.0.1:{server.port}"):
        try:
            plugin: Any = pedalboard.load_plugin(str(bundle))
        except (ImportError, ValueError, RuntimeError, OSError) as error:
            raise BridgeError(f"{bundle}: cannot be loaded: {reason(error)}") from None
        found = _note(plugin) if plugin.is_instrument else _effect(plugin, boards["check"].copy())
        del plugin
    if found["dropouts"] or found.get("error", 0) > 1e-6 or found.get("peak", 1) < 1e-3:
        raise BridgeError(f"{bundle.name}: the output is wrong or has dropouts: {found}")
    return found


def _effect(plugin: Any, board: Pedalboard) -> dict[str, float]:
    audio = np.zeros((plugin_channels(plugin), RATE), np.float32)
    audio[:] = 0.2 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE)
    wanted = board(audio, RATE)
    out = plugin.process(audio, RATE, buffer_size=BLOCK)
    plugin.raw_state = plugin.raw_state  # pedalboard only updates read-only parameters then
    error = float(np.abs(out - wanted).max() / np.abs(wanted).max())
    return {"error": error, "latency": plugin.reported_latency_samples, "dropouts": float(plugin.dropouts)}


def plugin_channels(plugin: Any) -> int:
    """Return the number of a plugin's channels: 1 for the mono effect, otherwise 2."""
    return 1 if plugin.name.endswith("Mono") else 2


def _note(plugin: Any) -> dict[str, float]:
    notes = [mido.Message("note_on", note=69, velocity=100, time=0), mido.Message("note_off", note=69, time=0.5)]
    out = plugin(notes, duration=1.0, sample_rate=RATE, num_channels=2, buffer_size=BLOCK)
    plugin.raw_state = plugin.raw_state
    peak = float(np.abs(out).max())
    return {"peak": peak, "latency": plugin.reported_latency_samples, "dropouts": float(plugin.dropouts)}


@contextmanager
def _worker() -> Iterator[tuple[StreamServer, dict[str, BoardHost]]]:
    boards: dict[str, BoardHost] = {
        "check": BoardHost("check", lambda: Pedalboard([make_pedal("tube-screamer")])),
        "notes": InstrumentHost("notes", instrument_from("violin")),
    }
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    server = StreamServer(boards)
    try:
        yield server, boards
    finally:
        server.close()
        sys.setswitchinterval(before)
