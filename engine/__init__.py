"""The deterministic state machine: commands in, events out, integers only.

Nothing here reads a clock, a file, a socket, the environment or chance. The same
log gives the same bytes on every replica and on an auditor's machine. The one exception
is ``form``, which decides at the import whether the compiled modules run or their sources.
"""

from pathlib import Path
from typing import Final

from engine.form import Form, take_form

FORM: Final[Form] = take_form(Path(__file__).parent)
