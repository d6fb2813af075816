"""Messages that wait, leave in order, or never leave."""

from replication.messages import AppendEntries, RequestVote, ResponseVote
from replication.outbox import Outbox


class Sent:
    """The network behind an outbox."""

    def __init__(self) -> None:
        self.frames: dict[str, list[bytes]] = {}

    def __call__(self, node_id: str, frames: list[bytes]) -> None:
        self.frames.setdefault(node_id, []).extend(frames)


def test_an_outbox_lets_append_entries_go_first() -> None:
    sent = Sent()
    outbox = Outbox(sent)
    outbox.queue("b", RequestVote(1, 1, 1, bytes(16)))
    outbox.queue("b", AppendEntries(1, 1, 1, 1, []))
    outbox.flush(append_entries_only=True)
    assert len(sent.frames["b"]) == 1
    outbox.flush(append_entries_only=False)
    assert len(sent.frames["b"]) == 2
    outbox.flush(append_entries_only=False)
    assert len(sent.frames["b"]) == 2


def test_an_outbox_drops_what_a_new_term_makes_void() -> None:
    sent = Sent()
    outbox = Outbox(sent)
    for term in (1, 2, 3):
        outbox.queue("b", ResponseVote(term))
    outbox.purge(current_term=3)
    outbox.flush(append_entries_only=False)
    assert len(sent.frames["b"]) == 1


def test_an_outbox_encodes_a_shared_message_once() -> None:
    sent = Sent()
    outbox = Outbox(sent)
    message = AppendEntries(1, 1, 1, 1, [(1, b"x")])
    outbox.queue("b", message)
    outbox.queue("c", message)
    outbox.flush(append_entries_only=False)
    assert sent.frames["b"][0] is sent.frames["c"][0]
