"""The memory of requests against a plain dict and a queue, and the shape of ids."""

from __future__ import annotations

import random
from collections import deque
from string import ascii_letters, digits

import pytest

from engine.dedup import Receipt, Receipts, id_is_valid_at, is_valid_id
from engine.types import REQUEST_MEMORY_NS, SECOND_LEG
from tests.engine.snapshot_parts import record_of

U64_MAX = (1 << 64) - 1
I64_MAX = (1 << 63) - 1
ACCOUNT_MAX = (1 << 32) - 1
SEGMENT_SIZE = 1 << 20
CONTENT = bytes(range(256)) * 4


def remember(receipts: Receipts, receipt: Receipt, before: bytes = b"..", between: bytes = b"-") -> int:
    """As a record: something, the id, something, the content, something."""
    data = before + receipt.request_id + between + receipt.content + b"..."
    start, length = len(before), len(receipt.request_id)
    content_start = start + length + len(between)
    reference = receipts.remember(
        receipt.account_id,
        data,
        start,
        length,
        receipt.kind,
        content_start,
        len(receipt.content),
        receipt.sequence,
        receipt.remembered_at_ns,
    )
    receipts.settle(reference, receipt.reason, receipt.subject_id)
    return reference


def find(receipts: Receipts, account_id: int, request_id: bytes) -> int:
    return receipts.find(account_id, b"**" + request_id + b"*", 2, len(request_id))


def receipt_at(receipts: Receipts, reference: int) -> Receipt:
    return Receipt(
        receipts.account_id(reference),
        receipts.request_id(reference),
        receipts.kind(reference),
        receipts.content(reference),
        receipts.sequence(reference),
        receipts.reason(reference),
        receipts.subject_id(reference),
        receipts.remembered_at_ns(reference),
    )


def numbered(number: int, account_id: int = 7, content: bytes = b"content") -> Receipt:
    return Receipt(account_id, b"id-%d" % number, 3, content, number, number % 50, number // 2, number)


def filled(count: int) -> Receipts:
    receipts = Receipts()
    for number in range(1, count + 1):
        remember(receipts, numbered(number))
    return receipts


# Ids.


def test_ids_are_letters_digits_and_three_signs() -> None:
    good = (ascii_letters + digits + "_.-").encode()
    for character in range(256):
        expected = character in good
        for place in (0, 1, 2):
            text = bytearray(b"abc")
            text[place] = character
            assert is_valid_id(bytes(text)) == expected
            assert id_is_valid_at(b"!" + bytes(text) + b"!", 1, 3) == expected


def test_ids_have_one_to_64_characters() -> None:
    for length in range(130):
        assert is_valid_id(b"x" * length) == (1 <= length <= 64)
        assert id_is_valid_at(b"!" + b"x" * length + b"!", 1, length) == (1 <= length <= 64)


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (0, 4), (2, 2), (3, 1), (1 << 40, 1)])
def test_an_id_lies_within_its_record(start: int, length: int) -> None:
    with pytest.raises(IndexError):
        id_is_valid_at(b"abc", start, length)


# One receipt.


def test_nothing_is_known_at_first() -> None:
    receipts = Receipts()
    assert len(receipts) == 0 and receipts.oldest() == 0 and receipts.oldest_due(I64_MAX) == 0
    assert receipts.in_queue_order() == [] and find(receipts, 1, b"a") == 0


def test_a_receipt_says_what_was_remembered() -> None:
    receipts = Receipts()
    for receipt in (
        Receipt(1, b"a", 0, b"", 1, 0, 0, 0),
        Receipt(ACCOUNT_MAX, b"Z" * 64, (1 << 16) - 1, CONTENT, U64_MAX, (1 << 16) - 1, U64_MAX, I64_MAX),
        Receipt(2, b"a", 5, b"x", 2, 3, 4, -1 - I64_MAX),
    ):
        reference = remember(receipts, receipt)
        assert 0 < reference < 1 << 32
        assert receipt_at(receipts, reference) == receipt
        assert find(receipts, receipt.account_id, receipt.request_id) == reference
        assert receipts.in_queue_order()[-1] == receipt
    assert len(receipts) == 3


def test_a_receipt_has_no_outcome_until_it_is_settled() -> None:
    receipts = Receipts()
    data = b"id+content"
    reference = receipts.remember(4, data, 0, 2, 9, 3, 7, 11, 12)
    assert receipt_at(receipts, reference) == Receipt(4, b"id", 9, b"content", 11, 0, 0, 12)
    receipts.settle(reference, 5, 6)
    assert receipt_at(receipts, reference) == Receipt(4, b"id", 9, b"content", 11, 5, 6, 12)
    receipts.settle(reference, 0, U64_MAX)
    assert receipt_at(receipts, reference) == Receipt(4, b"id", 9, b"content", 11, 0, U64_MAX, 12)


def test_nothing_is_left_of_what_stood_in_a_segment_before() -> None:
    receipts = Receipts()
    remember(receipts, Receipt(ACCOUNT_MAX, b"Z" * 64, (1 << 16) - 1, CONTENT, U64_MAX, 99, U64_MAX, I64_MAX))
    receipts.forget_oldest()
    reference = receipts.remember(1, b"a", 0, 1, 0, 1, 0, 1, 0)
    assert receipt_at(receipts, reference) == Receipt(1, b"a", 0, b"", 1, 0, 0, 0)


def test_an_id_is_its_whole_text_and_its_account() -> None:
    receipts = Receipts()
    ids = [b"a", b"b", b"aa", b"ab", b"ba", b"a" * 8, b"a" * 9, b"a" * 16, b"a" * 63, b"a" * 64, b"a" * 63 + b"b"]
    expected = {}
    for account_id in (1, 2, 1 << 31, ACCOUNT_MAX):
        for request_id in ids:
            assert find(receipts, account_id, request_id) == 0
            receipt = Receipt(account_id, request_id, 1, request_id + b"!", account_id, 0, 0, 5)
            expected[account_id, request_id] = remember(receipts, receipt)
    assert len(set(expected.values())) == len(receipts) == 44
    for (account_id, request_id), reference in expected.items():
        assert find(receipts, account_id, request_id) == reference
        assert receipts.content(reference) == request_id + b"!"
    for account_id in (0, 3, 1 << 32, (1 << 32) + 1, U64_MAX):
        assert find(receipts, account_id, b"a") == 0


@pytest.mark.parametrize("numbers", [(203_845, 309_220), (107_056, 117_134), (21_201, 355_852)])
def test_ids_of_the_same_hash_are_told_apart(numbers: tuple[int, int]) -> None:
    receipts = Receipts()
    first, second = map(numbered, numbers)
    hashes = [receipts.hash_of(7, one.request_id, 0, len(one.request_id)) for one in (first, second)]
    assert hashes[0] == hashes[1], "other ids collide now: search among the first few hundred thousand"
    remember(receipts, first)
    assert find(receipts, 7, second.request_id) == 0
    remember(receipts, second)
    assert [receipt_at(receipts, find(receipts, 7, one.request_id)) for one in (first, second)] == [first, second]
    receipts.forget_oldest()
    assert find(receipts, 7, first.request_id) == 0
    assert receipt_at(receipts, find(receipts, 7, second.request_id)) == second


def test_a_request_asks_the_same_if_kind_and_content_are_equal() -> None:
    receipts = Receipts()
    reference = remember(receipts, Receipt(1, b"abc", 7, b"content", 1, 0, 0, 5))
    assert receipts.asks_the_same(reference, 7, b"..content.", 2, 7)
    assert not receipts.asks_the_same(reference, 8, b"..content.", 2, 7)
    assert not receipts.asks_the_same(reference, 7, b"..content.", 2, 6)
    assert not receipts.asks_the_same(reference, 7, b"..content.", 2, 8)
    assert not receipts.asks_the_same(reference, 7, b"..content.", 1, 7)
    assert not receipts.asks_the_same(reference, 7, b"..Content.", 2, 7)
    with pytest.raises(IndexError):
        receipts.asks_the_same(reference, 7, b"cont", 0, 7)


def test_a_fence_asks_the_same_as_no_request() -> None:
    receipts = Receipts()
    fence = remember(receipts, Receipt(1, b"abc", 0, b"", 1, 9, 0, 5))
    assert not receipts.asks_the_same(fence, 7, b"", 0, 0)


@pytest.mark.parametrize(
    ("account_id", "start", "length", "content_start", "content_length"),
    [(1, 8, 3, 0, 2), (1, -1, 3, 0, 2), (1, 0, 3, 9, 2), (1, 0, 3, 0, 11), (1, 0, 3, -1, 2), (1 << 32, 0, 3, 3, 2)],
)
def test_what_no_record_can_hold_is_not_remembered(
    account_id: int, start: int, length: int, content_start: int, content_length: int
) -> None:
    receipts = Receipts()
    with pytest.raises((IndexError, AssertionError)):
        receipts.remember(account_id, b"0123456789", start, length, 1, content_start, content_length, 1, 1)
    assert len(receipts) == 0 and receipts.in_queue_order() == [] and receipts.oldest() == 0
    assert receipts.find(1, b"0123456789", 0, 3) == 0


def test_a_text_of_the_record_must_fit_its_length() -> None:
    receipts = Receipts()
    data = bytes(1 << 16)
    for length, content_length in ((256, 0), (1, 1 << 16)):
        with pytest.raises(AssertionError):
            receipts.remember(1, data, 0, length, 1, 0, content_length, 1, 1)
    reference = receipts.remember(1, data, 0, 255, 1, 0, (1 << 16) - 1, 1, 1)
    assert receipts.request_id(reference) == bytes(255) and receipts.content(reference) == bytes((1 << 16) - 1)


def test_fetching_ahead_changes_nothing() -> None:
    receipts = filled(3)
    before = receipts.in_queue_order()
    for request_id in (b"id-2", b"id-9"):
        receipts.prefetch(receipts.hash_of(7, request_id, 0, 4))
    assert receipts.in_queue_order() == before
    assert receipts.sequence(find(receipts, 7, b"id-2")) == 2 and find(receipts, 7, b"id-9") == 0


# The order in which receipts are forgotten.


def test_the_oldest_is_forgotten_first_and_its_id_is_new_again() -> None:
    receipts = filled(5)
    for number in range(1, 6):
        oldest = receipts.oldest()
        assert receipts.sequence(oldest) == number and find(receipts, 7, b"id-%d" % number) == oldest
        receipts.forget_oldest()
        assert find(receipts, 7, b"id-%d" % number) == 0 and len(receipts) == 5 - number
        assert [receipt.sequence for receipt in receipts.in_queue_order()] == [*range(number + 1, 6)]
    assert receipts.oldest() == 0
    reference = remember(receipts, numbered(1, content=b"other"))
    assert find(receipts, 7, b"id-1") == receipts.oldest() == reference
    assert receipts.content(reference) == b"other"


def test_nothing_is_forgotten_where_there_is_nothing() -> None:
    receipts = Receipts()
    with pytest.raises(AssertionError):
        receipts.forget_oldest()
    with pytest.raises(AssertionError):
        receipts.keep_oldest(5)
    assert len(receipts) == 0 and receipts.oldest() == 0


@pytest.mark.parametrize("remembered_at_ns", [0, 1, 5_000_000_000, -7])
def test_a_receipt_is_due_when_more_than_a_day_has_passed(remembered_at_ns: int) -> None:
    receipts = Receipts()
    reference = remember(receipts, numbered(1)._replace(remembered_at_ns=remembered_at_ns))
    due_ns = remembered_at_ns + REQUEST_MEMORY_NS
    assert receipts.oldest_due(remembered_at_ns - 1) == receipts.oldest_due(due_ns) == 0
    assert receipts.oldest_due(due_ns + 1) == reference


def test_a_receipt_that_is_kept_goes_to_the_end_with_a_new_time() -> None:
    receipts = filled(3)
    kept = receipts.keep_oldest(99)
    assert [receipt.sequence for receipt in receipts.in_queue_order()] == [2, 3, 1]
    assert receipt_at(receipts, kept) == numbered(1)._replace(remembered_at_ns=99)
    assert find(receipts, 7, b"id-1") == kept and receipts.sequence(receipts.oldest()) == 2 and len(receipts) == 3


def test_the_only_receipt_can_be_kept_over_and_over() -> None:
    receipts = Receipts()
    remember(receipts, numbered(1, content=CONTENT))
    for now_ns in range(5_000):
        kept = receipts.keep_oldest(now_ns)
        assert receipts.oldest() == kept == find(receipts, 7, b"id-1")
    assert receipts.in_queue_order() == [numbered(1, content=CONTENT)._replace(remembered_at_ns=4_999)]
    assert receipts.arena.segment_count() == 2
    receipts.forget_oldest()
    assert len(receipts) == 0 and find(receipts, 7, b"id-1") == 0


# Segments.


def test_segments_are_used_again_so_that_memory_does_not_grow() -> None:
    receipts = Receipts()
    live = 3 * SEGMENT_SIZE // 1_088  # receipts of nearly this size: three segments, of which two are full
    for number in range(1, 8 * live):
        remember(receipts, numbered(number, content=CONTENT))
        if number % 10 == 0:
            receipts.keep_oldest(number)
        if number > live:
            receipts.forget_oldest()
    assert len(receipts) == live
    assert 3 <= receipts.arena.segment_count() <= 5
    for receipt in receipts.in_queue_order():
        assert receipt_at(receipts, find(receipts, 7, receipt.request_id)) == receipt


def test_emptied_receipts_go_on_in_the_same_segments() -> None:
    receipts = Receipts()
    counts = set()
    for round_number in range(5):
        for number in range(2_500):
            remember(receipts, numbered(10_000 * round_number + number, content=CONTENT))
        counts.add(receipts.arena.segment_count())
        for _ in range(2_500):
            receipts.forget_oldest()
        assert len(receipts) == 0 and receipts.oldest() == 0
    assert counts <= {3, 4}


def test_no_record_lies_in_two_segments() -> None:
    """Records of all sizes around what is left of a segment: each is what it was."""
    receipts = Receipts()
    expected = []
    rng = random.Random(3)
    for number in range(4_000):
        receipt = numbered(number, content=rng.randbytes(rng.choice((0, 1, 7, 8, 500, 1_023, 1_024))))
        expected.append(receipt)
        remember(receipts, receipt)
    assert receipts.arena.segment_count() == 2
    assert receipts.in_queue_order() == expected


def test_a_reservation_changes_no_answer_and_suffices() -> None:
    receipts = Receipts()
    remember(receipts, numbered(1))
    receipts.reserve(30_000)
    count = receipts.arena.segment_count()
    receipts.reserve(30_000)
    assert receipts.arena.segment_count() == count and len(receipts) == 1
    for number in range(2, 20_000):
        remember(receipts, numbered(number))
    assert receipts.arena.segment_count() == count
    assert [receipt.sequence for receipt in receipts.in_queue_order()] == [*range(1, 20_000)]


# Against a model.


@pytest.mark.parametrize("hash_key", [0, 1, 0x9E37_79B9_7F4A_7C15, U64_MAX])
def test_any_sequence_of_requests_does_what_a_dict_and_a_queue_do(hash_key: int) -> None:
    """The answers are the same for every key, and so are the records."""
    rng = random.Random(5)
    receipts = Receipts(hash_key)
    model: dict[tuple[int, bytes], Receipt] = {}
    queue: deque[tuple[int, bytes]] = deque()
    newest = 0
    for now_ns in range(1, 12_001):
        action = rng.random()
        if queue and action < (0.45 if now_ns // 3_000 % 2 else 0.15):
            key = queue.popleft()
            assert receipt_at(receipts, receipts.oldest()) == model[key]
            if rng.random() < 0.3:
                model[key] = model[key]._replace(remembered_at_ns=now_ns)
                queue.append(key)
                assert receipt_at(receipts, receipts.keep_oldest(now_ns)) == model[key]
            else:
                receipts.forget_oldest()
                del model[key]
                assert find(receipts, *key) == 0
        else:
            length = rng.choice((1, 2, 8, 36, 64))
            key = rng.choice((1, 2, ACCOUNT_MAX)), b"%064d" % rng.randrange(6_000)
            key = key[0], key[1][-length:]
            reference = find(receipts, *key)
            assert (reference != 0) == (key in model)
            if reference:
                assert receipt_at(receipts, reference) == model[key]
                if reference != newest:
                    continue
                outcome = model[key]._replace(reason=rng.randrange(1 << 16), subject_id=rng.getrandbits(64))
                receipts.settle(reference, outcome.reason, outcome.subject_id)
            else:
                content = rng.randbytes(rng.choice((0, 1, 13, 26, 200, 1_024)))
                kind, subject_id = rng.randrange(60), rng.getrandbits(64)
                outcome = Receipt(*key, kind, content, rng.getrandbits(64), now_ns % 70, subject_id, now_ns)
                newest = remember(receipts, outcome, before=b"b" * rng.randrange(9))
                queue.append(key)
            model[key] = outcome
        assert len(receipts) == len(model)
    expected = [model[key] for key in queue]
    assert len(expected) > 1_000
    assert receipts.in_queue_order() == expected
    assert records_of(receipts) == b"".join(map(record_of, expected))
    receipts.arena.assert_digests_fit()


# In a snapshot.


def records_of(receipts: Receipts) -> bytes:
    return b"".join(receipts.arena.records())


def restored(receipts: Receipts, hash_key: int = 0) -> Receipts:
    """As a snapshot brings them back."""
    again = Receipts(hash_key)
    data = receipts.arena.table() + records_of(receipts)
    assert again.arena.restore(b"*" + data + b"**", 1) == 1 + len(data)
    again.read_arena()
    return again


def some_receipts() -> Receipts:
    receipts = filled(6)
    receipts.forget_oldest()
    receipts.keep_oldest(-3)
    remember(receipts, Receipt(ACCOUNT_MAX, b"Z" * 64, 65_535, CONTENT, U64_MAX, 65_535, U64_MAX, I64_MAX))
    remember(receipts, Receipt(8, b"fence", 0, b"", 90, 9, 0, 100))
    return receipts


def test_a_snapshot_has_the_receipts_in_queue_order_and_none_that_is_forgotten() -> None:
    receipts = some_receipts()
    assert records_of(receipts) == b"".join(map(record_of, receipts.in_queue_order()))
    assert records_of(Receipts()) == b""


@pytest.mark.parametrize("hash_key", [0, 12])
def test_a_snapshot_brings_everything_back(hash_key: int) -> None:
    receipts = some_receipts()
    again = restored(receipts, hash_key)
    assert again.in_queue_order() == receipts.in_queue_order() and len(again) == len(receipts) == 7
    for receipt in receipts.in_queue_order():
        reference = find(again, receipt.account_id, receipt.request_id)
        assert receipt_at(again, reference) == receipt
        assert reference == find(receipts, receipt.account_id, receipt.request_id), "references are part of the state"
    for one in (receipts, again):
        one.forget_oldest()
        one.keep_oldest(77)
        remember(one, numbered(30))
        while one.in_queue_order()[0].sequence != 30:
            one.forget_oldest()
    assert (again.arena.table(), records_of(again)) == (receipts.arena.table(), records_of(receipts))
    assert restored(Receipts()).in_queue_order() == []


def test_records_that_are_not_receipts_are_noticed() -> None:
    receipts = filled(2)
    table, records = receipts.arena.table(), bytearray(records_of(receipts))
    for at in (34, 32):  # the length of the id, and of the content
        broken = bytearray(records)
        broken[at] += 64
        again = Receipts()
        again.arena.restore(table + bytes(broken), 0)
        with pytest.raises(IndexError):
            again.read_arena()


def test_an_order_bears_the_id_of_the_request_that_placed_it() -> None:
    """Not of a cancellation or an amendment, which are about the order as well; nor of a refusal."""
    receipts = Receipts()
    refused = remember(receipts, Receipt(7, b"refused", 6, b"", 4, 3, 0, 0))
    placed = remember(receipts, Receipt(7, b"placed", 6, b"", 5, 0, 5, 0))
    second = remember(receipts, Receipt(7, b"second", 6, b"", 5, 0, 5 + SECOND_LEG, 0))
    amended = remember(receipts, Receipt(7, b"amended", 8, b"", 9, 0, 5, 0))
    leg_cancelled = remember(receipts, Receipt(7, b"cancelled", 8, b"", 10, 0, 5 + SECOND_LEG, 0))
    found = [receipts.order_id(one) for one in (refused, placed, second, amended, leg_cancelled)]
    assert found == [0, 5, 5 + SECOND_LEG, 0, 0]


def test_a_receipt_is_settled_before_another_one_comes() -> None:
    """What stands in a segment that is full is hashed once."""
    receipts = Receipts()
    first = remember(receipts, numbered(1))
    for number in range(2, 1_200):
        remember(receipts, numbered(number, content=CONTENT))
    with pytest.raises(AssertionError, match="settled too late"):
        receipts.settle(first, 1, 1)
