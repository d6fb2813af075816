"""Routes for operators that fit nowhere else: list assets, compare replicas. See also ``gateway.admin_accounts``,
``gateway.admin_markets`` and ``gateway.admin_sales``.
"""

from __future__ import annotations

import asyncio

from engine.commands import CreateAsset
from engine.types import ASSET_DECIMALS_MAX
from gateway.endpoint import Call, Reply
from gateway.groups import Replica
from gateway.outcomes import receipt_of
from gateway.parsing import check_fields, read_id, read_integer, read_object, read_query
from gateway.rendering import Json


async def create_asset(call: Call) -> Reply:
    document = read_object(call.body)
    check_fields(document, frozenset(("name", "decimals")))
    name = read_id(document, "name")
    decimals = read_integer(document, "decimals", minimum=0, maximum=ASSET_DECIMALS_MAX)
    command = CreateAsset(call.caller.account_id, call.issued_at_ns, decimals, name.encode("ascii"))
    receipt = receipt_of(await call.execute(command), first_time_status=201)
    body = {"sequence": receipt.sequence, "repeated": receipt.repeated, "asset": name, "decimals": decimals}
    return Reply(receipt.status, body)


async def list_replicas(call: Call) -> Reply:
    """Ask every replica for its position and the hash of its whole state: equal positions must have equal hashes."""
    read_query(call.query, frozenset())
    group = call.edge.group
    replicas = await asyncio.gather(*(_replica_body(call, replica) for replica in group.replicas.values()))
    return Reply(200, {"sequence": group.sequence, "replicas": replicas})


async def _replica_body(call: Call, replica: Replica) -> Json:
    answer = await call.edge.group.query_replica(replica.node_id, "state_hash", {})
    status = replica.status
    return {
        "node": replica.node_id,
        "reachable": answer is not None,
        "serving": status is not None and status.serving,
        "leader": status.leader or None if status is not None else None,
        "term": status.term if status is not None else None,
        "sequence": answer.sequence if answer is not None else None,
        "chain": answer.value["chain"] if answer is not None else None,
        "state_hash": answer.value["state_hash"] if answer is not None else None,
    }
