"""Impulse responses: every format sounds as the 16-bit WAV does, or is refused; never the dry signal."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pedalboard
import pytest
import soundfile

import neural_fx
from neural_fx.boards import load_board
from neural_fx.errors import AudioError, BoardError, NeuralFXError
from neural_fx.impulse import MAX_SECONDS
from neural_fx.slots import native_knobs, slot_names
from tests.conftest import noise

RATE = 48000
UNDECODED = (("flac", "PCM_16"), ("w64", "PCM_16"), ("caf", "PCM_16"), ("au", "PCM_16"),
             ("wav", "ULAW"), ("wav", "ALAW"), ("mp3", None))  # fmt: skip
DECODED = (
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "FLOAT"),
    ("aiff", "PCM_16"),
    ("rf64", "PCM_16"),
    ("ogg", "VORBIS"),
)


def response(channels: int = 1, samples: int = 1500) -> np.ndarray:
    """A decaying noise, quantised to 16 bits so that every lossless format holds it exactly."""
    decay = noise(samples, channels, seed=3, level=0.3) * np.exp(-np.arange(samples) / 200)
    return (np.round(np.clip(decay, -1, 1) * 32767) / 32768).astype(np.float32)


def write(path: Path, audio: np.ndarray, rate: int = RATE, subtype: str | None = "PCM_16") -> Path:
    soundfile.write(path, audio.T, rate, subtype=subtype)
    return path


def board(path: Path, mix: float = 1.0) -> neural_fx.Pedalboard:
    text = f"slots: [{{ir: {path.name}, mix: {mix}}}]"
    return load_board(path.parent / "board.yaml", text.encode())


# -- the sound ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream_rate", [44100, 48000, 96000])
@pytest.mark.parametrize(("response_channels", "channels"), [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("response_rate", [44100, 48000])
def test_wav_sounds_as_in_pedalboard(
    tmp_path: Path, response_rate: int, response_channels: int, channels: int, stream_rate: int
) -> None:
    path = write(tmp_path / "cab.wav", response(response_channels), response_rate)
    x = noise(4000, channels)
    found = board(path, 0.7)(x, stream_rate)
    native = neural_fx.Pedalboard([pedalboard.Convolution(str(path), 0.7)])
    np.testing.assert_array_equal(found, native(x, stream_rate))
    alone = pedalboard.Pedalboard([pedalboard.Convolution(str(path), 0.7)])(x, stream_rate)
    assert not np.array_equal(alone, x)
    np.testing.assert_allclose(found, alone, atol=1e-7)  # its ramp of the mix has ended in ours


@pytest.mark.parametrize(("suffix", "subtype"), [*UNDECODED, *DECODED])
@pytest.mark.parametrize(("channels", "rate"), [(1, 48000), (2, 44100)])
def test_every_format_sounds_as_the_wav(
    tmp_path: Path, suffix: str, subtype: str | None, channels: int, rate: int
) -> None:
    audio = response(channels)
    x = noise(4000, 2)
    expected = board(write(tmp_path / "cab16.wav", audio, rate))(x, RATE)
    found = board(write(tmp_path / f"cab.{suffix}", audio, rate, subtype))(x, RATE)
    if subtype in ("PCM_16", "PCM_24", "FLOAT"):
        np.testing.assert_array_equal(found, expected)
    else:
        # A lossy codec changes white noise a lot. The level and the course of the response must be the same.
        likeness = np.vdot(found, expected) / np.sqrt(np.vdot(found, found) * np.vdot(expected, expected))
        assert likeness > 0.7
        assert np.sqrt(np.mean(found**2)) == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.1)


def test_against_a_convolution_of_our_own(tmp_path: Path) -> None:
    audio = response()[0]
    path = write(tmp_path / "cab.flac", audio[None])
    x = noise(3000)
    expected = np.convolve(x, audio * 0.125 / np.sqrt(np.sum(audio**2)))[: len(x)]
    np.testing.assert_allclose(board(path)(x, RATE), expected, atol=1e-6)


def test_the_cases_from_the_field(shared: Path, tmp_path: Path) -> None:
    folder = shared / "cases/ir"
    impulse = np.zeros((1, 200), np.float32)
    impulse[0, 0] = 1
    audio, rate = soundfile.read(folder / "c.flac", dtype="float32")
    expected = board(write(tmp_path / "c16.wav", audio[None], rate))(impulse, RATE)
    for name in ("c.au", "c.caf", "c.flac", "c.w64", "cu.wav", "c.mp3"):
        found = board(folder / name)(impulse, RATE)
        assert not np.array_equal(found, impulse), name
        assert np.argmax(np.abs(found)) == np.argmax(np.abs(expected)), name
        if name != "c.mp3":
            np.testing.assert_allclose(found, expected, atol=1e-4)
    for name in ("text.wav", "zero.wav"):
        with pytest.raises(BoardError, match=rf"line 1.*slots\[0\].ir.*{name}"):
            board(folder / name)


# -- what is refused ---------------------------------------------------------------------------------------------

BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda p: p.write_text("just words"), "not audio"),
    "empty": (lambda p: p.touch(), "is an empty file"),
    "no frames": (lambda p: soundfile.write(p, np.zeros((0, 1)), RATE), "contains no audio"),
    "silent": (lambda p: soundfile.write(p, np.zeros(100), RATE), "is silent"),
    "nearly silent": (lambda p: soundfile.write(p, np.full(100, 1e-8), RATE, subtype="FLOAT"), "is silent"),
    "nan": (lambda p: soundfile.write(p, np.array([1, np.nan]), RATE, subtype="FLOAT"), "NaN or infinite"),
    "infinite": (lambda p: soundfile.write(p, np.array([1, np.inf]), RATE, subtype="FLOAT"), "NaN or infinite"),
    "long": (lambda p: soundfile.write(p, np.ones(int(MAX_SECONDS * 8000) + 1), 8000), "at most 30 s"),
    "many channels": (lambda p: soundfile.write(p, np.ones((10, 4)), RATE), "4 channels"),
    "cut off": (lambda p: (write(p, response()), os.truncate(p, 1000)), "cut off"),
    "lfs": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "zip": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(50)), "zip"),
    "folder": (lambda p: p.mkdir(), "is a folder"),
    "pipe": (os.mkfifo, "is a pipe"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_responses_are_refused_at_every_door(tmp_path: Path, kind: str) -> None:
    make, words = BAD[kind]
    path = tmp_path / "cab.wav"
    make(path)
    with pytest.raises(BoardError, match=words) as caught:
        board(path)
    assert "cab.wav" in str(caught.value)
    with pytest.raises(AudioError, match=words):
        neural_fx.Convolution(path)
    if kind in ("folder", "pipe"):
        return  # pedalboard refuses a folder itself, and waits for a pipe for ever
    with pytest.raises(AudioError, match=words):
        neural_fx.Pedalboard([pedalboard.Convolution(str(path))])


@pytest.mark.parametrize(("suffix", "subtype"), UNDECODED)
def test_files_that_pedalboard_cannot_decode_are_not_passed_dry(
    tmp_path: Path, suffix: str, subtype: str | None
) -> None:
    """A later pedalboard may decode more: then the sound must be right. Until then it is an error."""
    path = write(tmp_path / f"cab.{suffix}", response(), RATE, subtype)
    native = pedalboard.Convolution(str(path), 0.5)
    x = noise(2000)
    for wrap in (lambda p: [p], lambda p: [pedalboard.Chain([pedalboard.Gain(0), p])], lambda p: [neural_fx.Mix([p])]):
        try:
            made = neural_fx.Pedalboard(wrap(native))
        except AudioError as error:
            assert "neural_fx.Convolution" in str(error)
        else:
            np.testing.assert_allclose(made(x, RATE), board(path, 0.5)(x, RATE), atol=0.05)
    assert native.mix == 0.5
    parallel = neural_fx.Pedalboard()
    with pytest.raises(AudioError, match="dry signal"):
        parallel.append(native)
    parallel.append(neural_fx.Convolution(path, 0.5))
    np.testing.assert_array_equal(parallel(x, RATE), board(path, 0.5)(x, RATE))


@pytest.mark.parametrize(("suffix", "subtype"), DECODED)
def test_what_pedalboard_decodes_stays_the_users_object(tmp_path: Path, suffix: str, subtype: str) -> None:
    native = pedalboard.Convolution(str(write(tmp_path / f"cab.{suffix}", response(), RATE, subtype)), 0.5)
    made = neural_fx.Pedalboard([native])
    assert made[0] is native
    assert native.mix == 0.5
    x = noise(3000)
    np.testing.assert_allclose(made(x, RATE), pedalboard.Pedalboard([native])(x, RATE), atol=1e-7)


@pytest.mark.parametrize("kind", [pedalboard.Convolution, neural_fx.Convolution])
@pytest.mark.parametrize("values", [np.zeros(50), np.full(50, np.nan), np.zeros(0)])
def test_bad_arrays(kind: type, values: np.ndarray) -> None:
    with pytest.raises(NeuralFXError, match=r"silent|NaN|no audio"):
        neural_fx.Pedalboard([kind(values.astype(np.float32), sample_rate=RATE)])


def test_an_array_needs_its_rate() -> None:
    with pytest.raises(TypeError, match="sample_rate"):
        neural_fx.Convolution(response())
    with pytest.raises(AudioError, match="sample rate above 0"):
        neural_fx.Convolution(response(), sample_rate=0)
    x = noise(2000)
    made = neural_fx.Convolution(response(), 0.5, 44100)
    expected = pedalboard.Convolution(response(), 0.5, 44100)
    np.testing.assert_allclose(
        neural_fx.Pedalboard([made])(x, RATE), pedalboard.Pedalboard([expected])(x, RATE), atol=1e-7
    )


# -- saving ------------------------------------------------------------------------------------------------------


def test_a_slot_is_a_convolution_with_a_mix(tmp_path: Path) -> None:
    made = board(write(tmp_path / "cab.flac", response()), 0.4)
    assert slot_names(made) == ["convolution"]
    assert native_knobs(made[0]) == ["mix"]
    assert made[0].impulse_response_filename == str(tmp_path / "cab.flac")
    copy = pickle.loads(pickle.dumps(made[0]))
    assert (copy.path, copy.mix) == (tmp_path / "cab.flac", pytest.approx(0.4))
    x = noise(2000)
    np.testing.assert_array_equal(neural_fx.Pedalboard([copy])(x, RATE), made(x, RATE))


@pytest.mark.parametrize("kind", [pedalboard.Convolution, neural_fx.Convolution])
def test_a_saved_board_finds_its_response(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """Through a linked folder, and although the working directory changed since the file was named."""
    (tmp_path / "store/deep").mkdir(parents=True)
    (tmp_path / "boards").symlink_to("store/deep")
    write(tmp_path / "cab.wav", response())
    monkeypatch.chdir(tmp_path)
    made = neural_fx.Pedalboard([kind("cab.wav", 0.5)])
    monkeypatch.chdir("/")
    made.save(tmp_path / "boards" / "lead.yaml")
    assert "ir: ../../cab.wav" in (tmp_path / "store/deep/lead.yaml").read_text()
    again = neural_fx.Pedalboard.from_file(tmp_path / "boards" / "lead.yaml")
    x = noise(2000)
    np.testing.assert_array_equal(again(x, RATE), made(x, RATE))


def test_a_convolution_whose_file_is_gone_by_now(tmp_path: Path) -> None:
    path = write(tmp_path / "cab.wav", response())
    native = pedalboard.Convolution(str(path))
    path.unlink()
    x = noise(2000)
    np.testing.assert_array_equal(neural_fx.Pedalboard([native])(x, RATE), pedalboard.Pedalboard([native])(x, RATE))


def test_an_array_cannot_be_saved(tmp_path: Path) -> None:
    made = neural_fx.Pedalboard([neural_fx.Convolution(response(), sample_rate=RATE)])
    with pytest.raises(BoardError, match="write the response to an audio file"):
        made.save(tmp_path / "board.yaml")


def test_a_board_is_not_saved_over_its_own_files(tmp_path: Path) -> None:
    path = write(tmp_path / "cab.wav", response())
    before = path.read_bytes()
    os.link(path, tmp_path / "hard.yaml")
    for target in (path, tmp_path / "hard.yaml"):
        with pytest.raises(BoardError, match="the board itself uses"):
            board(path).save(target, overwrite=True)
    assert path.read_bytes() == before
