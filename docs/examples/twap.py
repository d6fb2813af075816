"""TWAP: place one order in slices, one every SECONDS. It knows the exchange from events and commands in Kafka alone.

python twap.py BROKER GROUP KEY_ID SECRET RUN SLICES SECONDS '{"market": "BTC-USD", "side": "buy", ...}'
"""

import hashlib
import hmac
import json
import sys
import time

from kafka import KafkaConsumer, KafkaProducer

from engine.codec import decode_events
from engine.entry import GENESIS_CHAIN, chain_after, decode_entry
from engine.events import OrderAccepted, TradeExecuted

broker, group, key, secret, run, slices, seconds, order = sys.argv[1:]
consumer = KafkaConsumer(f"tallystick.events.{group}", bootstrap_servers=broker, auto_offset_reset="earliest")
producer = KafkaProducer(bootstrap_servers=broker)


def events():
    """Every event once and in order; None whenever there is nothing new. Only what continues the last entry counts."""
    sequence, chain = 0, GENESIS_CHAIN
    while True:
        for record in [record for records in consumer.poll(timeout_ms=200).values() for record in records]:
            entry = decode_entry(record.value)
            if entry.first_sequence == sequence + 1:
                chain = chain_after(chain, *entry[:5])
                assert chain == entry.chain, f"the history was changed at sequence {entry.first_sequence}"
                sequence = entry.last_sequence
                yield from (event for _, event in decode_events(entry.events))
        yield None


def place(number):
    """Submit one slice. Its id says which one it is, so that sending it again is always safe."""
    body = json.dumps({**json.loads(order), "client_order_id": f"{run}-{number}"})
    timestamp = str(time.time_ns() // 1_000_000)
    signature = hmac.new(secret.encode(), f"{timestamp}\nPOST\n/v1/orders\n{body}".encode(), hashlib.sha256).hexdigest()
    signed = {"Method": "POST", "Path": "/v1/orders", "Key": key, "Timestamp": timestamp, "Signature": signature}
    headers = [(f"X-Tally-{name}", value.encode()) for name, value in signed.items()]
    producer.send(f"tallystick.commands.{group}", body.encode(), key=key.encode(), headers=headers).get(timeout=10)


mine, executed_lots, place_at_s = set(), 0, 0.0
for event in events():
    if isinstance(event, OrderAccepted) and event.client_order_id.decode().startswith(f"{run}-"):
        mine.add(event.order_id)
        place_at_s = time.time() + float(seconds)
    elif isinstance(event, TradeExecuted) and mine & {event.maker_order_id, event.taker_order_id}:
        executed_lots += event.quantity_lots
    elif event is None and len(mine) == int(slices):
        print(f"{run}: {len(mine)} slices, {executed_lots} lots executed")
        break
    elif event is None and time.time() >= place_at_s:  # the next one, or the last one again if no event tells of it
        place(len(mine) + 1)
        place_at_s = time.time() + 5.0
