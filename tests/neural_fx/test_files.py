"""Files are written whole or not at all, whatever their names, and killed writers leave nothing for long."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from neural_fx.errors import BoardError
from neural_fx.files import MARK, PREFIX, names_folder, remove_stale_parts, replacing, same_file
from neural_fx.inputs import content_problem, file_problem, printable, read_bytes

WRITER = """
import sys, time
from neural_fx.files import replacing
with replacing(sys.argv[1]) as part:
    part.write_text("half")
    print(part.name, flush=True)
    sys.stdin.read()
"""


def parts(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if MARK in name)


def start_writer(target: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a process that holds a half-written file, and return it with the file's name."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.mark.parametrize("length", [5, 241, 250, 255])
@pytest.mark.parametrize("suffix", [b".wav", b".nam", b"." + b"x" * 40, b""])
def test_names_as_long_as_the_file_system_allows(tmp_path: Path, length: int, suffix: bytes) -> None:
    if length <= len(suffix):
        pytest.skip("the suffix alone is longer")
    target = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + b"n" * (length - len(suffix)) + suffix))
    with replacing(target) as part:
        assert len(os.fsencode(part.name)) < 60
        part.write_text("whole")
    assert target.read_text() == "whole"
    assert os.listdir(tmp_path) == [target.name]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    target = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    with replacing(target) as part:
        part.write_text("whole")
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9.wav"]
    assert printable(target.name) == "caf\\xe9.wav"
    assert printable("café 音.wav") == "café 音.wav"


def half_write(target: Path, error: type[BaseException]) -> None:
    with replacing(target) as part:
        part.write_text("half")
        raise error


def test_nothing_stays_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            half_write(tmp_path / "old.txt", error)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("old.txt", "old")]


def test_permissions(tmp_path: Path) -> None:
    with replacing(tmp_path / "secret", mode=0o600) as part:
        part.write_text("token")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    with replacing(tmp_path / "open") as part:
        part.write_text("all")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o666 & ~umask


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    process, name = start_writer(tmp_path / "a.wav")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert parts(tmp_path) == [name]
    with replacing(tmp_path / "b.wav") as part:
        assert parts(tmp_path) == [part.name]
        part.write_text("whole")
    assert os.listdir(tmp_path) == ["b.wav"]


def test_the_file_of_a_living_writer_stays(tmp_path: Path) -> None:
    process, name = start_writer(tmp_path / "a.wav")
    remove_stale_parts(tmp_path)
    with replacing(tmp_path / "b.wav") as part:
        part.write_text("whole")
    assert parts(tmp_path) == [name]
    process.communicate("")
    assert sorted(os.listdir(tmp_path)) == ["a.wav", "b.wav"]


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    names = ["take.part", ".take.part.wav", "x.wav.part", f"{PREFIX}board.yaml"]
    for name in names:
        (tmp_path / name).write_text("somebody's")
    os.mkfifo(tmp_path / f"{PREFIX}pipe{MARK}")  # must not hang
    (tmp_path / f"{PREFIX}link{MARK}").symlink_to(tmp_path / "take.part")
    (tmp_path / f"{PREFIX}folder{MARK}").mkdir()
    remove_stale_parts(tmp_path)
    assert all((tmp_path / name).read_text() == "somebody's" for name in names)
    remove_stale_parts(tmp_path / "absent")


def test_same_file(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_text("1")
    (tmp_path / "other").write_text("1")
    os.link(one, tmp_path / "hard")
    (tmp_path / "soft").symlink_to("one")
    (tmp_path / "folder").symlink_to(".")
    assert all(same_file(one, tmp_path / name) for name in ("one", "hard", "soft", "folder/one"))
    assert not same_file(one, tmp_path / "other")
    assert same_file(tmp_path / "new", tmp_path / "folder" / "new")
    assert not same_file(one, tmp_path / ("n" * 300))


def test_which_outputs_are_folders(tmp_path: Path) -> None:
    assert names_folder(tmp_path)
    assert names_folder("new/")
    assert not names_folder("new")
    assert not names_folder("new/a.wav")


# -- what is wrong with an input ---------------------------------------------------------------------------------


def test_pipes_folders_and_links_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "empty").touch()
    expected = {
        "pipe": "is a pipe",
        "broken": "is a broken link to nowhere",
        "circle": "cannot be read",
        "empty": "is an empty file",
        ".": "is a folder",
        "absent": "no such file",
        "n" * 300: "the name is too long",
    }
    for name, words in expected.items():
        assert words in str(file_problem(tmp_path / name)), name
    assert "is a device" in str(file_problem("/dev/zero"))
    (tmp_path / "good").write_text("x")
    assert file_problem(tmp_path / "good") is None


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "git lfs pull"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"\n<!DOCTYPE html>", "web page"),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b'{"version": "0.5"}', None),
    ],
)
def test_what_is_taken_for_the_file_itself(head: bytes, words: str | None) -> None:
    found = content_problem(head)
    assert (found is None) == (words is None)
    assert words is None or words in str(found)


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 101)
    assert len(read_bytes(tmp_path / "big", 101)) == 101
    with pytest.raises(ValueError, match="too large for a test"):
        read_bytes(tmp_path / "big", 100, BoardError, "a test")
