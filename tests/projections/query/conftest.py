"""Databases that are filled once and only read, and one for each test that writes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.projections.query.history import History, new_history


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Two groups, in each of which much happened by chance."""
    history = new_history(tmp_path_factory.mktemp("history"))
    history.grow("main", seed=1, count=700)
    history.grow("metals", seed=2, count=500)
    yield history
    history.database.close()


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[History]:
    history = new_history(tmp_path)
    history.grow("main", seed=3, count=200)
    yield history
    history.database.close()
