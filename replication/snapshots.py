"""Snapshots of the state machine on disk, and the child process that writes them.

A snapshot is complete or invisible. Its chunks are written first, each with a checksum; the record that makes it exist
is written last, in the same transaction that drops older snapshots; every transaction is fsynced. A writer that dies
half-way leaves chunks without a record, which nobody reads and the next writer deletes. The two newest snapshots are
kept, so that one being sent to a slow follower survives the next one.

The store is an LMDB environment of its own, and it is open only while one of its methods runs. LMDB environments must
not be carried across fork, and between two calls there is none to carry: `BackgroundSnapshot` forks at such a moment.
"""

import contextlib
import fcntl
import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import blake3
import lmdb
import msgspec
import xxhash

from replication.disk import DISK, Disk, disk_failed
from replication.private_directory import create_private_directory

CHUNK_BYTES = 256 * 1024
SNAPSHOTS_KEPT = 2

_RECORDS = b"records"
_CHUNKS = b"chunks"
_CHUNK_KEY = struct.Struct(">QI")  # generation, chunk number
_CHECKSUM = struct.Struct("<Q")
_TRANSACTION_BYTES = 16 * 1024 * 1024
_MAP_STEP_BYTES = 256 * 1024 * 1024
_FIRST_INHERITED_FD = 3

logger = logging.getLogger(__name__)

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class SnapshotDamaged(Exception):
    """A snapshot whose bytes are not the ones that were written; the message says which part."""


class SnapshotGone(Exception):
    """The snapshot asked for is no longer in the store; a newer one is."""


class SnapshotPoint(NamedTuple):
    """Where in the log a snapshot was taken: its last applied entry, and the last command and hash chain in it.

    `membership` is the one that held there, encoded; empty in snapshots of earlier builds.
    """

    log_index: int
    log_term: int
    sequence: int
    chain: bytes
    membership: bytes = b""


class SnapshotMeta(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A complete snapshot. `digest` is the BLAKE3 of its bytes; `chain` is the hash chain at `sequence`."""

    log_index: _Count
    log_term: _Count
    sequence: _Count
    chain: _Digest
    digest: _Digest
    size_bytes: _Count
    chunk_count: _Count
    membership: bytes = b""

    @property
    def point(self) -> SnapshotPoint:
        """Where it was taken."""
        return SnapshotPoint(self.log_index, self.log_term, self.sequence, self.chain, self.membership)


_meta_encoder = msgspec.msgpack.Encoder()
_meta_decoder = msgspec.msgpack.Decoder(SnapshotMeta)


def describe(point: SnapshotPoint, blob: bytes) -> SnapshotMeta:
    """The meta record of `blob` taken at `point`."""
    return _meta(point, blake3.blake3(blob).digest(), len(blob), max(1, -(-len(blob) // CHUNK_BYTES)))


class SnapshotStore:
    """The snapshots in one directory. Any number of objects and processes may use it; writers wait for each other."""

    def __init__(self, path: Path, *, disk: Disk = DISK) -> None:
        self._path = Path(path)
        self._disk = disk
        self._name_is_durable = False
        create_private_directory(self._path)

    def write(self, point: SnapshotPoint, blob: bytes | Iterable[bytes]) -> SnapshotMeta:
        """Store a snapshot and drop all but the newest two. Durable when it returns."""
        with self._exclusive(), self._opened() as environment:
            generation = _next_generation(environment)
            chunks = environment.open_db(_CHUNKS)
            hasher = blake3.blake3()
            size_bytes = chunk_count = 0
            for group in _grouped(_rechunked(blob)):
                _reserve(environment, sum(map(len, group)))
                with environment.begin(write=True) as transaction:
                    for chunk in group:
                        key = _CHUNK_KEY.pack(generation, chunk_count)
                        transaction.put(key, _sealed(chunk), db=chunks, append=True)
                        hasher.update(chunk)
                        size_bytes += len(chunk)
                        chunk_count += 1
            meta = _meta(point, hasher.digest(), size_bytes, chunk_count)
            _publish(environment, generation, meta)
        return meta

    def latest(self) -> SnapshotMeta | None:
        """The complete snapshot with the highest log index, or None."""
        with self._opened() as environment:
            found = _newest_first(environment)
        return found[0][1] if found else None

    def read(self, meta: SnapshotMeta) -> bytes:
        """All bytes of a snapshot, checked against its checksums and its digest."""
        with self._chunk_reader(meta) as read_one:
            blob = b"".join(read_one(number) for number in range(meta.chunk_count))
        verify(meta, blob)
        return blob

    def read_chunk(self, meta: SnapshotMeta, number: int) -> bytes:
        """One chunk, checked; SnapshotGone if this snapshot has been dropped meanwhile."""
        assert 0 <= number < meta.chunk_count, f"chunk {number} of {meta.chunk_count}"
        with self._chunk_reader(meta) as read_one:
            return bytes(read_one(number))

    @contextlib.contextmanager
    def _chunk_reader(self, meta: SnapshotMeta) -> Iterator[Callable[[int], memoryview]]:
        """What reads a chunk of it: a view of the file, good until the end."""
        with self._opened() as environment:
            generations = [generation for generation, found in _newest_first(environment) if found == meta]
            if not generations:
                raise SnapshotGone(f"the snapshot at log index {meta.log_index} is not in {self._path}")
            chunks = environment.open_db(_CHUNKS)
            with environment.begin(buffers=True) as transaction:

                def read_one(number: int) -> memoryview:
                    value = transaction.get(_CHUNK_KEY.pack(generations[0], number), db=chunks)
                    return _unsealed(value, f"chunk {number} of the snapshot at log index {meta.log_index}")

                yield read_one

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Writers wait for each other: one may be the child of a node that was killed and started again."""
        descriptor = os.open(self._path / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[lmdb.Environment]:
        data_file = self._path / "data.mdb"
        present_bytes = data_file.stat().st_size if data_file.exists() else 0
        try:
            map_size_bytes = _round_up(present_bytes + _MAP_STEP_BYTES)
            environment = self._disk.open_environment(self._path, map_size=map_size_bytes)
        except lmdb.Error as error:
            if disk_failed(error):
                raise
            raise SnapshotDamaged(f"cannot open the snapshots in {self._path}: {error}") from error
        try:
            if not self._name_is_durable:
                # Whoever made the file may have lost its power or its life before its name was on the disk.
                self._disk.sync_directory(self._path)
                self._name_is_durable = True
            yield environment
        finally:
            environment.close()


def _meta(point: SnapshotPoint, digest: bytes, size_bytes: int, chunk_count: int) -> SnapshotMeta:
    return SnapshotMeta(
        log_index=point.log_index,
        log_term=point.log_term,
        sequence=point.sequence,
        chain=point.chain,
        digest=digest,
        size_bytes=size_bytes,
        chunk_count=chunk_count,
        membership=point.membership,
    )


def _newest_first(environment: lmdb.Environment) -> list[tuple[int, SnapshotMeta]]:
    """Generation and record of every complete snapshot."""
    found = []
    with environment.begin(db=environment.open_db(_RECORDS)) as transaction:
        for key, value in transaction.cursor():
            encoded = _unsealed(memoryview(value), "the record of a snapshot")
            try:
                found.append((int.from_bytes(key, "big"), _meta_decoder.decode(encoded)))
            except msgspec.DecodeError as error:
                raise SnapshotDamaged(f"the record of a snapshot cannot be read: {error}") from error
    return sorted(found, key=lambda item: (item[1].log_index, item[0]), reverse=True)


def _next_generation(environment: lmdb.Environment) -> int:
    """A number for the snapshot to be written; removes what a writer that died half-way left behind."""
    complete = {generation for generation, _ in _newest_first(environment)}
    with environment.begin(write=True) as transaction:
        _delete_chunks_except(transaction, environment.open_db(_CHUNKS, txn=transaction), complete)
    return max(complete, default=0) + 1


def _publish(environment: lmdb.Environment, generation: int, meta: SnapshotMeta) -> None:
    """Make the snapshot exist and, in the same transaction, drop all but the newest."""
    found = [*_newest_first(environment), (generation, meta)]
    found.sort(key=lambda item: (item[1].log_index, item[0]), reverse=True)
    _reserve(environment, 0)
    chunks = environment.open_db(_CHUNKS)
    records = environment.open_db(_RECORDS)
    with environment.begin(write=True) as transaction:
        transaction.put(generation.to_bytes(8, "big"), _sealed(_meta_encoder.encode(meta)), db=records)
        for dropped, _meta in found[SNAPSHOTS_KEPT:]:
            transaction.delete(dropped.to_bytes(8, "big"), db=records)
        _delete_chunks_except(transaction, chunks, {kept for kept, _meta in found[:SNAPSHOTS_KEPT]})


def _delete_chunks_except(transaction: lmdb.Transaction, chunks: lmdb._Database, kept: set[int]) -> None:
    cursor = transaction.cursor(db=chunks)
    positioned = cursor.first()
    while positioned:
        generation, _number = _CHUNK_KEY.unpack(cursor.key())
        if generation in kept:
            positioned = cursor.set_range(_CHUNK_KEY.pack(generation + 1, 0))
        else:
            # Deleting moves the cursor to the next key.
            cursor.delete()
            positioned = bool(cursor.key())


def _reserve(environment: lmdb.Environment, size_bytes: int) -> None:
    """Grow the map before a transaction of `size_bytes` could fill it."""
    info = environment.info()
    used_bytes = (info["last_pgno"] + 1) * environment.stat()["psize"]
    needed_bytes = used_bytes + 2 * size_bytes + _TRANSACTION_BYTES
    if needed_bytes > info["map_size"]:
        environment.set_mapsize(_round_up(needed_bytes + _MAP_STEP_BYTES))


def _rechunked(blob: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of CHUNK_BYTES; at least one piece."""
    pending = bytearray()
    produced = False
    for piece in [blob] if isinstance(blob, bytes) else blob:
        if not pending:
            whole_bytes = len(piece) - len(piece) % CHUNK_BYTES
            for offset in range(0, whole_bytes, CHUNK_BYTES):
                yield piece[offset : offset + CHUNK_BYTES]
                produced = True
            piece = piece[whole_bytes:]
        pending += piece
        while len(pending) >= CHUNK_BYTES:
            yield bytes(pending[:CHUNK_BYTES])
            produced = True
            del pending[:CHUNK_BYTES]
    if pending or not produced:
        yield bytes(pending)


def _grouped(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lists of chunks, each list small enough for one transaction."""
    group: list[bytes] = []
    for chunk in chunks:
        group.append(chunk)
        if len(group) * CHUNK_BYTES >= _TRANSACTION_BYTES:
            yield group
            group = []
    if group:
        yield group


def _sealed(data: bytes) -> bytes:
    return _CHECKSUM.pack(xxhash.xxh3_64_intdigest(data)) + data


def _unsealed(value: memoryview | None, what: str) -> memoryview:
    if value is None:
        raise SnapshotDamaged(f"{what} is missing")
    data = value[_CHECKSUM.size :]
    if len(value) < _CHECKSUM.size or _CHECKSUM.unpack_from(value)[0] != xxhash.xxh3_64_intdigest(data):
        raise SnapshotDamaged(f"{what} has a wrong checksum")
    return data


def _round_up(size_bytes: int) -> int:
    return -(-size_bytes // _MAP_STEP_BYTES) * _MAP_STEP_BYTES


def verify(meta: SnapshotMeta, blob: bytes) -> None:
    """Check that `blob` is what `meta` describes; SnapshotDamaged if not."""
    if len(blob) != meta.size_bytes:
        raise SnapshotDamaged(
            f"the snapshot at log index {meta.log_index} has {len(blob)} bytes, not {meta.size_bytes}"
        )
    if blake3.blake3(blob).digest() != meta.digest:
        raise SnapshotDamaged(f"the snapshot at log index {meta.log_index} does not match its digest")
