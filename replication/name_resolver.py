"""Looking up host names without ever stopping the thread that drives the log.

A name server may take seconds to say that a machine is gone, which is just when the others must not pause. Numeric
addresses are answered at once. A name is looked up in a thread of its own; until that is done there is no answer.
"""

import ipaddress
import logging
import socket
import threading

logger = logging.getLogger(__name__)


class NameResolver:
    """Remembers the address of every name it was asked for."""

    def __init__(self) -> None:
        # Written by look-up threads, one assignment each; everything else happens in the caller's thread.
        self._known: dict[str, str] = {}
        self._threads: dict[str, threading.Thread] = {}

    def lookup(self, host: str) -> str | None:
        """The IP address of `host`, or None if it is not known yet: ask again later."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            known = self._known.get(host)
            if known is None:
                self._start(host)
            return known
        return host

    def forget(self, host: str) -> None:
        """The address did not work: look the name up again when it is asked for next."""
        self._known.pop(host, None)

    def _start(self, host: str) -> None:
        running = self._threads.get(host)
        if running is None or not running.is_alive():
            self._threads[host] = threading.Thread(target=self._resolve, args=(host,), daemon=True)
            self._threads[host].start()

    def _resolve(self, host: str) -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            logger.debug("cannot resolve %s: %s", host, error)
            return
        # The other end may listen on its IPv4 address only, whatever the machine prefers.
        found.sort(key=lambda item: item[0] != socket.AF_INET)
        self._known[host] = str(found[0][4][0])
