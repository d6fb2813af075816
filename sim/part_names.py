"""Names of a scenario's own on an exchange that it shares: a random suffix out, and off again.

``GLD`` becomes ``GLD7XK2Q`` there, ``ana`` becomes ``ana.7XK2Q``. An asset's name has at most 12 characters, so a long
one gives way to the suffix; what is too long anyway, or not allowed, must stay so.
"""

from __future__ import annotations

import secrets
import string
from typing import Final

from engine.commands import (
    Command,
    CreateAccount,
    CreateAsset,
    CreateSale,
    DecideTransfer,
    Deposit,
    ListMarket,
    MassCancel,
)
from engine.types import ASSET_NAME_LENGTH_MAX, EXCHANGE_ACCOUNT
from sim.register import EXCHANGE_NAME, Register

_ALPHABET: Final = string.ascii_uppercase + string.digits
_SUFFIX_LENGTH: Final = 5


class PartNames:
    """Of one part of a scenario, with the register that knows them. Implements ``sim.http_requests.Names``."""

    def __init__(self) -> None:
        self.suffix = "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_LENGTH))
        self.register = Register(self.plain)
        self._plain: dict[str, str] = {}

    def plain(self, public: str) -> str:
        """What the scenario calls it."""
        return self._plain.get(public, public)

    def knows(self, public: str) -> bool:
        return public in self._plain

    def published(self, command: Command) -> Command:
        """The command with the exchange's names for what it brings into being."""
        match command:
            case CreateAsset():
                return command._replace(name=self._asset(command.name))
            case CreateAccount() | CreateSale():
                return command._replace(name=self._dotted(command.name))
            case Deposit():
                return command._replace(reference=self._dotted(command.reference))
            case ListMarket():
                base, quote = self._asset(command.base_asset), self._asset(command.quote_asset)
                plain = f"{command.base_asset.decode()}-{command.quote_asset.decode()}"
                self._plain[f"{base.decode()}-{quote.decode()}"] = plain
                return command._replace(base_asset=base, quote_asset=quote)
            case MassCancel() | DecideTransfer() if command.account_id == EXCHANGE_ACCOUNT:
                # All scenarios share the operator, and the ids of an account.
                return command._replace(request_id=self._dotted(command.request_id))
        return command

    def account(self, number: int) -> str:
        name = self.register.accounts.get(number, "nobody")
        return name if name == EXCHANGE_NAME else f"{name}.{self.suffix}"

    def asset(self, number: int) -> str:
        asset = self.register.assets.get(number)
        return self._with_suffix("NO" if asset is None else asset.name)

    def market(self, number: int) -> str:
        market = self.register.markets.get(number)
        names = "NO-NO" if market is None else market.name
        return "-".join(self._with_suffix(name) for name in names.split("-"))

    def sale(self, number: int) -> str:
        sale = self.register.sales.get(number)
        return f"{'none' if sale is None else sale.name}.{self.suffix}"

    def quote_decimals(self, market_id: int) -> int:
        market = self.register.markets.get(market_id)
        return 0 if market is None else market.quote.decimals

    def _asset(self, name: bytes) -> bytes:
        public = self._with_suffix(name.decode())
        self._plain[public] = name.decode()
        return public.encode()

    def _dotted(self, name: bytes) -> bytes:
        if name.decode() == EXCHANGE_NAME:
            return name
        public = f"{name.decode()}.{self.suffix}"
        self._plain[public] = name.decode()
        return public.encode()

    def _with_suffix(self, name: str) -> str:
        is_too_long = len(name) > ASSET_NAME_LENGTH_MAX
        return (name if is_too_long else name[: ASSET_NAME_LENGTH_MAX - _SUFFIX_LENGTH]) + self.suffix
