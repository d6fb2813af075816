"""How the tables came to be what ``projections.schema`` says: one step after the other, run by code at the start.

Each step is a module of ``versions`` that says what it changes and is never changed itself. All steps that are missing
run in one transaction: after a crash there are all of them or none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_FOLDER: Final = Path(__file__).parent


class SchemaUnknown(Exception):
    """A newer version of Tallystick has changed these tables, or they are somebody else's."""


def upgrade(connection: Connection) -> None:
    """Bring the tables up to this version, within the connection's transaction. SchemaUnknown if they are newer."""
    config = _config()
    config.attributes["connection"] = connection
    found = version(connection)
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    if found is not None and found not in known:
        raise SchemaUnknown(f"the tables have version {found}, and this program knows {', '.join(reversed(known))}")
    if found != known[0]:
        command.upgrade(config, "head")


def version(connection: Connection) -> str | None:
    """Which step was the last; None in an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_version() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config
