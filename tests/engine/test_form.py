"""Which form of the engine runs: the compiled modules only if all of them were made from the sources that are there."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import engine
from engine import form

ENGINE: Final = Path(__file__).parents[2] / "engine"
NOTHING: Final[dict[str, str]] = {}

# Says which form runs, of what kinds of files it was loaded, and whether all of them stand in the folder that is meant.
PROBE: Final = """
import importlib, sys
from pathlib import Path
import engine.machine, engine.snapshot
for path in Path(sys.argv[1]).glob("*.pxd"):
    if path.with_suffix(".py").exists():
        importlib.import_module(f"engine.{path.stem}")
print(engine.FORM)
loaded = [module for name, module in sys.modules.items() if name.startswith("engine.")]
print(sorted({Path(module.__file__).suffix for module in loaded}))
print(all(Path(module.__file__).parent == Path(sys.argv[1]) for module in loaded))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Looks like an engine of which two modules were compiled."""
    for module in ("book", "plain", "stops", "wire"):
        (tmp_path / f"{module}.py").write_text(f"NAME = '{module}'\n")
    for declarations in ("book", "stops", "wire", "only_declarations"):
        (tmp_path / f"{declarations}.pxd").write_text(f"# {declarations}\n")
    for module in ("book", "stops"):
        (tmp_path / f"{module}{form.SUFFIX}").touch()
    (tmp_path / form.MANIFEST).write_text(form.manifest_of_success(form.source_digests(tmp_path)))
    return tmp_path


def test_unchanged_sources_run_compiled(folder: Path) -> None:
    found = form.decide(folder, NOTHING)
    assert found.compiled
    assert found.modules == {"book", "stops"}
    assert str(found) == "compiled"


def interpreted_because(folder: Path, reason: str, environment: dict[str, str] = NOTHING) -> bool:
    found = form.decide(folder, environment)
    assert str(found) == f"interpreted, because {reason}"
    return found == form.Form(frozenset(), reason)


def test_the_environment_can_ask_for_the_interpreted_form(folder: Path) -> None:
    assert interpreted_because(folder, "TALLY_PURE=1 asks for it", {"TALLY_PURE": "1"})
    assert form.decide(folder, {"TALLY_PURE": "0"}).compiled
    assert form.decide(folder, {"TALLY_PURE": ""}).compiled


@pytest.mark.parametrize("changed", ["book.py", "book.pxd", "wire.pxd", "only_declarations.pxd"])
def test_one_changed_source_makes_everything_interpreted(folder: Path, changed: str) -> None:
    with (folder / changed).open("a") as file:
        file.write("# one line more\n")
    assert interpreted_because(folder, "its sources changed since it was compiled; `make install` compiles it again")


@pytest.mark.parametrize("unconcerned", ["plain.py", "wire.py"])
def test_a_module_that_is_not_compiled_may_change(folder: Path, unconcerned: str) -> None:
    (folder / unconcerned).write_text("NAME = 'another'\n")
    assert form.decide(folder, NOTHING).compiled


@pytest.mark.parametrize("name", ["plain.pxd", "stops.pxd"])
def test_a_module_more_or_less_to_compile_is_a_change(folder: Path, name: str) -> None:
    path = folder / name
    if path.exists():
        path.unlink()
    else:
        path.touch()
    assert "its sources changed" in form.decide(folder, NOTHING).why_interpreted


def test_without_a_manifest_nothing_compiled_is_used(folder: Path) -> None:
    (folder / form.MANIFEST).unlink()
    assert interpreted_because(folder, "it was not compiled; `make install` compiles it")


def test_a_missing_module_makes_everything_interpreted(folder: Path) -> None:
    (folder / f"stops{form.SUFFIX}").unlink()
    assert interpreted_because(folder, "compiled modules are missing; `make install` compiles them")


def test_modules_for_another_python_are_not_used(folder: Path) -> None:
    document = json.loads((folder / form.MANIFEST).read_text())
    (folder / form.MANIFEST).write_text(json.dumps({**document, "suffix": ".cpython-39-x86_64-linux-gnu.so"}))
    assert interpreted_because(folder, "it was compiled for another Python; `make install` compiles it for this one")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"failure": ""}', "\udcff"])
def test_a_damaged_manifest_is_no_manifest(folder: Path, text: str) -> None:
    (folder / form.MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert interpreted_because(folder, "compiled.json is damaged; `make install` mends it")


def test_the_reason_of_the_build_is_told(folder: Path) -> None:
    (folder / form.MANIFEST).write_text(form.manifest_of_failure("no C compiler was found"))
    assert interpreted_because(folder, "no C compiler was found")


def test_the_engine_of_this_process_is_what_it_says_it_is() -> None:
    for name, module in list(sys.modules.items()):
        package, _, stem = name.rpartition(".")
        if package == "engine":
            assert module.__file__ is not None
            expected = form.SUFFIX if stem in engine.FORM.modules else ".py"
            assert Path(module.__file__) == ENGINE / f"{stem}{expected}"


def run_probe(root: Path, **environment: str) -> list[str]:
    """What a new process says that imports the engine of ``root``."""
    clean = {name: value for name, value in os.environ.items() if name != "TALLY_PURE"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(root / "engine")],
        cwd=root,
        env={**clean, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Path]:
    """A root with a copy of the engine, with everything that was compiled of it."""
    shutil.copytree(ENGINE, tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    yield tmp_path
    shutil.rmtree(tmp_path / "engine")


def test_the_interpreted_form_runs_whatever_stands_beside_the_sources(copied: Path) -> None:
    """Python itself would prefer the extension modules, and fail: these are none."""
    for path in list((copied / "engine").glob("*.py")):
        if path.stem not in ("__init__", "form"):
            path.with_name(path.stem + form.SUFFIX).write_bytes(b"not an extension module")
    assert run_probe(copied, TALLY_PURE="1") == ["interpreted, because TALLY_PURE=1 asks for it", "['.py']", "True"]
    (copied / "engine" / form.MANIFEST).unlink(missing_ok=True)
    assert run_probe(copied) == [
        "interpreted, because it was not compiled; `make install` compiles it",
        "['.py']",
        "True",
    ]


needs_compiled = pytest.mark.skipif(
    not form.decide(ENGINE, NOTHING).compiled,
    reason=f"there is no compiled engine here: {form.decide(ENGINE, NOTHING).why_interpreted}",
)


@needs_compiled
def test_the_compiled_form_runs_where_nothing_changed(copied: Path) -> None:
    assert run_probe(copied) == ["compiled", "['.py', '.so']", "True"]


@needs_compiled
def test_a_planted_bug_is_not_hidden_by_a_compiled_module(copied: Path) -> None:
    changed = copied / "engine" / f"{min(form.compiled_modules(ENGINE))}.py"
    changed.write_text(changed.read_text() + "\nPLANTED = True\n")
    assert run_probe(copied) == [
        "interpreted, because its sources changed since it was compiled; `make install` compiles it again",
        "['.py']",
        "True",
    ]
