"""`neural-fx plugin`: what is missing is named, what is built is installed whole, and instances know their worker."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pedalboard
import pytest

from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.plugin.building import NAMES, build, connect, install, settings_file
from bridge.stream_server import StreamServer
from neural_fx.pedalboard import Pedalboard
from tests.bridge.plugin.conftest import Load, reading
from tests.bridge.test_cli import spawn
from tests.conftest import noise


def said(*arguments: object) -> str:
    """What a command prints."""
    process = spawn(*arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return str(out)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path / "home"


def test_a_missing_framework_is_named(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match=r"apt-get install dpf-source\) or give its folder with --dpf"):
        build(tmp_path / "build", dpf=tmp_path)
    assert not (tmp_path / "build").exists()


def test_a_missing_compiler_is_named(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BridgeError, match=r"CMake is missing .*apt-get install cmake"):
        build(tmp_path / "build")


def test_it_is_built_once(built: Path) -> None:
    lines: list[str] = []
    bundles = build(built.parent, log=lines.append)
    assert not [line for line in lines if "Building" in line]
    assert {b.stem for b in bundles} == set(NAMES)
    assert {b.suffix for b in bundles} == {".vst3", ".lv2", ".clap"}


def test_install_replaces_what_was_there(built: Path, home: Path) -> None:
    with pytest.raises(BridgeError, match="run `neural-fx plugin build` first"):
        install(home)
    old = home / ".vst3" / "NeuralFX.vst3" / "old"
    old.mkdir(parents=True)
    places = install(built.parent)
    assert len(places) == 9
    assert all(place.exists() and place.is_relative_to(home) for place in places)
    assert not old.exists()
    assert not list(home.rglob("*.part"))


def test_connect_writes_what_new_instances_read(built: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in ("here", "here:", ":9", "here:x"):
        with pytest.raises(BridgeError, match="expected HOST:PORT"):
            connect(bad)
    server = StreamServer({name: BoardHost(name, Pedalboard) for name in ("first", "second")}, token="secret")
    try:
        said("plugin", "connect", f"127.0.0.1:{server.port}", "--board", "second", "--token", "secret")
        assert settings_file().stat().st_mode & 0o077 == 0  # it holds a token
        for name in ("WORKER", "BOARD", "TOKEN"):
            monkeypatch.delenv(f"NEURAL_FX_{name}", raising=False)
        plugin = pedalboard.load_plugin(str(built / "NeuralFX.vst3"))
        audio = noise(4800, 2)
        np.testing.assert_allclose(plugin.process(audio, 48000, buffer_size=256), audio, atol=1e-7)
        assert reading(plugin, "connected") == 1
        assert [session.hello.board for session in server.sessions.values()] == ["second"]
    finally:
        server.close()


def test_the_board_parameter_goes_through_the_workers_boards(load: Load) -> None:
    def half() -> Pedalboard:
        return Pedalboard([pedalboard.Gain(-6.0206)])

    server = StreamServer({"dry": BoardHost("dry", Pedalboard), "half": BoardHost("half", half)})
    try:
        plugin = load(server.port)
        audio = noise(24000, 2)
        np.testing.assert_allclose(plugin.process(audio, 48000, buffer_size=256), audio, atol=1e-7)
        plugin.board = 2
        plugin.process(audio, 48000, buffer_size=256)  # it changes while this plays
        out = plugin.process(audio, 48000, buffer_size=256)
        np.testing.assert_allclose(out, half()(audio, 48000), atol=1e-6)
    finally:
        server.close()


@pytest.mark.slow
def test_check(built: Path) -> None:
    found = json.loads(said("plugin", "check", "--folder", built.parent, "--json"))
    assert {bundle.removesuffix(".vst3") for bundle in found} == set(NAMES)
    assert found["NeuralFX.vst3"]["error"] < 1e-6
    assert found["NeuralInstrument.vst3"]["peak"] > 0.01


@pytest.mark.slow
def test_the_windows_build(built_for_windows: Path) -> None:
    bundles = list(built_for_windows.glob("Neural*"))
    assert {b.name for b in bundles} == {f"{name}{suffix}" for name in NAMES for suffix in (".vst3", ".clap")}
    for bundle in bundles:
        binary = bundle
        if bundle.is_dir():
            binary = next(p for p in bundle.rglob("*.vst3") if p.is_file())
        assert binary.read_bytes()[:2] == b"MZ"
