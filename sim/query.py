"""``tally query``: the history from the command line, read from the database directly, by the server's own code."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy.engine import URL

from gateway.errors import ApiError
from gateway.history_columns import INTEGER, TIME
from gateway.history_routes import ACCOUNT, CURSOR, FORMAT, FORMATS, FRESHNESS, LIMIT, QUESTIONS, Parameter, Question
from gateway.rendering import timestamp_text
from projections.database import DatabaseError, database_url, sqlite_url
from projections.query.answers import answer_page
from projections.query.asked import Asked, read_asked
from projections.query.database import Database
from projections.query.files import File
from projections.query.serve import QueryOptions, serve
from projections.query.source import read_groups
from replication.config import ConfigError, load_config
from replication.identity import READER
from replication.local_cluster import READER_NAME
from replication.tls import load_credentials
from sim.query_table import table_lines

TABLE: Final = "table"
_LIMIT_S: Final = 3_600.0  # a person who waits may give up by Ctrl-C
_NOT_OPTIONS: Final = frozenset((CURSOR.name, FORMAT.name, *(parameter.name for parameter in FRESHNESS)))
_ALIASES: Final = {"from": ("--since",), "to": ("--until",), "status": ("--state",)}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

_EXAMPLES: Final = """\
examples:
  tally query orders --account ana --market BTC-USD --state filled --since 2026-11-01
  tally query orders --account ana --format csv --out orders.csv
  tally query fills --account ana --order-id 17
  tally query trades --market BTC-USD --limit 20
  tally query candles --market BTC-USD --interval 1h --since 2026-11-01 --until 2026-11-08
  tally query statement --account ana --asset USD --since 2026-11-01 --until 2026-12-01
  tally query balances --account ana --at 2026-11-01T12:00:00Z
  tally query transfers --kind deposit --format parquet --out deposits.parquet
  tally query position                                      how far each market group has been projected
  tally query serve --config cluster.toml                   the server that gateways ask

The database is that of tally-data/cluster.toml, if neither --config nor --database says another. Times are UTC; a day
alone is its first moment. `tally query COMMAND --help` says more about each command.
"""


def main(argv: Sequence[str], *, config_file: Path) -> int:
    """Run one command. Answers the exit code. ``config_file`` is the cluster's, if nobody names one or a database."""
    arguments = _parser(config_file).parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (ApiError, ConfigError, DatabaseError) as error:
        print(f"tally query: {error.message if isinstance(error, ApiError) else error}", file=sys.stderr)
        return 1
    return code


def _parser(config_file: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tally query",
        description="Search the history of an exchange: what `tally projector` wrote.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for question in QUESTIONS:
        command = commands.add_parser(
            question.name, help=_decapitalised(question.summary), description=question.summary
        )
        _add_database_options(command, config_file)
        _add_options(command, question)
        command.set_defaults(run=_ask, question=question)
    position = commands.add_parser("position", help="how far each market group has been projected")
    _add_database_options(position, config_file)
    position.set_defaults(run=_show_position)
    server = commands.add_parser("serve", help="run the server that gateways ask")
    _add_database_options(server, config_file)
    server.add_argument("--name", default=READER_NAME, help="whose certificate, of a reader, it shows (%(default)s)")
    server.add_argument("--host", help="instead of that of query.address of the file")
    server.add_argument("--port", type=int, help="instead of that of query.address of the file")
    server.set_defaults(run=_serve)
    return parser


def _add_database_options(parser: argparse.ArgumentParser, config_file: Path) -> None:
    parser.add_argument(
        "--config", type=Path, default=config_file, metavar="FILE", help="the cluster's TOML file (%(default)s)"
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        help="instead of that of the file: sqlite:///FILE or postgresql://USER@HOST:PORT/NAME",
    )


def _add_options(parser: argparse.ArgumentParser, question: Question) -> None:
    account = [] if question.public else [ACCOUNT._replace(about="Only this account.")]
    for parameter in (*account, *question.parameters):
        if parameter.name not in _NOT_OPTIONS:
            parser.add_argument(
                f"--{parameter.name.replace('_', '-')}",
                *_ALIASES.get(parameter.name, ()),
                dest=parameter.name,
                metavar=_placeholder(parameter),
                choices=parameter.choices or None,
                required=parameter.required,
                help=_help(parameter),
            )
    parser.add_argument(
        "--format", choices=(TABLE, *FORMATS), default=TABLE, help="a page as a table (%(default)s), or all rows"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of to the terminal")


def _ask(arguments: argparse.Namespace) -> int:
    question: Question = arguments.question
    names = [parameter.name for parameter in (*question.parameters, ACCOUNT) if parameter.name not in _NOT_OPTIONS]
    parameters = {name: getattr(arguments, name) for name in names if getattr(arguments, name, None) is not None}
    if arguments.format != TABLE and LIMIT.name in parameters:
        print("tally query: --limit is for tables: a file has all rows", file=sys.stderr)
        return 2
    for parameter in question.parameters:
        if parameter.kind == TIME and _DAY.fullmatch(parameters.get(parameter.name, "")):
            parameters[parameter.name] += "T00:00:00Z"
    asked = read_asked(question, parameters, caller=None, is_operator=True)
    database = Database(_database(arguments))
    try:
        if arguments.format == TABLE:
            return _print_table(database, asked, arguments.out)
        if arguments.out is None:
            if arguments.format == "parquet" and sys.stdout.isatty():
                print("tally query: Parquet is not for terminals: say where to with --out", file=sys.stderr)
                return 2
            _write_file(database, asked, arguments.format, sys.stdout.buffer)
            return 0
        with arguments.out.open("wb") as file:
            _write_file(database, asked, arguments.format, file)
    except OSError as error:
        print(f"tally query: {arguments.out} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        database.close()
    return 0


def _print_table(database: Database, asked: Asked, out: Path | None) -> int:
    with database.snapshot(_LIMIT_S) as connection:
        answer = answer_page(connection, asked)
    names = [column.name for column in asked.question.columns]
    text = "".join(f"{line}\n" for line in table_lines(names, answer.body[asked.question.list_name]))
    for name in ("opening", "closing"):
        for balance in answer.body.get(name, ()):
            amounts = f"available {balance['available']}, held {balance['held']}, total {balance['total']}"
            text += f"{name} {balance['group']} {balance['asset']}: {amounts}\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")
    as_of = ", ".join(f"{group} {sequence}" for group, sequence in answer.as_of.items())
    more = "; there are more rows: --limit, --format, or narrower times" if answer.body.get("next") else ""
    print(f"as of sequence: {as_of or 'nothing yet'}{more}", file=sys.stderr)
    return 0


def _write_file(database: Database, asked: Asked, format_name: str, out: BinaryIO) -> None:
    file = File(database, asked, format_name, limit_s=_LIMIT_S)
    try:
        while (piece := file.next_piece()) is not None:
            out.write(piece)
    finally:
        file.close()


def _show_position(arguments: argparse.Namespace) -> int:
    database = Database(_database(arguments))
    try:
        with database.snapshot(_LIMIT_S) as connection:
            groups = read_groups(connection)
    finally:
        database.close()
    rows: list[dict[str, Any]] = [
        {"group": group.name, "sequence": group.sequence, "timestamp": timestamp_text(group.timestamp_ns)}
        for group in groups
    ]
    for line in table_lines(["group", "sequence", "timestamp"], rows):
        print(line)
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s"
    )
    config = load_config(arguments.config)
    address = config.query_address
    host, port = arguments.host, arguments.port
    if address is None and (host is None or port is None):
        raise ConfigError(f'{config.path}: query.address: is missing; it must be an address such as "127.0.0.1:7301"')
    if address is not None:
        host, port = host or address.host, address.port if port is None else port
    serve(
        QueryOptions(
            host=host,
            port=port,
            database=_database(arguments),
            credentials=load_credentials(config, READER, arguments.name),
        )
    )
    return 0


def _database(arguments: argparse.Namespace) -> URL:
    database = arguments.database or load_config(arguments.config).projections.database
    return sqlite_url(database) if isinstance(database, Path) else database_url(database)


def _help(parameter: Parameter) -> str:
    return _decapitalised(parameter.about).rstrip(".").replace("%", "%%")


def _decapitalised(text: str) -> str:
    return text[0].lower() + text[1:]


def _placeholder(parameter: Parameter) -> str | None:
    if parameter.choices:
        return None
    return {INTEGER: "N", TIME: "TIME"}.get(parameter.kind, parameter.name.upper())
