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

from bridge.hosting import BoardHost
from bridge.plugin.building import DPF
from bridge.stream_server import StreamServer
from tests.conftest import noise

RATE, PERIOD = 48000, 1024
BUDGET = 16384


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


@pytest.fixture(scope="module")
def clap_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    headers = DPF / "distrho" / "src"
    if not shutil.which("g++") or not (headers / "clap" / "entry.h").exists():
        pytest.skip("no compiler or no framework (Debian: apt-get install g++ dpf-source)")
    program = tmp_path_factory.mktemp("clap") / "host"
    source = Path(__file__).parent / "clap_host.cpp"
    command = ["g++", "-std=c++17", "-O1", f"-I{headers}", source, "-ldl", "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.parametrize("blocks", [[64], [500], [1, 512, 7, 64, 300, 2, 511]])
def test_clap(
    clap_host: Path, built: Path, server: StreamServer, boards: dict[str, BoardHost], blocks: list[int]
) -> None:
    audio = noise(RATE, 2).astype(np.float32)
    environment = {**os.environ, "NEURAL_FX_WORKER": f"127.0.0.1:{server.port}", "NEURAL_FX_BOARD": "lead"}
    command = [clap_host, built / "NeuralFX.clap", "neural-fx.effect", str(RATE), *map(str, blocks)]
    done = subprocess.run(
        command, input=audio.T.tobytes(), env=environment, capture_output=True, timeout=60, check=True
    )
    latency, parameters = map(int, done.stderr.split()[-2:])
    assert latency == 1024
    assert parameters == 18
    out = np.frombuffer(done.stdout, np.float32).reshape(-1, 2).T
    wanted = boards["lead"].copy()(audio, RATE)
    np.testing.assert_allclose(out[:, latency:], wanted[:, :-latency], atol=1e-6 * np.abs(wanted).max())
