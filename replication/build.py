"""Which build this is, as its replicas tell each other and operators."""

from typing import Final

VERSION: Final = "0.1.0"
