"""What the strict readers take and what they refuse, by code."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.amounts import ABSENT, UNREPRESENTABLE, Decimal
from gateway import parsing
from gateway.errors import BadRequest


def code_of(body: bytes) -> str:
    try:
        parsing.read_object(body)
    except BadRequest as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}{}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":"\x00"}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_what_is_not_json_is_bad_json(body: bytes) -> None:
    assert code_of(body) == "BAD_JSON"


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"1", b"null", b"true"])
def test_a_body_must_be_an_object(body: bytes) -> None:
    assert code_of(body) == "NOT_AN_OBJECT"


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":1, "b":2, "a" :1}',
        b'{"a":":","a":2}',
        b'{"items":[{"a":1},{"b":1,"b":2}]}',
        b'{"a":{"b":{"c":1,"c":1}}}',
    ],
)
def test_duplicate_keys_are_refused_at_any_depth(body: bytes) -> None:
    assert code_of(body) == "DUPLICATE_FIELD"


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"a":"b:c"}', b'{"a":"\\":"}', b'{":":1}', b'{"a":{"a":{"a":1}}}', b'{"items":[{"a":1},{"a":1}]}'],
)
def test_colons_in_texts_and_equal_keys_of_different_objects_are_no_duplicates(body: bytes) -> None:
    assert parsing.read_object(body) == json.loads(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [1_001, 10_000, 200_000])
def test_deep_nesting_is_refused_before_it_reaches_the_fast_reader(opening: bytes, depth: int) -> None:
    assert code_of(b'{"a":' + opening * depth + b"1") == "BAD_JSON"


def test_moderate_nesting_with_colons_is_refused() -> None:
    assert code_of(b'{"a":' * 100 + b"1" + b"}" * 100) == "BAD_JSON"


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(-(2**53), 2**53) | st.booleans()))
def test_any_flat_object_is_read_as_the_standard_library_reads_it(document: dict[str, object]) -> None:
    body = json.dumps(document, ensure_ascii=False).encode()
    assert parsing.read_object(body) == document


@given(st.lists(st.tuples(st.sampled_from("abc:"), st.sampled_from(["", ":", '"a":1'])), max_size=5))
def test_an_object_is_refused_exactly_if_a_key_repeats(pairs: list[tuple[str, str]]) -> None:
    body = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}"
    repeats = len({name for name, _ in pairs}) < len(pairs)
    assert code_of(body.encode()) == ("DUPLICATE_FIELD" if repeats else "")


@pytest.mark.parametrize("text", ["a", "A-z_0.9", "x" * 64])
def test_an_id_has_1_to_64_characters_of_a_small_set(text: str) -> None:
    assert parsing.check_id(text, "id") == text


@pytest.mark.parametrize(
    "text", ["", "x" * 65, "a\x00", "a\n", "\n", "a b", "a/b", "../a", "\u2603", "\U0001f600", "\uff11", "é", "a:b"]
)
def test_other_ids_are_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.check_id(text, "id")
    assert caught.value.code == "BAD_ID"


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("10.005", Decimal(10005, 3)),
        ("0", Decimal(0, 0)),
        ("-1.50", Decimal(-15, 1)),
        ("1e400", UNREPRESENTABLE),
        ("9" * 40, UNREPRESENTABLE),
        ("0." + "0" * 30 + "1", UNREPRESENTABLE),
    ],
)
def test_a_number_is_a_decimal_even_if_no_market_trades_at_it(text: str, decimal: Decimal) -> None:
    assert parsing.read_decimal({"price": text}, "price") == decimal


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "+1",
        "01",
        "1.",
        ".5",
        "1,5",
        "NaN",
        "Infinity",
        "0x10",
        "1_000",
        "\uff11",
        "\u0661",
        "1\n",
        "--1",
    ],
)
def test_a_text_that_is_not_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.read_decimal({"price": text}, "price")
    assert caught.value.code == "BAD_DECIMAL"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1, "DECIMAL_AS_STRING"),
        (1.5, "DECIMAL_AS_STRING"),
        (True, "BAD_DECIMAL"),
        (None, "BAD_DECIMAL"),
        ([], "BAD_DECIMAL"),
    ],
)
def test_a_decimal_must_be_a_string(value: object, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.read_decimal({"price": value}, "price")
    assert caught.value.code == code


def test_an_optional_decimal_may_be_absent_but_not_null() -> None:
    assert parsing.read_optional_decimal({}, "price") == ABSENT
    with pytest.raises(BadRequest):
        parsing.read_optional_decimal({"price": None}, "price")


@pytest.mark.parametrize("value", [None, 1, "maybe", ["buy"], {}])
def test_a_choice_must_be_one_of_the_names(value: object) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.read_choice({"side": value}, "side", {"buy": 0, "sell": 1})
    assert caught.value.code == "BAD_FIELD"


@pytest.mark.parametrize("value", [None, 0, 1, "true"])
def test_a_flag_is_a_boolean_and_nothing_else(value: object) -> None:
    with pytest.raises(BadRequest):
        parsing.read_flag({"post_only": value}, "post_only")


@pytest.mark.parametrize("value", [True, "3", 3.0, -1, 13, None])
def test_a_count_is_a_whole_number_in_its_range(value: object) -> None:
    with pytest.raises(BadRequest):
        parsing.read_integer({"decimals": value}, "decimals", minimum=0, maximum=12)


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(BadRequest, match="'sise'"):
        parsing.check_fields({"side": 1, "sise": 2}, frozenset(("side",)))
    with pytest.raises(BadRequest, match="'side'"):
        parsing.required({}, "side")


@pytest.mark.parametrize(
    "query",
    [
        b"depth",
        b"=1",
        b"depth=1&depth=2",
        b"width=1",
        b"depth=%ff",
        b"depth=\xff",
        b"a=1&" * 20,
        b"depth=" + b"1" * 3_000,
    ],
)
def test_a_query_must_be_known_names_once(query: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.read_query(query, frozenset(("depth",)))
    assert caught.value.code == "BAD_QUERY"


@pytest.mark.parametrize("text", ["0", "-1", "1001", "1e2", "", "\uff11", "0x5", "9" * 30, "05"])
def test_a_count_in_a_query_is_a_whole_number_in_its_range(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.query_count({"depth": text}, "depth", default=20, maximum=1_000)
    assert caught.value.code == "BAD_QUERY"


def test_a_count_in_a_query_has_a_default() -> None:
    assert parsing.query_count({}, "depth", default=20, maximum=1_000) == 20
    assert parsing.query_count({"depth": "1000"}, "depth", default=20, maximum=1_000) == 1_000


@pytest.mark.parametrize(
    ("text", "ppm"), [("0", 0), ("0.10", 100_000), ("0.000001", 1), ("1000", 1_000_000_000), ("-0", 0)]
)
def test_a_fraction_is_read_in_parts_per_million(text: str, ppm: int) -> None:
    assert parsing.read_ppm({"band": text}, "band", minimum_ppm=0, maximum_ppm=1_000_000_000) == ppm
    assert parsing.read_ppm({}, "band", minimum_ppm=0, maximum_ppm=0) == 0


@pytest.mark.parametrize("text", ["0.0000001", "-0.000001", "1000.000001", "1e400", "x", 1, None])
def test_a_fraction_that_is_too_fine_or_out_of_range_is_refused(text: object) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.read_ppm({"band": text}, "band", minimum_ppm=0, maximum_ppm=1_000_000_000)
    assert caught.value.code == ("DECIMAL_AS_STRING" if text == 1 else "BAD_DECIMAL")


def test_an_integer_may_have_a_default_but_not_be_null() -> None:
    assert parsing.read_integer({}, "call_ms", minimum=0, maximum=9, default=0) == 0
    with pytest.raises(BadRequest):
        parsing.read_integer({"call_ms": None}, "call_ms", minimum=0, maximum=9, default=0)


@pytest.mark.parametrize("value", [None, {}, "all", [1], [{}, []], [{}] * 4])
def test_a_list_of_objects_has_objects_and_an_end(value: object) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.read_objects({"steps": value}, "steps", maximum=3)
    assert caught.value.code == "BAD_FIELD"


def test_a_list_of_objects_may_be_empty() -> None:
    assert parsing.read_objects({"steps": []}, "steps", maximum=3) == []
    assert parsing.read_objects({"steps": [{}] * 3}, "steps", maximum=3) == [{}] * 3


def test_a_page_is_everything_from_the_beginning_by_default() -> None:
    assert parsing.query_page({}) == parsing.Page(after=0, limit=1_000)
    assert parsing.query_page({"after": "9", "limit": "1"}) == parsing.Page(after=9, limit=1)


@pytest.mark.parametrize("parameters", [{"limit": "0"}, {"limit": "1001"}, {"after": "0"}, {"after": "-1"}])
def test_a_page_has_limits(parameters: dict[str, str]) -> None:
    with pytest.raises(BadRequest) as caught:
        parsing.query_page(parameters)
    assert caught.value.code == "BAD_QUERY"


def test_a_choice_in_a_query_has_a_default_and_no_other_names() -> None:
    assert parsing.query_choice({}, "side", {"buy": 0}, 2) == 2
    assert parsing.query_choice({"side": "buy"}, "side", {"buy": 0}, 2) == 0
    with pytest.raises(BadRequest) as caught:
        parsing.query_choice({"side": "both"}, "side", {"buy": 0}, 2)
    assert caught.value.code == "BAD_QUERY"


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("9" * 19, 10**19 - 1)])
def test_a_number_in_a_path(text: str, number: int) -> None:
    assert parsing.number_of(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "01", "1.0", "abc", "\uff11", "9" * 20, "1\n"])
def test_what_no_thing_can_have_as_its_number(text: str) -> None:
    assert parsing.number_of(text) is None


@pytest.mark.parametrize(
    ("query", "value", "rest"),
    [
        (b"group=metals", "metals", b""),
        (b"limit=1&group=metals", "metals", b"limit=1"),
        (b"group=metals&limit=1", "metals", b"limit=1"),
        (b"limit=1&group=a%2Db&after=2", "a-b", b"limit=1&after=2"),
        (b"group=one&group=two", "one", b"group=two"),
        (b"groups=metals", None, b"groups=metals"),
        (b"", None, b""),
    ],
)
def test_one_parameter_is_taken_out_and_the_others_stay(query: bytes, value: str | None, rest: bytes) -> None:
    assert parsing.take_parameter(query, "group") == (value, rest)
