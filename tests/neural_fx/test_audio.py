"""Audio files: cut off, never finished, of every encoding, and what is not audio at all."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from neural_fx.audio import open_audio, read_audio
from neural_fx.errors import AudioError
from neural_fx.headers import audio_size
from neural_fx.patched import PatchedFile
from tests.conftest import noise

FORMATS = [
    (format, subtype)
    for format in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC")
    for subtype in soundfile.available_subtypes(format)
    if not subtype.startswith("DWVW")  # libsndfile cannot seek in it, so it is not read in blocks: an error
]


def encoded(path: Path, format: str, subtype: str, channels: int = 2) -> bytes:
    """Write noise and return the file's bytes; skips encodings that are mono only."""
    audio = noise(6000, channels, level=0.2).T
    try:
        soundfile.write(path, audio, 48000, format=format, subtype=subtype)
    except (soundfile.LibsndfileError, ValueError):
        soundfile.write(path, audio[:, :1], 48000, format=format, subtype=subtype)
    return path.read_bytes()


@pytest.mark.parametrize(("format", "subtype"), FORMATS)
def test_whole_files_read_as_libsndfile_reads_them(tmp_path: Path, format: str, subtype: str) -> None:
    path = tmp_path / "whole"
    try:
        encoded(path, format, subtype)
    except soundfile.LibsndfileError:
        pytest.skip("libsndfile does not write it")
    with open_audio(path) as reader:
        assert reader.remarks == ()
        audio = np.concatenate(list(reader.blocks(1000)), 1)
    np.testing.assert_array_equal(audio.T, soundfile.read(path, dtype="float32", always_2d=True)[0])


@pytest.mark.parametrize(("format", "subtype"), FORMATS)
@pytest.mark.parametrize("kept", [0.3, 0.8])
def test_cut_files_are_refused(tmp_path: Path, format: str, subtype: str, kept: float) -> None:
    try:
        data = encoded(tmp_path / "whole", format, subtype)
    except soundfile.LibsndfileError:
        pytest.skip("libsndfile does not write it")
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(AudioError, match=r"cut off|truncated|damaged|malformed|lost sync|not audio") as caught:
        read_audio(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_last_bytes_count_but_a_part_of_a_frame_does_not(tmp_path: Path) -> None:
    data = encoded(tmp_path / "whole.wav", "WAV", "PCM_16")  # four bytes a frame
    for missing, refused in ((1, False), (3, False), (4, True), (400, True)):
        (tmp_path / "cut.wav").write_bytes(data[:-missing])
        size = audio_size(tmp_path / "cut.wav")
        assert size is not None
        assert size.cut_off == refused


def test_chunks_before_and_after_the_audio(tmp_path: Path) -> None:
    data = encoded(tmp_path / "whole.wav", "WAV", "PCM_16")
    note = b"note" + struct.pack("<I", 5) + b"hello\0"
    (tmp_path / "more.wav").write_bytes(data[:12] + note + data[12:] + note)
    audio, _ = read_audio(tmp_path / "more.wav")
    assert audio.shape == (2, 6000)
    (tmp_path / "cut.wav").write_bytes((data[:12] + note + data[12:])[:-100])
    with pytest.raises(AudioError, match="cut off"):
        read_audio(tmp_path / "cut.wav")


# -- sizes that were never filled in -----------------------------------------------------------------------------


def unfilled(data: bytes, format: str, ones: bool) -> bytes:
    """Return a file as its recorder leaves it when the power goes: without the size of the audio."""
    chunk, offset, length = {
        "WAV": (b"data", 4, 4),
        "RF64": (b"ds64", 16, 8),
        "W64": (b"data\xf3\xac\xd3\x11", 16, 8),
        "CAF": (b"data", 4, 8),
        "AU": (b".snd", 8, 4),
        "AIFF": (b"SSND", 4, 4),
    }[format]
    found = bytearray(data)
    place = found.index(chunk) + offset
    found[place : place + length] = (b"\xff" if ones else b"\0") * length
    if format == "AIFF":
        frames = found.index(b"COMM") + 10
        found[frames : frames + 4] = bytes(4)
    return bytes(found)


@pytest.mark.parametrize("ones", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "DOUBLE"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"),
        ("RF64", "PCM_24"), ("W64", "PCM_16"), ("CAF", "PCM_16"), ("CAF", "FLOAT"), ("AU", "PCM_16"),
        ("AIFF", "PCM_16"), ("AIFF", "PCM_24"), ("AIFF", "FLOAT"),
    ],
)  # fmt: skip
def test_an_unfilled_size_plays_to_the_end(
    tmp_path: Path, format: str, subtype: str, channels: int, ones: bool
) -> None:
    data = encoded(tmp_path / "whole", format, subtype, channels)
    path = tmp_path / "unfilled"
    path.write_bytes(unfilled(data, format, ones))
    expected = soundfile.read(tmp_path / "whole", dtype="float32", always_2d=True)[0].T
    with pytest.warns(UserWarning, match="never filled in"):
        audio, rate = read_audio(path)
    assert rate == 48000
    np.testing.assert_array_equal(audio, expected)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36])
def test_sizes_that_streaming_recorders_write(tmp_path: Path, size: int) -> None:
    data = bytearray(encoded(tmp_path / "whole.wav", "WAV", "PCM_16"))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", size)
    (tmp_path / "streamed.wav").write_bytes(data)
    with pytest.warns(UserWarning, match="never filled in"):
        assert read_audio(tmp_path / "streamed.wav")[0].shape == (2, 6000)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 5 * 2**30 - 2**32])
def test_over_four_gigabytes_a_wav_must_state_its_size(tmp_path: Path, size: int) -> None:
    """The last is what remains of the true size in 32 bits. The files are sparse."""
    data = bytearray(encoded(tmp_path / "whole.wav", "WAV", "PCM_16"))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", size)
    with (tmp_path / "long.wav").open("wb") as file:
        file.write(data)
        file.truncate(place + 4 + 5 * 2**30)
    with pytest.raises(AudioError, match="does not state how long it is, and is over 4 GB"):
        read_audio(tmp_path / "long.wav")


def test_a_flac_that_states_no_length(tmp_path: Path) -> None:
    data = bytearray(encoded(tmp_path / "whole.flac", "FLAC", "PCM_16"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "streamed.flac").write_bytes(data)
    with pytest.warns(UserWarning, match="never filled in"):
        audio, _ = read_audio(tmp_path / "streamed.flac")
    # pedalboard scales by 1 / 32767, libsndfile by 1 / 32768
    np.testing.assert_allclose(audio, read_audio(tmp_path / "whole.flac")[0], atol=1e-4)


def test_the_case_from_the_field(shared: Path) -> None:
    with pytest.warns(UserWarning, match="never filled in"):
        audio, rate = read_audio(shared / "cases/wav/data0.wav")
    assert (audio.shape, rate) == ((1, 4800), 48000)
    assert np.abs(audio).max() > 0.01


def test_no_audio_is_no_unfilled_size(tmp_path: Path) -> None:
    for format in ("WAV", "AIFF", "FLAC", "AU", "CAF", "W64", "RF64"):
        path = tmp_path / f"empty.{format}"
        soundfile.write(path, np.zeros((0, 1)), 48000, format=format)
        with pytest.raises(AudioError, match=r"contains no audio|is an empty file"):
            read_audio(path)
    data = encoded(tmp_path / "x.wav", "WAV", "PCM_16")
    note = b"LIST" + struct.pack("<I", 4) + b"INFO"
    (tmp_path / "list.wav").write_bytes(data[:40] + bytes(4) + note)
    with pytest.raises(AudioError, match="contains no audio"):
        read_audio(tmp_path / "list.wav")


def test_an_ogg_without_an_end_is_remarked_on(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.ogg", noise(480000, level=0.2), 48000)
    data = (tmp_path / "whole.ogg").read_bytes()
    (tmp_path / "cut.ogg").write_bytes(data[: len(data) * 2 // 3])
    with open_audio(tmp_path / "whole.ogg") as reader:
        assert reader.remarks == ()
    with open_audio(tmp_path / "cut.ogg") as reader:
        assert reader.remarks == ("its last page is not marked as the end; it may be cut off",)
        assert 100000 < reader.frames < 480000


# -- what is not audio -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"), "git lfs pull"),
        (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(100)), "zip archive"),
        (lambda p: p.write_text("<html>404</html>"), "web page"),
        (lambda p: p.write_text("just words"), "not audio"),
        (lambda p: p.touch(), "is an empty file"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.symlink_to("gone.wav"), "broken link to gone.wav"),
        (os.mkfifo, "is a pipe"),
    ],
)
def test_what_is_not_audio(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    path = tmp_path / "take.wav"
    make(path)
    with pytest.raises(AudioError, match=words) as caught:
        read_audio(path)
    assert "take.wav" in str(caught.value)


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    for suffix, format in ((b".wav", "WAV"), (b".flac", "FLAC")):
        name = os.fsencode(tmp_path) + b"/caf\xe9" + suffix
        soundfile.write(name, noise(100), 48000, format=format)
        assert read_audio(Path(os.fsdecode(name)))[0].shape == (1, 100)


def test_patched_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(range(20)))
    with PatchedFile(tmp_path / "f", {3: b"abc", 10: b"xy"}) as file:
        whole = file.read()
        assert whole == bytes([0, 1, 2]) + b"abc" + bytes(range(6, 10)) + b"xy" + bytes(range(12, 20))
        for start in range(20):
            file.seek(start)
            assert file.read(4) == whole[start : start + 4]
