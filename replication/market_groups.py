"""One market group of a cluster: the configuration as its replicas see it, and what tells groups apart.

Each group is replicated by itself: its replicas have addresses, an identity, files and a log of their own. A node is a
machine that hosts a replica of each of its groups. What a replica needs is a :class:`Config` in which ``group``,
``nodes`` and ``data_dir`` are its group's, so nothing below this module knows that there are others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from replication.config import GROUPS_FOLDER, Address, Config, ConfigError

_ID_SIZE: Final = 16


def default_group(config: Config) -> str:
    """The group whose nodes stand in ``[nodes]``."""
    return next(iter(config.groups))


def of_group(config: Config, name: str) -> Config:
    """The configuration with the nodes and the folder of this group. ConfigError if there is no such group.

    The default group keeps its files in ``<data_dir>/<node>``, another in ``<data_dir>/groups/<name>/<node>``.
    """
    nodes = config.groups.get(name)
    if nodes is None:
        known = ", ".join(config.groups)
        raise ConfigError(f"{config.path}: groups: there is no group {name!r}; the file has {known}")
    if name == config.group:
        return config
    assert config.group == default_group(config), "a group's view is made of the whole"
    return replace(config, group=name, nodes=nodes, data_dir=config.data_dir / GROUPS_FOLDER / name)


def all_nodes(config: Config) -> list[str]:
    """Every node that has a replica of some group, sorted."""
    return sorted({node_id for nodes in config.groups.values() for node_id in nodes})


def groups_of_node(config: Config, node_id: str) -> list[str]:
    """The groups of which this node has a replica, in the order of the file. ConfigError if there is none."""
    found = [name for name, nodes in config.groups.items() if node_id in nodes]
    if not found:
        known = ", ".join(all_nodes(config))
        raise ConfigError(f"{config.path}: nodes: there is no node {node_id!r}; the file names {known}")
    return found


def group_id(config: Config) -> bytes:
    """What replicas of this group prove to each other and write into their journals: 16 bytes.

    Two groups never link by mistake, and a folder that was moved to another group is refused. The default group's is
    the cluster's id, as it was before there were groups.
    """
    return id_of_group(config, config.group)


def id_of_group(config: Config, name: str) -> bytes:
    if name == default_group(config):
        return config.cluster_id
    return hashlib.sha256(config.cluster_id + b"/groups/" + name.encode("ascii")).digest()[:_ID_SIZE]


def doors_of_group(config: Config, name: str) -> dict[str, Address]:
    """Where gateways and relays of other groups connect, by node."""
    return {node_id: addresses.door for node_id, addresses in config.groups[name].items()}


def other_groups(config: Config) -> Mapping[str, Mapping[str, Address]]:
    """The doors of all groups but this one."""
    return {name: doors_of_group(config, name) for name in config.groups if name != config.group}


def preferred_leader(config: Config) -> str | None:
    """Which node should lead this group, so that the leaders are spread over the nodes: they take turns.

    None while there is one group only: then nothing is gained by moving its leader.
    """
    if len(config.groups) == 1:
        return None
    nodes = list(config.nodes)
    return nodes[list(config.groups).index(config.group) % len(nodes)]
