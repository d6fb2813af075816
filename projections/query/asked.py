"""A question as somebody asked it: which one, about whose account, with which parameters, all of them checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import BadRequest, shown
from gateway.freshness import WAIT_MS_DEFAULT
from gateway.history_columns import INTEGER, TIME
from gateway.history_routes import ACCOUNT, LIMIT_DEFAULT, NEWEST, STATEMENT, Parameter, Question
from gateway.parsing import check_id, query_number
from gateway.times import read_moment

_CURSOR: Final = re.compile(r"[A-Za-z0-9_\-]{1,1000}", re.ASCII)
# What a page is a page of: a cursor belongs to all the other parameters.
_NOT_OF_THE_LIST: Final = frozenset(("cursor", "limit", "min_sequence", "wait_ms"))


@dataclass(frozen=True)
class Asked:
    """``values`` are by parameter: text, whole numbers, and times in nanoseconds. ``text`` names the list.

    ``account`` is whose rows are meant; None: anybody's, which only operators may ask for, or nobody's in particular.
    """

    question: Question
    values: Mapping[str, Any]
    account: str | None
    text: str

    def get(self, name: str) -> Any:
        return self.values.get(name)

    @property
    def limit(self) -> int:
        return int(self.values.get("limit", LIMIT_DEFAULT))

    @property
    def newest_first(self) -> bool:
        return self.question is not STATEMENT and self.values.get("sort", NEWEST) == NEWEST

    @property
    def wait_ms(self) -> int:
        return int(self.values.get("wait_ms", WAIT_MS_DEFAULT))


def read_asked(question: Question, parameters: dict[str, str], *, caller: str | None, is_operator: bool) -> Asked:
    """Check the parameters. ``caller`` is who asks for its own rows; an operator names an account, or none.

    BadRequest says what is wrong.
    """
    known = {parameter.name: parameter for parameter in question.parameters}
    if is_operator and not question.public:
        known[ACCOUNT.name] = ACCOUNT
    values = {}
    for name, text in parameters.items():
        if name not in known:
            raise BadRequest("BAD_QUERY", f"There is no query parameter {shown(name)} here.")
        values[name] = _value(known[name], text, parameters)
    for parameter in known.values():
        if parameter.required and parameter.name not in values:
            raise BadRequest("BAD_QUERY", f"The query parameter '{parameter.name}' is missing.")
    if values.get("from") is not None and values.get("to") is not None and values["from"] >= values["to"]:
        raise BadRequest("BAD_QUERY", "The time 'to' must be later than 'from'.")
    if "wait_ms" in values and "min_sequence" not in values:
        raise BadRequest("BAD_QUERY", "The query parameter 'wait_ms' needs a 'min_sequence' to wait for.")
    account = values.get(ACCOUNT.name) if is_operator else caller
    listed = {name: value for name, value in values.items() if name not in _NOT_OF_THE_LIST}
    return Asked(question, values, account, f"{question.name} {account} {sorted(listed.items())}")


def _value(parameter: Parameter, text: str, parameters: dict[str, str]) -> Any:
    name = parameter.name
    if parameter.kind == INTEGER:
        number = query_number(parameters, name, maximum=parameter.maximum)
        if name == "limit" and not number:
            raise BadRequest("BAD_QUERY", f"The query parameter 'limit' must be from 1 to {parameter.maximum}.")
        return number
    if parameter.kind == TIME:
        return read_moment(parameters, name)
    if parameter.choices:
        if text not in parameter.choices:
            raise BadRequest(
                "BAD_QUERY", f"The query parameter '{name}' must be one of: {', '.join(parameter.choices)}."
            )
        return text
    if name == "cursor":
        if _CURSOR.fullmatch(text) is None:
            raise BadRequest("BAD_CURSOR", "The cursor is not one that a page gave: begin without one.")
        return text
    return check_id(text, name)
