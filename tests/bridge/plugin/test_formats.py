"""The other formats: LV2 in lilv and in jalv beside a real jackd, CLAP in a host of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.host import BoardHost
from bridge.plugin.building import DPF
from bridge.stream_server import StreamServer
from tests.conftest import noise

RATE, PERIOD = 48000, 1024
BUDGET = 16384
TURN = 20011
"""A frame inside a block, whatever the blocks."""


@pytest.fixture
def lv2(built: Path, tmp_path: Path, server: StreamServer) -> dict[str, str]:
    """An environment in which LV2 hosts see our plugins alone."""
    for bundle in built.glob("*.lv2"):
        shutil.copytree(bundle, tmp_path / "lv2" / bundle.name)
    worker = f"127.0.0.1:{server.port}"
    return {**os.environ, "LV2_PATH": str(tmp_path / "lv2"), "NEURAL_FX_WORKER": worker, "NEURAL_FX_BOARD": "lead"}


@pytest.mark.skipif(shutil.which("lv2info") is None, reason="no lilv (Debian: apt-get install lilv-utils)")
def test_lilv_reads_the_descriptions(lv2: dict[str, str]) -> None:
    def said(*command: str) -> str:
        done = subprocess.run(command, env=lv2, capture_output=True, text=True, check=True)
        assert not done.stderr
        return done.stdout

    plugins = {"urn:neural-fx:effect": 4, "urn:neural-fx:effect-mono": 2, "urn:neural-fx:instrument": 2}
    assert said("lv2ls").split() == list(plugins)
    for plugin, audio_ports in plugins.items():
        about = said("lv2info", plugin)
        assert about.count("lv2core#AudioPort") == audio_ports
        assert "Has latency:       yes" in about
        for name in ("Macro 1", "Macro 8", "Mix", "Input Gain", "Latency Budget", "Dropouts"):
            assert name in about


@pytest.fixture
def jackd() -> Iterator[str]:
    pytest.importorskip("jack", reason="JACK-Client or libjack is not installed", exc_type=Exception)
    if not all(map(shutil.which, ("jackd", "jalv"))):
        pytest.skip("no jackd or jalv (Debian: apt-get install jackd2 jalv)")
    name = "neural-fx-lv2"
    command = ["jackd", "-n", name, "--no-realtime", "-d", "dummy", "-r", str(RATE), "-p", str(PERIOD)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    yield name
    process.terminate()
    process.wait(5)


@pytest.mark.slow
def test_jalv_plays_the_effect(jackd: str, lv2: dict[str, str], boards: dict[str, BoardHost], tmp_path: Path) -> None:
    signal = np.concatenate((0.3 * noise(3 * RATE), np.zeros(RATE, np.float32)))
    np.save(tmp_path / "signal.npy", signal)
    command = ["jalv", "-n", "lv2-effect", "-c", f"latency_budget={BUDGET}", "urn:neural-fx:effect"]
    jalv = subprocess.Popen(
        command,
        env={**lv2, "JACK_DEFAULT_SERVER": jackd},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(2)
        probe = Path(__file__).parents[1] / "jack_probe.py"
        files = [tmp_path / "signal.npy", tmp_path / "recorded.npy"]
        ports = "lv2-effect:lv2_audio_in_1:lv2_audio_out_1"
        subprocess.run([sys.executable, probe, jackd, ports, *files], check=True, timeout=120, capture_output=True)
    finally:
        jalv.terminate()
        jalv.wait(20)
    recorded = np.load(tmp_path / "recorded.npy")
    wanted = boards["lead"].copy()(signal, RATE)[: 3 * RATE]
    wrong = []
    for late in (BUDGET, BUDGET + PERIOD, BUDGET + 2 * PERIOD):  # JACK itself adds a period to a loop of two clients
        part = recorded[late : late + len(wanted)]
        wrong.append(float(np.mean(np.abs(part - wanted) > 1e-5)))
    assert min(wrong) < 0.2  # a machine without real-time priority loses periods; those that come are right


def compile_host(folder: Path, *command: str) -> Path:
    """The CLAP host, compiled by `command`."""
    headers = DPF / "distrho" / "src"
    if not shutil.which(command[0]) or not (headers / "clap" / "entry.h").exists():
        pytest.skip(f"no {command[0]} or no framework (Debian: apt-get install g++ dpf-source)")
    program = folder / "host.exe"
    source = Path(__file__).parent / "clap_host.cpp"
    whole = [*command, "-std=c++17", "-O1", f"-I{headers}", source, "-o", program]
    done = subprocess.run(whole, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


class ClapHost:
    """Plays the effect as a CLAP, through the board `lead`, turning its second macro to the middle at a frame."""

    def __init__(self, command: list[object], port: int, blocks: list[int], more: dict[str, str]) -> None:
        worker = {"NEURAL_FX_WORKER": f"127.0.0.1:{port}", "NEURAL_FX_BOARD": "lead"}
        self.command, self.blocks, self.environment = command, blocks, {**os.environ, **worker, **more}

    def __call__(self, audio: np.ndarray, turn: int) -> tuple[np.ndarray, list[str]]:
        """The output, and what the host says: latency, number of parameters, how the middle of the macro reads."""
        done = subprocess.run(
            [*map(str, self.command), "neural-fx.effect", str(RATE), f"{turn}:2:0.5", *map(str, self.blocks)],
            input=audio.T.tobytes(),
            env=self.environment,
            capture_output=True,
            timeout=120,
            check=True,
        )
        return np.frombuffer(done.stdout, np.float32).reshape(-1, 2).T, done.stderr.decode().splitlines()[-1].split()


def assert_plays(host: ClapHost, board: BoardHost) -> None:
    """What comes back is the board's stream; a macro turns at its very frame, and reads in its own unit."""
    audio = noise(RATE, 2).astype(np.float32)
    out, (latency, parameters, *text) = host(audio, RATE)  # turned after the end
    late = int(latency)
    assert late == 1024
    assert int(parameters) == 18
    assert text == ["-15.00", "dB"]  # of -30 to 0 dB
    wanted = board.copy()(audio, RATE)
    limit = 1e-6 * np.abs(wanted).max()
    np.testing.assert_allclose(out[:, late:], wanted[:, :-late], atol=limit)
    turned, _ = host(audio, TURN)
    different = np.flatnonzero(np.abs(turned - out).max(0) > limit)
    assert 0 <= different[0] - late - TURN < 32  # the gain glides from that frame on
    quieter = 10 ** ((-15 + 6) / 20) * out
    np.testing.assert_allclose(turned[:, late + TURN + 4800 :], quieter[:, late + TURN + 4800 :], atol=1e-4)


@pytest.fixture(scope="module")
def clap_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_host(tmp_path_factory.mktemp("clap"), "g++")


@pytest.mark.parametrize("blocks", [[64], [500], [1, 512, 7, 64, 300, 2, 511]])
def test_clap(
    clap_host: Path, built: Path, server: StreamServer, boards: dict[str, BoardHost], blocks: list[int]
) -> None:
    assert_plays(ClapHost([clap_host, built / "NeuralFX.clap"], server.port, blocks, {}), boards["lead"])


@pytest.mark.slow
def test_clap_of_windows(
    built_for_windows: Path, server: StreamServer, boards: dict[str, BoardHost], tmp_path: Path
) -> None:
    """Built by MinGW, played in Wine, through a worker outside it."""
    if not shutil.which("wine"):
        pytest.skip("no Wine (Debian: apt-get install wine64)")
    host = compile_host(tmp_path, "x86_64-w64-mingw32-g++-posix", "-static")
    command = ["wine", host, built_for_windows / "NeuralFX.clap"]
    more = {"WINEPREFIX": str(tmp_path / "wine"), "WINEDEBUG": "-all"}
    assert_plays(ClapHost(command, server.port, [64, 500], more), boards["lead"])
