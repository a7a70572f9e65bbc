"""Bad model files: one clear line, the field named, nothing hung, nothing swollen, nothing executed."""

from __future__ import annotations

import copy
import json
import pickle
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neural_fx
from neural_fx.errors import ModelError
from neural_fx.formats import parse
from tests.conftest import DOCUMENTS, container_document, guitarml_document, wavenet_document


def refused(document: Any) -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(ModelError) as caught:
        parse(data)
    message = str(caught.value)
    assert "\n" not in message
    return message


def changed(path: str, value: Any, document: dict[str, Any] | None = None) -> dict[str, Any]:
    document = copy.deepcopy(document or wavenet_document())
    *way, last = path.split("/")
    node: Any = document
    for key in way:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[int(last) if isinstance(node, list) else last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("weights", [0.0] * 10, ["weights", "needs 143", "found 10"]),
        ("weights", "many", ["weights", "list of numbers", "'many'"]),
        ("weights", [0.1, None], ["weights", "null"]),
        ("weights", [1e39] * 143, ["weights", "finite"]),
        ("architecture", "Transformer", ["architecture", "'Transformer'", "known: WaveNet"]),
        ("architecture", "CatWaveNet", ["architecture", "withdrawn"]),
        ("version", "0.4.9", ["version", "0.4.9", "0.5.0"]),
        ("version", "0.8.0", ["version", "0.8.0"]),
        ("version", "1", ["version", "0.7.0"]),
        ("config/layers/0/channels", 0, ["config.layers[0].channels", "1 to"]),
        ("config/layers/0/channels", 10**9, ["config.layers[0].channels"]),
        ("config/layers/0/channels", True, ["config.layers[0].channels", "True"]),
        ("config/layers/0/dilations", [], ["config.layers[0].dilations"]),
        ("config/layers/0/dilations", [1] * 100_000, ["config.layers[0].dilations", "100000"]),
        ("config/layers/0/dilations", [2**20, 2**20, 2**20], ["config", "past values"]),
        ("config/layers/0/activation", "Softsigmoid", ["activation", "trainer"]),
        ("config/layers/0/activation", "Wobble", ["activation", "'Wobble'", "Tanh"]),
        ("config/layers/0/kernel_sizes", [3, 3, 3], ["config.layers[0]", "kernel_size"]),
        ("config/layers/0/input_size", 2, ["config.layers[0].input_size", "expected 1"]),
        ("config/layers", [], ["config.layers"]),
        ("config/layers", {"a": 1}, ["config.layers", "an object with 1 keys"]),
        ("sample_rate", "fast", ["sample_rate", "'fast'"]),
        ("sample_rate", 1e9, ["sample_rate"]),
    ],
)
def test_the_error_names_the_field_and_what_is_wrong(path: str, value: Any, words: list[str]) -> None:
    message = refused(changed(path, value))
    for word in words:
        assert word in message


def test_guitarml_errors() -> None:
    assert "rec.weight_hh_l0" in refused(changed("state_dict/rec.weight_hh_l0", [[1.0]], guitarml_document()))
    assert "unit_type" in refused(changed("model_data/unit_type", "RNN", guitarml_document()))
    missing = guitarml_document()
    del missing["state_dict"]["lin.weight"]
    assert "state_dict.lin.weight: missing" in refused(missing)


def test_container_errors() -> None:
    assert "ascend" in refused(changed("config/submodels/1/max_value", 0.1, container_document()))
    assert "sample rates" in refused(changed("config/submodels/0/model/sample_rate", 44100, container_document()))
    nested: Any = wavenet_document()
    for _ in range(30):
        nested = changed("config/submodels/0/model", nested, container_document())
    assert "deep" in refused(nested)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"hello", "not valid JSON"),
        (b"\xff\xfe\x00", "not text"),
        (b"[1, 2]", "none of the known models"),
        (b"{}", "none of the known models"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04rest", "zip"),
        (b"RIFF....WAVE", "WAV"),
        (b"[" * 1000 + b"]" * 1000, "none of the known models"),
        (b"[" * 100_000, "nested"),
        (b'{"architecture": "WaveNet", "weights": [NaN]}', "NaN"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "none of the known models"),
        (b"[" + b"9" * 5000 + b"]", "JSON"),
        (b"[" * (8 * 2**20 + 1), "at most 8 MB"),
    ],
    ids=range(15),
)
def test_what_is_not_a_model(data: bytes, words: str) -> None:
    message = refused(data)
    assert words in message or ("nested" in message and data[:3] in (b"[[[", b'{"a'))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    witness = tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return witness.touch, ()

    path = tmp_path / "model.nam"
    path.write_bytes(pickle.dumps(Bomb(), protocol=4))
    with pytest.raises(ModelError, match="pickle"):
        neural_fx.load(path)
    assert not witness.exists()


def test_the_file_is_named(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(changed("weights", []))
    with pytest.raises(ModelError, match=r"model\.nam: weights: the config needs 143"):
        neural_fx.load(path)
    with pytest.raises(ModelError, match="No such file"):
        neural_fx.load(tmp_path / "absent.nam")
    with pytest.raises(ModelError, match="directory"):
        neural_fx.load(tmp_path)


def test_later_patch_versions_warn() -> None:
    with pytest.warns(UserWarning, match=r"0\.7\.3"):
        parse(json.dumps(wavenet_document(version="0.7.3")).encode())


def bombs() -> dict[str, bytes]:
    million = ",".join(["1"] * 4_000_000)
    layer = json.dumps(wavenet_document()["config"]["layers"][0])
    many = json.dumps(changed("config/layers", "@")).replace('"@"', f"[{','.join([layer] * 30_000)}]")
    wide = [
        {
            **wavenet_document()["config"]["layers"][0],
            "channels": 4096,
            "kernel_size": 2**20,
            "dilations": [2**20] * 1024,
        }
    ]
    return {
        "four million layers": changed_text(million),
        "thirty thousand arrays": many.encode(),
        "huge by declaration": json.dumps(changed("config/layers", wide)).encode(),
        "many small objects": b"[" + b",".join([b'{"a":{}}'] * 900_000) + b"]",
        "many strings": b'{"architecture":"WaveNet","weights":[' + b",".join([b'"a"'] * 2_000_000) + b"]}",
    }


def changed_text(dilations: str) -> bytes:
    return json.dumps(changed("config/layers/0/dilations", "@")).replace('"@"', f"[{dilations}]").encode()


@pytest.mark.parametrize("name", list(bombs()))
def test_bombs_are_refused_in_bounded_memory(name: str) -> None:
    data = bombs()[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    refused(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB
    assert time.process_time() - began < 20  # a hang would be minutes; normal is under a second


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def paths(node: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, long lists of numbers by their first two entries only."""
    found = [way]
    items = node.items() if isinstance(node, dict) else enumerate(node[:2]) if isinstance(node, list) else ()
    for key, value in items:
        found += paths(value, (*way, key))
    return found


@pytest.mark.parametrize("name", list(DOCUMENTS))
@given(data=st.data())
def test_fuzz_one_field(name: str, data: st.DataObject) -> None:
    """Any field replaced by anything: it loads, or it raises ModelError; nothing else."""
    document = copy.deepcopy(DOCUMENTS[name]())
    places = [p for p in paths(document) if p]
    for place in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        node: Any = document
        try:
            for key in place[:-1]:
                node = node[key]
            if data.draw(st.booleans()):
                node[place[-1]] = data.draw(JUNK)
            elif isinstance(node, dict):
                node.pop(place[-1])
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change removed the place
    try:
        parse(json.dumps(document).encode())
    except ModelError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=200))
def test_fuzz_bytes(data: bytes) -> None:
    with pytest.raises(ModelError):
        parse(data)


@given(st.data())
def test_fuzz_truncation(data: st.DataObject) -> None:
    whole = json.dumps(wavenet_document()).encode()
    with pytest.raises(ModelError):
        parse(whole[: data.draw(st.integers(0, len(whole) - 1))])
