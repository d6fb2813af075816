"""Databases for tests: a file of SQLite, or a database of its own in a real PostgreSQL."""

from __future__ import annotations

import itertools

import psycopg

_NUMBERS = itertools.count(1)


def new_database(server_url: str) -> str:
    """The URL of an empty database of a PostgreSQL server."""
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server_url}/{name}"


def end_connections(url: str) -> int:
    """End all connections to a database, as a server that restarts does. Answers how many there were."""
    server_url, _, name = url.rpartition("/")
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        ).fetchall()
    return len(ended)
