"""Adds a market group, or Kafka, to a configuration file. What stands there stays as it is, comments included."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from replication.config import Address, Config, ConfigError, NodeAddresses, load_config
from replication.private_directory import UNFINISHED, write_private_file

# A broker on this machine keeps one copy of everything.
_KAFKA_TOML: Final = """
[kafka]
bootstrap_servers = ["{address}"]
replication_factor = 1
min_insync_replicas = 1
"""
_SERVERS: Final = re.compile(r"^bootstrap_servers\s*=\s*\[[^\]]*\]", re.MULTILINE)


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
    text = _read(path)
    for node_id, addresses in nodes.items():
        text += f'\n[groups.{name}.nodes.{node_id}]\npeer = "{addresses.peer}"\ndoor = "{addresses.door}"\n'
    return _replace(path, text)


def use_kafka(path: Path, address: Address) -> Config:
    """Have ``[kafka]`` with this broker, on which a new table counts alone. Answers the new configuration."""
    config = load_config(path)
    if config.kafka is None:
        return _replace(path, _read(path) + _KAFKA_TOML.format(address=address))
    if config.kafka.bootstrap_servers == (str(address),):
        return config
    return _replace(path, _SERVERS.sub(f'bootstrap_servers = ["{address}"]', _read(path)))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").rstrip("\n") + "\n"


def _replace(path: Path, text: str) -> Config:
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
