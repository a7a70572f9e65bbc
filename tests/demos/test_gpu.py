"""The measurement of the GPU worker: what it counts, that it survives its parts, and all of it in short on the CPU."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional

from demos.gpu import gather, measure, prepare
from demos.gpu.context import Context, append, inputs, percentiles, subject
from demos.gpu.page import NOT_YET, page, problems, records
from demos.gpu.traffic import TrafficCounter
from neural_fx.errors import NeuralFXError
from neural_fx.training.architectures import knobbed, pedal

ROOT = Path(__file__).parents[2]


# -- what is counted -----------------------------------------------------------------------------------------------


def test_traffic_is_what_operations_read_and_write() -> None:
    a, b = torch.randn(2, 3, 1000), torch.randn(2, 3, 1000)
    weight = torch.randn(5, 3, 4)
    with torch.inference_mode():
        with TrafficCounter() as counter:
            total = a + b
            part = total[:, :, :100]
        assert counter.moved == 3 * 4 * 6000
        with TrafficCounter() as counter:
            part.mul_(2)
        assert counter.moved == 2 * 4 * 600
        with TrafficCounter() as counter:
            functional.conv1d(a, weight)
        assert counter.moved == 4 * (6000 + 60 + 2 * 5 * 997)


def test_percentiles_are_in_milliseconds() -> None:
    found = percentiles([i / 1000 for i in range(1001)])
    assert found == {"p50_ms": 500.0, "p99_ms": 990.0, "p999_ms": 999.0, "max_ms": 1000.0}


def test_every_stream_has_its_own_audio_and_knobs_at_rest() -> None:
    item = subject("pedal", knobbed(pedal(3), 2))
    audio = np.arange(5000, dtype=np.float32)
    x = inputs(item, audio, 3)
    assert x.shape == (3, 3, 5000)
    for i in range(3):
        np.testing.assert_array_equal(np.sort(x[i, 0]), audio)
        assert x[i, 0, 997 * i] == 0
    assert (x[:, 1:] == 0.5).all()


# -- the page ------------------------------------------------------------------------------------------------------


def test_the_page_in_the_docs_is_made_from_the_results_beside_it() -> None:
    assert (ROOT / "docs/gpu.md").read_text(encoding="utf-8") == page(records(ROOT / "docs/gpu.jsonl"))


def test_a_page_without_results_says_so_in_every_section() -> None:
    sections = page([]).split("\n## ")[2:]
    assert len(sections) >= 8
    assert all(NOT_YET in section or "not measured yet" in section for section in sections)


def test_the_page_shows_goals_shares_and_problems(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    for record in (
        {"part": "ceilings", "what": "matrix product", "precision": "fp32", "tflops": 50.0},
        {"part": "ceilings", "what": "copy", "gb_per_s": 3000.0},
        {"part": "offline", "what": "one batch on the device", "name": "A1 standard", "precision": "fp32",
         "times_real_time": 9000.0, "tflops": 12.5, "gb_per_s": 2250.0, "esr_to_fp32": 0.0},
        {"part": "offline", "name": "A1 standard", "streams": 1, "piece": 65536, "pieces_at_once": 64,
         "times_real_time": 6200.0},
        {"part": "offline", "name": "A2 full", "streams": 1, "piece": 65536, "error": "out of GPU memory"},
        {"part": "live", "name": "A1 standard", "streams": 256, "graphs": False, "way": "one batch", "p50_ms": 2.0,
         "p99_ms": 3.1, "p999_ms": 3.2, "max_ms": 3.3, "late": 0, "blocks": 1125, "growing_max_ms": 9.0},
        {"part": "offline", "what": "first sample", "A1 standard_s": 6.5, "A2 full_s": 0.5, "knobbed pedal_s": 0.75,
         "from_process_start_s": 9.0},
        {"part": "live", "status": "stopped at its limit", "seconds": 170.0, "error": "first line\nlast line"},
    ):  # fmt: skip
        append(results, record)
    with results.open("a") as file:
        file.write('{"part": "voices", "what": "cut o')
    text = page(records(results))
    assert "| A1 standard offline, times real time in total | >= 5,000 | 6,200 | yes |" in text
    assert "| 256 live streams of A1 standard, p99 of a block | < 2.7 ms | 3.1 | no |" in text
    assert "| first block in a warm process | <= 3 s | 0.75 | yes |" in text
    assert "| A1 standard | fp32 | 9,000 | 12.5 | 25.0 % | 2,250 | 75 % | 0 |" in text
    assert "- offline: name A2 full, streams 1, piece 65536: out of GPU memory" in text
    assert "- live: stopped at its limit: `last line`" in text


# -- limits and failures -------------------------------------------------------------------------------------------


def test_a_part_is_ended_at_its_limit_with_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid)!r} + '.new', 'w').write(str(child.pid))\n"
        f"import os; os.rename({str(pid)!r} + '.new', {str(pid)!r})\n"
        "print('working', flush=True)\n"
        "time.sleep(600)\n"
    )
    with (tmp_path / "log.txt").open("a+") as log:
        log.write("of an earlier part\n")
        found = measure.watched([sys.executable, "-c", script], 5.0, log)
    assert found["status"] == "stopped at its limit"
    if pid.exists():  # on a machine so busy that nothing began, there is nothing to end
        assert found["error"] in ("working\n", "")
        assert _ended(int(pid.read_text()))


def test_a_run_that_is_terminated_ends_its_part(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    part = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    script = (
        "import os, pathlib, signal, sys, threading, time\n"
        "from demos.gpu import measure\n"
        "def terminate():\n"
        f"    pid = pathlib.Path({str(pid)!r})\n"
        "    while not (pid.exists() and pid.read_text()):\n"
        "        time.sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "measure.exit_on_sigterm()\n"
        "threading.Thread(target=terminate).start()\n"
        f"measure.watched([sys.executable, '-c', {part!r}], 300.0, open({str(tmp_path / 'log')!r}, 'a+'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert _ended(int(pid.read_text()))


def test_a_part_that_no_time_is_left_for_is_left_out(tmp_path: Path) -> None:
    done = run("--parts", "ceilings", "--limit", "2", out=tmp_path)
    assert done.returncode == 1
    assert records(tmp_path / "results.jsonl")[-1]["status"] == "left out"
    assert "- ceilings: left out: `no time was left`" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def _ended(pid: int) -> bool:
    """Return whether a process has ended, or ends within ten seconds; a zombie has."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_a_part_that_fails_leaves_its_last_words(tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("a+") as log:
        found = measure.watched([sys.executable, "-c", "raise SystemExit('no such kernel')"], 300.0, log)
        assert (found["status"], found["error"]) == ("failed with exit status 1", "no such kernel\n")
        assert measure.watched([sys.executable, "-c", ""], 300.0, log)["status"] == "ok"


def test_what_no_time_is_left_for_is_recorded(tmp_path: Path) -> None:
    context = Context("cpu", True, 10.0, tmp_path / "results.jsonl", "live")
    assert not context.skip(5.0, name="first")
    context.began -= 6.0
    assert context.skip(5.0, name="second")
    assert records(context.results) == [{"part": "live", "skipped": "out of time", "name": "second"}]


def test_the_limits_of_the_parts_fit_the_whole() -> None:
    assert sum(part.seconds + measure.KILL_SECONDS for part in measure.PARTS) < measure.FULL_SECONDS < 450


def test_only_a_reason_is_a_problem() -> None:
    tests = {"part": "equality", "what": "tests", "passed": 31, "failed": 0, "skipped": 0}
    left_out = {"part": "live", "name": "LSTM", "skipped": "out of time"}
    assert problems([tests]) == "None."
    assert problems([tests, left_out]) == "- live: name LSTM: out of time"


def run(*options: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demos.gpu.measure", "--short", "--device", "cpu", "--out", str(out), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_all_of_it_in_short(tmp_path: Path) -> None:
    done = run("--gathered", str(tmp_path / "none"), "--limit", "1000", out=tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(tmp_path / "out/results.jsonl")
    assert [r["part"] for r in found if r.get("status") == "ok"] == [part.name for part in measure.PARTS]
    compared = [r for r in found if "esr_live" in r]
    assert {r["kind"] for r in compared} == {"WaveNet", "Sequential", "Knobbed"}
    assert all(0 < r[key] < 1e-8 for r in compared for key in ("esr_live", "esr_offline"))
    assert all(0 <= r["esr_reference"] < 1e-8 for r in compared)
    names = {"A1 standard", "A2 full", "knobbed pedal", "LSTM 1x16"}
    assert {r["name"] for r in found if r["part"] == "offline" and "tflops" in r} == names
    assert {r["name"] for r in found if r["part"] == "one_core" and "name" in r} == names
    assert {(r["name"], r["way"]) for r in found if "p999_ms" in r and r["part"] == "live"} == {
        ("A1 standard", "one batch"),
        ("A2 full", "one batch"),
        ("A1 standard", "a thread per stream"),
    }
    text = (tmp_path / "out/gpu.md").read_text(encoding="utf-8")
    assert "**short form**" in text
    assert text.count("| not measured yet |") == 4
    assert text.endswith("## Parts that failed or were cut short\n\nNone.\n")


@pytest.mark.slow
def test_a_part_that_fails_does_not_stop_the_next(tmp_path: Path) -> None:
    broken = tmp_path / "gathered/models/nam/A2.nam"
    broken.parent.mkdir(parents=True)
    broken.write_text("{}")
    done = run("--gathered", str(tmp_path / "gathered"), "--parts", "one_core,ceilings", out=tmp_path)
    assert done.returncode == 1
    found = {r["part"]: r for r in records(tmp_path / "results.jsonl") if "status" in r}
    assert found["ceilings"]["status"] == "ok"
    assert found["one_core"]["status"] == "failed with exit status 1"
    assert "A2.nam" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--parts", "ceilings,dead"], "unknown part dead; known: ceilings, equality"),
        (["--device", "gpu"], "unknown device 'gpu'; known: auto, cpu"),
    ],
)
def test_unknown_parts_and_devices_are_refused(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["measure", "--out", str(tmp_path), *options])
    with pytest.raises(SystemExit, match="2"):
        measure.main()
    assert message in capsys.readouterr().err


# -- what is gathered ----------------------------------------------------------------------------------------------


def test_requirements_are_the_packages_without_what_is_there() -> None:
    names = {gather.distribution(line) for line in gather.requirements()}
    assert {"pedalboard", "mido", "python-osc", "soundfile", "pydantic", "pytest", "pytest-timeout"} <= names
    assert not names & set(gather.PROVIDED)


def test_distributions_by_their_normalized_names() -> None:
    found = [
        gather.distribution(name)
        for name in ("PyYAML>=6", "torch>=2.6,<2.14", "ruff ; x", "typing_extensions-4.16.0-py3-none-any.whl")
    ]
    assert found == ["pyyaml", "torch", "ruff", "typing-extensions"]


def test_too_much_to_carry_is_an_error() -> None:
    gather.check_size(60 << 20)
    with pytest.raises(NeuralFXError, match=r"gathered 60\.1 MiB, but at most 60 MiB"):
        gather.check_size((60 << 20) + 100_000)


def test_models_audio_and_their_list(tmp_path: Path) -> None:
    models, recordings, folder = tmp_path / "models", tmp_path / "di", tmp_path / "gathered"
    (models / "nam").mkdir(parents=True)
    (models / "nam/small.nam").write_text("{}")
    (models / "nam/notes.txt").write_text("no model")
    recordings.mkdir()
    t = np.arange(10 * 44100) / 44100
    tone = 0.5 * np.sin(2 * np.pi * 440 * t)
    soundfile.write(recordings / "di.wav", np.stack((tone, 0 * tone), 1), 44100)
    gather.copy_models(models, folder / "models")
    gather.copy_audio(recordings, folder / "audio")
    audio, rate = soundfile.read(folder / "audio/guitar.wav")
    assert (audio.shape, rate) == ((8 * 48000,), 48000)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8 * 48000) / 48000)
    assert np.abs(audio - wanted)[1000:-1000].max() < 1e-3
    files = gather.manifest(folder)
    assert sorted(files) == ["audio/guitar.wav", "models/nam/small.nam"]
    assert files["models/nam/small.nam"] == (2, hashlib.sha256(b"{}").hexdigest())
    assert set(json.loads((folder / "manifest.json").read_text())["files"]) == set(files)


def test_what_cannot_be_gathered_is_named(tmp_path: Path) -> None:
    with pytest.raises(NeuralFXError, match=r"absent: no models; expected \.nam or \.json files in folders named nam"):
        gather.copy_models(tmp_path / "absent", tmp_path / "models")
    with pytest.raises(NeuralFXError, match=r"python9: cannot be run: No such file or directory; give --native"):
        gather.build(tmp_path / "native", str(tmp_path / "python9"))
    with pytest.raises(NeuralFXError, match="no FLAC or WAV files"):
        gather.copy_audio(tmp_path, tmp_path / "audio")


def test_the_digest_tells_other_sources_of_the_compiled_engine(tmp_path: Path) -> None:
    native = tmp_path / "neural_fx/native"
    shutil.copytree(ROOT / "neural_fx/native", native, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    before = prepare.native_digest(tmp_path)
    (native / "_core.so").write_bytes(b"built")
    assert prepare.native_digest(tmp_path) == before
    for name in ("module.cpp", "bindings/loop.cpp"):
        before = prepare.native_digest(tmp_path)
        with (native / name).open("a") as file:
            file.write("\n")
        assert prepare.native_digest(tmp_path) != before


def test_an_environment_sees_the_packages_of_the_python_that_made_it(tmp_path: Path) -> None:
    python = prepare.environment(tmp_path / "environment")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import sys, numpy, pytest; print(numpy.__version__, sys.prefix)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=clean, cwd=tmp_path)
    assert done.stdout.split() == [np.__version__, str(tmp_path / "environment")]
