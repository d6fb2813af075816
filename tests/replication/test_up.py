"""``tally up`` as its user sees it, with real replicas and a real gateway."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import FORM

ROOT = Path(__file__).parents[2]
LIMIT_S = 30.0

pytestmark = pytest.mark.cluster


class Up:
    """One ``tally up`` on a folder, started from elsewhere than the repository."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._log = directory.parent / "up.log"
        self._limit_s = time.monotonic() + LIMIT_S
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tally.py"), "up", "--data", directory.name, "--port", "0"],
                cwd=directory.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.until(lambda: "Tallystick is running" in self.said)
        self.url = re.search(r"http://\S+", self.said)[0]  # type: ignore[index]

    @property
    def said(self) -> str:
        return self._log.read_text()

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < self._limit_s, self.said
            time.sleep(0.02)

    def pid(self, name: str) -> int:
        return int((self.directory / "run" / f"{name}.pid").read_text())

    def kill_and_see_it_come_back(self, name: str) -> None:
        killed = self.pid(name)
        os.kill(killed, signal.SIGKILL)
        self.until(lambda: f"{name} was ended by SIGKILL: starting it again" in self.said)
        self.until(lambda: (self.directory / "run" / f"{name}.pid").exists() and self.pid(name) != killed)

    def call(self, *arguments: str) -> Any:
        """The exchange's answer, or nothing if there is none."""
        command = [sys.executable, str(ROOT / "tally.py"), "call", *arguments]
        done = subprocess.run([*command, "--url", self.url, "--data", str(self.directory)], stdout=subprocess.PIPE)
        return json.loads(done.stdout or "{}")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Up]]:
    started: list[Up] = []

    def begin() -> Up:
        started.append(Up(tmp_path / "data"))
        return started[-1]

    yield begin
    for up in started:
        # Its children die with it.
        up.process.kill()
        up.process.wait()


def test_it_mends_itself_when_every_process_is_killed_in_turn(start: Callable[[], Up]) -> None:
    up = start()
    up.until(lambda: f"  engine        {FORM}\n" in up.said)
    up.call("POST", "/v1/admin/assets", '{"name": "GLD", "decimals": 3}')
    for name in ("node-1", "node-2", "node-3", "gateway"):
        up.kill_and_see_it_come_back(name)
    up.until(lambda: "assets" in up.call("GET", "/v1/assets"))
    assert [asset["asset"] for asset in up.call("GET", "/v1/assets")["assets"]] == ["GLD"]
    assert up.end(signal.SIGTERM) == 0
    assert up.said.splitlines()[-1] == "tally up: stopped; the same command goes on where this left off"


def test_a_second_up_on_the_same_folder_is_refused(start: Callable[[], Up]) -> None:
    up = start()
    second = subprocess.run(
        [sys.executable, str(ROOT / "tally.py"), "up", "--data", str(up.directory), "--port", "0"],
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    assert re.match(rf"tally up: The cluster in .* is already running \(process {up.process.pid}\)\.", second.stderr)
