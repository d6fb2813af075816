"""Readiness of file descriptors, and the one durability point of a tick.

`Poller` is an epoll object behind the interface that pysyncobj expects of a poller.

`GroupCommitPoller` wraps it and is where Tallystick keeps its promise that nothing leaves a replica before what it
depends on is on disk. Handlers that run inside a tick never write to a socket and never call fsync: they change the
journal in memory and queue messages. Before and after waiting for input the wrapper commits all of that at once:

1. `before_sync` hooks run, in the order of their registration: last chance to propose what waits. Then `queue_entries`,
   which belongs to the replicated log, queues append_entries for all that was proposed.
2. If the journal holds new log entries and nothing else, queued append_entries leave now, so that the followers write
   their copies while we write ours. This is safe because an append_entries promises nothing about the sender's disk:
   the leader may count its own copy only up to `durable_index`, which moves in step 3. A new term or vote must be
   durable first, so then nothing leaves early.
3. The journal is synced: one fsync for everything that changed.
4. Every queued message leaves: acknowledgements, votes, the rest.
5. `after_sync` hooks run: what others may see only now (answers to gateways).
"""

import select
from collections.abc import Callable
from typing import Protocol

READ = 1
WRITE = 2
ERROR = 4

EventCallback = Callable[[int, int], None]
"""Called with (fd, event mask); the mask is a union of READ, WRITE and ERROR."""


class EventSource(Protocol):
    """What pysyncobj and our links need of a poller."""

    def subscribe(self, fd: int, callback: EventCallback, event_mask: int) -> None:
        """Call `callback` when `fd` is ready for one of `event_mask`; a second call replaces the first."""

    def unsubscribe(self, fd: int) -> None:
        """Forget `fd`; unknown descriptors are ignored."""

    def poll(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` and run the callbacks of all that is ready."""


class SyncedJournal(Protocol):
    """The part of the journal that decides when messages may leave."""

    @property
    def dirty(self) -> bool:
        """Whether anything changed since the last sync."""

    @property
    def meta_dirty(self) -> bool:
        """Whether something other than log entries changed: term, vote or snapshot reference."""

    def sync(self) -> None:
        """Make every change durable in one transaction."""


class MessageQueue(Protocol):
    """Messages that wait for the journal."""

    def flush(self, append_entries_only: bool) -> None:
        """Hand queued messages to the network; only the append_entries among them if so asked."""


class _Subscription:
    __slots__ = ("callback", "event_mask")

    def __init__(self, callback: EventCallback, event_mask: int) -> None:
        self.callback = callback
        self.event_mask = event_mask


class Poller:
    """One epoll object; level-triggered, so an event that was not consumed is reported again."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._subscriptions: dict[int, _Subscription] = {}

    def subscribe(self, fd: int, callback: EventCallback, event_mask: int) -> None:
        """Call `callback(fd, mask)` when `fd` is ready; a second call replaces callback and mask."""
        subscription = self._subscriptions.get(fd)
        if subscription is None:
            self._subscriptions[fd] = _Subscription(callback, event_mask)
            self._epoll.register(fd, _epoll_mask(event_mask))
            return
        subscription.callback = callback
        if subscription.event_mask != event_mask:
            subscription.event_mask = event_mask
            self._epoll.modify(fd, _epoll_mask(event_mask))

    def unsubscribe(self, fd: int) -> None:
        """Forget `fd`, also an event of it that is pending in the running batch. Call before closing the fd."""
        if self._subscriptions.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def poll(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for events and run their callbacks; errors of callbacks pass through."""
        # The batch remembers the subscription objects, not the numbers: a callback may close a descriptor and
        # open another one that gets the same number, which must not receive the old one's event.
        batch = [(fd, events, self._subscriptions.get(fd)) for fd, events in self._epoll.poll(timeout_s)]
        for fd, events, subscription in batch:
            if subscription is None or self._subscriptions.get(fd) is not subscription:
                continue
            mask = _event_mask(events) & (subscription.event_mask | ERROR)
            if mask:
                subscription.callback(fd, mask)

    def close(self) -> None:
        """Release the epoll descriptor; subscribed descriptors stay open."""
        self._epoll.close()


class GroupCommitPoller:
    """Commits journal and messages around every wait for input; see the module's docstring for the order."""

    def __init__(self, inner: EventSource, journal: SyncedJournal, outbox: MessageQueue) -> None:
        self._inner = inner
        self._journal = journal
        self._outbox = outbox
        self.queue_entries: Callable[[], None] = lambda: None
        self.before_sync: list[Callable[[], None]] = []
        self.after_sync: list[Callable[[], None]] = []

    def subscribe(self, fd: int, callback: EventCallback, event_mask: int) -> None:
        """As `Poller.subscribe`."""
        self._inner.subscribe(fd, callback, event_mask)

    def unsubscribe(self, fd: int) -> None:
        """As `Poller.unsubscribe`."""
        self._inner.unsubscribe(fd)

    def poll(self, timeout_s: float) -> None:
        """Commit, wait for input and handle it, commit again."""
        self.commit()
        self._inner.poll(timeout_s)
        self.commit()

    def commit(self) -> None:
        """Make all changes durable, then let out all that depends on them."""
        for prepare in self.before_sync:
            prepare()
        self.queue_entries()
        if self._journal.dirty:
            if not self._journal.meta_dirty:
                self._outbox.flush(append_entries_only=True)
            self._journal.sync()
        self._outbox.flush(append_entries_only=False)
        for release in self.after_sync:
            release()


def _epoll_mask(event_mask: int) -> int:
    mask = 0
    if event_mask & READ:
        mask |= select.EPOLLIN
    if event_mask & WRITE:
        mask |= select.EPOLLOUT
    return mask


def _event_mask(events: int) -> int:
    mask = 0
    if events & (select.EPOLLIN | select.EPOLLHUP):
        # After a hang-up there may still be bytes to read; reading them ends in the end of the stream.
        mask |= READ
    if events & select.EPOLLOUT:
        mask |= WRITE
    if events & (select.EPOLLERR | select.EPOLLHUP):
        mask |= ERROR
    return mask
