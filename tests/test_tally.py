"""The command line as a user meets it: real processes, one per call."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TALLY = ROOT / "tally.py"
COMMANDS = (
    "up",
    "node",
    "gateway",
    "exporter",
    "ingress",
    "call",
    "import",
    "demo",
    "load",
    "accept",
    "judge",
    "replay",
    "admin",
    "bench",
    "mutants",
    "version",
)


def tally(
    *arguments: str, cwd: Path = ROOT, python: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, str(TALLY), *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_refused(result: subprocess.CompletedProcess[str], code: int, complaint: str) -> None:
    assert "Traceback" not in result.stderr
    assert re.search(complaint, result.stderr), result.stderr
    assert result.returncode == code


@pytest.mark.parametrize("command", [["accept", "--list"], ["version"]], ids=lambda words: words[0])
def test_a_reader_that_has_seen_enough_gets_no_traceback(command: list[str]) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, str(TALLY), *command], stdout=writing, stderr=subprocess.PIPE)
    os.close(reading)
    os.close(writing)
    _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == (b"", 1)


def test_help_names_every_command_and_shows_examples() -> None:
    result = tally("--help")
    assert result.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^    {command} ", result.stdout, re.MULTILINE), command
    assert "examples:" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = tally(command, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: tally {command} ")


def test_help_loads_no_package_of_ours() -> None:
    result = tally("--help", python=("-X", "importtime"))
    assert not re.search(r"\| +(engine|replication|gateway|projections|sim)\b", result.stderr)


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert tally("version").stdout.startswith(f"tallystick {project['version']} (Python ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("upp",), r"invalid choice: 'upp'"),
        (("up", "--port", "65536"), "'65536' is not a port from 0 to 65535"),
        (("up", "--prot", "1"), "unrecognized arguments: --prot 1"),
        (("node",), "the following arguments are required: --config, --node"),
        (("load", "--seconds", "0"), "'0' is not a whole number above 0"),
        (("bench", "coffee"), "invalid choice: 'coffee'"),
        (("admin",), "the following arguments are required: COMMAND"),
        (("admin", "coffee"), "invalid choice: 'coffee'"),
        (("admin", "certs", "--config", "x.toml"), "the following arguments are required: --out"),
        (("bench", "engine", "--runs", "0"), "'0' is not a whole number above 0"),
        (("judge", "--limit", "none", "x.bin"), "'none' is not a whole number above 0"),
        (("import", "binance", "x.csv"), "invalid choice: 'binance'"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: tuple[str, ...], complaint: str) -> None:
    assert_refused(tally(*arguments), 2, complaint)


def test_optimized_python_is_refused() -> None:
    assert_refused(tally("version", python=("-O",)), 2, "do not run with python -O")
    assert_refused(tally("version", PYTHONOPTIMIZE="1"), 2, "do not run with python -O")


def test_a_node_without_its_configuration_says_so(tmp_path: Path) -> None:
    result = tally("node", "--config", "nowhere.toml", "--node", "node-1", cwd=tmp_path)
    assert_refused(result, 1, rf"^tally node: {tmp_path}/nowhere\.toml: there is no such file$")


def test_an_unknown_node_is_refused() -> None:
    result = tally("node", "--config", "configs/dev.toml", "--node", "node-4")
    assert_refused(result, 1, r"^tally node: .*there is no node 'node-4'; the file names node-1, node-2, node-3$")


def test_a_gateway_without_a_certificate_says_how_to_make_one() -> None:
    result = tally("gateway", "--config", "configs/production.toml", "--name", "gateway-7")
    missing = (
        r"\.crt \(certificate_file of production\.toml\): there is no such file: make it with `tally admin certs`$"
    )
    assert_refused(result, 1, r"^tally gateway: /etc/tally/tls/gateway-7" + missing)


def test_a_gateway_without_a_master_key_says_what_is_missing(tmp_path: Path) -> None:
    config = gateway_config(tmp_path)
    result = tally("gateway", "--config", str(config))
    assert_refused(result, 1, rf"^tally gateway: {tmp_path}/master\.key .*TALLY_MASTER_KEY is not set$")


def gateway_config(tmp_path: Path) -> Path:
    """A configuration, and the certificates of a gateway that it names."""
    config = tmp_path / "cluster.toml"
    lines = (ROOT / "configs" / "dev.toml").read_text().splitlines()
    config.write_text("\n".join(line for line in lines if "tally-data" not in line))
    made = tally("admin", "certs", "--config", str(config), "--out", str(tmp_path / "tls"), "--gateway", "gateway-1")
    assert made.returncode == 0, made.stderr
    return config


def test_a_broken_operator_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "operator.key").write_text('{"key_id": "operator"}')
    result = tally(
        *("gateway", "--config", str(gateway_config(tmp_path)), "--operator-key", str(tmp_path / "operator.key")),
        TALLY_MASTER_KEY="11" * 32,
    )
    assert_refused(result, 1, r"operator\.key is not a key file: it must hold JSON")


def test_a_missing_key_of_a_trader_is_named(tmp_path: Path) -> None:
    result = tally("call", "--key", "ana.json", "GET", "/v1/accounts/me", cwd=tmp_path)
    assert_refused(result, 1, r"^tally call: ana\.json cannot be read: No such file or directory$")


def test_up_on_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = tally("up", "--port", str(port), cwd=tmp_path)
    assert_refused(result, 1, rf"^tally up: Port {port} on 127.0.0.1 is taken by another program")
    assert result.stdout == ""
    assert not list((tmp_path / "tally-data" / "logs").iterdir())


def test_up_in_somebody_elses_folder_is_refused() -> None:
    assert_refused(tally("up", "--data", str(ROOT / "docs")), 1, "holds other files and no cluster")


def test_a_client_without_a_key_says_where_it_looked(tmp_path: Path) -> None:
    for arguments in (("call", "GET", "/v1/accounts/me"), ("import", "bitstamp", "x.csv"), ("load",), ("demo",)):
        assert_refused(tally(*arguments, cwd=tmp_path), 1, r"No API key: tally-data/operator\.key cannot be read")


def test_a_client_without_an_exchange_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = tally("call", "GET", "/v1/markets", "--url", f"http://127.0.0.1:{port}", TALLY_KEY="a:b")
    assert_refused(result, 1, rf"^tally call: The exchange at http://127\.0\.0\.1:{port} does not answer")


@pytest.mark.parametrize(("body", "complaint"), [("{", "the body is not JSON"), ("[1]", "must be a JSON object")])
def test_a_body_that_is_no_object_is_refused(body: str, complaint: str) -> None:
    assert_refused(tally("call", "POST", "/v1/orders", body, TALLY_KEY="a:b"), 1, complaint)


class _Echo(BaseHTTPRequestHandler):
    """Answers with the request it got."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen = {"path": self.path, "key": self.headers["X-Tally-Key"], "body": json.loads(body)}
        answer = json.dumps(seen).encode()
        self.send_response(422 if seen["body"] == {"refuse": True} else 201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_call_sends_a_signed_request_and_its_exit_code_tells_the_outcome(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        result = tally("call", "POST", "/v1/orders", '{"side": "buy"}', "--url", url, TALLY_KEY="ana:secret")
        assert json.loads(result.stdout) == {"path": "/v1/orders", "key": "ana", "body": {"side": "buy"}}
        assert result.returncode == 0
        refused = tally("call", "POST", "/v1/orders", '{"refuse": true}', "--url", url, TALLY_KEY="ana:secret")
        assert refused.returncode == 1
        (tmp_path / "bo.json").write_text('{"key_id": "bo", "secret": "s", "sequence": 9}')
        other = tally("call", "--key", str(tmp_path / "bo.json"), "POST", "/v1/orders", "{}", "--url", url)
        assert json.loads(other.stdout)["key"] == "bo"
        server.shutdown()
