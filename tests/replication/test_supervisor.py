"""The supervisor runs in a process of its own, as it takes over the signals; its children are tiny scripts.

Each run writes what the supervisor says to a file, and each child a line into ``events``.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replication.supervisor import LOG_SIZE_MAX_BYTES, PAUSE_S_MAX, STEADY_AFTER_S, RestartPolicy

ROOT = Path(__file__).parents[2]
LIMIT_S = 20.0

# A child: notes that it started and, when asked to end, that it did.
PATIENT_CHILD = """
import pathlib, signal, sys, time
name, events = sys.argv[1], pathlib.Path(sys.argv[2])
def note(what):
    with events.open("a") as file:
        file.write(f"{name} {what}\\n")
def end(number, frame):
    note("ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("started")
while True:
    time.sleep(60)
"""
STUBBORN_CHILD = PATIENT_CHILD.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(15, signal.SIG_IGN)")
DYING_CHILD = """
import pathlib, sys
with pathlib.Path(sys.argv[2]).open("a") as file:
    file.write(f"{sys.argv[1]} started\\n")
print("the cat sat on the disk")
sys.exit(3)
"""
HALTING_CHILD = DYING_CHILD.replace("sys.exit(3)", "sys.exit(70)")
RESTARTING_CHILD = DYING_CHILD.replace("sys.exit(3)", "sys.exit(75)")

RUN = """
import sys
from pathlib import Path
from replication.supervisor import Child, ChildNeverWorked, Supervisor
directory = Path(sys.argv[1])
events = directory / "events"
def child(name, script):
    return Child(name, (sys.executable, "-c", script, name, str(events)))
supervisor = Supervisor(
    log_dir=directory, run_dir=directory, say=lambda line: print(line, flush=True), stop_timeout_s=STOP_TIMEOUT_S
)
try:
    for stage in STAGES:
        supervisor.start([child(name, script) for name, script in stage])
    if WORKS:
        supervisor.declare_working()
    while not supervisor.stop_requested:
        supervisor.tick(60.0)
except ChildNeverWorked as error:
    print(error)
    sys.exit(1)
finally:
    supervisor.stop()
"""

Stages = list[list[tuple[str, str]]]


class Run:
    """A supervisor at work, and what it and its children wrote."""

    def __init__(self, directory: Path, stages: Stages, *, works: bool, stop_timeout_s: float = 5.0) -> None:
        program = RUN.replace("STAGES", repr(stages)).replace("WORKS", repr(works))
        program = program.replace("STOP_TIMEOUT_S", repr(stop_timeout_s))
        self.directory = directory
        self._output = (directory / "said").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(directory)],
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )

    @property
    def said(self) -> str:
        return (self.directory / "said").read_text()

    @property
    def events(self) -> list[str]:
        path = self.directory / "events"
        return path.read_text().splitlines() if path.exists() else []

    def pid(self, name: str) -> int:
        return int((self.directory / f"{name}.pid").read_text())

    def until(self, condition: Callable[[], bool]) -> None:
        limit_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < limit_s, f"waited in vain; events {self.events}, said:\n{self.said}"
            time.sleep(0.01)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._output.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(stages: Stages, *, works: bool = True, stop_timeout_s: float = 5.0) -> Run:
        runs.append(Run(tmp_path, stages, works=works, stop_timeout_s=stop_timeout_s))
        return runs[-1]

    yield begin
    for run in runs:
        run.close()


def is_alive(pid: int) -> bool:
    """Whether a process still runs. A zombie that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stages_stop_in_reverse_order(start: Callable[..., Run]) -> None:
    run = start([[("node-1", PATIENT_CHILD), ("node-2", PATIENT_CHILD)], [("gateway", PATIENT_CHILD)]])
    run.until(lambda: len(run.events) == 3)
    assert run.end() == 0
    assert run.events[3] == "gateway ended"
    assert sorted(run.events[4:]) == ["node-1 ended", "node-2 ended"]
    assert not list(run.directory.glob("*.pid"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_it_like_sigterm(start: Callable[..., Run], number: int) -> None:
    run = start([[("node-1", PATIENT_CHILD)]])
    run.until(lambda: run.events == ["node-1 started"])
    assert run.end(number) == 0
    assert run.events == ["node-1 started", "node-1 ended"]


def test_a_child_that_is_killed_is_started_again_at_once(start: Callable[..., Run]) -> None:
    run = start([[("node-1", PATIENT_CHILD), ("node-2", PATIENT_CHILD)]])
    run.until(lambda: len(run.events) == 2)
    killed, spared = run.pid("node-1"), run.pid("node-2")
    os.kill(killed, signal.SIGKILL)
    run.until(lambda: run.events.count("node-1 started") == 2)
    run.until(lambda: (run.directory / "node-1.pid").exists() and run.pid("node-1") != killed)
    assert run.said == "node-1 was ended by SIGKILL: starting it again\n"
    assert run.pid("node-2") == spared


def test_a_child_that_keeps_dying_is_started_again_after_growing_pauses(start: Callable[..., Run]) -> None:
    run = start([[("node-1", DYING_CHILD)]])
    run.until(lambda: len(run.events) == 4)
    assert run.said.splitlines()[:3] == [
        "node-1 ended with code 3: starting it again",
        "node-1 ended with code 3: starting it again in 0.2 s",
        "node-1 ended with code 3: starting it again in 0.4 s",
    ]
    assert run.end() == 0


def test_what_never_worked_is_given_up_with_its_last_words(start: Callable[..., Run]) -> None:
    run = start([[("node-1", PATIENT_CHILD)], [("gateway", DYING_CHILD)]], works=False)
    assert run.process.wait(LIMIT_S) == 1
    assert run.events.count("gateway started") == 5
    assert run.events[-1] == "node-1 ended"
    assert "gateway ended with code 3, 5 times since the start" in run.said
    assert run.said.count("    the cat sat on the disk") == 5


def test_what_halted_on_purpose_stays_down_and_the_others_go_on(start: Callable[..., Run]) -> None:
    run = start([[("node-1", HALTING_CHILD), ("node-2", PATIENT_CHILD)]])
    run.until(lambda: "halted" in run.said)
    run.until(lambda: "node-2 started" in run.events)
    assert run.said == f"node-1 halted and stays down, see {run.directory / 'node-1.log'}: the cat sat on the disk\n"
    assert is_alive(run.pid("node-2"))
    assert run.end() == 0
    assert run.events.count("node-1 started") == 1


def test_what_was_asked_to_restart_is_started_at_once_however_often(start: Callable[..., Run]) -> None:
    run = start([[("node-1", RESTARTING_CHILD)]], works=False)
    run.until(lambda: run.events.count("node-1 started") > 6)
    assert set(run.said.splitlines()) == {"node-1 restarts, as it was asked to"}
    assert run.end() == 0


def test_a_child_that_will_not_end_is_killed(start: Callable[..., Run]) -> None:
    run = start([[("node-1", STUBBORN_CHILD)]], stop_timeout_s=0.2)
    run.until(lambda: run.events == ["node-1 started"])
    pid = run.pid("node-1")
    assert run.end() == 0
    assert run.said == "node-1 did not end within 0.2 s: killing it\n"
    assert not is_alive(pid)


def test_children_die_with_a_supervisor_that_is_killed_even_stopped_ones(start: Callable[..., Run]) -> None:
    run = start([[("node-1", PATIENT_CHILD), ("node-2", STUBBORN_CHILD)]])
    run.until(lambda: len(run.events) == 2)
    pids = [run.pid("node-1"), run.pid("node-2")]
    os.kill(pids[0], signal.SIGSTOP)
    run.end(signal.SIGKILL)
    run.until(lambda: not any(is_alive(pid) for pid in pids))


def test_children_are_out_of_the_terminals_reach(start: Callable[..., Run]) -> None:
    """A Ctrl-C goes to the terminal's whole process group: it must not end the replicas before the gateway."""
    run = start([[("node-1", PATIENT_CHILD)]])
    run.until(lambda: len(run.events) == 1)
    assert os.getsid(run.pid("node-1")) == run.pid("node-1") != os.getsid(run.process.pid)


def test_a_child_that_cannot_be_started_is_tried_again_and_the_others_go_on(start: Callable[..., Run]) -> None:
    run = start([[("node-1", PATIENT_CHILD), ("node-2", PATIENT_CHILD)]])
    run.until(lambda: len(run.events) == 2)
    # A log that cannot be opened stands for a full disk.
    log = run.directory / "node-1.log"
    log.unlink()
    log.mkdir()
    os.kill(run.pid("node-1"), signal.SIGKILL)
    run.until(lambda: "node-1 cannot be started" in run.said)
    log.rmdir()
    run.until(lambda: run.events.count("node-1 started") == 2)
    assert run.events.count("node-2 started") == 1
    assert run.end() == 0


def test_a_large_log_is_put_aside_at_the_next_start(start: Callable[..., Run], tmp_path: Path) -> None:
    log = tmp_path / "node-1.log"
    with log.open("wb") as file:
        file.truncate(LOG_SIZE_MAX_BYTES)
    (tmp_path / "node-1.log.1").write_text("older")
    run = start([[("node-1", DYING_CHILD)]])
    run.until(lambda: len(run.events) == 2)
    run.end()
    assert log.read_text().startswith("the cat sat on the disk\nthe cat sat on the disk\n")
    assert (tmp_path / "node-1.log.1").stat().st_size == LOG_SIZE_MAX_BYTES
    assert (tmp_path / "node-1.log.2").read_text() == "older"


def test_pauses_double_up_to_a_limit() -> None:
    policy = RestartPolicy()
    policy.started(0.0)
    pauses = [policy.died(0.0) for _ in range(9)]
    assert pauses == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, PAUSE_S_MAX, PAUSE_S_MAX, PAUSE_S_MAX]


def test_a_child_that_lived_long_enough_starts_with_a_clean_slate() -> None:
    policy = RestartPolicy()
    policy.started(0.0)
    assert [policy.died(1.0), policy.died(2.0)] == [0.0, 0.2]
    policy.started(3.0)
    assert policy.died(3.0 + STEADY_AFTER_S) == 0.0
    policy.started(20.0)
    assert policy.died(20.0 + STEADY_AFTER_S - 0.001) == 0.2


def test_the_fifth_death_in_a_row_makes_a_child_hopeless() -> None:
    policy = RestartPolicy()
    policy.started(0.0)
    verdicts = []
    for _ in range(5):
        policy.died(1.0)
        verdicts.append(policy.is_hopeless)
    assert verdicts == [False, False, False, False, True]
