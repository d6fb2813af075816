"""Host names are looked up beside the caller, not in its way."""

import time

from replication.name_resolver import NameResolver


def resolved(resolver: NameResolver, host: str) -> str:
    deadline = time.monotonic() + 10
    while (address := resolver.lookup(host)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return address


def test_a_numeric_address_is_its_own_answer() -> None:
    assert NameResolver().lookup("10.1.2.3") == "10.1.2.3"
    assert NameResolver().lookup("::1") == "::1"


def test_a_name_is_answered_once_it_is_known() -> None:
    resolver = NameResolver()
    assert resolver.lookup("localhost") is None
    assert resolved(resolver, "localhost") in ("127.0.0.1", "::1")
    assert resolver.lookup("localhost") is not None


def test_a_forgotten_name_is_looked_up_again() -> None:
    resolver = NameResolver()
    resolved(resolver, "localhost")
    resolver.forget("localhost")
    assert resolver.lookup("localhost") is None
    assert resolved(resolver, "localhost")


def test_a_name_that_does_not_exist_has_no_address() -> None:
    resolver = NameResolver()
    for _ in range(20):
        assert resolver.lookup("no-such-host.invalid") is None
        time.sleep(0.001)
