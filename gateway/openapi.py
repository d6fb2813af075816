"""The OpenAPI description of the HTTP API, written from the route table, so that it cannot be out of date.

Routes about the history are described in full, with their parameters and their columns, because these stand in tables
(``gateway.history_routes``). Of all others it says path, method, who may use them, and what the handler says of itself;
docs/http-api.md has their fields.

Source: OpenAPI Specification 3.1.0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gateway import history_columns
from gateway.history_columns import Column
from gateway.history_routes import ACCOUNT, ADMIN, BALANCES, FORMAT, QUESTIONS, STATEMENT, Parameter, Question
from gateway.rendering import Json

VERSION: Final = "3.1.0"
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_SIGNED: Final = ("key", "timestamp", "signature")
_TYPES: Final = MappingProxyType(
    {
        history_columns.INTEGER: {"type": "integer", "format": "int64"},
        history_columns.TEXT: {"type": "string"},
        history_columns.DECIMAL: {"type": "string", "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"},
        history_columns.TIME: {"type": "string", "format": "date-time"},
        history_columns.FLAG: {"type": "boolean"},
    }
)
_FILE_TYPES: Final = ("text/csv", "application/jsonl", "application/vnd.apache.parquet")


class DescribedRoute(NamedTuple):
    """``is_signed`` is whether it needs a signature; ``summary`` what it does, or nothing."""

    method: str
    path: str
    is_signed: bool
    for_operators: bool
    summary: str


def describe(routes: Iterable[DescribedRoute]) -> Json:
    """The whole document."""
    questions = {path: question for question in QUESTIONS for path in question.paths}
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _operation(route)
        if route.path in questions:
            operation |= _about_history(questions[route.path], for_operators=route.path.startswith(ADMIN))
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": VERSION,
        "info": {
            "title": "Tallystick",
            "version": "1",
            "description": "Decimals are strings. docs/http-api.md says what every field means and how to sign.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Error": _error_schema(), **{_schema_name(one): _row_schema(one.columns) for one in QUESTIONS}},
            "securitySchemes": {
                name: {"type": "apiKey", "in": "header", "name": f"X-Tally-{name.capitalize()}"} for name in _SIGNED
            },
        },
    }


def _operation(route: DescribedRoute) -> Json:
    words = [word.strip("{}") for word in route.path.split("/") if word]
    operation: Json = {
        "operationId": "-".join((route.method.lower(), *words)).replace(".", "-"),
        "tags": ["operators" if route.for_operators else "accounts" if route.is_signed else "public"],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PATH_PARAMETER.findall(route.path)
        ],
        "responses": {
            "200": {"description": "What was asked for, or what became of the command."},
            "default": {"description": "An error.", "content": _json_content({"$ref": "#/components/schemas/Error"})},
        },
        "security": [{name: [] for name in _SIGNED}] if route.is_signed else [],
    }
    if route.summary:
        operation["summary"] = route.summary
    return operation


def _about_history(question: Question, *, for_operators: bool) -> Json:
    account = [ACCOUNT] if for_operators else []
    content = _json_content(_page_schema(question))
    if FORMAT in question.parameters:
        content |= {name: {"schema": {"type": "string"}} for name in _FILE_TYPES}
    return {
        "summary": question.summary,
        "parameters": [_parameter(parameter) for parameter in (*account, *question.parameters)],
        "responses": {
            "200": {"description": "A page, or all rows as a file.", "content": content},
            "default": {"description": "An error.", "content": _json_content({"$ref": "#/components/schemas/Error"})},
        },
    }


def _parameter(parameter: Parameter) -> Json:
    schema: dict[str, Any] = dict(_TYPES[parameter.kind])
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.maximum:
        schema |= {"minimum": 0, "maximum": parameter.maximum}
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema,
    }


def _page_schema(question: Question) -> Json:
    rows = {"type": "array", "items": {"$ref": f"#/components/schemas/{_schema_name(question)}"}}
    properties: Json = {
        "as_of_sequence": {
            "type": ["integer", "null"],
            "description": "As of which sequence this is, if it is about one market group.",
        },
        "as_of": {"type": "object", "additionalProperties": {"type": "integer"}},
        question.list_name: rows,
    }
    if question.pages:
        properties["next"] = {
            "type": ["string", "null"],
            "description": "The cursor of the next page, if there is one.",
        }
    if question is STATEMENT:
        balances = {"type": "array", "items": {"$ref": f"#/components/schemas/{_schema_name(BALANCES)}"}}
        properties |= {"opening": balances, "closing": balances}
    return {"type": "object", "properties": properties, "required": ["as_of_sequence", "as_of", question.list_name]}


def _row_schema(columns: Sequence[Column]) -> Json:
    properties = {}
    for column in columns:
        schema: dict[str, Any] = dict(_TYPES[column.kind])
        if column.optional:
            schema["type"] = [schema["type"], "null"]
        properties[column.name] = schema
    return {"type": "object", "properties": properties, "required": [column.name for column in columns]}


def _error_schema() -> Json:
    error = {
        "type": "object",
        "properties": {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "definite": {"type": "boolean", "description": "Did this certainly not happen?"},
        },
        "required": ["code", "message", "definite"],
    }
    sequence = {"type": ["integer", "null"]}
    return {"type": "object", "properties": {"error": error, "sequence": sequence}, "required": ["error", "sequence"]}


def _json_content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _schema_name(question: Question) -> str:
    return f"{question.name.capitalize()}Row"
