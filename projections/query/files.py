"""All rows of a question as one file, written from one snapshot, a page in memory at a time."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from projections.query.answers import all_pages
from projections.query.asked import Asked
from projections.query.database import Database
from projections.query.export import FORMATS
from projections.query.source import Source


class File:
    """Threads may take turns with it. Whoever made it must :meth:`close` it: it holds a snapshot.

    ``as_of`` has the sequence of each group that the file is about.
    """

    def __init__(self, database: Database, asked: Asked, format_name: str, *, limit_s: float) -> None:
        """ApiError if the question has no answer."""
        self.content_type, self._writer = FORMATS[format_name]
        self.name = f"{asked.question.name}.{format_name}"
        self.as_of: Mapping[str, int] = {}
        self._pieces = self._write(database, asked, limit_s)
        self._first: bytes | None = next(self._pieces, b"")

    def next_piece(self) -> bytes | None:
        """None at the end. ApiError if it cannot be finished: what was written is of no use then."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return next(self._pieces, None)

    def close(self) -> None:
        self._pieces.close()

    def _write(self, database: Database, asked: Asked, limit_s: float) -> Generator[bytes, None, None]:
        with database.snapshot(limit_s) as connection:
            source = Source(connection, asked)
            source.require_sequence()
            self.as_of = source.as_of
            yield from self._writer(asked.question.columns, all_pages(source))
