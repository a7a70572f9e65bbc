"""The cache of rendered notes: its plan, its MIDI files, what counts as complete, and what is reported as missing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from demos.instruments import render_notes
from demos.instruments.note_cache import GROUPS, LEAD_SECONDS, RATE, Plan, ProgramFiles, group_of, held_out
from demos.instruments.render_notes import SOUNDFONTS, MissingError, find_fluidsynth, find_soundfont, midi_file

SMALL = Plan(pitches=(60, 64), velocities=(80,), holds=((0.2, 0.5),))


def test_the_plan_is_as_large_as_promised() -> None:
    plan = Plan()
    assert len(plan.pitches) == 19
    assert len(plan.notes()) == 19 * 3 * 2
    assert sorted(program for programs in GROUPS.values() for program in programs) == list(range(128))
    assert group_of(14) == "bells and mallets"


def test_held_out_notes_never_change() -> None:
    pairs = [(program, pitch) for program in range(128) for pitch in Plan().pitches]
    chosen = [pair for pair in pairs if held_out(*pair)]
    assert 0.12 < len(chosen) / len(pairs) < 0.18
    assert chosen[:4] == [(0, 72), (0, 92), (0, 96), (1, 44)]


def test_every_note_of_the_midi_file_is_in_its_slot() -> None:
    messages = [message for message in midi_file(5, SMALL).tracks[0] if not message.is_meta]
    assert messages[0].program == 5
    now = 0
    starts = []
    for message in messages:
        now += message.time
        if message.type == "note_on":
            starts.append((now / 1000, message.note))
    assert starts == [(pytest.approx(note.slot_start + LEAD_SECONDS), note.pitch) for note in SMALL.notes()]


def test_missing_programs_and_files_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingError, match=r"apt-get install .* fluidsynth"):
        find_fluidsynth()
    monkeypatch.setitem(SOUNDFONTS, "fluid", (tmp_path / "none.sf2", "fluid-soundfont-gm"))
    with pytest.raises(MissingError, match=r"apt-get install .* fluid-soundfont-gm"):
        find_soundfont("fluid")
    with pytest.raises(MissingError, match="no such SoundFont"):
        find_soundfont(str(tmp_path / "other.sf2"))


def test_only_programs_with_the_same_plan_are_complete(tmp_path: Path) -> None:
    files = ProgramFiles(tmp_path, 7)
    assert not files.complete(SMALL)
    files.audio.write_bytes(b"")
    assert not files.complete(SMALL)
    files.index.write_text("{", encoding="utf-8")
    assert not files.complete(SMALL)
    files.index.write_text(json.dumps({"plan": SMALL.describe()}), encoding="utf-8")
    assert files.complete(SMALL)
    assert not files.complete(Plan())


@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="fluidsynth is missing")
@pytest.mark.skipif(not SOUNDFONTS["fluid"][0].is_file(), reason="fluid-soundfont-gm is missing")
def test_a_program_is_rendered_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render_notes, "Plan", lambda: SMALL)
    arguments = ["render_notes", "--soundfont", "fluid", "--programs", "12", "--out", str(tmp_path), "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    results = []
    for _ in range(2):
        assert render_notes.main() == 0
        results.append(json.loads(capsys.readouterr().out))
    assert [(result["rendered"], result["skipped"]) for result in results] == [(1, 0), (0, 1)]
    sound = ProgramFiles(Path(results[0]["folder"]), 12).read(SMALL.notes()[1])
    assert len(sound) == RATE // 2
    assert np.abs(sound).max() > 0.01
    assert not sound[: round(0.9 * LEAD_SECONDS * RATE)].any()
