"""Files at every door: the command line, OSC and boards of clients. Bad ones are named, good ones are kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile

import neural_fx
from bridge.errors import BridgeError
from bridge.host import BoardHost, board_from, board_in
from bridge.media import Media
from bridge.rendering import Renders
from neural_fx.errors import BoardError, NeuralFXError
from neural_fx.pedalboard import Pedalboard
from neural_fx.render import Output, render_all
from tests.conftest import Run, noise, wavenet_document

PEDAL = ("--pedal", "klon-gain-stage")


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


def wav(path: str | Path | bytes, samples: int = 3000, **options: Any) -> Path:
    soundfile.write(os.fsencode(path), noise(samples, 1).T, 48000, format="WAV", **options)
    return Path(os.fsdecode(path))


def song(path: Path) -> Path:
    file = mido.MidiFile()
    track = mido.MidiTrack()
    track.extend([mido.Message("note_on", note=60, velocity=90), mido.Message("note_off", note=60, time=120)])
    file.tracks.append(track)
    file.save(path)
    return path


# -- one bad stem ------------------------------------------------------------------------------------------------


def bad_stems(folder: Path) -> dict[str, str]:
    """Make one stem of every kind of bad, and return words of the error of each."""
    whole = wav(folder / "0-good.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:2000])
    (folder / "lfs.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n")
    (folder / "zip.wav").write_bytes(b"PK\x03\x04" + bytes(50))
    (folder / "empty.wav").touch()
    soundfile.write(folder / "frames.wav", np.zeros((0, 1)), 48000)
    soundfile.write(folder / "nan.wav", np.full(100, np.nan), 48000, subtype="FLOAT")
    (folder / "broken.wav").symlink_to("gone.wav")
    (folder / "self.wav").symlink_to("self.wav")
    os.mkfifo(folder / "pipe.wav")
    wav(folder / "z-good.WAV")
    return {
        "cut.wav": "is cut off", "lfs.wav": "git lfs pull", "zip.wav": "zip archive", "empty.wav": "empty file",
        "frames.wav": "contains no audio", "nan.wav": "NaN", "broken.wav": "broken link", "self.wav": "cannot be read",
        "pipe.wav": "is a pipe",
    }  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_stems_do_not_stop_the_others(run: Run, tmp_path: Path, jobs: int) -> None:
    (tmp_path / "in").mkdir()
    expected = bad_stems(tmp_path / "in")
    for _ in range(2):  # the second time, the output of the first is in the input folder
        status, out, err = run("render", "in", *PEDAL, "-o", "in/out", "--json", "--jobs", jobs, "--overwrite")
        files = {Path(file["input"]).name: file for file in json.loads(out)["files"]}
        assert status == 2
        assert set(files) == {*expected, "0-good.wav", "z-good.WAV"}
        for name, words in expected.items():
            assert words in files[name]["error"], name
            assert f"in/{name}" in err
        assert sorted(os.listdir("in/out")) == ["0-good.wav", "z-good.WAV"]


class Exploding(neural_fx.Processor):
    """Fails in a way that nothing expects."""

    error: BaseException = Exception("boom")

    def process_block(self, block: np.ndarray) -> np.ndarray:
        if block.shape[1] < 3000:
            raise self.error
        return block


@pytest.mark.parametrize("error", [MemoryError(), KeyError("x"), RecursionError("deep"), OSError(5, "I/O error"),
                                   ZeroDivisionError("division"), AssertionError()])  # fmt: skip
def test_any_exception_stays_with_its_stem(tmp_path: Path, error: Exception) -> None:
    names = ["a.wav", "b.wav", "c.wav"]
    for name, samples in zip(names, (3000, 100, 3000), strict=True):
        wav(tmp_path / name, samples)
    board = Pedalboard([Exploding()])
    board[0].error = error
    pairs = [(tmp_path / name, tmp_path / "out" / name) for name in names]
    reports = render_all(pairs, lambda: board, Output())
    assert [report.error is None for report in reports] == [True, False, True]
    assert "b.wav" in str(reports[1].error)
    assert sorted(os.listdir(tmp_path / "out")) == ["a.wav", "c.wav"]


def test_a_stem_that_vanishes_between_plan_and_render(tmp_path: Path) -> None:
    first, second = wav(tmp_path / "a.wav"), wav(tmp_path / "b.wav")
    first.unlink()
    pairs = [(first, tmp_path / "oa.wav"), (second, tmp_path / "ob.wav")]
    reports = render_all(pairs, lambda: Pedalboard([]), Output())
    assert "no such file" in str(reports[0].error)
    assert reports[1].error is None


def test_remarks_are_reported(run: Run, shared: Path) -> None:
    status, out, err = run("render", shared / "cases/wav/data0.wav", *PEDAL, "-o", "o.wav", "--json")
    found = json.loads(out)["files"][0]
    assert status == 0
    assert found["seconds"] == pytest.approx(0.1)
    assert "never filled in" in found["remarks"][0]
    assert "never filled in" in err
    assert soundfile.info("o.wav").frames == 4800
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, _, err = run("analyze", shared / "cases/wav/data0.wav")
    assert (status, "warning: " in err, "never filled in" in err) == (0, True, True)


# -- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_names_of_every_kind(run: Run, tmp_path: Path, jobs: int) -> None:
    (tmp_path / "in").mkdir()
    names = [b"caf\xe9.wav", "音.wav".encode(), b"take[1].wav", b"[red]x.wav", b"-o.wav", b"a b\n.wav",
             b"n" * 251 + b".wav", b"n" * 237 + b".wav"]  # fmt: skip
    for name in names:
        wav(os.fsencode(tmp_path) + b"/in/" + name)
    status, out, err = run("render", "in", *PEDAL, "-o", "out", "--json", "--jobs", jobs)
    assert status == 0, err
    assert set(os.listdir(b"out")) == set(names)
    text = json.dumps(json.loads(out), ensure_ascii=False)
    text.encode("utf-8")  # no lone surrogates, which other JSON readers refuse
    assert "in/caf\\\\xe9.wav" in text
    status, _, err = run("render", "in", *PEDAL, "-o", "out")
    assert status == 2
    assert "caf\\xe9.wav: exists already" in err
    status, _, err = run("render", "in", *PEDAL, "-o", "again")
    assert status == 0
    assert "[red]x.wav" in err


def test_printing_names_that_are_not_utf8_to_any_terminal(tmp_path: Path) -> None:
    wav(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    for encoding in ("utf-8:strict", "ascii:strict"):
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli", "render", b"caf\xe9.wav", *PEDAL, "-o", "out/", "--overwrite"],
            cwd=tmp_path, capture_output=True, check=False,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"out/caf\\xe9.wav" in done.stderr


# -- outputs -----------------------------------------------------------------------------------------------------


def test_a_slash_makes_a_folder_everywhere(run: Run, tmp_path: Path) -> None:
    wav("in.wav")
    song(tmp_path / "song.mid")
    for command, written in (
        (("render", "in.wav", *PEDAL, "-o", "a/"), "a/in.wav"),
        (("demo", "-o", "b/deep/"), "b/deep/demo.wav"),
        (("play", "song.mid", "--instrument", "violin", "-o", "c/"), "c/song.wav"),
        (("export", "ds-1", "-o", "d/"), "d/ds-1.nam"),
        (("analyze", "in.wav", "--plot", "e/"), "e/in.png"),
        (("play", "song.mid", "--instrument", "violin", "-o", "f/deep/x.flac"), "f/deep/x.flac"),
    ):
        status, _, err = run(*command)
        assert status == 0, err
        assert Path(written).is_file(), command


def test_an_output_is_never_an_input(run: Run, tmp_path: Path) -> None:
    take = wav("take.wav")
    model = tmp_path / "amp.nam"
    model.write_text(json.dumps(wavenet_document()))
    song(tmp_path / "song.mid")
    inputs = {path: path.read_bytes() for path in (take.absolute(), model, tmp_path / "song.mid")}
    for source, link in (("take.wav", "take"), ("amp.nam", "amp"), ("song.mid", "song")):
        os.link(source, f"{link}-hard.wav")
        Path(f"{link}-soft.wav").symlink_to(source)
    Path("amp-hard.nam").symlink_to("amp.nam")
    for command in (
        *(("render", "take.wav", *PEDAL, "-o", name) for name in ("take.wav", "take-hard.wav", "take-soft.wav")),
        *(("render", "take.wav", "--model", "amp.nam", "-o", name) for name in ("amp-hard.wav", "amp-soft.wav")),
        *(("play", "song.mid", "--instrument", "violin", "-o", f"song-{kind}.wav") for kind in ("hard", "soft")),
        *(("export", "amp.nam", "-o", name) for name in ("amp.nam", "amp-hard.nam")),
    ):
        status, _, err = run(*command, "--overwrite")
        assert status == 2, command
        assert "overwritten by its own output" in err or "is the same file as the input" in err, err
    assert run("analyze", "take.wav", "--plot", "take-hard.wav")[0] == 2
    assert run("train", "take.wav", "take.wav", "--overwrite", "-o", "amp-train.nam", "--minutes", "bad")[0] == 2
    os.link("take.wav", "trained.nam")
    status, _, err = run("train", "take.wav", "take.wav", "--overwrite", "-o", "trained.nam")
    assert (status, "is the same file as the input" in err) == (2, True)
    assert all(path.read_bytes() == data for path, data in inputs.items())


def test_outputs_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    wav("in.wav")
    song(tmp_path / "song.mid")
    Path("file").write_text("x")
    Path("folder.nam").mkdir()
    for command in (
        ("render", "in.wav", *PEDAL, "-o", "file/x.wav"),
        ("render", "in.wav", *PEDAL, "-o", "/proc/nowhere/x.wav"),
        ("play", "song.mid", "--instrument", "violin", "-o", "file/x.wav"),
        ("play", "song.mid", "--instrument", "violin", "-o", "/proc/nowhere/"),
        ("export", "ds-1", "-o", "file/x.nam"),
        ("analyze", "in.wav", "--plot", "file/x.png"),
        ("demo", "-o", "file/deep/"),
    ):
        status, _, err = run(*command)
        assert status == 2, command
        assert "cannot be written" in err or "cannot be made" in err, err
        assert "Traceback" not in err
    assert Path("file").read_text() == "x"


def test_stale_parts_are_removed_by_the_next_run(run: Run, tmp_path: Path) -> None:
    wav("in.wav")
    Path("out").mkdir()
    Path("out/.neural-fx-0123456789abcdef.part.wav").write_bytes(b"RIFF")
    Path("out/.take.part.wav").write_bytes(b"somebody else's")
    assert run("render", "in.wav", *PEDAL, "-o", "out/")[0] == 0
    assert sorted(os.listdir("out")) == [".take.part.wav", "in.wav"]


@pytest.mark.parametrize("option", ["--model", "--board", "--timbre"])
def test_models_and_boards_that_are_something_else(run: Run, option: str) -> None:
    wav("in.wav")
    os.mkfifo("pipe.yaml")
    Path("lfs.yaml").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n")
    Path("zip.yaml").write_bytes(b"PK\x03\x04" + bytes(50))
    for name, words in (("pipe", "is a pipe"), ("lfs", "git lfs pull"), ("zip", "zip archive")):
        status, _, err = run("render", "in.wav", option, f"{name}.yaml", "-o", "o.wav")
        assert status == 2
        assert f"{name}.yaml" in err
        assert words in err


# -- unusual audio -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", ["PCM_U8", "IMA_ADPCM", "MS_ADPCM", "GSM610", "DOUBLE", "ULAW", "PCM_32"])
def test_every_encoding_renders(run: Run, subtype: str) -> None:
    soundfile.write("in.wav", noise(8000, 1).T, 8000, subtype=subtype)
    status, _, err = run("render", "in.wav", *PEDAL, "-o", "o.wav")
    assert status == 0, err
    assert soundfile.info("o.wav").frames == soundfile.info("in.wav").frames


def test_many_channels(run: Run) -> None:
    soundfile.write("in.wav", noise(200, 64).T, 48000, subtype="FLOAT")
    status, _, err = run("render", "in.wav", *PEDAL, "-o", "o.wav", "--subtype", "FLOAT")
    assert status == 0, err
    assert soundfile.info("o.wav").channels == 64
    status, _, err = run("render", "in.wav", *PEDAL, "-o", "o.flac")
    assert status == 2
    assert "o.flac: cannot be written" in err


# -- OSC and clients ---------------------------------------------------------------------------------------------


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


def rendered(media: Path, source: str, target: str, board: Callable[[], Pedalboard]) -> list[tuple[object, ...]]:
    """The replies to an OSC render."""
    renders = Renders(Media([media], overwrite=True), {"lead": BoardHost("lead", board)})
    replies: list[tuple[object, ...]] = []
    renders.start(source, target, "lead", lambda *reply: replies.append(reply))
    limit = time.monotonic() + 60
    while time.monotonic() < limit and not (replies and replies[-1][0] in ("/render/done", "/render/error")):
        time.sleep(0.01)
    renders.pool.shutdown()
    return replies


def test_osc_renders_never_replace_their_input(media: Path) -> None:
    take = wav(media / "take.wav")
    cab = wav(media / "cab.wav", 300)
    (media / "board.yaml").write_text("slots: [{ir: cab.wav}]")
    before = take.read_bytes(), cab.read_bytes()
    os.link(take, media / "hard.wav")
    (media / "soft.wav").symlink_to("take.wav")
    for target in ("take.wav", "hard.wav", "soft.wav", "../media/take.wav", "cab.wav"):
        replies = rendered(media, "take.wav", target, board_from(media / "board.yaml"))
        assert replies[-1][0] == "/render/error", target
        assert "same file as the input" in str(replies[-1][2])
    assert (take.read_bytes(), cab.read_bytes()) == before
    assert rendered(media, "take.wav", "new.wav", board_from(media / "board.yaml"))[-1][0] == "/render/done"


def test_osc_renders_report_remarks_and_survive_anything(media: Path, shared: Path) -> None:
    (media / "data0.wav").write_bytes((shared / "cases/wav/data0.wav").read_bytes())
    replies = rendered(media, "data0.wav", "o.wav", Pedalboard)
    assert [reply[0] for reply in replies if reply[0] != "/render/progress"] == ["/render/remark", "/render/done"]
    assert "never filled in" in str(replies[-2][2])
    wav(media / "in.wav", 100)
    (media / "folder.wav").mkdir()
    with pytest.raises(BridgeError, match="is a folder"):
        rendered(media, "in.wav", "folder.wav", Pedalboard)
    replies = rendered(media, "in.wav", "x.wav", lambda: Pedalboard([Exploding()]))
    assert replies[-1] == ("/render/error", replies[-1][1], "boom")


def test_media_names_that_no_file_can_have(media: Path) -> None:
    (media / "circle").symlink_to("circle")
    os.mkfifo(media / "pipe.wav")
    for name in ("n" * 300 + ".wav", "circle", "circle/x.wav", "pipe.wav"):
        with pytest.raises(BridgeError, match="no file"):
            Media([media]).existing(name)
    with pytest.raises(BridgeError, match="exists already"):
        Media([media]).new("pipe.wav")


def test_responses_in_boards_of_clients(media: Path) -> None:
    audio = noise(300) * np.exp(-np.arange(300) / 50)
    soundfile.write(media / "cab.flac", audio, 48000)
    (media / "text.wav").write_text("no audio")
    x = noise(2000)
    expected = neural_fx.Pedalboard([neural_fx.Convolution(media / "cab.flac")])(x, 48000)
    make = board_in("slots: [{ir: cab.flac}]", Media([media]))
    np.testing.assert_array_equal(make()(x, 48000), expected)
    host = BoardHost("lead", make)
    assert "ir: cab.flac" in host.text(media)
    with pytest.raises(BoardError, match=r"text.wav.*not audio"):
        board_in("slots: [{ir: text.wav}]", Media([media]))
    (media / "lead.yaml").write_text("slots: [{ir: text.wav}]")
    with pytest.raises(NeuralFXError, match="not audio"):
        host.load(board_from(media / "lead.yaml"))
    np.testing.assert_array_equal(host.copy()(x, 48000), expected)


def test_osc_boards_are_not_saved_over_their_files(media: Path) -> None:
    cab = wav(media / "cab.wav", 300)
    before = cab.read_bytes()
    host = BoardHost("lead", board_in("slots: [{ir: cab.wav}]", Media([media])))
    with pytest.raises(BoardError, match="the board itself uses"):
        host.save(cab)
    assert cab.read_bytes() == before


LONG = "a" * 300
DOORS = (
    "render in.wav --timbre LONG -o x.wav", "render in.wav --model LONG -o x.wav",
    "render in.wav --board LONG -o x.wav",
    "render LONG --pedal ds-1 -o x.wav", "render in.wav --pedal ds-1 -o LONG.wav",
    "render in.wav --pedal ds-1 -o LONG/x.wav", "info LONG", "play LONG -o x.wav --instrument flute", "analyze LONG",
    "analyze in.wav --plot LONG.png", "train LONG LONG -o x.nam", "train in.wav in.wav -o LONG.nam",
    "train in.wav in.wav -o LONG/x.nam", "train-timbre LONG -o x.safetensors", "export LONG -o x.nam",
    "export ds-1 -o LONG.nam", "circuit tube-screamer in.wav -o LONG", "bench LONG", "serve --board a=LONG",
)  # fmt: skip


@pytest.mark.parametrize("command", DOORS)
def test_a_name_that_no_file_can_have(command: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("in.wav", noise(48000 * 6), 48000)
    status, _, err = run(*command.replace("LONG", LONG).split())
    assert status == 2
    assert "error" in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]
