"""Which form of the engine runs: its compiled modules, or their Python sources. Never a mixture.

The installation compiles every module that has a ``.pxd`` beside it (setup.py) and leaves a manifest of what it
compiled. Both forms give the same events and the same state; they differ in speed alone. A compiled module that was
made from other sources than those beside it would run what nobody can read there, so the compiled modules are used
when all of them are there and every source is what it was when they were made. Otherwise all of the engine runs
interpreted, and ``Form.why_interpreted`` says why.

This is the only module of the engine that looks at files and at the environment. It decides once, before any other one
is imported; the state machine does not know the decision.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

MANIFEST: Final = "compiled.json"
SUFFIX: Final = EXTENSION_SUFFIXES[0]

# Modules that stay Python although they have a .pxd, each with the reason.
NOT_COMPILED: Final = {"wire": "its .pxd has inline functions only, which are compiled into the modules that call them"}


class Form(NamedTuple):
    """``modules`` are those that run compiled; there are none exactly if there is a reason to run interpreted."""

    modules: frozenset[str]
    why_interpreted: str

    @property
    def compiled(self) -> bool:
        return not self.why_interpreted

    def __str__(self) -> str:
        return f"interpreted, because {self.why_interpreted}" if self.why_interpreted else "compiled"


class Finder:
    """Finds the engine's modules in the form that was decided, whatever else stands beside them."""

    def __init__(self, directory: Path, form: Form) -> None:
        self._directory = directory
        self._form = form

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = fullname.rpartition(".")
        if package != "engine":
            return None
        file = self._directory.joinpath(module + (SUFFIX if module in self._form.modules else ".py"))
        return spec_from_file_location(fullname, file) if file.exists() else None


def take_form(directory: Path) -> Form:
    """Decide, and let all that is imported from here on be of that form."""
    form = decide(directory, os.environ)
    sys.meta_path.insert(0, Finder(directory, form))
    return form


def decide(directory: Path, environment: Mapping[str, str]) -> Form:
    """The form that the engine in ``directory`` must run in."""
    if environment.get("TALLY_PURE") == "1":
        return _interpreted("TALLY_PURE=1 asks for it")
    try:
        manifest = json.loads(directory.joinpath(MANIFEST).read_bytes())
        if manifest["failure"]:
            return _interpreted(str(manifest["failure"]))
        suffix, sources = manifest["suffix"], manifest["sources"]
    except FileNotFoundError:
        return _interpreted("it was not compiled; `make install` compiles it")
    except (ValueError, KeyError, TypeError):
        return _interpreted(f"{MANIFEST} is damaged; `make install` mends it")
    if suffix != SUFFIX:
        return _interpreted("it was compiled for another Python; `make install` compiles it for this one")
    if sources != source_digests(directory):
        return _interpreted("its sources changed since it was compiled; `make install` compiles it again")
    modules = compiled_modules(directory)
    if not all(directory.joinpath(module + SUFFIX).exists() for module in modules):
        return _interpreted("compiled modules are missing; `make install` compiles them")
    return Form(frozenset(modules), "")


def manifest_of_success(sources: Mapping[str, str]) -> str:
    """What the build writes when it has compiled everything from these sources."""
    return json.dumps({"failure": "", "suffix": SUFFIX, "sources": sources}, indent=1) + "\n"


def manifest_of_failure(reason: str) -> str:
    """What the build writes when it could not compile everything; the reason follows "because"."""
    return json.dumps({"failure": reason}, indent=1) + "\n"


def compiled_modules(directory: Path) -> list[str]:
    """The modules that are meant to be compiled."""
    stems = sorted(path.stem for path in directory.glob("*.pxd"))
    return [stem for stem in stems if stem not in NOT_COMPILED and directory.joinpath(f"{stem}.py").exists()]


def source_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of everything that goes into the compiled modules: their sources, and every ``.pxd``."""
    names = [f"{module}.py" for module in compiled_modules(directory)] + [path.name for path in directory.glob("*.pxd")]
    return {name: hashlib.sha256(directory.joinpath(name).read_bytes()).hexdigest() for name in sorted(names)}


def _interpreted(why: str) -> Form:
    return Form(frozenset(), why)
