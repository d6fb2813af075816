"""Children compute while the parent goes on, and nothing of the parent leaks into them."""

import os
import time

import pytest

from replication.forked import ask_child, fork_child
from replication.poller import Poller


def wait_for(poller: Poller, answers: list[bytes | None]) -> None:
    deadline_s = time.monotonic() + 20
    while not answers and time.monotonic() < deadline_s:
        poller.poll(0.05)


def test_an_answer_arrives_in_a_later_poll_and_shows_the_state_at_the_fork() -> None:
    poller, answers, state = Poller(), list[bytes | None](), [b"before"]
    ask_child(poller, lambda: state[0] * 100_000, "a test", answers.append)
    state[0] = b"after"
    assert answers == []
    wait_for(poller, answers)
    assert answers == [b"before" * 100_000]
    poller.close()


def test_a_child_that_fails_gives_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    poller, answers = Poller(), list[bytes | None]()

    def fail() -> bytes:
        raise ValueError("no such state")

    ask_child(poller, fail, "hashing", answers.append)
    wait_for(poller, answers)
    assert answers == [None]
    assert "hashing failed: ValueError('no such state')" in capfd.readouterr().err
    poller.close()


def test_a_child_keeps_none_of_the_parents_descriptors() -> None:
    read_fd, write_fd = os.pipe()

    def use_the_parents_pipe() -> None:
        os.write(write_fd, b"leaked")

    pid = fork_child(use_the_parents_pipe, "a test")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(write_fd)
    assert os.read(read_fd, 100) == b""
    os.close(read_fd)
