"""A live gateway with a market, once per module, and per way of placing orders where that is what matters."""

from collections.abc import Iterator

import pytest

from tests.gateway.live_gateway import LiveGateway, Market
from tests.gateway.one_replica import OneReplicaGroup


@pytest.fixture(scope="module", params=["hot", "plain"])
def market(request: pytest.FixtureRequest) -> Iterator[Market]:
    """Placements answered by the connection itself, and by the plain route: every case must come out the same."""
    with LiveGateway(hot=request.param == "hot") as gateway:
        yield Market(gateway)


@pytest.fixture(scope="module")
def exchange() -> Iterator[Market]:
    """As a gateway runs: for what has nothing to do with the two ways of placing an order."""
    with LiveGateway() as gateway:
        yield Market(gateway)


@pytest.fixture(scope="module")
def three() -> Iterator[Market]:
    """With three doors, for what replicas answer by themselves."""
    with LiveGateway(group=OneReplicaGroup(("node-1", "node-2", "node-3"))) as gateway:
        yield Market(gateway)
