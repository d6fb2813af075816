"""Who may work with the database at the same time: searches in some threads, files in some others.

A question is answered in a thread, so that a slow one keeps nobody waiting but itself. A file holds a snapshot for as
long as its reader takes, so only a few are written at a time.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from gateway.errors import NotFound, Overloaded
from projections.query.answers import Answer, answer_page
from projections.query.asked import Asked
from projections.query.database import Database
from projections.query.files import File
from projections.query.source import BehindHistory

SEARCH_S_MAX: Final = 10.0
FILE_S_MAX: Final = 600.0
FILES_MAX: Final = 4
SEARCH_THREADS: Final = 8
_LOOK_AGAIN_AFTER_S: Final = 0.02


class Desk:
    """Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._searchers = ThreadPoolExecutor(SEARCH_THREADS, thread_name_prefix="search")
        self._writers = ThreadPoolExecutor(FILES_MAX, thread_name_prefix="file")
        self._files = 0

    def close(self) -> None:
        self._searchers.shutdown(wait=True, cancel_futures=True)
        self._writers.shutdown(wait=True, cancel_futures=True)
        self._database.close()

    async def page(self, asked: Asked) -> Answer:
        """One page, as soon as the history has come as far as the question needs."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + asked.wait_ms / 1_000
        while True:
            try:
                return await loop.run_in_executor(self._searchers, self._answer, asked)
            except (BehindHistory, NotFound):
                # What it names may come with the sequence that it needs.
                if asked.get("min_sequence") is None or loop.time() >= until_s:
                    raise
            await asyncio.sleep(_LOOK_AGAIN_AFTER_S)

    async def open_file(self, asked: Asked, format_name: str) -> File:
        """All rows. Overloaded if too many files are being written. To be given back with :meth:`close_file`."""
        if self._files >= FILES_MAX:
            raise Overloaded
        self._files += 1
        try:
            if asked.get("min_sequence") is not None:
                await self.page(asked)
            return await asyncio.get_running_loop().run_in_executor(self._writers, self._file, asked, format_name)
        except BaseException:
            self._files -= 1
            raise

    async def next_piece(self, file: File) -> bytes | None:
        return await asyncio.get_running_loop().run_in_executor(self._writers, file.next_piece)

    async def close_file(self, file: File) -> None:
        self._files -= 1
        await asyncio.get_running_loop().run_in_executor(self._writers, file.close)

    def _answer(self, asked: Asked) -> Answer:
        with self._database.snapshot(SEARCH_S_MAX) as connection:
            return answer_page(connection, asked)

    def _file(self, asked: Asked, format_name: str) -> File:
        return File(self._database, asked, format_name, limit_s=FILE_S_MAX)
