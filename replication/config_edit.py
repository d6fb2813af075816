"""Adds a market group to a configuration file. What stands there stays as it is, comments included."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from replication.config import Config, ConfigError, NodeAddresses, load_config
from replication.private_directory import UNFINISHED, write_private_file


def add_group(path: Path, name: str, nodes: Mapping[str, NodeAddresses]) -> Config:
    """Append ``[groups.NAME]`` and answer the new configuration. The same group again changes nothing.

    ConfigError, and the file is as it was, if the group exists with other nodes or the new file would not be valid.
    """
    config = load_config(path)
    known = config.groups.get(name)
    if known is not None:
        if dict(known) != dict(nodes):
            raise ConfigError(f"{path}: groups.{name}: this group exists already, with other nodes or addresses")
        return config
    text = path.read_text(encoding="utf-8").rstrip("\n") + "\n"
    for node_id, addresses in nodes.items():
        text += f'\n[groups.{name}.nodes.{node_id}]\npeer = "{addresses.peer}"\ndoor = "{addresses.door}"\n'
    _check(path, text)
    mode = stat.S_IMODE(path.stat().st_mode)
    write_private_file(path, text)
    os.chmod(path, mode)
    return load_config(path)


def _check(path: Path, text: str) -> None:
    """Read the new text as a file beside the old one would be read."""
    draft = path.with_name(path.name + ".draft" + UNFINISHED)
    try:
        write_private_file(draft, text)
        load_config(draft)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(draft), str(path))) from None
    finally:
        draft.unlink(missing_ok=True)
