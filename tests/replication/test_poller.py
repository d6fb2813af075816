"""The poller and the order of a commit."""

import os
from collections.abc import Callable, Iterator

import pytest

from replication.poller import ERROR, READ, WRITE, EventCallback, GroupCommitPoller, Poller

Pipe = tuple[int, int]


@pytest.fixture
def poller() -> Iterator[Poller]:
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def pipes() -> Iterator[list[Pipe]]:
    made = [os.pipe() for _ in range(3)]
    yield made
    for pair in made:
        for fd in pair:
            try:
                os.close(fd)
            except OSError:
                continue


def test_a_callback_learns_which_descriptor_is_ready_for_what(poller: Poller, pipes: list[Pipe]) -> None:
    events: list[Pipe] = []
    reader, writer = pipes[0]
    poller.subscribe(reader, lambda fd, mask: events.append((fd, mask)), READ)
    poller.subscribe(writer, lambda fd, mask: events.append((fd, mask)), WRITE)
    poller.poll(0)
    assert events == [(writer, WRITE)]
    os.write(writer, b"x")
    events.clear()
    poller.poll(0)
    assert sorted(events) == sorted([(reader, READ), (writer, WRITE)])


def test_the_other_end_gone_is_readable_and_an_error(poller: Poller, pipes: list[Pipe]) -> None:
    events: list[int] = []
    reader, writer = pipes[0]
    poller.subscribe(reader, lambda _fd, mask: events.append(mask), READ)
    os.close(writer)
    poller.poll(0)
    assert events == [READ | ERROR]


def test_a_second_subscription_replaces_callback_and_mask(poller: Poller, pipes: list[Pipe]) -> None:
    events: list[str] = []
    _reader, writer = pipes[0]
    poller.subscribe(writer, lambda _fd, _mask: events.append("first"), WRITE)
    poller.subscribe(writer, lambda _fd, _mask: events.append("second"), WRITE)
    poller.poll(0)
    poller.subscribe(writer, lambda _fd, _mask: events.append("third"), READ)
    poller.poll(0)
    assert events == ["second"]


def test_a_callback_may_unsubscribe_a_descriptor_whose_event_is_pending(poller: Poller, pipes: list[Pipe]) -> None:
    called: list[int] = []
    writers = [writer for _reader, writer in pipes]

    def unsubscribe_all(fd: int, _mask: int) -> None:
        called.append(fd)
        for writer in writers:
            poller.unsubscribe(writer)

    for writer in writers:
        poller.subscribe(writer, unsubscribe_all, WRITE)
    poller.poll(0)
    poller.poll(0)
    assert len(called) == 1


def test_a_reused_descriptor_number_does_not_get_the_old_event(poller: Poller, pipes: list[Pipe]) -> None:
    called: list[str] = []
    writers = [writer for _reader, writer in pipes[:2]]
    replaced: list[Pipe] = []

    def replace_the_other(fd: int, _mask: int) -> None:
        called.append("old")
        other = next(writer for writer in writers if writer != fd)
        poller.unsubscribe(other)
        os.close(other)
        replaced.append(os.pipe())
        while other not in replaced[-1]:
            replaced.append(os.pipe())
        poller.subscribe(other, lambda _fd, _mask: called.append("new"), READ | WRITE)

    for writer in writers:
        poller.subscribe(writer, replace_the_other, WRITE)
    poller.poll(0)
    assert called == ["old"]
    for pair in replaced:
        for fd in pair:
            if fd not in writers:
                os.close(fd)


def test_unknown_descriptors_can_be_unsubscribed(poller: Poller) -> None:
    poller.unsubscribe(12345)


class Recorder:
    """Journal, outbox and inner poller in one, writing down who is called."""

    def __init__(self, dirty: bool, meta_dirty: bool) -> None:
        self.calls: list[str] = []
        self.dirty = dirty
        self.meta_dirty = meta_dirty

    def sync(self) -> None:
        self.calls.append("sync")
        self.dirty = self.meta_dirty = False

    def flush(self, append_entries_only: bool) -> None:
        self.calls.append("flush append_entries" if append_entries_only else "flush all")

    def subscribe(self, fd: int, callback: EventCallback, event_mask: int) -> None:
        self.calls.append(f"subscribe {fd}")

    def unsubscribe(self, fd: int) -> None:
        self.calls.append(f"unsubscribe {fd}")

    def poll(self, timeout_s: float) -> None:
        self.calls.append("poll")

    def noted(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


def commit_calls(recorder: Recorder) -> list[str]:
    poller = GroupCommitPoller(recorder, recorder, recorder)
    poller.before_sync.append(recorder.noted("before"))
    poller.queue_entries = recorder.noted("entries")
    poller.after_sync.append(recorder.noted("after"))
    poller.commit()
    return recorder.calls


def test_entries_leave_while_they_are_synced_and_the_rest_after() -> None:
    calls = commit_calls(Recorder(dirty=True, meta_dirty=False))
    assert calls == ["before", "entries", "flush append_entries", "sync", "flush all", "after"]


def test_nothing_leaves_before_a_new_term_or_vote_is_synced() -> None:
    calls = commit_calls(Recorder(dirty=True, meta_dirty=True))
    assert calls == ["before", "entries", "sync", "flush all", "after"]


def test_without_changes_nothing_is_synced() -> None:
    assert commit_calls(Recorder(dirty=False, meta_dirty=False)) == ["before", "entries", "flush all", "after"]


def test_a_failing_sync_lets_nothing_out() -> None:
    class FailingJournal(Recorder):
        def sync(self) -> None:
            raise OSError("disk full")

    recorder = FailingJournal(dirty=True, meta_dirty=True)
    poller = GroupCommitPoller(recorder, recorder, recorder)
    poller.after_sync.append(recorder.noted("after"))
    with pytest.raises(OSError, match="disk full"):
        poller.poll(0)
    assert recorder.calls == []


def test_poll_commits_before_and_after_waiting() -> None:
    recorder = Recorder(dirty=False, meta_dirty=False)
    poller = GroupCommitPoller(recorder, recorder, recorder)
    poller.subscribe(3, lambda _fd, _mask: None, READ)
    poller.unsubscribe(3)
    poller.poll(0)
    assert recorder.calls == ["subscribe 3", "unsubscribe 3", "flush all", "poll", "flush all"]
