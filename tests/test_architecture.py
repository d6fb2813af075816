"""Which package may import which, and what the deterministic engine must not touch.

Both are read from the syntax trees, so nothing is executed. The checks are tested too: each has a
line of code that it must object to.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "replication", "gateway", "projections", "sim")
# A part of a package with arrows of its own: what may import the package may not import this unless it is named too.
QUERY = "projections.query"

# An arrow: what the package on the left may import of ours. A module's name stands for what is below it too.
# Source: ARCHITECTURE.md.
ARROWS = {
    "engine": ("engine",),
    "replication": ("replication", "engine"),
    "gateway": (
        "gateway",
        "engine.amounts",
        "engine.codec",
        "engine.commands",
        "engine.events",
        "engine.rejects",
        "engine.types",
        "replication.handshake",
        "replication.identity",
        "replication.kafka_clients",
        "replication.protocol",
        "replication.refusals",
        "replication.tls",
        "projections",
    ),
    QUERY: (
        QUERY,
        "engine.amounts",
        "engine.events",
        "engine.rejects",
        "engine.types",
        "gateway.errors",
        "gateway.freshness",
        "gateway.history_columns",
        "gateway.history_routes",
        "gateway.order_bodies",
        "gateway.parsing",
        "gateway.rendering",
        "gateway.times",
        "projections",
        "replication.handshake",
        "replication.identity",
        "replication.refusals",
        "replication.tls",
    ),
    "projections": (
        "projections",
        "engine.amounts",
        "engine.codec",
        "engine.commands",
        "engine.entry",
        "engine.events",
        "engine.types",
    ),
    "sim": (*PACKAGES, QUERY),
    "tally": (*PACKAGES, QUERY),
}

# All that the engine may import besides itself: nothing here has a clock, chance, a file or a socket.
ENGINE_MODULES = frozenset(
    [
        "__future__",
        "array",
        "bisect",
        "collections",
        "collections.abc",
        "enum",
        "functools",
        "heapq",
        "itertools",
        "operator",
        "re",
        "struct",
        "typing",
        "blake3",
    ]
)
# These choose, before the state machine is imported, whether it runs compiled. They alone may look at files and at the
# environment, and nothing of the state machine may import them.
ENGINE_LOADER_MODULES = {
    "__init__.py": frozenset(["pathlib"]),
    "form.py": frozenset(["hashlib", "importlib.machinery", "importlib.util", "json", "os", "pathlib", "sys", "types"]),
}
# The same of the .pxd files, which give the compiled form its C types: memory and integers, no clock, no system.
ENGINE_C_MODULES = frozenset(["cython", "cpython.bytearray", "cpython.bytes", "libc.stdint", "libc.string"])
ENGINE_C_NAMES = re.compile(r"\b(?:double|float|time|rand|random|getenv|include)\b")
_CIMPORT = re.compile(r"\s*(?:from\s+(\S+)\s+cimport\b|cimport\s+(\S+))")
ENGINE_FORBIDDEN_CALLS = frozenset(
    ["open", "hash", "id", "repr", "float", "print", "input", "eval", "exec", "compile", "__import__", "vars"]
)


def modules() -> list[Path]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [*files, ROOT / "tally.py"]


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every imported module with its line. ``from engine import codec`` is ``engine.codec``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            is_package_of_ours = node.module in PACKAGES
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}" if is_package_of_ours else node.module


def arrow_faults(package: str, tree: ast.Module) -> list[str]:
    faults = []
    for line, name in imports(tree):
        top = name.partition(".")[0]
        if top == "tally":
            faults.append(f"line {line}: imports {name}: nobody imports the command line")
        elif top in PACKAGES and not any(is_below(name, arrow) for arrow in ARROWS[package]):
            faults.append(f"line {line}: imports {name}: {package} may import {', '.join(ARROWS[package])}")
    return faults


def is_below(name: str, arrow: str) -> bool:
    if is_in(name, QUERY):
        return is_in(arrow, QUERY)
    return is_in(name, arrow)


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return QUERY if is_in(".".join(parts), QUERY) else parts[0]


def determinism_faults(tree: ast.Module, file: str = "") -> list[str]:
    """What could differ between replicas in one file of the engine, given by its name."""
    of_loader = ENGINE_LOADER_MODULES.get(file, frozenset())
    faults = [
        f"line {line}: imports {name}"
        for line, name in imports(tree)
        if name.partition(".")[0] != "engine" and name not in ENGINE_MODULES | of_loader
    ]
    if file not in ENGINE_LOADER_MODULES:
        faults += [
            f"line {line}: imports {name}: the state machine does not know its own form"
            for line, name in imports(tree)
            if name in ("engine.form", "engine.FORM")
        ]
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex()):
                faults.append(f"line {node.lineno}: a float literal")
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                faults.append(f"line {node.lineno}: a division that gives a float")
            case ast.Call(func=ast.Name(id=name)) if name in ENGINE_FORBIDDEN_CALLS:
                faults.append(f"line {node.lineno}: calls {name}()")
            case ast.For(iter=iterable) | ast.comprehension(iter=iterable) if is_a_set(iterable):
                faults.append(f"line {iterable.lineno}: iterates over a set, in an order that depends on hashing")
            case ast.Global():
                faults.append(f"line {node.lineno}: a global that changes")
            case ast.AsyncFunctionDef():
                faults.append(f"line {node.lineno}: an async function")
    return faults


def c_faults(text: str) -> list[str]:
    """What could differ between replicas in one .pxd of the engine."""
    faults = []
    for line, source in enumerate(text.splitlines(), start=1):
        code = source.partition("# ")[0]
        cimport = _CIMPORT.match(code)
        name = cimport and (cimport[1] or cimport[2])
        if name and name.partition(".")[0] != "engine" and name not in ENGINE_C_MODULES:
            faults.append(f"line {line}: cimports {name}")
        elif "extern from" in code and "extern from *" not in code:
            faults.append(f"line {line}: declares what another header has")
        elif found := ENGINE_C_NAMES.search(code):
            faults.append(f"line {line}: says {found[0]}")
    return faults


def is_a_set(node: ast.expr) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return is_a_set(left) or is_a_set(right)
    return False


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    assert arrow_faults(package_of(path), ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", sorted((ROOT / "engine").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_engine_is_a_function_of_its_inputs(path: Path) -> None:
    file = str(path.relative_to(ROOT / "engine"))
    assert determinism_faults(ast.parse(path.read_text()), file) == []


@pytest.mark.parametrize("path", sorted((ROOT / "engine").glob("*.pxd")), ids=lambda path: path.name)
def test_the_compiled_engine_is_a_function_of_its_inputs(path: Path) -> None:
    assert path.with_suffix(".py").exists(), "it gives types to no module"
    assert c_faults(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "from libc.time cimport time",
        "from libc.stdlib cimport rand",
        "cimport posix.unistd",
        "from cpython.time cimport perf_counter",
        "cdef double price",
        "    cdef float _fee",
        'cdef extern from "time.h":',
        "    #include <time.h>",
        'include "other.pxi"',
    ],
)
def test_what_could_differ_between_compiled_replicas_is_found(line: str) -> None:
    assert c_faults(f"cimport cython\n{line}\n") != []


def test_c_types_are_let_through() -> None:
    lines = ["from libc.stdint cimport int64_t", "from engine cimport wire", "cdef int64_t price_ticks  # no float"]
    assert c_faults("\n".join(lines)) == []


def test_there_are_modules_to_check() -> None:
    """An empty list of files would pass everything above."""
    for package in PACKAGES:
        assert any(package in path.parts for path in modules()), package
    assert any((ROOT / "engine").glob("*.pxd"))


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_package_is_a_place_for_odds_and_ends(package: str) -> None:
    names = {path.stem for path in (ROOT / package).rglob("*") if "__pycache__" not in path.parts}
    assert not names & {"utils", "util", "common", "helpers", "helper", "misc", "models", "services"}


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("engine", "import replication.config"),
        ("engine", "from gateway import app"),
        ("replication", "from gateway.serve import serve"),
        ("replication", "import projections"),
        ("gateway", "from engine.machine import Machine"),
        ("gateway", "from engine import ledger"),
        ("gateway", "from replication.journal import Journal"),
        ("projections", "from engine import ledger"),
        ("projections", "def later():\n    from gateway import errors"),
        ("projections", "from projections.query.source import Source"),
        ("gateway", "from projections.query import endpoint"),
        (QUERY, "from gateway.app import App"),
        ("gateway", "from sim.client import Client"),
        ("sim", "import tally"),
    ],
)
def test_a_forbidden_import_is_found(package: str, line: str) -> None:
    assert len(arrow_faults(package, ast.parse(line))) == 1


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("replication", "from engine.machine import Machine\nimport os"),
        ("gateway", "from engine import codec\nfrom engine.events import Event\nfrom replication import protocol"),
        ("projections", "from engine import codec, events"),
        (QUERY, "from projections.query.source import Source\nfrom projections import schema"),
        ("tally", "from sim.demo import main"),
    ],
)
def test_an_allowed_import_is_let_through(package: str, line: str) -> None:
    assert arrow_faults(package, ast.parse(line)) == []


@pytest.mark.parametrize(
    "line",
    [
        *(
            f"import {name}"
            for name in [
                "time",
                "random",
                "os",
                "io",
                "socket",
                "threading",
                "uuid",
                "logging",
                "datetime",
                "secrets",
                "decimal",
            ]
        ),
        "from time import time_ns",
        "import collections.abc, os.path",
        "x = 0.5",
        "x = 1e3",
        "x = a / b",
        "x /= 2",
        "from engine import FORM",
        "from engine import form",
        "from engine.form import Form",
        "open('f')",
        "key = hash(name)",
        "key = id(order)",
        "for x in {1, 2}: pass",
        "for x in set(names): pass",
        "total = [x for x in frozenset(names)]",
        "for x in set(a) | b: pass",
        "def f():\n    global cache",
        "async def f(): pass",
    ],
)
def test_what_could_differ_between_replicas_is_found(line: str) -> None:
    assert determinism_faults(ast.parse(line)) != []


def test_the_choice_of_the_form_may_look_around_and_nothing_else_may() -> None:
    tree = ast.parse("import os, hashlib\nfrom engine.form import Form")
    assert determinism_faults(tree, "form.py") == []
    assert len(determinism_faults(tree, "machine.py")) == 3
    assert determinism_faults(ast.parse("import time, random, socket"), "form.py") != []


def test_integers_and_sorted_sets_are_let_through() -> None:
    source = "import struct\nx = a // b\nfor name in sorted(set(names)): pass\nfound = name in {1, 2}\n"
    assert determinism_faults(ast.parse(source)) == []
