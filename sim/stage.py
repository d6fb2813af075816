"""Where a scenario is played: its lines are carried out on an exchange, and what happened is told in words.

What kind of exchange it is, is the driver's: the engine in this process (``sim.engine_driver``) or a running exchange
behind its HTTP API (``sim.http_driver``). Besides commands there are these lines:

==================================================  ==================================================================
``exchange with GLD 3, EUR 5``                      a new exchange with these assets and their decimals
``ana, bo have ample funds``                        opens the accounts and funds them with every asset
``ana has 100.00 EUR and 2.000 GLD``                ``has nothing``
``clock +25h``                                      time passes; what is due happens with the next command
``show book``, ``show market``                      of the market listed last, or ``in GLD-EUR``
``show balances ana``, ``show order ana/c1``
``show orders ana``, ``show stops ana``             those that are open; those that wait
``show withdrawals ana``, ``show transfers ana``
``show sale S1``, ``show subscriptions ana in S1``
``in process only: a reason``                       what follows, to the end of the part, cannot be done live
==================================================  ==================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from engine.events import CommandRejected
from engine.types import OPEN, STATUS_NAMES, WAITING
from sim.driver import Driver, Standing
from sim.market_sentences import crossing_text
from sim.money_sentences import sale_status_text, settled_text, transfer_text, withdrawal_text
from sim.order_sentences import counted, standing_text
from sim.phrases import duration_ns
from sim.scenario import NEW_EXCHANGE, ScenarioError
from sim.scenario_language import parse_command
from sim.sentences import sentence

AMPLE: Final = "1000000"
_LIVING: Final = frozenset((STATUS_NAMES[OPEN], STATUS_NAMES[WAITING]))
_FUNDS: Final = re.compile(r"(?P<names>[\w, ]+?) (?:has (?P<amounts>.+)|have ample funds)")


class Stage:
    """Plays one scenario on one driver, line by line."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._shows: dict[str, Callable[[str], list[str]]] = {
            "balances": self._show_balances,
            "order": self._show_order,
            "orders": self._show_orders,
            "stops": self._show_stops,
            "withdrawals": self._show_withdrawals,
            "transfers": self._show_transfers,
            "sale": self._show_sale,
            "subscriptions": self._show_subscriptions,
        }

    def run_line(self, line: str) -> list[str]:
        """Carry out one line. Answers what happened, one line each.

        Skipped if this exchange cannot do it, ScenarioError if the line means nothing.
        """
        driver = self._driver
        if line.startswith(NEW_EXCHANGE):
            return self._open(line.removeprefix(NEW_EXCHANGE))
        if line.startswith("clock +"):
            driver.wait(duration_ns(line.removeprefix("clock +")))
            return []
        if line.startswith("in process only: "):
            driver.require_process(line.removeprefix("in process only: "))
            return []
        if line.startswith("show "):
            return self._show(line.removeprefix("show "))
        match = _FUNDS.fullmatch(line)
        if match is not None:
            return self._fund(match["names"].split(", "), match["amounts"])
        return [text for text in self._told(line) if text is not None]

    def _told(self, line: str) -> list[str | None]:
        driver = self._driver
        asked = parse_command(line, driver.register.world(driver.now_ns()))
        label, second_label = driver.register.use(asked.label), driver.register.use(asked.second_label)
        answer = driver.submit(asked)
        register = driver.register
        if answer.sequence:
            register.name(answer.sequence, label)
            if second_label:
                register.name_second_leg(answer.sequence, second_label)
        told: list[str | None] = []
        for heard in answer.heard:
            register.learn(heard.event, heard.timestamp_ns)
            told.append(sentence(heard.event, register))
        if not answer.sequence:
            told.append(f"refused {answer.refusal}")
        return told

    def _open(self, assets: str) -> list[str]:
        self._driver.begin()
        for asset in assets.split(", "):
            name, decimals = asset.split()
            self._expect_success(f"asset {name} with {decimals} decimals")
        return []

    def _fund(self, names: list[str], amounts: str | None) -> list[str]:
        register = self._driver.register
        for name in names:
            self._expect_success(f"account {name}")
            ample = [f"{AMPLE} {asset.name}" for _, asset in sorted(register.assets.items())]
            for amount in amounts.split(" and ") if amounts else ample:
                if amount != "nothing":
                    self._expect_success(f"deposit {amount} for {name} as given-{register.deposits_given()}")
        return []

    def _expect_success(self, line: str) -> None:
        driver = self._driver
        asked = parse_command(line, driver.register.world(driver.now_ns()))
        answer = driver.submit(asked)
        if not answer.sequence or any(isinstance(heard.event, CommandRejected) for heard in answer.heard):
            raise ScenarioError(f"the exchange refused to set the scene: {line}: {answer.refusal or answer.heard}")
        driver.register.name(answer.sequence, driver.register.use(asked.label))
        for heard in answer.heard:
            driver.register.learn(heard.event, heard.timestamp_ns)

    def _show(self, text: str) -> list[str]:
        what, _, of_whom = text.partition(" ")
        world = self._driver.register.world(self._driver.now_ns())
        if what in ("book", "market"):
            market_id = world.market_id(of_whom.removeprefix("in "))
            if market_id not in self._driver.register.markets:
                raise ScenarioError(f"there is no market to show: {text}")
            return self._show_book(market_id) if what == "book" else self._show_market(market_id)
        if what not in self._shows or not of_whom:
            raise ScenarioError(f"nothing to show: {text}")
        return self._shows[what](of_whom)

    def _show_book(self, market_id: int) -> list[str]:
        return [
            f"{level.side} {level.price} x {level.quantity} in {counted(level.order_count, 'order')}"
            for level in self._driver.book(market_id)
        ] or ["the book is empty"]

    def _show_market(self, market_id: int) -> list[str]:
        view, name = self._driver.market(market_id), self._driver.register.markets[market_id].name
        last = "no last price" if view.last_price is None else f"last price {view.last_price}"
        crossing = "" if view.crossing is None else f", would trade {crossing_text(*view.crossing)}"
        return [f"{name}: {view.state}, {last}{crossing}"]

    def _show_balances(self, name: str) -> list[str]:
        return [
            f"{name} {row.asset}: {row.available} available, {row.held} held"
            for row in self._driver.balances(self._account_id(name))
        ] or [f"{name} has nothing"]

    def _show_orders(self, name: str) -> list[str]:
        found = self._driver.orders(self._account_id(name))
        return [self._standing(order) for order in found] or [f"{name} has no open orders"]

    def _show_stops(self, name: str) -> list[str]:
        waiting = [
            order for order in self._driver.orders(self._account_id(name)) if order.status == STATUS_NAMES[WAITING]
        ]
        return [self._standing(order) for order in waiting] or [f"{name} has no stops"]

    def _show_order(self, label: str) -> list[str]:
        owner, _, client_order_id = label.partition("/")
        order = self._driver.order(self._account_id(owner), client_order_id)
        return [f"{label} is unknown" if order is None else self._standing(order)]

    def _show_withdrawals(self, name: str) -> list[str]:
        register, found = self._driver.register, self._driver.withdrawals(self._account_id(name))
        return [withdrawal_text(register.label(one.number), one.status, one.amount, one.to) for one in found] or [
            f"{name} has no withdrawals"
        ]

    def _show_transfers(self, name: str) -> list[str]:
        register, found = self._driver.register, self._driver.transfers(self._account_id(name))
        return [
            transfer_text(register.label(one.number), one.status, one.amount, one.giver, one.to) for one in found
        ] or [f"{name} has no transfers"]

    def _show_sale(self, name: str) -> list[str]:
        register = self._driver.register
        view = self._driver.sale(register.world(self._driver.now_ns()).sale_id(name))
        if view is None:
            return [f"sale {name} is unknown"]
        return [f"sale {name} {sale_status_text(view.status)}: {view.sold} sold for {view.proceeds}"]

    def _show_subscriptions(self, text: str) -> list[str]:
        name, _, sale = text.partition(" in ")
        register = self._driver.register
        sale_id = register.world(self._driver.now_ns()).sale_id(sale)
        return [
            f"{register.label(one.number)} holds {one.held}"
            if one.settled is None
            else f"{register.label(one.number)} {settled_text(*one.settled)}"
            for one in self._driver.subscriptions(self._account_id(name), sale_id)
        ] or [f"{name} has no subscriptions"]

    def _account_id(self, name: str) -> int:
        return self._driver.register.world(self._driver.now_ns()).account_id(name)

    def _standing(self, order: Standing) -> str:
        register = self._driver.register
        held_asset = register.held_asset(order.order_id).name
        text = standing_text(
            register.label(order.order_id),
            order.status,
            order.close_reason,
            order.open,
            order.executed,
            order.notional,
            order.fee,
            f"{order.held} {held_asset}",
        )
        return f"{text}, {order.conditions}" if order.conditions and order.status in _LIVING else text
