"""Which files a render reads and writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neural_fx.errors import AudioError
from neural_fx.render.plans import plan
from neural_fx.render.search import audio_files


@pytest.fixture
def takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of empty takes as the working directory; plans never open them."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.wav", "in/B.WAV", "in/sub/a.wav", "in/sub/deep/c.Flac", "in/take[1].wav", "in/dir.wav/d.aiff",
                 "in/.hidden.wav", "in/.git/e.wav", "in/._a.wav", "in/notes.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path / "in"


FOUND = ["B.WAV", "a.wav", "dir.wav/d.aiff", "sub/a.wav", "sub/deep/c.Flac", "take[1].wav"]


def targets(*inputs: str | Path, out: str | Path = "out") -> list[str]:
    return [str(target) for _, target in plan(inputs, out)]


def test_a_folder_is_mirrored(takes: Path) -> None:
    assert targets("in") == [f"out/{name}" for name in FOUND]
    assert [str(source) for source, _ in plan(["in"], "out")] == [f"in/{name}" for name in FOUND]


@pytest.mark.parametrize("out", ["in/out", "in/sub/out", "in/./sub/../out", "linked/out"])
@pytest.mark.parametrize("given", [["in"], ["in/**"], ["in/**/*"], ["in/**/*.*"], ["in/"]])
def test_an_output_folder_inside_the_input_is_not_input(takes: Path, given: list[str], out: str) -> None:
    Path("linked").symlink_to("in")
    first = None
    for _ in range(2):
        try:
            pairs = plan(given, out)
        except AudioError as error:
            assert "would both be written" in str(error)  # patterns mirror names only: a.wav is there twice
            assert "*" in given[0]
            pairs = plan(["in"], out)
        assert first is None or pairs == first
        first = pairs
        for _, target in pairs:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("written by the first run")


def test_the_output_folder_among_the_inputs(takes: Path) -> None:
    """As a shell expands in/* on the second run."""
    Path("in/out").mkdir()
    Path("in/out/a.wav").write_text("from the first run")
    with pytest.warns(UserWarning, match="is the output folder"):
        found = targets("in/B.WAV", "in/out", "in/take[1].wav", out="in/out")
    assert found == ["in/out/B.WAV", "in/out/take[1].wav"]


@pytest.mark.parametrize("out", ["new/", "new/deep/", "made", "made/"])
def test_a_slash_or_a_folder_makes_a_folder(takes: Path, out: str) -> None:
    Path("made").mkdir()
    assert targets("in/a.wav", out=out) == [os.path.join(out, "a.wav")]


def test_one_file_to_one_file(takes: Path) -> None:
    assert targets("in/a.wav", out="deep/new.flac") == ["deep/new.flac"]
    with pytest.raises(AudioError, match=r"unknown output format ''.*known: .wav"):
        plan(["in/a.wav"], "new")


# -- names -------------------------------------------------------------------------------------------------------


def test_names_with_wildcards_are_names_first(takes: Path) -> None:
    Path("in/take1.wav").write_text("another")
    assert [str(source) for source, _ in plan(["in/take[1].wav"], "out/")] == ["in/take[1].wav"]
    assert [str(source) for source, _ in plan(["in/tak?1.wav"], "out/")] == ["in/take1.wav"]
    assert [str(source) for source, _ in plan(["in/take[[]1].wav"], "out/")] == ["in/take[1].wav"]


def test_patterns(takes: Path) -> None:
    assert targets("in/*.wav") == ["out/a.wav", "out/d.aiff", "out/take[1].wav"]
    assert targets("in/../in/sub/*.wav", out="out/") == ["out/a.wav"]
    assert targets("in/sub/**", out="out/") == ["out/a.wav", "out/c.Flac"]
    assert targets("**/c.*", out="out/") == ["out/c.Flac"]
    assert targets("in/**/deep", out="out/") == ["out/c.Flac"]
    assert targets("in/.hid*", out="out/") == ["out/.hidden.wav"]
    for pattern in ("in/*.ogg", "nowhere/**", "in/**/x*", "in/[", "n" * 300):
        with pytest.raises(AudioError, match="no such file, folder, or match"):
            plan([pattern], "out")


def test_one_file_named_in_two_ways_is_rendered_once(takes: Path) -> None:
    Path("linked").symlink_to("in")
    assert targets("in/a.wav", "in/../in/a.wav", "linked/a.wav", str(takes / "a.wav"), out="out/") == ["out/a.wav"]
    with pytest.raises(AudioError, match=r"in/a.wav and in/sub/a.wav would both be written to out/a.wav"):
        plan(["in/a.wav", "in/sub/a.wav"], "out")


def test_a_missing_file_does_not_stop_the_others(takes: Path) -> None:
    assert targets("in/gone.wav", "in/a.wav") == ["out/gone.wav", "out/a.wav"]
    with pytest.raises(AudioError, match=r"in/gone.wav: no such file"):
        plan(["in/gone.wav"], "out")
    with pytest.raises(AudioError, match=r"in/gone.wav: no such file"):
        plan(["in/gone.wav", "in/lost.wav"], "out")
    Path("empty").mkdir()
    with pytest.raises(AudioError, match="no audio files found in empty"):
        plan(["empty"], "out")


def test_broken_links_and_pipes_are_found_and_fail_later(takes: Path) -> None:
    Path("in/broken.wav").symlink_to("nowhere")
    os.mkfifo("in/pipe.wav")
    assert {"out/broken.wav", "out/pipe.wav"} <= set(targets("in"))
    assert targets("in/broken.wav", out="out/") == ["out/broken.wav"]


def test_names_that_are_not_utf8(takes: Path) -> None:
    Path(os.fsdecode(b"in/caf\xe9.wav")).write_text("x")
    assert os.fsdecode(b"out/caf\xe9.wav") in targets("in")


# -- links -------------------------------------------------------------------------------------------------------


def test_linked_folders_are_followed_once(takes: Path) -> None:
    Path("else/more").mkdir(parents=True)
    for name in ("else/x.wav", "else/more/y.wav"):
        Path(name).write_text(name)
    Path("in/again").symlink_to("sub")  # already found under its own name
    Path("in/l1").symlink_to("../else")
    Path("in/l2").symlink_to("../else")
    Path("in/l3").symlink_to("../else/more")
    for name, circle in (("in/up", ".."), ("in/here", "."), ("else/back", "../in"), ("in/self", "self")):
        Path(name).symlink_to(circle)
    expected = sorted([*FOUND, "l1/x.wav", "l1/more/y.wav"], key=Path)
    assert [str(file.relative_to("in")) for file in audio_files(Path("in"))] == expected
    assert targets("in") == [f"out/{name}" for name in expected]
    assert targets("in/l1/more/**", out="out/") == ["out/y.wav"]
    assert len(targets("in/**/[xy].wav")) == 2  # and not for hours


def test_a_linked_folder_that_is_given_is_followed(takes: Path) -> None:
    Path("linked").symlink_to("in")
    assert targets("linked") == [f"out/{name}" for name in FOUND]


def test_a_folder_that_cannot_be_searched_is_told(takes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.warns(UserWarning, match="in/sub: cannot be searched: Permission denied"):
        found = targets("in")
    assert "out/a.wav" in found
    assert "out/sub/a.wav" not in found


# -- outputs that are inputs -------------------------------------------------------------------------------------


def test_an_output_that_is_an_input_is_refused(takes: Path) -> None:
    os.link("in/a.wav", "hard.wav")
    Path("soft.wav").symlink_to("in/a.wav")
    Path("linked").symlink_to("in")
    for out in ("in/a.wav", "in/../in/a.wav", "hard.wav", "soft.wav", "linked/a.wav", str(takes / "a.wav")):
        with pytest.raises(AudioError, match=r"in/a.wav: would be overwritten by its own output"):
            plan(["in/a.wav"], out)
    for out in ("in", "in/", "linked"):
        with pytest.raises(AudioError, match="would be overwritten by its own output"):
            plan(["in"], out)
    assert Path("in/a.wav").read_text() == "in/a.wav"


def test_an_output_that_is_another_input_is_refused(takes: Path) -> None:
    Path("out").mkdir()
    os.link("in/B.WAV", "out/a.wav")
    with pytest.raises(AudioError, match=r"in/B.WAV: would be overwritten by the output of in/a.wav"):
        plan(["in/a.wav", "in/B.WAV"], "out")


def test_lossy_inputs_become_wav(takes: Path) -> None:
    Path("in/x.mp3").write_text("x")
    Path("in/y.OGG").write_text("x")
    assert targets("in/x.mp3", "in/y.OGG", out="in") == ["in/x.wav", "in/y.wav"]


def test_long_lists(tmp_path: Path) -> None:
    for i in range(3000):
        (tmp_path / f"{i}.wav").touch()
    pairs = plan([tmp_path], tmp_path / "out")
    assert len(pairs) == 3000
    assert len(plan([source for source, _ in pairs], tmp_path / "out")) == 3000
