"""YAML is read as people mean it, and what is written comes back in readers of YAML 1.1 and 1.2."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_fx.yaml_text import YamlError, read_yaml, write_yaml

READ = {
    "on": "on", "off": "off", "yes": "yes", "No": "No", "y": "y", "true": True, "False": False, "010": 10, "-07": -7,
    "0o17": 15, "0x10": 16, "1_000": "1_000", "12:30:00": "12:30:00", "2024-01-01": "2024-01-01", "1e3": 1000.0,
    "1E-3": 0.001, ".5": 0.5, "5.": 5.0, "+3": 3, "-.5e1": -5.0, "~": None, "null": None, "": None, "'1'": "1",
    '"on"': "on", "=": "=", "0b11": "0b11", ".inf": float("inf"), "-.Inf": float("-inf"), "|-\n  1": "1",
}  # fmt: skip


@pytest.mark.parametrize("text", list(READ))
def test_a_scalar_is_what_people_mean(text: str) -> None:
    found = read_yaml(f"key: {text}\n".encode()).value["key"]
    assert found == READ[text]
    assert type(found) is type(READ[text])


def test_keys_are_text_and_lines_are_known() -> None:
    document = read_yaml(b"\xef\xbb\xbfon: 1\n010: [a,\n  {b: 2}]\ntrue: x\n")
    assert document.value == {"on": 1, "010": ["a", {"b": 2}], "true": "x"}
    assert document.lines[("010", 1, "b")] == 3
    assert document.lines[("true",)] == 4
    assert read_yaml(b"").value is None


REFUSED = {
    "a: 1\nb: 2\na: 3\n": "line 3: duplicate key 'a' (first on line 1)",
    "x:\n  on: 1\n  on: 2\n": "line 3: duplicate key 'on' (first on line 2)",
    "a: &x 1\nb: *x\n": "line 2: uses a YAML alias (*x)",
    "a:\n  <<: {b: 1}\n": "line 2: uses a merge key (<<)",
    "a: !!float 1\n": "line 1: uses the YAML tag !!float",
    "a: !!python/object/apply:os.getcwd []\n": "uses the YAML tag !!python/object/apply:os.getcwd",
    "? [1]\n: 2\n": "line 1: is not valid YAML here: a key must be text",
    "a: [1\n": "is not valid YAML",
    "a: 1\n---\nb: 2\n": "is not valid YAML",
    "\tb: 1\n": "line 1: is not valid YAML",
    "a: " + "9" * 5000: "line 1: a number of 5000 digits is too long",
    "- " + "[" * 5000: "is nested too deeply",
}


@pytest.mark.parametrize("text", list(REFUSED), ids=lambda text: text[:20])
def test_surprises_are_refused_with_the_line(text: str) -> None:
    with pytest.raises(YamlError) as refused:
        read_yaml(text.encode())
    assert REFUSED[text] in str(refused.value)
    with pytest.raises(YamlError, match="UTF-8"):
        read_yaml(b"\xff\xfe")


LOOKALIKE = st.from_regex(r"[-+.0-9eExob_:~a-fINnu]{1,8}", fullmatch=True)
SCALARS = st.one_of(
    st.text(), LOOKALIKE, st.integers(-(10**30), 10**30), st.floats(allow_nan=False), st.booleans(), st.none()
)
KEYS = st.text() | LOOKALIKE
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=8)


@settings(deadline=None, max_examples=200)
@given(DATA)
def test_what_is_written_is_read_back(value: Any) -> None:
    text = write_yaml(value)
    assert read_yaml(text.encode()).value == value
    assert yaml.safe_load(text) == value  # YAML 1.1, as everything else reads it


@settings(deadline=None, max_examples=200)
@given(st.binary() | st.text(alphabet="ab:-? []{}#&*!|>'\"\n\t<1.e", max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_in_one_line(data: bytes) -> None:
    try:
        read_yaml(data)
    except YamlError as error:
        assert "\n" not in str(error)
