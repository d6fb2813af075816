"""Keeps a handful of child processes running, and takes them down in order.

Children are started in stages and stopped stage by stage in reverse: the gateway, started after the
replicas, answers what it has accepted before they go. Each stage gets SIGTERM, then SIGKILL after a limit.

A child that dies is started again: at once, then after pauses that double from 0.2 s to 5 s, until it
lives for 10 s. One that dies five times in a row before the whole has ever worked will never work:
the caller is told, with its last words. One that ends with :data:`EXIT_HALTED` halted on purpose, because
going on would be wrong: it stays down, and the others go on. One that ends with :data:`EXIT_RESTART` was asked to, and
is started again at once.

Children must not outlive a supervisor that is killed with SIGKILL, so each asks Linux to be killed when
its parent dies (PR_SET_PDEATHSIG). The kernel keeps that promise even for a child that hangs or is stopped, which
a pipe that the child has to watch does not.

Children live in sessions of their own: a Ctrl-C in the terminal reaches the supervisor alone.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final

EXIT_HALTED: Final = 70  # EX_SOFTWARE of sysexits.h: a replica that found itself wrong
EXIT_RESTART: Final = 75  # EX_TEMPFAIL: a replica that an operator asked to restart
PAUSE_S_MIN: Final = 0.2
PAUSE_S_MAX: Final = 5.0
STEADY_AFTER_S: Final = 10.0
EARLY_DEATHS_MAX: Final = 5
STOP_TIMEOUT_S: Final = 5.0
LOG_SIZE_MAX_BYTES: Final = 8 << 20
LOGS_KEPT: Final = 3
LAST_LINES_SHOWN: Final = 15
LAST_BYTES_READ: Final = 16 << 10

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG: Final = 1
# Loaded before any fork: between fork and exec a child should do as little as possible.
_LIBC: Final = ctypes.CDLL(None)


class ChildNeverWorked(Exception):
    """A child died again and again before the whole has ever worked. The text has the last lines of its log."""


@dataclass(frozen=True)
class Child:
    """``name`` is also the name of the log and of the pid file. ``environment`` adds to the supervisor's own."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class RestartPolicy:
    """When a child that died is to be started again. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._start_s = 0.0
        self._deaths_in_a_row = 0

    def started(self, now_s: float) -> None:
        self._start_s = now_s

    def died(self, now_s: float) -> float:
        """How many seconds to wait before the next start."""
        if now_s - self._start_s >= STEADY_AFTER_S:
            self._deaths_in_a_row = 0
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row == 1:
            return 0.0
        return min(PAUSE_S_MAX, PAUSE_S_MIN * 2.0 ** (self._deaths_in_a_row - 2))

    @property
    def is_hopeless(self) -> bool:
        """Whether a child that has never worked is not worth another try."""
        return self._deaths_in_a_row >= EARLY_DEATHS_MAX


class _Running:
    """A child with what its supervision needs: the process, or when to start it again, or neither (halted)."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.policy = RestartPolicy()
        self.process: subprocess.Popen[bytes] | None = None
        self.start_again_s: float | None = None


class Supervisor:
    """Runs stages of children until a signal asks for the end. One per process: it takes over the signals.

    ``say`` receives one line for each thing that an operator should know. Without ``log_dir`` the children write to
    the standard error of this process; without ``run_dir`` there are no pid files.
    """

    def __init__(
        self,
        *,
        log_dir: Path | None,
        run_dir: Path | None,
        say: Callable[[str], None],
        stop_timeout_s: float = STOP_TIMEOUT_S,
    ) -> None:
        self._log_dir = log_dir
        self._run_dir = run_dir
        self._say = say
        self._stop_timeout_s = stop_timeout_s
        self._stages: list[list[_Running]] = []
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._stop_requested = False
        self._has_worked = False
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_stop_signal)
        # The handler does nothing: that the signal arrives ends the wait in tick().
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    @property
    def stop_requested(self) -> bool:
        return self._stop_requested

    def declare_working(self) -> None:
        """The whole has worked once: from now on no child is given up, however often it dies."""
        self._has_worked = True

    def start(self, children: Sequence[Child]) -> None:
        """Start the next stage."""
        stage = [_Running(child) for child in children]
        self._stages.append(stage)
        for running in stage:
            self._start(running)

    def add(self, children: Sequence[Child]) -> None:
        """Start more children of the first stage."""
        for child in children:
            running = _Running(child)
            self._stages[0].append(running)
            self._start(running)

    def tick(self, timeout_s: float) -> None:
        """Wait for a signal, a death or the time limit; start again what died and is due.

        ChildNeverWorked if a child is not worth another try; the caller then calls :meth:`stop`.
        """
        now_s = time.monotonic()
        due_s = [
            running.start_again_s for stage in self._stages for running in stage if running.start_again_s is not None
        ]
        select.select([self._wake_reader], [], [], max(0.0, min([timeout_s, *(due - now_s for due in due_s)])))
        self._drain_wake_pipe()
        for stage in self._stages:
            for running in stage:
                self._look_after(running)

    def stop(self) -> None:
        """End all children, the last stage first. Returns when none is left."""
        for stage in reversed(self._stages):
            for running in stage:
                running.start_again_s = None
                if running.process is not None:
                    running.process.terminate()
            limit_s = time.monotonic() + self._stop_timeout_s
            for running in stage:
                self._await_end(running, limit_s)
        self._stages.clear()

    def _look_after(self, running: _Running) -> None:
        if running.process is not None:
            exit_code = running.process.poll()
            if exit_code is None:
                return
            running.process = None
            self._forget_pid(running.child)
            if exit_code == EXIT_HALTED:
                self._say(f"{running.child.name} halted and stays down{self._last_words(running.child)}")
                return
            if exit_code == EXIT_RESTART:
                self._say(f"{running.child.name} restarts, as it was asked to")
                running.start_again_s = time.monotonic()
            else:
                self._plan_restart(running, _describe_exit(exit_code))
        if running.start_again_s is not None and running.start_again_s <= time.monotonic():
            self._start(running)

    def _plan_restart(self, running: _Running, what_happened: str) -> None:
        pause_s = running.policy.died(time.monotonic())
        if running.policy.is_hopeless and not self._has_worked:
            log_file = self._log_file(running.child)
            end = "" if log_file is None else f" The end of {log_file}:\n{self._last_lines(log_file, LAST_LINES_SHOWN)}"
            raise ChildNeverWorked(
                f"{running.child.name} {what_happened}, {EARLY_DEATHS_MAX} times since the start.{end}"
            )
        again = f"starting it again in {pause_s:g} s" if pause_s else "starting it again"
        self._say(f"{running.child.name} {what_happened}: {again}")
        running.start_again_s = time.monotonic() + pause_s

    def _start(self, running: _Running) -> None:
        child = running.child
        running.start_again_s = None
        running.policy.started(time.monotonic())
        try:
            with self._open_log(child) as log:
                running.process = subprocess.Popen(
                    child.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **child.environment},
                    start_new_session=True,
                    preexec_fn=die_with(os.getpid()),
                )
        except OSError as error:
            # Such as a full disk or no memory: it may pass, and the other children need their supervisor.
            self._plan_restart(running, f"cannot be started ({error})")
            return
        if self._run_dir is None:
            return
        try:
            pid_file = self._run_dir / f"{child.name}.pid"
            pid_file.with_suffix(".new").write_text(f"{running.process.pid}\n", encoding="ascii")
            pid_file.with_suffix(".new").replace(pid_file)
        except OSError as error:
            self._say(f"{child.name} runs, but its pid file cannot be written ({error})")

    def _await_end(self, running: _Running, limit_s: float) -> None:
        if running.process is None:
            return
        try:
            running.process.wait(max(0.0, limit_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._say(f"{running.child.name} did not end within {self._stop_timeout_s:g} s: killing it")
            running.process.kill()
            running.process.wait()
        running.process = None
        self._forget_pid(running.child)

    def _drain_wake_pipe(self) -> None:
        try:
            while os.read(self._wake_reader, 4096):
                pass
        except BlockingIOError:
            pass

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requested = True

    def _log_file(self, child: Child) -> Path | None:
        return None if self._log_dir is None else self._log_dir / f"{child.name}.log"

    def _open_log(self, child: Child) -> BinaryIO:
        """Where the child writes: its own log, or a copy of our standard error."""
        log_file = self._log_file(child)
        if log_file is None:
            return os.fdopen(os.dup(2), "wb")
        _rotate(log_file)
        return log_file.open("ab")

    def _forget_pid(self, child: Child) -> None:
        if self._run_dir is not None:
            (self._run_dir / f"{child.name}.pid").unlink(missing_ok=True)

    def _last_words(self, child: Child) -> str:
        log_file = self._log_file(child)
        return "" if log_file is None else f", see {log_file}: {self._last_lines(log_file, 1).strip()}"

    def _last_lines(self, log_file: Path, count: int) -> str:
        try:
            with log_file.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES_READ))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError as error:
            lines = [f"(cannot be read: {error})"]
        return "\n".join(f"    {line}" for line in lines[-count:])


def die_with(parent_pid: int) -> Callable[[], None]:
    """What a child does before it becomes its program: tie its life to that of its parent, or of its thread."""

    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the call above: then nobody would ever send the signal.
        if os.getppid() != parent_pid:
            os._exit(1)

    return tie


def _describe_exit(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"


def _rotate(log_file: Path) -> None:
    """Keep a few old logs once the current one is large."""
    if not log_file.exists() or log_file.stat().st_size < LOG_SIZE_MAX_BYTES:
        return
    for number in range(LOGS_KEPT - 1, 0, -1):
        older = log_file.with_suffix(f".log.{number}")
        if older.exists():
            older.replace(log_file.with_suffix(f".log.{number + 1}"))
    log_file.replace(log_file.with_suffix(".log.1"))
