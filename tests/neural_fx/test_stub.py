"""The typed stub of the compiled module describes what was built: names, arguments, defaults, types."""

from __future__ import annotations

import ast
import enum
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from neural_fx.engines import cpu

STUB = Path(__file__).parents[2] / "neural_fx/native/_core.pyi"
Function = ast.FunctionDef

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the compiled engine was not built")


def definitions(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Return the definitions in a module or class by name, with those for this platform."""
    found: dict[str, ast.stmt] = {}
    for part in body:
        if isinstance(part, ast.If):
            assert ast.unparse(part.test) == "sys.platform != 'win32'"
            if sys.platform != "win32":
                found |= definitions(part.body)
        elif isinstance(part, (ast.ClassDef, ast.FunctionDef)):
            found[part.name] = part
        elif isinstance(part, ast.AnnAssign):
            found[ast.unparse(part.target)] = part
        elif isinstance(part, ast.Assign):
            found[ast.unparse(part.targets[0])] = part
    return found


MODULE = definitions(ast.parse(STUB.read_text(encoding="utf-8")).body)
CLASSES = {name: part for name, part in MODULE.items() if isinstance(part, ast.ClassDef)}
PLAIN = [name for name, part in CLASSES.items() if not part.bases]


def public(members: Any) -> set[str]:
    return {name for name in members if not name.startswith("_")}


def built_signature(function: Any) -> Function:
    """Parse the signature that nanobind tells, in the stub's words for types."""
    text: str = function.__nb_signature__[0][0]
    text = re.sub(r"ndarray\[dtype=(\w+)[^\]]*\]", r"NDArray[np.\1]", text)
    text = text.replace("neural_fx.native._core.", "").replace("collections.abc.", "")
    text = re.sub(r"\\(\d+)", r"DEFAULT_\1", text).replace("def (", "def getter(")
    (parsed,) = ast.parse(f"{text}: ...").body
    assert isinstance(parsed, ast.FunctionDef)
    return parsed


def fits(stub: ast.expr | None, built: ast.expr | None) -> bool:
    """Return whether a type of the stub is the built one, or says more than it."""
    if stub is None or built is None:
        return stub is built
    narrow, wide = ast.unparse(stub), ast.unparse(built)
    if narrow == wide or wide == "object" or narrow.startswith(f"{wide}["):
        return True
    if isinstance(stub, ast.Subscript) and isinstance(built, ast.Subscript):
        return ast.unparse(stub.value) == ast.unparse(built.value) and fits(stub.slice, built.slice)
    if isinstance(stub, ast.BinOp) and isinstance(built, ast.BinOp):  # X | None
        return fits(stub.left, built.left) and fits(stub.right, built.right)
    return False


def compare(where: str, stub: Function, function: Any) -> None:
    """Compare a function of the stub with the built one."""
    built = built_signature(function)
    defaults = function.__nb_signature__[0][2] or ()
    assert [len(stub.args.posonlyargs), len(stub.args.args)] == [
        len(built.args.posonlyargs),
        len(built.args.args),
    ], where
    assert [part.arg for part in stub.args.args] == [part.arg for part in built.args.args], where
    assert [ast.literal_eval(part) for part in stub.args.defaults] == list(defaults), where
    for mine, its in zip(stub.args.posonlyargs + stub.args.args, built.args.posonlyargs + built.args.args, strict=True):
        assert fits(mine.annotation, its.annotation), f"{where}: {mine.arg}"
    assert fits(stub.returns, built.returns), f"{where}: the returned type"
    assert ast.get_docstring(stub), f"{where}: no docstring"


def test_the_names_of_the_module() -> None:
    assert set(MODULE) == public(dir(cpu.core))


def test_the_signatures_of_the_functions() -> None:
    functions = {name: part for name, part in MODULE.items() if isinstance(part, ast.FunctionDef)}
    assert len(functions) == 9
    for name, part in functions.items():
        compare(name, part, getattr(cpu.core, name))


@pytest.mark.parametrize("name", sorted(set(CLASSES) - set(PLAIN)))
def test_the_members_of_an_enum(name: str) -> None:
    built = getattr(cpu.core, name)
    assert issubclass(built, enum.Enum)
    members = definitions(CLASSES[name].body)
    values = {key: ast.literal_eval(part.value) for key, part in members.items() if isinstance(part, ast.Assign)}
    assert values == {member.name: member.value for member in built}


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_the_members_of_a_class(name: str) -> None:
    built, stub = getattr(cpu.core, name), definitions(CLASSES[name].body)
    assert public(stub) == public(vars(built))
    assert ("__init__" in stub) == hasattr(built.__init__, "__nb_signature__")
    assert ast.get_docstring(CLASSES[name])
    for member, part in stub.items():
        where = f"{name}.{member}"
        its = vars(built)[member]
        if not isinstance(its, property):
            assert isinstance(part, ast.FunctionDef), where
            compare(where, part, its)
        elif its.fset is None:
            assert isinstance(part, ast.FunctionDef), f"{where} is read-only"
            assert [ast.unparse(mark) for mark in part.decorator_list] == ["property"]
            compare(where, part, its.fget)
        else:
            assert isinstance(part, ast.AnnAssign), f"{where} can be set"
            assert fits(part.annotation, built_signature(its.fget).returns), where
