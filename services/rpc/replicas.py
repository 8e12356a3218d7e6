"""Channels to each replica of a service, and which of them gets the next request.

For services whose replicas keep something that makes a like request cheaper, such as the beginning
of a prompt. Where it does not matter, `open_channel` balances by turns.

    async with Replicas("generation", "host:9103,other:9103").running() as replicas:
        with replicas.visit(placement_key(tenant, passage_id), tokens=900) as visit:
            call = GenerationServiceStub(visit.channel).Generate(request)
            async for answer in call:
                visit.answered()

A name that stands for several addresses is looked up again every few seconds, so that new replicas
are found and old ones left. Each replica has a breaker and a bulkhead of its own; those that cannot
serve are passed over. A request that failed can be placed again, without those that failed it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field

import grpc

from services.rpc.breaker import BreakerRules
from services.rpc.channel import open_channel, resolve_target
from services.rpc.errors import Reason, UnavailableError
from services.rpc.guard import Guard, GuardedCall
from services.rpc.logs import get_logger
from services.rpc.metrics import PLACEMENTS, REPLICAS_USABLE, series
from services.rpc.placement import Placement

RESOLVE_SECONDS = 5.0
_CLOSE_SECONDS = 30.0
"""What a replica that is no longer named gets to end its calls."""
RULES = BreakerRules(failures_in_row=3, slow_seconds=4.0, slow_share=1.1)
"""A replica that is slow is better than none; one of which nothing comes for four seconds hangs."""

Open = Callable[[str], grpc.aio.Channel]


@dataclass(slots=True)
class _Replica:
    """A replica and what is known of it."""

    address: str
    slot: int
    """Small number that later replicas take over: it names metrics."""
    channel: grpc.aio.Channel
    guard: Guard


@dataclass(slots=True)
class Visit:
    """A request at a replica."""

    address: str
    channel: grpc.aio.Channel
    _call: GuardedCall
    _has_answered: bool = field(default=False)

    def answered(self) -> None:
        """The replica has begun to answer; further calls cost nothing."""
        if not self._has_answered:
            self._has_answered = True
            self._call.answered()


class Replicas:
    """See the module's text.

    Args:
        name: Of the service, in errors and metrics.
        target: As in `open_channel`.
        placement: Chooses; None: one with the usual settings.
        rules: When the breaker of a replica opens.
        open_replica: Opens a channel to "host:port"; None: `open_channel`.
        resolve_seconds: Between two looks at the target's name.

    Raises:
        ValueError: `target` is malformed.
    """

    def __init__(
        self,
        name: str,
        target: str,
        *,
        placement: Placement | None = None,
        rules: BreakerRules = RULES,
        open_replica: Open | None = None,
        resolve_seconds: float = RESOLVE_SECONDS,
    ) -> None:
        self._name = name
        self._target = resolve_target(target)
        self._placement = placement or Placement()
        self._rules = rules
        self._open = open_replica or open_channel
        self._resolve_seconds = resolve_seconds
        self._replicas: dict[str, _Replica] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._usable_gauge = REPLICAS_USABLE.labels(name)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Replicas that are known."""
        return tuple(self._replicas)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Replicas]:
        """Holds the channels open while the block runs."""
        is_named = self._target.startswith("dns:")
        await self._set(await self._addresses())
        # No task group: what the block raises must not be wrapped in an exception group.
        watch = asyncio.create_task(self._watch()) if is_named else None
        try:
            yield self
        finally:
            if watch is not None:
                watch.cancel()
                await asyncio.wait((watch,))
            for task in self._closing:
                task.cancel()
            await asyncio.gather(*(each.channel.close() for each in self._replicas.values()))

    @contextlib.contextmanager
    def visit(
        self, key: bytes | None, tokens: float, *, without: Collection[str] = ()
    ) -> Iterator[Visit]:
        """Chooses a replica for the block; what the block raises is booked against it.

        Args:
            key: Of what makes requests alike, by `placement_key`; None: nothing does.
            tokens: What the request costs about.
            without: Addresses that have failed this request already.

        Raises:
            UnavailableError: no replica can serve now.
            ResourceExhaustedError: the replica that is left has too many calls on their way.
        """
        usable = self.usable(without)
        placed = self._placement.place(key, tokens, usable)
        if placed is None:
            raise UnavailableError(
                Reason.DEPENDENCY_UNAVAILABLE,
                f"no replica of the {self._name} service can be reached now",
                metadata={"dependency": self._name},
                retry_after_seconds=1.0,
            )
        series(PLACEMENTS, self._name, _how(key, is_remembered=placed.was_remembered)).inc()
        try:
            replica = self._replicas[placed.replica]
            call = replica.guard.enter()
            try:
                yield Visit(replica.address, replica.channel, call)
            except BaseException as error:
                call.ended(error)
                raise
            call.ended()
        finally:
            placed.end()

    def usable(self, without: Collection[str] = ()) -> list[str]:
        """Returns replicas that are connected and well; else those that may come to be."""
        candidates = [
            each
            for each in self._replicas.values()
            if each.address not in without and each.guard.breaker.would_pass
        ]
        states = {each.address: each.channel.get_state(try_to_connect=True) for each in candidates}
        ready = [each for each, state in states.items() if state is grpc.ChannelConnectivity.READY]
        self._usable_gauge.set(len(ready))
        return ready or [
            each
            for each, state in states.items()
            if state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE
        ]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._resolve_seconds)
            found = await self._addresses()
            if found:  # a name service that is away does not take the replicas with it
                await self._set(found)

    async def _addresses(self) -> list[str]:
        if not self._target.startswith("dns:"):
            return self._target.removeprefix("ipv4:").removeprefix("ipv6:").split(",")
        host, _, port = self._target.rpartition("/")[2].rpartition(":")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, int(port), type=socket.SOCK_STREAM
            )
        except OSError as error:
            get_logger().warning(
                "replicas not found", dependency=self._name, error=str(error.errno)
            )
            return []
        hosts = dict.fromkeys(str(each[4][0]) for each in found)
        return [f"[{each}]:{port}" if ":" in each else f"{each}:{port}" for each in hosts]

    async def _set(self, addresses: list[str]) -> None:
        for address in [each for each in self._replicas if each not in addresses]:
            replica = self._replicas.pop(address)
            task = asyncio.create_task(replica.channel.close(_CLOSE_SECONDS))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        for address in addresses:
            if address not in self._replicas:
                self._replicas[address] = self._made(address)
        self._placement.set_replicas(self._replicas)

    def _made(self, address: str) -> _Replica:
        taken = {each.slot for each in self._replicas.values()}
        slot = next(each for each in range(len(taken) + 1) if each not in taken)
        channel = self._open(address)
        channel.get_state(try_to_connect=True)
        return _Replica(
            address, slot, channel, Guard(f"{self._name}_{slot}", None, rules=self._rules)
        )


def _how(key: bytes | None, *, is_remembered: bool) -> str:
    if key is None:
        return "keyless"
    return "remembered" if is_remembered else "new"
