"""The level ``normalized`` for every capture: stated loudness, measured loudness, and its cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neural_fx
from bridge.host import BoardHost, board_from
from neural_fx import loudness
from neural_fx.boards import load_board
from neural_fx.cache import cache_folder, cached_number, keep_number
from neural_fx.errors import BoardError, ModelError
from neural_fx.formats import Capture, parse, read
from neural_fx.formats.capture import Metadata
from neural_fx.info import describe
from neural_fx.loudness import PROBE_RMS_DB, find_loudness, measure_loudness, normalizing_gain_db, probe
from neural_fx.networks import Knobbed, Sequential
from neural_fx.pedals import PEDALS, TubeScreamer
from neural_fx.processor import Spec
from neural_fx.training.export import loudness_and_gain
from tests.conftest import DOCUMENTS, guitarml_document, linear_document, noise, wavenet_document

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, with nothing in memory."""
    monkeypatch.setenv("NEURAL_FX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loudness, "_measured", {})
    return tmp_path / "cache"


def rms_db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(x, dtype=np.float64))))


def bare(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "metadata": None} if "version" in document else document


def capture_of(document: dict[str, Any]) -> Capture:
    return parse(json.dumps(bare(document)).encode())


def taps(*weights: float, bias: float = 0.0, rate: int = 48000) -> Capture:
    """A linear model: its response, and a constant that it adds."""
    document = linear_document(taps=len(weights))
    return capture_of({**document, "weights": [*weights, bias], "sample_rate": rate})


def test_a_known_gain_is_measured() -> None:
    for db in (-30, 0, 20):
        assert measure_loudness(taps(10 ** (db / 20))) == pytest.approx(PROBE_RMS_DB + db, abs=1e-3)
    assert rms_db(probe(48000)) == pytest.approx(PROBE_RMS_DB, abs=1e-4)
    assert measure_loudness(taps(0.5, rate=44100)) == pytest.approx(PROBE_RMS_DB - 6.0206, abs=1e-3)


@pytest.mark.parametrize("name", list(DOCUMENTS))
@pytest.mark.parametrize("oversample", [1, 2])
def test_every_format_comes_out_at_the_same_loudness(name: str, oversample: int, write: Write) -> None:
    """Measured by itself: the processor at ``normalized`` plays the clip at -18 dB."""
    path = write(bare(DOCUMENTS[name]()))
    made = neural_fx.load(path, level="normalized", oversample=oversample)
    assert made.output_level == "normalized"
    heard = rms_db(made(probe(48000), 48000))
    assert heard == pytest.approx(-18, abs=0.05 if oversample == 1 else 0.6)


@pytest.mark.parametrize("rate", [44100, 96000])
def test_other_rates_come_out_at_it_too(rate: int, write: Write) -> None:
    made = neural_fx.load(write(bare(wavenet_document(rate=rate))), level="normalized")
    assert rms_db(made(probe(rate), rate)) == pytest.approx(-18, abs=0.01)
    assert rms_db(made(probe(48000), 48000)) == pytest.approx(-18, abs=0.3)


def test_foreign_captures_come_out_at_it(shared: Path) -> None:
    for file in ("wavenetva/WaveNet2-ts7.json", "rtneural/lstm_1d.json", "nam/wavenet_a1_standard.nam"):
        made = neural_fx.load(shared / "models" / file, level="normalized")
        assert made.capture.metadata.loudness is None, file
        rate = made.sample_rate
        assert rms_db(made(probe(rate), rate)) == pytest.approx(-18, abs=0.01), file


def test_measured_agrees_with_stated(shared: Path) -> None:
    """Within a decibel of what the trainer of the capture wrote into it."""
    stated = [c for p in sorted((shared / "models/captures").glob("*.nam")) if (c := read(p)).metadata.loudness]
    assert len(stated) >= 2
    for capture in stated:
        assert measure_loudness(capture) == pytest.approx(capture.metadata.loudness, abs=1.0), capture.path


def test_knobs_count_at_their_defaults(write: Write) -> None:
    """So the gain does not move while they turn, whatever they start at."""
    path = write(guitarml_document("LSTM", 2))
    made = [neural_fx.load(path, level="normalized", gain=turn) for turn in (0.0, 0.5, 1.0)]
    assert len({p._level_gains for p in made}) == 1
    assert rms_db(made[1](probe(44100), 44100)) == pytest.approx(-18, abs=0.01)
    knobbed = PEDALS["tube-screamer"].file()
    assert isinstance(knobbed.network, Knobbed)
    expected = loudness_and_gain(knobbed.network, 48000)[0]
    assert find_loudness(knobbed).stated
    assert measure_loudness(knobbed) == pytest.approx(expected, abs=0.01)
    turned = replace(knobbed, knobs={"drive": 0.5, "tone": 0.5, "level": 1.0})
    assert measure_loudness(turned) > expected + 3


def test_a_stated_loudness_counts_unless_it_cannot_be() -> None:
    plain = taps(0.5)
    assert find_loudness(replace(plain, metadata=Metadata(loudness=-30.0))) == loudness.Loudness(-30.0, True)
    for impossible in (-200.0, 90.0):
        wrong = replace(plain, metadata=Metadata(loudness=impossible))
        with pytest.warns(UserWarning, match=r"metadata\.loudness: states .* is not plausible; measured -21\.0 dB"):
            assert normalizing_gain_db(wrong) == pytest.approx(3.0, abs=0.02)


def test_silence_and_nan_are_errors_and_the_gain_is_bounded() -> None:
    for silent in (taps(0.0), taps(0.0, bias=0.3), taps(1e-7)):
        with pytest.raises(ModelError, match=r"outputs silence for guitar.* use level raw"):
            normalizing_gain_db(silent)
    plain = taps(1e29)
    assert isinstance(plain.network, Sequential)
    overflowing = replace(plain, network=replace(plain.network, output_gain=1e30))
    with pytest.raises(ModelError, match=r"NaN or infinite.* use level raw"):
        normalizing_gain_db(overflowing)
    with pytest.warns(UserWarning, match=r"would need \+77 dB .* limited to \+40 dB"):
        assert normalizing_gain_db(taps(1e-4)) == 40


def test_silence_names_the_file(write: Write) -> None:
    path = write({**linear_document(taps=1), "weights": [0.0, 0.0], "metadata": None}, "mute.nam")
    with pytest.raises(ModelError, match=r"mute\.nam: outputs silence"):
        neural_fx.load(path, level="normalized")
    assert not neural_fx.load(path)(noise(100), 48000).any()
    found = describe(read(path))
    assert (found["loudness_db"], found["loudness_source"]) == (None, None)
    assert found["levels"] == ["raw"]


# -- the cache ---------------------------------------------------------------------------------------------------------


def count_measures(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    counted: list[float] = []

    def counting(capture: Capture) -> float:
        counted.append(measure_loudness(capture))
        return counted[-1]

    monkeypatch.setattr(loudness, "measure_loudness", counting)
    return counted


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loudness, "_measured", {})


def test_it_is_measured_once_per_content(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    counted = count_measures(monkeypatch)
    first, other = write(bare(wavenet_document()), "a.nam"), write(bare(wavenet_document()), "b.nam")
    gains = []
    for path in (first, other, first):
        forget(monkeypatch)
        gains.append(neural_fx.load(path, level="normalized")._level_gains)
    assert len(set(gains)) == 1
    assert len(counted) == 1
    assert len(list(empty_cache.rglob("*.json"))) == 1
    first.write_text(json.dumps(bare(wavenet_document(seed=1))))
    neural_fx.load(first, level="normalized")
    neural_fx.load(write(bare(wavenet_document(rate=44100)), "c.nam"), level="normalized")
    assert len(counted) == 3
    assert not list(empty_cache.rglob("*.part*"))


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"value": "x"}', b'{"value": NaN}', b'{"value": 1e9}', b"[" * 4000]
)
def test_a_damaged_cache_is_measured_again(damage: bytes, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = find_loudness(taps(0.5)).db
    (kept,) = empty_cache.rglob("*.json")
    kept.write_bytes(damage)
    forget(monkeypatch)
    assert find_loudness(taps(0.5)).db == right
    forget(monkeypatch)
    assert json.loads(kept.read_text())["value"] == right


def test_a_cache_that_cannot_be_used_never_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/no"), closed):
        monkeypatch.setenv("NEURAL_FX_CACHE", str(place))
        forget(monkeypatch)
        assert find_loudness(taps(0.5)).db == pytest.approx(PROBE_RMS_DB - 6.02, abs=0.01)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    monkeypatch.setenv("NEURAL_FX_CACHE", str(tmp_path / "full"))
    forget(monkeypatch)
    assert find_loudness(taps(0.25)).db == pytest.approx(PROBE_RMS_DB - 12.04, abs=0.01)
    assert not [p for p in tmp_path.rglob("*") if "part" in p.name]


def test_folders_and_odd_entries_in_the_cache_count_as_nothing(empty_cache: Path) -> None:
    (empty_cache / "kind" / "key.json").mkdir(parents=True)
    assert cached_number("kind", "key", 0, 1) is None
    keep_number("kind", "key", 0.5)
    assert cached_number("kind", "key", 0, 1) is None
    keep_number("kind", "other", 0.5)
    assert cached_number("kind", "other", 0, 1) == 0.5
    assert cached_number("kind", "other", 0.6, 1) is None
    os.mkfifo(empty_cache / "kind" / "pipe.json")
    assert cached_number("kind", "pipe", 0, 1) is None


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("NEURAL_FX_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "xdg" / "neural-fx"


def test_measuring_needs_no_torch(write: Write) -> None:
    code = (
        f"import sys, neural_fx; neural_fx.load({str(write(bare(wavenet_document())))!r}, level='normalized');"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- where people meet it ----------------------------------------------------------------------------------------------


def test_info_says_where_a_loudness_comes_from(write: Write) -> None:
    stated = describe(read(write(wavenet_document())))
    assert (stated["loudness_db"], stated["loudness_source"]) == (-20.0, "stated")
    measured = describe(read(write(bare(wavenet_document()), "bare.nam")))
    assert measured["loudness_source"] == "measured"
    assert measured["levels"] == ["raw", "normalized"]
    assert measured["metadata"]["loudness"] is None
    assert measured["loudness_db"] == pytest.approx(measure_loudness(capture_of(wavenet_document())), abs=0.01)


def test_loading_on_a_live_board_does_not_jump(tmp_path: Path, write: Write) -> None:
    """Two captures 20 dB apart that state no loudness, on one stream: the same loudness before and after."""
    quiet, loud = (
        write({**linear_document(taps=1), "weights": [gain, 0.0], "metadata": None}, f"{gain}.nam") for gain in (0.2, 2)
    )
    boards = {}
    for capture in (quiet, loud):
        boards[capture] = capture.with_suffix(".yaml")
        boards[capture].write_text(f"slots:\n- model: {capture.name}\n  level: normalized\n")
    clip = probe(48000)[None, 48000:144000]
    for second in (boards[loud], loud):
        host = BoardHost("live", board_from(boards[quiet]))
        stream = host.open(Spec(48000, 1, 512))
        before = stream.process(clip)
        host.load(board_from(second, host.output_level))
        stream.process(np.zeros((1, 48000), np.float32))
        after = stream.process(clip)
        assert not stream.muted
        assert rms_db(after) == pytest.approx(rms_db(before), abs=0.1)
        assert host.output_level == "normalized"
    assert BoardHost("raw", board_from(loud)).output_level == "raw"


def test_bundled_pedals_keep_their_level_in_a_board_file(tmp_path: Path) -> None:
    board = neural_fx.Pedalboard([TubeScreamer(level="normalized", drive=0.8)])
    board.save(tmp_path / "board.yaml")
    again = load_board(tmp_path / "board.yaml")[0]
    assert (again.output_level, again.drive, again.level) == ("normalized", 0.8, 0.5)
    assert again._level_gains == (0.0, pytest.approx(-18 + 19.2572))
    (tmp_path / "bad.yaml").write_text("slots:\n- pedal: ds-1\n  level: calibrated\n")
    with pytest.raises(BoardError, match="line 3"):
        load_board(tmp_path / "bad.yaml")


def test_no_warning_where_all_is_well(write: Write) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        neural_fx.load(write(wavenet_document()), level="normalized")
