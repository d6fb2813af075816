"""Compiles the engine while Tallystick is installed: what pyproject.toml cannot say.

Cython makes an extension module of every module of engine/ that has a .pxd beside it (``engine.form`` has the list).
That makes the engine faster and is never a condition: without a C compiler, or when anything fails, the installation
succeeds all the same and the engine runs interpreted. Either all modules are compiled or none.

Numbers that the sources name as constants (``_SLOT_SIZE: Final = 8``) are C constants in the compiled modules, where a
``.pxd`` gives them a C type: Cython alone would make variables of them, which the C compiler cannot reckon with.

The manifest, engine/compiled.json, tells the engine what was compiled from which sources, or why nothing was.
TALLY_PURE=1 in the environment: do not compile.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import operator
import os
import re
import shutil
import sys
import time
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a build front end need not have it there

from engine import form  # noqa: E402

DIRECTIVES: Final = {
    "language_level": 3,
    "annotation_typing": False,  # C types come from the .pxd files alone: an annotation of the .py stays a hint
    "overflowcheck": True,
    "boundscheck": True,
    "wraparound": True,
    "cdivision": False,  # division rounds as in Python
}
C_FLAGS: Final = ["-O3", "-g0", "-Wno-sign-compare"]  # Cython's C compares lengths and indices of both kinds

_C_VARIABLES: Final = re.compile(r"^cdef (int|Py_ssize_t|u?int\d+_t) ([^(\n]*)$", re.MULTILINE)
_OPERATORS: Final = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.LShift: operator.lshift,
    ast.BitOr: operator.or_,
    ast.Pow: operator.pow,
    ast.FloorDiv: operator.floordiv,
}


class CannotCompile(Exception):
    """The text says why, in words that can follow "the engine runs interpreted, because"."""


class CompileEngine(build_ext):  # type: ignore[misc]  # setuptools has no types
    """Compiles all modules, or warns and leaves none."""

    extensions: list[Extension]
    parallel: int | None
    force: bool

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or len(os.sched_getaffinity(0))

    def run(self) -> None:
        if not self.extensions:
            return
        directory = ROOT / "engine" if self.inplace else Path(self.build_lib, "engine")
        directory.mkdir(parents=True, exist_ok=True)
        manifest = directory / form.MANIFEST
        manifest.unlink(missing_ok=True)  # nothing is true of the compiled modules while they are replaced
        self._failure = ""
        self._for_wheel = not self.inplace
        self._sources = form.source_digests(ROOT / "engine")
        super().run()
        text = form.manifest_of_failure(self._failure) if self._failure else form.manifest_of_success(self._sources)
        manifest.write_text(text, encoding="utf-8")

    def build_extensions(self) -> None:
        started_s = time.monotonic()
        every = self.extensions
        try:
            self._require_compiler()
            self._compile_what_changed()
        except Exception as error:
            self._failure = str(error) if isinstance(error, CannotCompile) else f"compiling it failed: {error}"
            if self._for_wheel:
                for extension in every:
                    Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []  # nothing to copy beside the sources
            print(f"warning: the engine will run interpreted, because {self._failure}", file=sys.stderr)
        else:
            print(f"the engine is compiled: {len(every)} modules, {time.monotonic() - started_s:.0f} s")

    def _require_compiler(self) -> None:
        """CannotCompile if there is no C compiler that works: better now than when Cython has done its part."""
        if sys.byteorder != "little":
            raise CannotCompile("it is compiled for little-endian processors only")
        if shutil.which(self.compiler.compiler_so[0]) is None:
            raise CannotCompile("no C compiler was found when Tallystick was installed")
        probe = Path(self.build_temp, "probe.c")
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_text("#include <Python.h>\n", encoding="utf-8")
        try:
            self.compiler.compile([str(probe)], output_dir=self.build_temp)
        except Exception as error:
            raise CannotCompile(
                "the C compiler failed when Tallystick was installed; are the headers of Python there "
                f"(Debian, Ubuntu: apt install python3-dev)? {error}"
            ) from error

    def _compile_what_changed(self) -> None:
        """Compile the modules that were not compiled from just these sources before.

        Contents are compared, not times: an older file that was put back has an old time.
        """
        record = Path(self.build_temp, "made-from.json")
        made_from = json.loads(record.read_bytes()) if record.exists() else {}
        recipes = {extension.name: self._recipe(extension) for extension in self.extensions}
        every = self.extensions
        self.extensions = [
            extension
            for extension in every
            if made_from.get(extension.name) != recipes[extension.name]
            or not Path(self.get_ext_fullpath(extension.name)).exists()
        ]
        if self.extensions:
            changed = {extension.name for extension in self.extensions}
            unchanged = {name: recipe for name, recipe in recipes.items() if name not in changed}
            record.write_text(json.dumps(unchanged), encoding="utf-8")
            self.force = True
            self._translate_to_c()
            super().build_extensions()
        self.extensions = every
        record.write_text(json.dumps(recipes), encoding="utf-8")

    def _recipe(self, extension: Extension) -> str:
        """A digest of what decides how the module turns out: its source, every .pxd, this file and Cython."""
        own = f"{extension.name.removeprefix('engine.')}.py"
        digests = [digest for name, digest in self._sources.items() if name == own or name.endswith(".pxd")]
        this_file = Path(__file__).read_text(encoding="utf-8")
        return hashlib.sha256("\n".join([*digests, this_file, version("cython")]).encode()).hexdigest()

    def _translate_to_c(self) -> None:
        from Cython.Build import cythonize

        folder = Path(self.build_temp, "with-constants").absolute()
        write_with_constants(folder / "engine")
        # From inside the folder, so that a traceback names engine/book.py and not where the copy is.
        with contextlib.chdir(folder):
            translated = cythonize(  # type: ignore[no-untyped-call]
                self.extensions,
                compiler_directives=DIRECTIVES,
                nthreads=self.parallel,
                force=True,
                quiet=True,
            )
        c_files = {extension.name: extension.sources for extension in translated}
        for extension in self.extensions:
            extension.sources = [os.path.relpath(folder / source, ROOT) for source in c_files[extension.name]]


def write_with_constants(directory: Path) -> None:
    """The engine's sources with the same lines, but constants instead of the C variables that hold nothing else."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in [*ROOT.joinpath("engine").glob("*.py"), *ROOT.joinpath("engine").glob("*.pxd")]:
        shutil.copyfile(path, directory / path.name)
    for module in form.compiled_modules(ROOT / "engine"):
        constants: dict[str, int] = {}
        declared = partial(_declared, module, constants)
        types = ROOT.joinpath("engine", f"{module}.pxd").read_text(encoding="utf-8")
        directory.joinpath(f"{module}.pxd").write_text(_C_VARIABLES.sub(declared, types), encoding="utf-8")
        source = ROOT.joinpath("engine", f"{module}.py").read_text(encoding="utf-8")
        directory.joinpath(f"{module}.py").write_text(_without(source, constants), encoding="utf-8")


def _declared(module: str, constants: dict[str, int], found: re.Match[str]) -> str:
    """The declaration of these C variables, those that are constant as such; they are noted in ``constants``."""
    c_type, lines = found[1], []
    for name in map(str.strip, found[2].split(",")):
        value = _value(module, name)
        if value is None:
            lines.append(f"cdef {c_type} {name}")
            continue
        constants[name] = value
        # C has no negative literals: the lowest number of 64 bits would be one that does not fit, negated.
        text = f"{value}{'ull' if value >= 1 << 63 else 'll'}" if value >= 0 else f"({value + 1}ll - 1)"
        lines.append(f'cdef extern from *:\n    """\n    #define tally_{module}_{name} (({c_type}){text})\n    """')
        lines.append(f'    const {c_type} {name} "tally_{module}_{name}"')
    return "\n".join(lines)


def _value(module: str, name: str) -> int | None:
    """The number that a module's name stands for, if that can be told without running the module."""
    defined = _definitions(module).get(name)
    if isinstance(defined, tuple):
        return _value(*defined)
    return None if defined is None else _evaluated(module, defined)


def _evaluated(module: str, expression: ast.expr) -> int | None:
    match expression:
        case ast.Constant(int(value)):
            return int(value)
        case ast.Name(name):
            return _value(module, name)
        case ast.UnaryOp(ast.USub(), operand):
            positive = _evaluated(module, operand)
            return None if positive is None else -positive
        case ast.BinOp(left, operation, right) if type(operation) in _OPERATORS:
            one, other = _evaluated(module, left), _evaluated(module, right)
            return None if one is None or other is None else int(_OPERATORS[type(operation)](one, other))
    return None


@cache
def _definitions(module: str) -> dict[str, ast.expr | tuple[str, str]]:
    """What a module of the engine says that its names are: an expression, or another module's name."""
    found: dict[str, ast.expr | tuple[str, str]] = {}
    path = ROOT.joinpath("engine", f"{module}.py")
    for statement in ast.parse(path.read_text(encoding="utf-8")).body if path.exists() else []:
        if isinstance(statement, ast.AnnAssign) and statement.value and isinstance(statement.target, ast.Name):
            found[statement.target.id] = statement.value
        elif isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("engine."):
            origin = str(statement.module).removeprefix("engine.")
            found |= {alias.asname or alias.name: (origin, alias.name) for alias in statement.names}
    return found


def _without(source: str, constants: dict[str, int]) -> str:
    """The source without the statements that give these names a value; every other line stays where it is."""
    lines = source.splitlines(keepends=True)
    for statement in ast.parse(source).body:
        kept = ""
        if isinstance(statement, ast.ImportFrom) and any(alias.name in constants for alias in statement.names):
            others = [alias for alias in statement.names if alias.name not in constants]
            if others:
                kept = ast.unparse(ast.ImportFrom(statement.module, others, statement.level))
        elif not (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.target.id in constants
        ):
            continue
        first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
        lines[first:last] = [kept + "\n", *["\n"] * (last - first - 1)]
    return "".join(lines)


def extensions() -> list[Extension]:
    """The modules to compile, the largest first, so that no core has a long one left at the end."""
    if os.environ.get("TALLY_PURE") == "1":
        return []
    sources = [f"engine/{module}.py" for module in form.compiled_modules(ROOT / "engine")]
    sources.sort(key=lambda source: (ROOT / source).stat().st_size, reverse=True)
    return [
        Extension(source.removesuffix(".py").replace("/", "."), [source], extra_compile_args=C_FLAGS)
        for source in sources
    ]


if __name__ == "__main__":  # Cython's own processes may import this file again
    setup(ext_modules=extensions(), cmdclass={"build_ext": CompileEngine})
