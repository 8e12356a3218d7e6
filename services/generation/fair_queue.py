"""The tenants' queue ahead of an engine: fair by tokens, bounded, and honest about the wait.

An engine serves whatever it holds at once, so one tenant's flood would be everybody's slowness.
Here requests wait instead, per tenant, and enter in order of start-time fair queueing (Goyal, Vin
and Cheng 1996): each tenant's virtual time moves by the tokens it takes over its weight, whoever is
behind goes first, and an idle tenant saves nothing up. Estimates are put right at a request's end.

Room is shared by a dynamic threshold (Choudhury and Hahne 1998): a tenant may hold at most
`_ALPHA` times what is free, so a lone one gets four fifths and a newcomer always finds some. Beside
others a tenant may also run at most three times what all of them ask for, or a sixteenth of the
whole, and has its prompts read one by one: every sequence in a batch slows the others down, every
prompt that is read the more so, and a flood's own need not be in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from services.generation import metrics
from services.generation.queue_pace import Pace
from services.rpc.errors import Reason, ResourceExhaustedError
from services.rpc.scope import TenantClass
from services.rpc.telemetry import span

_ALPHA = 4
_WEIGHTS = {TenantClass.FREE: 1.0, TenantClass.STANDARD: 2.0, TenantClass.PREMIUM: 4.0}
_BESIDE_OTHERS = 3
"""Times what all others ask for that a tenant may run."""
_FEWEST_SHARE = 16
"""Whatever others do, a tenant may run this fraction of what the engine runs."""
_NEIGHBOUR_SECONDS = 1.0
"""For so long after its last turn a tenant counts as one that others are beside."""
_MOST_WAITING = 0.4
"""Share of its caller's patience that a request may expect to wait: where more is sure to come,
the engine has enough to do without it, and when it slows down few are refused that have waited."""
_HOPELESS = 0.6
"""Share of the time an answer takes; with less than that left its turn goes to the next one."""
_MIN_RETRY_SECONDS = 0.05
_MAX_RETRY_SECONDS = 30.0
_MANY_TENANTS = 1000
"""From here on the idle ones are looked for at each request."""
_FULL_CACHE = 0.95
"""Share of the KV cache from which on new prompts only push out what runs."""
_NOBODY = ("", -math.inf)
_RECHECK_SECONDS = 0.02
"""How soon a full cache is looked at again: nothing tells when it has room."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much is in the engine at once, and how much may wait."""

    running: int
    """Requests the engine works on at once."""
    prefill_tokens: int
    """Prompt tokens in the engine that it has not read; one longer prompt may go in alone."""
    waiting: int
    """Requests that wait, all tenants together."""
    waiting_tokens: int
    """Prompt tokens that wait."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A request in the queue, then in the engine."""

    tenant: str
    tenant_class: TenantClass
    prompt_tokens: int
    output_tokens: int
    """Tokens it will write, as estimated when it came."""
    arrived: float
    granted: asyncio.Future[None]
    ends_at: float | None
    """When its caller stops waiting; None: never."""
    start_tag: float = 0.0
    waited_seconds: float = 0.0
    is_in: bool = False
    """Whether it has entered the engine."""
    is_reading: bool = True
    """Whether its prompt still counts as unread by the engine."""
    used_tokens: int | None = None
    """What it took in the end; None: the estimate stands."""
    written_tokens: int = 0
    """Tokens of an answer that came to its own end."""
    entered: float = 0.0
    is_dropped: bool = False
    """Whether its turn came too late."""

    @property
    def expected_tokens(self) -> int:
        """Prompt and answer together, as estimated when it came."""
        return self.prompt_tokens + self.output_tokens


@dataclass(slots=True)
class _Tenant:
    waiting: deque[Ticket] = field(default_factory=deque)
    running: int = 0
    unread: int = 0
    """Of those, prompts that the engine has not read."""
    virtual_time: float = 0.0


class FairQueue:
    """See the module's text.

    Args:
        limits: Bounds.
        cache_usage: Share of the KV cache in use, 0..1.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        limits: QueueLimits,
        cache_usage: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._cache_usage = cache_usage
        self._clock = clock
        self._tenants: dict[str, _Tenant] = {}
        self._virtual_time = 0.0
        self.running = 0
        """Requests in the engine."""
        self.waiting = 0
        """Requests that wait."""
        self._waiting_tokens = 0
        self._unread_tokens = 0
        self._held = 0
        self._pace = Pace()
        self._latest_turns: tuple[tuple[str, float], tuple[str, float]] = (_NOBODY, _NOBODY)
        """The last turn, and the last one of another tenant."""
        self._recheck: asyncio.TimerHandle | None = None

    @property
    def oldest_seconds(self) -> float:
        """How long the request has waited that waits longest."""
        heads = [each.waiting[0].arrived for each in self._tenants.values() if each.waiting]
        return self._clock() - min(heads) if heads else 0.0

    @contextlib.asynccontextmanager
    async def admit(
        self,
        tenant: str,
        tenant_class: TenantClass,
        *,
        prompt_tokens: int,
        output_tokens: int,
        patience_seconds: float | None,
    ) -> AsyncIterator[Ticket]:
        """Waits for the tenant's turn; the block is the request's time in the engine.

        Args:
            tenant: Whose turn is meant.
            tenant_class: Weighs it.
            prompt_tokens: Tokens to read.
            output_tokens: Tokens it will write, estimated.
            patience_seconds: How long the caller can wait; None: for ever.

        Yields:
            The ticket. Set `used_tokens` before the block ends; call `read` when the prompt is.

        Raises:
            ResourceExhaustedError: There is no room, or the turn would come too late.
        """
        now = self._clock()
        ticket = Ticket(
            tenant,
            tenant_class,
            prompt_tokens,
            output_tokens,
            now,
            asyncio.get_running_loop().create_future(),
            None if patience_seconds is None else now + patience_seconds,
        )
        self._enter(ticket)
        try:
            with span("generation.admission", begins_trace=False):
                await ticket.granted
            ticket.waited_seconds = self._clock() - ticket.arrived
            metrics.QUEUE_WAIT_SECONDS.observe(ticket.waited_seconds)
            yield ticket
        finally:
            self._leave(ticket)

    def read(self, ticket: Ticket) -> None:
        """Notes that the engine has read the ticket's prompt: the next one may come."""
        if ticket.is_reading:
            self._note_read(ticket)
            if self.waiting:
                self._grant()

    def _note_read(self, ticket: Ticket) -> None:
        ticket.is_reading = False
        self._unread_tokens -= ticket.prompt_tokens
        self._tenants[ticket.tenant].unread -= 1

    def hold(self) -> None:
        """Lets nobody in until `release`."""
        self._held += 1

    def release(self) -> None:
        """Ends a `hold`."""
        self._held -= 1
        self._grant()

    def _enter(self, ticket: Ticket) -> None:
        of_tenant = self._tenants.get(ticket.tenant) or _Tenant()
        room = self._limits.waiting - self.waiting
        expected_seconds = self._expected_seconds(of_tenant)
        if (
            self.waiting
            and self._waiting_tokens + ticket.prompt_tokens > self._limits.waiting_tokens
        ):
            raise self._refusal("tokens", expected_seconds)
        if room <= 0 or len(of_tenant.waiting) >= _ALPHA * room:
            raise self._refusal("requests", expected_seconds)
        if expected_seconds and self._comes_too_late(ticket, expected_seconds):
            raise self._refusal("too_late", expected_seconds)
        if len(self._tenants) > _MANY_TENANTS:
            for idle in [each for each in self._tenants if each != ticket.tenant]:
                self._forget_idle(idle)
        self._tenants[ticket.tenant] = of_tenant
        of_tenant.virtual_time = max(of_tenant.virtual_time, self._virtual_time)
        ticket.start_tag = of_tenant.virtual_time
        of_tenant.virtual_time += ticket.expected_tokens / _WEIGHTS[ticket.tenant_class]
        of_tenant.waiting.append(ticket)
        self.waiting += 1
        self._waiting_tokens += ticket.prompt_tokens
        self._grant()

    def _expected_seconds(self, of_tenant: _Tenant) -> float:
        """Returns when a request that comes now would get its turn, by how fast turns come."""
        if not self.waiting:
            return 0.0
        others = sum(1 for each in self._tenants.values() if each.waiting and each is not of_tenant)
        ahead = min(self.waiting, (len(of_tenant.waiting) + 1) * (others + 1))
        return self._pace.wait_seconds(ahead, self._clock())

    def _comes_too_late(self, ticket: Ticket, expected_seconds: float) -> bool:
        """Whether a request that has to wait so long is better refused when it comes."""
        if ticket.ends_at is None:
            return False
        most = _MOST_WAITING * (ticket.ends_at - ticket.arrived)
        return expected_seconds > most or self._is_late(ticket, expected_seconds, 1.0)

    def _is_late(self, ticket: Ticket, wait_seconds: float, share: float) -> bool:
        """Whether less than this share of the ticket's answer would be there at its deadline."""
        if ticket.ends_at is None:
            return False
        now = self._clock()
        took = share * self._pace.answer_seconds(ticket.output_tokens, self.running, now)
        return now + wait_seconds + took > ticket.ends_at

    def _refusal(self, reason: str, expected_seconds: float) -> ResourceExhaustedError:
        metrics.QUEUE_REFUSED.labels(reason).inc()
        return ResourceExhaustedError(
            Reason.OVERLOADED,
            "too many are ahead of it to answer before the deadline"
            if reason == "too_late"
            else "too many requests wait for the engine; try again later",
            metadata={"waiting": str(self.waiting), "limit": str(self._limits.waiting)},
            retry_after_seconds=min(max(expected_seconds, _MIN_RETRY_SECONDS), _MAX_RETRY_SECONDS),
        )

    def _leave(self, ticket: Ticket) -> None:
        if ticket.is_dropped:
            return
        of_tenant = self._tenants[ticket.tenant]
        if ticket.is_in:
            if ticket.written_tokens:
                self._pace.answered(self._clock() - ticket.entered, ticket.written_tokens)
            of_tenant.running -= 1
            self.running -= 1
            if ticket.is_reading:
                self._note_read(ticket)
            used = ticket.used_tokens if ticket.used_tokens is not None else ticket.expected_tokens
        else:
            of_tenant.waiting.remove(ticket)
            self.waiting -= 1
            self._waiting_tokens -= ticket.prompt_tokens
            used = 0
        of_tenant.virtual_time += (used - ticket.expected_tokens) / _WEIGHTS[ticket.tenant_class]
        self._forget_idle(ticket.tenant)
        if self.waiting:
            self._grant()

    def _forget_idle(self, tenant: str) -> None:
        """Drops a tenant that owes nothing; a debt is kept while others are served."""
        of_tenant = self._tenants.get(tenant)
        if of_tenant is None or of_tenant.running or of_tenant.waiting:
            return
        if not self.running and not self.waiting:
            self._tenants.clear()
            self._virtual_time = 0.0
            self._pace.rest()
        elif of_tenant.virtual_time <= self._virtual_time:
            del self._tenants[tenant]

    def _grant(self) -> None:
        """Lets in whoever may enter now."""
        while self.waiting and not self._held:
            if self.running >= self._limits.running:
                return
            if self.running and self._cache_usage() >= _FULL_CACHE:
                self._look_again()
                return
            found = self._next_tenant()
            if found is None:
                return
            ticket = found.waiting[0]
            has_waited = self._clock() - ticket.arrived > _MIN_RETRY_SECONDS
            if has_waited and self._is_late(ticket, 0.0, _HOPELESS):
                self._drop(ticket, found)
                continue
            unread = self._unread_tokens + ticket.prompt_tokens
            if self._unread_tokens and unread > self._limits.prefill_tokens:
                return
            found.waiting.popleft()
            self._let_in(ticket, found)

    def _next_tenant(self) -> _Tenant | None:
        """Returns the tenant whose turn it is among those that may hold more of the engine."""
        room = _ALPHA * (self._limits.running - self.running)
        able = [
            each
            for name, each in self._tenants.items()
            if each.waiting and each.running < min(room, self._most_beside_others(name, each))
        ]
        return min(able, key=lambda each: each.waiting[0].start_tag, default=None)

    def _most_beside_others(self, name: str, of_tenant: _Tenant) -> int:
        """Returns how many requests a tenant may run beside the others that are there."""
        others = self.running + self.waiting - of_tenant.running - len(of_tenant.waiting)
        if not others:
            latest, before = self._latest_turns
            turn = before if latest[0] == name else latest
            if self._clock() - turn[1] > _NEIGHBOUR_SECONDS:
                return self._limits.running
        if of_tenant.unread and of_tenant.running >= max(others, 1):
            return of_tenant.running  # its prompts are read one by one, between the others' tokens
        return max(_BESIDE_OTHERS * others, self._limits.running // _FEWEST_SHARE, 1)

    def _drop(self, ticket: Ticket, of_tenant: _Tenant) -> None:
        """Refuses a request that can no longer be answered in time."""
        of_tenant.waiting.popleft()
        self.waiting -= 1
        self._waiting_tokens -= ticket.prompt_tokens
        of_tenant.virtual_time -= ticket.expected_tokens / _WEIGHTS[ticket.tenant_class]
        ticket.is_dropped = True
        if not ticket.granted.done():
            ticket.granted.set_exception(self._refusal("too_late", 0.0))
        self._forget_idle(ticket.tenant)

    def _let_in(self, ticket: Ticket, of_tenant: _Tenant) -> None:
        of_tenant.running += 1
        of_tenant.unread += 1
        self.running += 1
        self.waiting -= 1
        self._waiting_tokens -= ticket.prompt_tokens
        self._unread_tokens += ticket.prompt_tokens
        self._virtual_time = max(self._virtual_time, ticket.start_tag)
        now = self._clock()
        self._pace.took_turn(now)
        latest, before = self._latest_turns
        kept = before if latest[0] == ticket.tenant else latest
        self._latest_turns = ((ticket.tenant, now), kept)
        ticket.entered = now
        ticket.is_in = True
        if not ticket.granted.done():  # else its caller has just left, and `_leave` comes next
            ticket.granted.set_result(None)

    def _look_again(self) -> None:
        if self._recheck is None:

            def recheck() -> None:
                self._recheck = None
                self._grant()

            self._recheck = asyncio.get_running_loop().call_later(_RECHECK_SECONDS, recheck)
