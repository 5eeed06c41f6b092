"""Where calls of an endpoint are paid: the worst case set aside first, the real cost booked after.

It must not know what is asked, or what an answer is worth.
"""

from __future__ import annotations

import time

from toprope.teacher.account import Account, Ticket
from toprope.teacher.openai import Endpoint, EndpointError, Reply, Sampling
from toprope.teacher.prompt import Messages
from toprope.teacher.protocol import Price, Spend
from toprope.teacher.question import answer_of, most_cost
from toprope.teacher.retry import Lost
from toprope.teacher.rows import Answer


class Till:
    """Asks an endpoint at a price, out of an account."""

    def __init__(self, endpoint: Endpoint, account: Account, price: Price) -> None:
        self.endpoint, self.account, self.price = endpoint, account, price

    def reserve(self, talk: Messages, sampling: Sampling) -> Ticket:
        """Set the most that one try can cost aside; raises `BudgetExhausted` if it is too much."""
        return self.account.reserve(most_cost(talk, sampling, self.price))

    def answer(self, talk: Messages, sampling: Sampling, first: list[Ticket]) -> Answer:
        """Ask, as often as the endpoint's patience allows; each try has a ticket.

        `first` holds the one that was bought beforehand, and is empty once that is used.

        Raises:
            EndpointError: a refusal, or no readable reply.
            BudgetExhausted: another try could not be afforded.
        """
        began = time.monotonic()
        reply = self.endpoint.often(lambda: self._paid(talk, sampling, first))
        return answer_of(reply, talk, sampling, time.monotonic() - began)

    def cost(self, answer: Answer) -> Spend:
        """Return what an answer has cost."""
        tokens = answer.prompt_tokens + answer.completion_tokens
        return Spend(1, tokens, self.price.of(answer.prompt_tokens, answer.completion_tokens))

    def _paid(self, talk: Messages, sampling: Sampling, first: list[Ticket]) -> Reply:
        """One try, paid for: with the ticket that was bought for it, or with another."""
        ticket = first.pop() if first else self.reserve(talk, sampling)
        actual = ticket.worst  # whatever cuts this off: it may have been billed
        try:
            reply = self.endpoint.once(talk, sampling)
            actual = self.cost(answer_of(reply, talk, sampling, 0.0))
            return reply
        except Lost as lost:
            actual = ticket.worst if lost.billed else Spend(calls=1)
            raise
        except EndpointError:
            actual = Spend(calls=1)
            raise
        finally:
            ticket.settle(actual)
