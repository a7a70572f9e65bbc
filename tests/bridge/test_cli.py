"""The command line as a stranger uses it: files in, files out, one line and status 2 for what cannot be."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import neural_fx
from neural_fx.formats.nam_writer import nam_bytes
from neural_fx.pedals import DS1
from neural_fx.render import write_audio
from neural_fx.training.architectures import untrained
from tests.conftest import Run, container_document, guitarml_document, noise, wavenet_document
from tests.counting import NO_ALLOCATIONS


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    path = tmp_path / "stem.wav"
    soundfile.write(path, noise(30000, 2).T, 44100, subtype="FLOAT")
    return path


@pytest.fixture
def model(write: Callable[..., Path]) -> Path:
    return write(wavenet_document())


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


# -- what it does ------------------------------------------------------------------------------------------------


def test_render_equals_the_call(run: Run, stem: Path, model: Path, tmp_path: Path) -> None:
    status, _, err = run("render", stem, "--model", model, "-o", tmp_path / "out.wav", "--subtype", "FLOAT")
    assert (status, "x real time" in err) == (0, True)
    np.testing.assert_array_equal(
        read(tmp_path / "out.wav"), neural_fx.Pedalboard([neural_fx.load(model)])(read(stem), 44100)
    )
    assert soundfile.info(tmp_path / "out.wav").samplerate == 44100


def test_render_options(run: Run, stem: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "out.flac"
    status, report, _ = run("render", stem, "--model", model, "-o", out, "--set", "input_gain_db=6", "--mix", 0.5,
        "--level", "normalized", "--tail", 0.5, "--sample-rate", 48000, "--json")  # fmt: skip
    assert status == 0
    found = json.loads(report)
    assert found["failed"] == 0
    seconds = 30000 / 44100 + 0.5
    assert found["files"][0]["seconds"] == pytest.approx(seconds, abs=0.01)
    info = soundfile.info(out)
    assert (info.samplerate, info.subtype, info.channels) == (48000, "PCM_24", 2)
    assert info.frames == pytest.approx(48000 * seconds, abs=3)
    board = neural_fx.Pedalboard([neural_fx.load(model, level="normalized", input_gain_db=6)], mix=0.5)
    expected = board(np.pad(read(stem), ((0, 0), (0, 22050))), 44100)
    assert np.sqrt(np.mean(read(out) ** 2)) == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.02)


@pytest.mark.parametrize(("channels", "samples"), [(1, 1), (2, 1), (2, 2), (3, 2), (5, 40)])
def test_tiny_and_wide_files(run: Run, model: Path, tmp_path: Path, channels: int, samples: int) -> None:
    """A file says which of its numbers are channels; nothing is guessed from the shape."""
    x = noise(samples, channels)
    soundfile.write(tmp_path / "in.wav", x.T, 44100, subtype="FLOAT")
    status, _, err = run(
        "render", tmp_path / "in.wav", "--model", model, "-o", tmp_path / "o.wav", "--subtype", "FLOAT"
    )
    assert status == 0, err
    alone = np.stack([neural_fx.Pedalboard([neural_fx.load(model)])(channel, 44100) for channel in x])
    np.testing.assert_allclose(read(tmp_path / "o.wav"), alone, atol=1e-6)


def test_render_board_and_jobs(run: Run, model: Path, tmp_path: Path) -> None:
    stems = tmp_path / "stems"
    (stems / "take 2").mkdir(parents=True)
    for name in ("a.wav", "b.flac", "take 2/a.wav"):
        soundfile.write(stems / name, noise(5000, seed=len(name)), 48000)
    (stems / "notes.txt").write_text("not audio")
    (tmp_path / "board.yaml").write_text(
        "slots:\n- {model: model.nam, name: amp}\n- {plugin: Gain, set: {gain_db: -6}}\n"
    )
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        status, report, _ = run("render", stems, "--board", tmp_path / "board.yaml", "-o", out, "--jobs", jobs,
                                "--set", "amp.output_gain_db=-3", "--json")  # fmt: skip
        assert status == 0
        assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == ["a.wav", "b.flac", "take 2/a.wav"]
        assert [Path(f["input"]).name for f in json.loads(report)["files"]] == ["a.wav", "b.flac", "a.wav"]
    for name in ("a.wav", "b.flac", "take 2/a.wav"):
        np.testing.assert_array_equal(read(tmp_path / "out1" / name), read(tmp_path / "out2" / name))


def test_every_input_format(run: Run, model: Path, tmp_path: Path) -> None:
    for suffix, subtype in (
        (".wav", "PCM_16"),
        (".flac", "PCM_24"),
        (".aiff", "PCM_16"),
        (".ogg", "VORBIS"),
        (".mp3", None),
    ):
        soundfile.write(tmp_path / f"in{suffix}", noise(48000), 48000, subtype=subtype)
    status, _, _ = run("render", str(tmp_path / "in.*"), "--model", model, "-o", tmp_path / "out/")
    assert status == 2  # in.wav, in.ogg and in.mp3 would all be out/in.wav
    for suffix in (".wav", ".flac", ".aiff", ".ogg", ".mp3"):
        status, _, err = run(
            "render", tmp_path / f"in{suffix}", "--model", model, "-o", tmp_path / f"o{suffix[1:]}.wav"
        )
        assert status == 0, err
        assert len(read(tmp_path / f"o{suffix[1:]}.wav")[0]) >= 48000
    status, _, _ = run("render", tmp_path / "in.wav", "--model", model, "-o", tmp_path / "lossy.ogg")
    assert (status, soundfile.info(tmp_path / "lossy.ogg").subtype) == (0, "VORBIS")


def test_one_bad_stem_does_not_stop_the_others(run: Run, model: Path, tmp_path: Path) -> None:
    stems = tmp_path / "stems"
    stems.mkdir()
    for name in ("a.wav", "c.wav"):
        soundfile.write(stems / name, noise(5000), 48000)
    (stems / "b.wav").write_bytes(b"RIFF not audio")
    for jobs in (1, 2):
        status, report, err = run(
            "render", stems, "--model", model, "-o", tmp_path / f"o{jobs}", "--json", "--jobs", jobs
        )
        assert status == 2
        assert [bool(f["error"]) for f in json.loads(report)["files"]] == [False, True, False]
        assert "b.wav" in err
        assert sorted(p.name for p in (tmp_path / f"o{jobs}").iterdir()) == ["a.wav", "c.wav"]


def test_clipping_is_told(run: Run, stem: Path, model: Path, tmp_path: Path) -> None:
    loud = ("render", stem, "--model", model, "--set", "output_gain_db=40", "--overwrite", "-o", tmp_path / "o.wav")
    assert "samples clipped" in run(*loud)[2]
    assert np.abs(read(tmp_path / "o.wav")).max() <= 1
    assert "samples clipped" not in run(*loud, "--subtype", "FLOAT")[2]
    assert np.abs(read(tmp_path / "o.wav")).max() > 1


def test_demo_and_pedals(run: Run, tmp_path: Path) -> None:
    assert run("demo", "-o", tmp_path / "demo.wav")[0] == 0
    y = read(tmp_path / "demo.wav")[0]
    assert len(y) > 5 * 48000
    assert 0.05 < np.abs(y).max() < 1
    assert "klon-gain-stage" in run("pedals")[1]
    assert {card["slug"] for card in json.loads(run("pedals", "--json")[1])} == {
        "big-muff",
        "ds-1",
        "klon-gain-stage",
        "tube-screamer",
    }


def test_info(run: Run, write: Callable[..., Path]) -> None:
    path = write(container_document())
    assert "2 sizes" in run("info", path)[1]
    found = json.loads(run("info", path, "--json")[1])
    assert (found["architecture"], found["sizes"], found["sample_rate"]) == ("SlimmableContainer", 2, 48000)
    status, _, err = run("info", write(guitarml_document(), "g.json"), "--self-test")
    assert (status, "no self-test" in err) == (2, True)


def test_export(run: Run, model: Path, write: Callable[..., Path], stem: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.nam"
    assert run("export", model, "-o", out)[0] == 0
    x = noise(3000)
    np.testing.assert_array_equal(neural_fx.load(out)(x, 48000), neural_fx.load(model)(x, 48000))
    assert neural_fx.load(out).name == "small"
    assert run("export", "klon-gain-stage", "-o", tmp_path / "klon.nam")[0] == 0
    lstm = write(guitarml_document(), "lstm.json")
    for command, words in [
        (("export", model, "-o", out), "already exists"),
        (("export", lstm, "-o", tmp_path / "l.nam"), "has knobs (gain)"),
        (("export", stem, "-o", tmp_path / "s.nam"), "not a model"),
        (("export", model, "-o", tmp_path / "no" / "o.nam"), "cannot be written"),
    ]:
        status, _, err = run(*command)
        assert (status, words in err, len(err.strip().splitlines())) == (2, True, 1)


def test_oversampling_is_the_parameter(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, 0.3 * noise(20000), 48000)
    options = ("--oversample", 4, "-o", tmp_path / "a.wav", "--subtype", "FLOAT")
    assert run("render", source, "--pedal", "ds-1", *options)[0] == 0
    found, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    wanted = DS1(oversample=4)(soundfile.read(source, dtype="float32")[0], 48000)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    status, _, err = run("render", source, "--pedal", "ds-1", "--oversample", 3, "-o", tmp_path / "b.wav")
    assert (status, "expected 1, 2, 4 or 8, found 3" in err) == (2, True)
    status, _, err = run("render", source, "--timbre", "violin", "--oversample", 2, "-o", tmp_path / "b.wav")
    assert (status, "--oversample goes with --model or --pedal" in err) == (2, True)


def test_bench(run: Run, model: Path, write: Callable[..., Path]) -> None:
    """What is measured is plausible and complete; how fast it is, is nobody's test."""
    other = write(guitarml_document(), "proteus.json")
    quick = ("bench", model, other, "--blocks", "64,0", "--seconds", "0.05", "--rounds", "2", "--vs", "torch")
    status, out, _ = run(*quick, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (status, len(lines)) == (0, 8)
    assert {(m["model"], m["block"]) for m in lines} == {(n, b) for n in ("model", "proteus") for b in (64, 0)}
    for m in lines:
        low, high = m["realtime"][1], m["realtime"][2]
        assert 0 < low <= m["realtime"][0] <= high
        assert m["block_us"][0] <= m["block_us"][1] <= m["block_us"][2]
        assert m["allocations"] == NO_ALLOCATIONS
        assert m["peak_share"] is None or 0 < m["peak_share"] < 1.5
        assert m["cpu"]
        assert m["revision"]
    x86 = platform.machine() in ("x86_64", "AMD64")
    table = run(*quick, "--vs", "fast", *(("--vs", "sse2") if x86 else ()))[1]
    assert "| model | engine | block |" in table
    assert "| compiled, fast | one call |" in table
    assert ("| compiled, sse2 | one call |" in table) == x86
    assert run("bench", model, "--blocks", "-1")[0] == 2
    assert "known: fast, avx512, avx2, sse2, torch, neural-amp-modeler" in run("bench", model, "--vs", "others")[2]


def test_help_and_version() -> None:
    def text(*args: str) -> str:
        done = subprocess.run([sys.executable, "-m", "bridge.cli", *args], capture_output=True, text=True, check=True)
        return done.stdout

    assert "render" in text("--help")
    assert "--subtype" in text("render", "--help")
    assert neural_fx.__version__ in text("--version")


# -- what it refuses ---------------------------------------------------------------------------------------------


def damaged(path: Path, kind: str) -> Path:
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is not audio")
    elif kind == "no samples":
        soundfile.write(path, np.zeros((0, 1)), 48000)
    elif kind == "truncated":
        flac = path.with_suffix(".flac")
        soundfile.write(flac, noise(200_000), 48000)
        flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
        return flac
    elif kind == "nan":
        x = noise(1000)
        x[500] = np.nan
        soundfile.write(path, x, 48000, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [("empty", "empty"), ("text", "not audio"), ("no samples", "no audio"),
     ("truncated", "truncated or damaged|decoded"), ("nan", "NaN"),
     ("absent", "no such file")],
)  # fmt: skip
def test_bad_audio(run: Run, model: Path, tmp_path: Path, kind: str, words: str) -> None:
    status, _, err = run("render", damaged(tmp_path / "bad.wav", kind), "--model", model, "-o", tmp_path / "o.wav")
    assert status == 2
    assert len([line for line in err.splitlines() if line.strip()]) == 1
    assert err.startswith("neural-fx: error: ")
    assert any(word in err for word in words.split("|"))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith((".", "o."))] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pedal", "klon"], "did you mean klon-gain-stage"),
        (["--model", "STEM"], "is a WAV file, not a model"),
        (["--model", "absent.nam"], "No such file"),
        (["--board", "absent.yaml"], "cannot be read"),
        ([], "one of --model FILE, --pedal NAME, --timbre NAME or --board FILE"),
        (["--model", "MODEL", "--pedal", "klon-gain-stage"], "one of --model"),
        (["--model", "MODEL", "--set", "drive=1"], "it has: input_gain_db, output_gain_db"),
        (["--model", "MODEL", "--set", "2.input_gain_db=1"], "no slot '2'; the board has: 1 model"),
        (["--model", "MODEL", "--set", "input_gain_db=999"], "outside its range"),
        (["--model", "MODEL", "--mix", "2"], "mix"),
        (["--model", "MODEL", "--level", "loud"], "known: raw, normalized, calibrated"),
        (["--model", "MODEL", "--subtype", "PCM_99"], "WAV has no subtype PCM_99; it has: PCM_16"),
        (["--model", "MODEL", "-o", "out.xyz"], "unknown output format '.xyz'"),
        (["--model", "MODEL", "-o", "STEM", "--overwrite"], "overwritten by its own output"),
        (["--model", "MODEL", "-o", "EXISTS"], "already exists; add --overwrite"),
        (["--model", "MODEL", "-o", "EXISTS/inside.wav"], "cannot be written"),
        (["--model", "MODEL", "-o", "/proc/nothing.wav"], "cannot be written"),
    ],
)
def test_bad_options(run: Run, stem: Path, model: Path, tmp_path: Path, options: list[str], words: str) -> None:
    (tmp_path / "exists.wav").write_bytes(b"kept")
    names = {
        "STEM": str(stem),
        "MODEL": str(model),
        "EXISTS": str(tmp_path / "exists.wav"),
        "EXISTS/inside.wav": str(tmp_path / "exists.wav" / "inside.wav"),
    }
    options = [names.get(o, o) for o in options]
    out = [] if "-o" in options else ["-o", tmp_path / "o.wav"]
    status, _, err = run("render", stem, *options, *out)
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert (tmp_path / "exists.wav").read_bytes() == b"kept"
    assert not (tmp_path / "o.wav").exists()


def spawn(*args: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bridge.cli", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def test_a_full_disk(model: Path, tmp_path: Path) -> None:
    """A file size limit stands in for the disk: the write fails half-way, and nothing is left behind."""
    soundfile.write(tmp_path / "in.wav", noise(400_000), 48000)

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    done = spawn("render", tmp_path / "in.wav", "--model", model, "-o", tmp_path / "o.wav", preexec_fn=limited)
    _, err = done.communicate(timeout=120)
    assert done.returncode == 2
    assert "cannot be written" in err
    assert "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.wav", "model.nam"]


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("mp3", None), ("ogg", None), ("flac", None), ("wav", None), ("wav", "ULAW"), ("au", "ALAW")],
)
def test_far_too_loud_output_is_clipped_and_counted(suffix: str, subtype: str | None, run: Run, tmp_path: Path) -> None:
    """Encoders end the process at 1e10 (mu-law at 46), or write silence."""
    soundfile.write(tmp_path / "in.wav", noise(20000, level=0.3), 48000)
    lines = ["slots:", *["  - {plugin: Gain, set: {gain_db: 90}}"] * 3]
    (tmp_path / "loud.yaml").write_text("\n".join(lines))
    out = tmp_path / f"out.{suffix}"
    options = ["--subtype", subtype] if subtype else []
    board = tmp_path / "loud.yaml"
    status, printed, _ = run("render", tmp_path / "in.wav", "--board", board, "-o", out, "--json", *options)
    assert status == 0
    assert json.loads(printed)["files"][0]["clipped_samples"] > 19000
    assert 0.5 < np.abs(soundfile.read(out)[0]).max() < 5


@pytest.mark.slow
def test_a_long_song_as_vorbis(tmp_path: Path) -> None:
    """libsndfile's encoder crashes when it is given millions of samples at once."""
    write_audio(tmp_path / "long.ogg", noise(6_000_000, 2), 48000)
    assert soundfile.info(tmp_path / "long.ogg").frames == 6_000_000


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_board_that_cannot_be_made_is_told_once(tmp_path: Path, jobs: int) -> None:
    """By no process of its own, each with a traceback."""
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, noise(5000), 48000)
    (tmp_path / "bad.nam").write_text('{"bad"')
    process = spawn(
        "render", tmp_path / "*.wav", "--model", tmp_path / "bad.nam", "-o", tmp_path / "out", "--jobs", jobs
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.startswith("neural-fx: error:")
    assert err.count("\n") == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_leaves_no_partial_file(tmp_path: Path, jobs: int) -> None:
    """With a model that takes many seconds per file, and a signal once every job has written something."""
    stems, out, model = tmp_path / "stems", tmp_path / "out", tmp_path / "a1.nam"
    stems.mkdir()
    model.write_bytes(nam_bytes(untrained("a1-standard"), 48000))
    for i in range(2):
        soundfile.write(stems / f"{i}.wav", noise(48000 * 600), 48000, subtype="PCM_16")
    process = spawn("render", stems, "--model", model, "-o", out, "--jobs", jobs)
    limit = time.monotonic() + 60
    while time.monotonic() < limit and process.poll() is None:
        if out.is_dir() and sum(p.stat().st_size > 10_000 for p in out.iterdir()) == jobs:
            break
        time.sleep(0.05)
    assert [p.name[0] for p in out.iterdir()] == ["."] * jobs
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_an_hour_of_stereo_in_bounded_memory(model: Path, tmp_path: Path) -> None:
    """60 minutes at 48 kHz: under 700 MB resident, sample-exact with the call on the whole signal."""
    minutes = int(os.environ.get("NEURAL_FX_TEST_MINUTES", "60"))
    x = noise(48000 * 60, 2)
    with soundfile.SoundFile(tmp_path / "in.wav", "w", 48000, 2, "PCM_16") as file:
        for i in range(minutes):
            file.write((x * (0.5 + 0.5 * i / minutes)).T)
    process = spawn("render", tmp_path / "in.wav", "--model", model, "-o", tmp_path / "out.wav", "--subtype", "FLOAT")
    peak = 0  # of /proc, and not of wait4, which counts what this process had when it forked
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        peak = max(peak, int(found[1]) if found else 0)
        time.sleep(0.02)
    assert process.returncode == 0
    print(f"peak memory {peak / 1024:.0f} MB")
    assert 0 < peak < 700 * 1024
    whole = neural_fx.Pedalboard([neural_fx.load(model)])(read(tmp_path / "in.wav"), 48000)
    np.testing.assert_array_equal(read(tmp_path / "out.wav"), whole)
