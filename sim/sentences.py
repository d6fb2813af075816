"""Events in words. Every driver tells what happened through :func:`sentence`, so all of them tell it alike.

What an event does not say is in the register, which has heard all events before. Orders, withdrawals, transfers and
subscriptions are called by the label of the line that asked for them; times are told as the seconds from now.
"""

from __future__ import annotations

from engine.events import (
    ApiKeyCreated,
    CommandRejected,
    Event,
    RequestFenced,
    RequestRepeated,
    RulesVersionSet,
    TimeReached,
)
from engine.rejects import reason_code
from sim.market_sentences import account_sentence, market_sentence
from sim.money_sentences import money_sentence
from sim.order_sentences import order_sentence
from sim.register import Register


def sentence(event: Event, register: Register) -> str | None:
    """What happened, in words. None if there is nothing to tell: that time went on, or that a key was made."""
    match event:
        case CommandRejected():
            stands = f", {register.label(event.original_sequence)} stands" if event.original_sequence else ""
            return f"refused {reason_code(event.reason)}{stands}"
        case RequestRepeated():
            return f"repeats {register.label(event.original_sequence)}: {reason_code(event.reason)}"
        case RequestFenced():
            request = f"{register.accounts[event.account_id]}/{event.request_id.decode()}"
            return f"{request} was never seen, and never will be"
        case RulesVersionSet():
            return f"version {event.version} of the rules is in force"
        case TimeReached() | ApiKeyCreated():
            return None
    for tell in (order_sentence, market_sentence, account_sentence, money_sentence):
        text = tell(event, register)
        if text is not None:
            return text
    raise AssertionError(f"nobody has words for {event}")
