"""What a teacher's calls cost, remembered so that no kill makes a budget larger.

The worst case of a call is written down before it is made, and what it really cost after it:
a call that a kill cut off counts at its worst. It must not know what is asked.
"""

from __future__ import annotations

import uuid
from dataclasses import astuple
from typing import Any

from toprope.teacher.protocol import Budget, Kept, Purse, Spend


class Account:
    """A purse whose payments are kept."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.purse = Purse(budget)
        self._kept: Kept = dict[str, Any]()

    def keep_in(self, kept: Kept) -> None:
        """Keep payments there from now on, and book those that are there."""
        self._kept = kept
        worst: dict[str, Spend] = {}
        paid: dict[str, Spend] = {}
        for value in kept.values():
            if "ticket" in value:
                side = paid if "paid" in value else worst
                side[value["ticket"]] = Spend(*value.get("paid", value.get("worst")))
        for ticket in worst.keys() | paid.keys():
            self.purse.book(paid.get(ticket) or worst[ticket])

    def reserve(self, worst: Spend) -> Ticket:
        """Set the most that a call can cost aside; raises `BudgetExhausted` if it is too much."""
        self.purse.reserve(worst)
        ticket = Ticket(self, worst)
        try:
            self.note(ticket.id, "worst", worst)
        except BaseException:
            self.purse.settle(worst, Spend())
            raise
        return ticket

    def note(self, ticket: str, what: str, spend: Spend) -> None:
        """Write one side of a payment down."""
        self._kept[f"ticket:{ticket}:{what}"] = {"ticket": ticket, what: list(astuple(spend))}


class Ticket:
    """What one call may cost; settled once, whatever came of it."""

    def __init__(self, account: Account, worst: Spend) -> None:
        self.id = uuid.uuid4().hex
        self.worst = worst
        self._account = account

    def settle(self, actual: Spend) -> None:
        """Book what the call really cost, and give the rest back."""
        try:
            self._account.note(self.id, "paid", actual)
        except BaseException:
            actual = self.worst
            raise
        finally:
            self._account.purse.settle(self.worst, actual)
