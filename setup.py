"""Compiles the engine while Tallystick is installed: what pyproject.toml cannot say.

Cython makes an extension module of every module of engine/ that has a .pxd beside it (``engine.form`` has the list).
That makes the engine faster and is never a condition: without a C compiler, or when anything fails, the installation
succeeds all the same and the engine runs interpreted. Either all modules are compiled or none.

The manifest, engine/compiled.json, tells the engine what was compiled from which sources, or why nothing was.
TALLY_PURE=1 in the environment: do not compile.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
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

        translated = cythonize(  # type: ignore[no-untyped-call]
            self.extensions,
            build_dir=self.build_temp,
            compiler_directives=DIRECTIVES,
            nthreads=self.parallel,
            force=True,
            quiet=True,
        )
        c_files = {extension.name: extension.sources for extension in translated}
        for extension in self.extensions:
            extension.sources = c_files[extension.name]


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
