"""Which form of the engine runs: compiled, or interpreted by Python."""

from __future__ import annotations

import os
from typing import Final

from engine import FORM

COMPILED: Final = "compiled"
INTERPRETED: Final = "interpreted"
PURE: Final = "TALLY_PURE"  # set to 1, it makes a process run the interpreted form


def running_form() -> str:
    """The form that this process has loaded."""
    return COMPILED if FORM.compiled else INTERPRETED


def environment_for(form: str) -> dict[str, str]:
    """The environment of a child process that shall run a form: the compiled one wherever it was built."""
    environment = {name: value for name, value in os.environ.items() if name != PURE}
    if form == INTERPRETED:
        environment[PURE] = "1"
    return environment
