"""The build compiles the engine, all of it or nothing, and never fails for want of a compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import form

ROOT = Path(__file__).parents[1]

pytest.importorskip("Cython", reason="Cython is not installed: `make install` installs it")
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with an engine of two small modules, and what the build needs besides."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "engine/__init__.py", "engine/form.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for module in ("counter", "doubler"):
        (tmp_path / "engine" / f"{module}.py").write_text("def step(number: int) -> int:\n    return number + 1\n")
        (tmp_path / "engine" / f"{module}.pxd").write_text("cpdef long long step(long long number)\n")
    return tmp_path


def build(tree: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("TALLY_PURE", "CC")}
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", *options],
        cwd=tree,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done


def form_of(tree: Path) -> form.Form:
    return form.decide(tree / "engine", {})


@needs_compiler
def test_everything_is_compiled_and_only_what_changed_again(tree: Path) -> None:
    built = build(tree, "--inplace")
    assert form_of(tree) == form.Form(frozenset(["counter", "doubler"]), ""), built.stderr
    assert {path.suffix for path in (tree / "engine").iterdir() if path.is_file()} == {".py", ".pxd", ".so", ".json"}

    objects = {path.stem: path for path in (tree / "build").rglob("*.o")}
    made_ns = {name: path.stat().st_mtime_ns for name, path in objects.items()}
    changed = tree / "engine" / "doubler.py"
    changed.write_text(changed.read_text().replace("number + 1", "2 * number"))
    os.utime(changed, (0, 0))  # a file that was put back may have any time
    assert "its sources changed" in form_of(tree).why_interpreted
    build(tree, "--inplace")
    assert form_of(tree).compiled
    assert objects["counter"].stat().st_mtime_ns == made_ns["counter"]
    assert objects["doubler"].stat().st_mtime_ns > made_ns["doubler"]
    said = subprocess.run(
        [sys.executable, "-c", "from engine import doubler; print(doubler.step(21), doubler.__file__)"],
        cwd=tree,
        env={**{name: value for name, value in os.environ.items() if name != "TALLY_PURE"}, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
    )
    assert said.stdout == f"42 {tree}/engine/doubler{form.SUFFIX}\n", said.stderr


@needs_compiler
def test_constants_with_a_c_type_are_constants_in_c(tree: Path) -> None:
    """Whatever they are made from, they have the values of the interpreted form; what is no number stays a variable."""
    (tree / "engine" / "counter.py").write_text(
        "from typing import Final\n\nBITS: Final = 5\nLIMIT: Final = 1 << 63\nNAMES: Final = ('a', 'b')\n"
    )
    (tree / "engine" / "doubler.py").write_text(
        "from typing import Final\n\nfrom engine.counter import BITS, LIMIT, NAMES\n\n"
        "_LOWEST: Final = -LIMIT\n_SLOTS: Final = 1 << BITS\n_COUNT: Final = len(NAMES)\n\n\n"
        "def step(number: int) -> int:\n    return _SLOTS * number + _COUNT\n\n\n"
        "def lowest() -> int:\n    return _LOWEST\n"
    )
    (tree / "engine" / "counter.pxd").write_text("")
    (tree / "engine" / "doubler.pxd").write_text(
        "from libc.stdint cimport int64_t\n\ncdef int _SLOTS, _COUNT\ncdef int64_t _LOWEST\n\n"
        "cpdef long long step(long long number)\ncpdef int64_t lowest()\n"
    )
    built = build(tree, "--inplace")
    assert form_of(tree).compiled, built.stderr
    translated = next((tree / "build").rglob("doubler.c")).read_text()
    assert "#define tally_doubler__SLOTS ((int)32ll)" in translated
    assert "tally_doubler__COUNT" not in translated
    code = "from engine import doubler; print(doubler.step(2), doubler.lowest(), doubler.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        env={**{name: value for name, value in os.environ.items() if name != "TALLY_PURE"}, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
    )
    assert said.stdout == f"66 {-(1 << 63)} {tree}/engine/doubler{form.SUFFIX}\n", said.stderr


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("/nowhere/cc", "no C compiler was found when Tallystick was installed"),
        ("false", "the C compiler failed when Tallystick was installed"),
    ],
)
def test_without_a_compiler_the_build_succeeds_and_says_why(tree: Path, compiler: str, reason: str) -> None:
    built = build(tree, "--inplace", CC=compiler)
    assert f"warning: the engine will run interpreted, because {reason}" in built.stderr
    assert form_of(tree).why_interpreted.startswith(reason)


@needs_compiler
def test_a_module_that_cannot_be_compiled_leaves_none_for_the_wheel(tree: Path) -> None:
    (tree / "engine" / "doubler.pxd").write_text("cpdef nonsense step(\n")
    build(tree, "--build-lib", "lib")
    assert sorted(path.name for path in (tree / "lib").rglob("*") if path.is_file()) == [form.MANIFEST]
    built = tree / "lib" / "engine"
    assert form.decide(built, {}).why_interpreted == "compiling it failed: engine/doubler.py"


def test_nothing_is_compiled_where_the_interpreted_form_is_asked_for(tree: Path) -> None:
    build(tree, "--inplace", TALLY_PURE="1")
    assert form_of(tree).why_interpreted == "it was not compiled; `make install` compiles it"
