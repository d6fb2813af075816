"""A real PostgreSQL server for tests: in a folder of its own, on a loopback port of its own, gone afterwards.

It refuses to run as root, so there it runs as ``nobody``. Everybody who can reach the port is let in: it holds nothing
but what tests write.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from replication.local_cluster import LOOPBACK, free_port

USER = "tally"
_STANDARD = "/usr/lib/postgresql"  # where Debian's packages put them, by version
_PATIENCE_S = 30.0
# Nothing in it needs to survive the machine.
_SETTINGS = {"shared_buffers": "16MB", "max_connections": "20", "listen_addresses": LOOPBACK, "fsync": "off"}


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``postgres``; None if there is none on this machine."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path(_STANDARD).glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "postgres").exists()), None)


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Run a server with its files below ``folder``. Yields the URL of its database, without a name at its end."""
    programs = binaries()
    assert programs is not None
    # The other user must be able to enter, whatever the folders above allow.
    with tempfile.TemporaryDirectory(prefix="tally-postgres-", dir=folder) as private:
        as_user = _as_another_user(Path(private))
        data, port = Path(private) / "data", free_port()
        subprocess.run(
            [*as_user, programs / "initdb", "-D", data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C"],
            check=True,
            capture_output=True,
            cwd=private,
        )
        settings = {**_SETTINGS, "port": str(port), "unix_socket_directories": private}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (Path(private) / "log").open("wb") as log:
            server = subprocess.Popen(
                [*as_user, programs / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd=private
            )
        try:
            url = f"postgresql://{USER}@{LOOPBACK}:{port}"
            _wait_until_ready(url, server)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # at once, whoever is connected
            server.wait(timeout=_PATIENCE_S)


def _as_another_user(private: Path) -> list[str]:
    """The beginning of a command that does not run as root, which owns the folder then."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    os.chown(private, nobody.pw_uid, nobody.pw_gid)
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def _wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            psycopg.connect(f"{url}/postgres").close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, f"PostgreSQL ended with code {server.returncode}"
            assert time.monotonic() < deadline_s, "PostgreSQL does not answer"
            time.sleep(0.05)
