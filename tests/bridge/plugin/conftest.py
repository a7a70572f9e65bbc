"""The DAW plugins, built once, and workers for them to play through."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pedalboard
import pytest

from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost, board_from, instrument_from
from bridge.plugin.building import build
from bridge.stream_server import StreamServer

LEAD = """\
name: Lead
slots:
  - pedal: tube-screamer
    set: {drive: 0.6}
  - plugin: Gain
    set: {gain_db: -6}
macros:
  - {name: Drive, to: tube-screamer/drive, min: 0.2, max: 0.9}
  - {name: Loudness, to: gain/gain_db, min: -30, max: 0}
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built plugins."""
    folder = tmp_path_factory.mktemp("plugins")
    try:
        build(folder)
    except BridgeError as error:
        if "install" not in str(error):
            raise
        pytest.skip(str(error))
    return folder / "bin"


@pytest.fixture(scope="session")
def built_for_windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the plugins built by MinGW."""
    folder = tmp_path_factory.mktemp("plugins-windows")
    try:
        build(folder, windows=True)
    except BridgeError as error:
        if "apt-get install" not in str(error):
            raise
        pytest.skip(str(error))
    return folder / "bin"


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BoardHost]:
    file = tmp_path_factory.mktemp("boards") / "lead.yaml"
    file.write_text(LEAD)
    return {"lead": BoardHost("lead", board_from(file)), "violin": InstrumentHost("violin", instrument_from("violin"))}


@pytest.fixture(scope="module")
def server(boards: dict[str, BoardHost]) -> Iterator[StreamServer]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    server = StreamServer(boards)
    yield server
    server.close()
    sys.setswitchinterval(before)


Load = Callable[..., Any]


def reading(plugin: Any, name: str) -> float:
    """A read-only parameter as it is now: pedalboard looks at those only when a state is set."""
    plugin.raw_state = plugin.raw_state
    return float(getattr(plugin, name))


@pytest.fixture
def load(built: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a plugin with pedalboard; its worker is at a port, its board has a name."""

    def loaded(port: int, board: str = "", name: str = "NeuralFX") -> Any:
        monkeypatch.setenv("NEURAL_FX_WORKER", f"127.0.0.1:{port}")
        monkeypatch.setenv("NEURAL_FX_BOARD", board)
        return pedalboard.load_plugin(str(built / f"{name}.vst3"))

    assert "NEURAL_FX_TOKEN" not in os.environ
    return loaded
