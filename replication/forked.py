"""Work in a forked child: it sees the state as it was at the fork, while the replica's heartbeats and orders go on.

The child inherits memory and nothing else: it closes every inherited descriptor (sockets, journal, locks), restores
the default signal handlers, never flushes the parent's buffers and leaves by ``os._exit``.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Callable
from typing import Final

from replication.poller import READ, EventSource

logger = logging.getLogger(__name__)

_FIRST_INHERITED_FD: Final = 3
_READ_BYTES: Final = 64 * 1024


def fork_child(work: Callable[[], None], what: str, *, keep_fd: int = -1) -> int:
    """Run ``work`` in a child, which exits with 0 if it returns. Answers the child's process id.

    ``what`` names the work in the one line that a failing child writes. ``keep_fd`` is the only descriptor that
    it keeps. OSError if the machine has no process or memory left.
    """
    pid = os.fork()
    if pid == 0:
        _run_child(work, what, keep_fd)
    return pid


def ask_child(
    poller: EventSource, question: Callable[[], bytes], what: str, on_answer: Callable[[bytes | None], None]
) -> Callable[[], None]:
    """Compute a short answer in a child. A later poll hands it to ``on_answer``, or None if the child failed.

    Answers what kills the child, so that there is no answer, if it is still at work.
    """
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)

    def tell() -> None:
        with open(write_fd, "wb", closefd=False) as pipe:
            pipe.write(question())

    try:
        pid = fork_child(tell, what, keep_fd=write_fd)
    except OSError:
        os.close(read_fd)
        raise
    finally:
        os.close(write_fd)
    received = bytearray()

    def on_readable(_fd: int, _mask: int) -> None:
        nonlocal pid
        data = os.read(read_fd, _READ_BYTES)
        received.extend(data)
        if data:
            return
        poller.unsubscribe(read_fd)
        os.close(read_fd)
        succeeded = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        pid = 0
        on_answer(bytes(received) if succeeded else None)

    def cancel() -> None:
        nonlocal pid
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pid = 0
            poller.unsubscribe(read_fd)
            os.close(read_fd)

    poller.subscribe(read_fd, on_readable, READ)
    return cancel


def _run_child(work: Callable[[], None], what: str, keep_fd: int) -> None:
    """Never returns: whatever happens, the child must not run on as a second replica."""
    exit_code = 1
    try:
        gc.disable()  # A collection would touch, and so copy, pages shared with the parent.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        if keep_fd >= 0:
            os.closerange(_FIRST_INHERITED_FD, keep_fd)
        os.closerange(max(_FIRST_INHERITED_FD, keep_fd + 1), os.sysconf("SC_OPEN_MAX"))
        work()
        exit_code = 0
    except BaseException as error:
        # The parent's log handlers and their locks are not ours to use: one line, unbuffered.
        os.write(2, f"{what} failed: {error!r}\n".encode())
    finally:
        os._exit(exit_code)
