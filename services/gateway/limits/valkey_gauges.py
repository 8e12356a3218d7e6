"""Gauges in Valkey, which all replicas share: decided there, by its clock, many asks to a trip."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from services.gateway.limits.gauges import Answer, Ask

TIMEOUT_SECONDS = 0.05
"""Longest a request waits for a frozen server. The client's own retries would take 5 s."""

REPLICA_SECONDS = 10.0
"""A replica that was not heard of for so long is counted no more."""

_MAX_BATCH = 256
_SECOND_LOOKS = 3
_SECOND_LOOK_SECONDS = 0.002
_MAX_WAITING = 20_000

_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local lease, lease_seconds, fresh = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local count = #KEYS / 2
local gauges, denied = {}, false
for i = 1, count do
  local a = 3 + (i - 1) * 10
  local g = {
    kind = ARGV[a + 1], amount = tonumber(ARGV[a + 2]), capacity = tonumber(ARGV[a + 3]),
    rate = tonumber(ARGV[a + 4]), enforced = ARGV[a + 5] == '1', known = ARGV[a + 6],
    debt = tonumber(ARGV[a + 7]), how = ARGV[a + 8], hint = tonumber(ARGV[a + 9]),
    seed = ARGV[a + 10]
  }
  local stored = redis.call('HMGET', KEYS[2 * i - 1], 'value', 'at', 'generation', 'added',
    'reserved')
  g.generation = stored[3]
  g.added = tonumber(stored[4]) or 0
  g.reserved = tonumber(stored[5]) or 0
  if g.kind == 'bucket' then
    local passed = math.max(0, now - (tonumber(stored[2]) or now)) * g.rate
    g.value = math.min(g.capacity, (tonumber(stored[1]) or g.capacity) + passed)
    g.added = math.max(0, g.added - passed)
  else
    if not g.generation and g.seed == '' then return {'seed'} end
    g.value = tonumber(stored[1]) or tonumber(g.seed)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2 * i], '-inf', now)) do
      g.reserved = g.reserved - tonumber(string.match(member, '|(.*)$'))
      redis.call('ZREM', KEYS[2 * i], member)
    end
    if redis.call('ZCARD', KEYS[2 * i]) == 0 then g.reserved = 0 end
  end
  if not g.generation then g.generation = fresh end
  local sign = g.kind == 'bucket' and -1 or 1
  if g.known == g.generation then
    g.value = g.value + sign * g.debt
    g.added = g.added + g.debt
  elseif g.how == 'owed' then
    g.value = g.value + sign * g.hint
    g.added = g.added + g.hint
  elseif g.how == 'level' then
    g.value = math.min(g.value, g.hint - g.added)
  elseif g.how == 'used' then
    g.value = math.max(g.value, g.hint + g.added)
  end
  if g.kind == 'bucket' then
    g.allowed = g.amount == 0 or g.value >= math.min(g.amount, math.max(1, g.capacity))
  else
    g.allowed = g.amount == 0 or g.value + g.reserved + g.amount <= g.capacity
  end
  if g.enforced and not g.allowed then denied = true end
  gauges[i] = g
end
local answer = {}
for i = 1, count do
  local g = gauges[i]
  if not denied and g.amount > 0 then
    if g.kind == 'bucket' then
      g.value = g.value - g.amount
      g.added = g.added + g.amount
    elseif lease ~= '' then
      g.reserved = g.reserved + g.amount
      local member = lease .. '|' .. string.format('%.17g', g.amount)
      redis.call('ZADD', KEYS[2 * i], now + lease_seconds, member)
      redis.call('PEXPIRE', KEYS[2 * i], math.ceil(lease_seconds * 1000) + 60000)
    else
      g.value = g.value + g.amount
      g.added = g.added + g.amount
    end
  end
  redis.call('HSET', KEYS[2 * i - 1], 'value', string.format('%.17g', g.value), 'at',
    string.format('%.6f', now), 'generation', g.generation,
    'added', string.format('%.17g', g.added), 'reserved', string.format('%.17g', g.reserved))
  local kept = 40 * 86400
  if g.kind == 'bucket' then kept = 1 + 2 * (g.capacity + math.max(0, -g.value)) / g.rate end
  redis.call('PEXPIRE', KEYS[2 * i - 1], math.ceil(kept * 1000))
  answer[i] = {g.allowed and 1 or 0, string.format('%.17g', g.value),
    string.format('%.17g', g.reserved), g.generation}
end
return answer
"""

_SETTLE = """
for i = 1, #KEYS / 2 do
  local a = 1 + (i - 1) * 3
  local kind, reserved, actual = ARGV[a + 1], tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local key = KEYS[2 * i - 1]
  if redis.call('EXISTS', key) == 1 then
    if kind == 'bucket' then
      redis.call('HINCRBYFLOAT', key, 'value', string.format('%.17g', reserved - actual))
      redis.call('HINCRBYFLOAT', key, 'added', string.format('%.17g', actual - reserved))
    else
      local member = ARGV[1] .. '|' .. string.format('%.17g', reserved)
      if redis.call('ZREM', KEYS[2 * i], member) == 1 then
        redis.call('HINCRBYFLOAT', key, 'reserved', string.format('%.17g', -reserved))
      end
      redis.call('HINCRBYFLOAT', key, 'value', string.format('%.17g', actual))
      redis.call('HINCRBYFLOAT', key, 'added', string.format('%.17g', actual))
    end
  end
end
return 1
"""

_RESTORE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
for i = 1, #ARGV, 3 do
  local member = ARGV[i] .. '|' .. string.format('%.17g', tonumber(ARGV[i + 1]))
  if redis.call('ZADD', KEYS[2], 'NX', now + tonumber(ARGV[i + 2]), member) == 1 then
    redis.call('HINCRBYFLOAT', KEYS[1], 'reserved', ARGV[i + 1])
  end
end
return 1
"""

_RAISE = """
local value = redis.call('HGET', KEYS[1], 'value')
if value and tonumber(value) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'value', ARGV[1])
end
return 1
"""

_SCRIPTS = (_TAKE, _SETTLE, _RESTORE, _RAISE)


class ValkeyGauges:
    """Gauges that all replicas share.

    Args:
        url: "redis://host:port/0".
        prefix: Begins the name of every gauge.
        timeout_seconds: Longest a request waits.
    """

    def __init__(
        self,
        url: str,
        prefix: str = "cairn:limit:",
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._client = Redis.from_url(
            url,
            socket_timeout=4 * timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            max_connections=4,
            client_name="cairn-gateway",
        )
        self._prefix = prefix
        self._timeout_seconds = timeout_seconds
        self._replica = secrets.token_hex(8)
        self._waiting: list[tuple[str, list[str], list[Any], asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._shas = {each: hashlib.sha1(each.encode()).hexdigest() for each in _SCRIPTS}  # noqa: S324 - Valkey's own name of a script

    async def take(
        self, asks: Sequence[Ask], lease_id: str = "", lease_seconds: float = 0.0
    ) -> list[Answer] | None:
        """Takes all amounts, or none when an enforced gauge has not enough; None: it wants seeds.

        Raises:
            OSError: Valkey does not answer.
        """
        arguments: list[Any] = [lease_id, lease_seconds, secrets.token_hex(4)]
        for ask in asks:
            arguments += [
                "bucket" if ask.is_bucket else "counter",
                ask.amount,
                ask.capacity,
                ask.per_second,
                int(ask.is_enforced),
                ask.generation,
                ask.debt,
                ask.how,
                ask.hint,
                "" if ask.seed is None else ask.seed,
            ]
        rows = await self._run(_TAKE, [ask.gauge for ask in asks], arguments)
        if rows == [b"seed"]:
            return None
        return [Answer(bool(row[0]), float(row[1]), float(row[2]), row[3].decode()) for row in rows]

    async def settle(
        self, settlements: Sequence[tuple[str, bool, float, float]], lease_id: str
    ) -> None:
        """Puts what was used in place of what was reserved.

        Args:
            settlements: Gauge, whether it is a bucket, the amount reserved, the amount used.
            lease_id: Of the reservation.

        Raises:
            OSError: Valkey does not answer.
        """
        arguments: list[Any] = [lease_id]
        for _, is_bucket, reserved, actual in settlements:
            arguments += ["bucket" if is_bucket else "counter", reserved, actual]
        await self._run(_SETTLE, [each[0] for each in settlements], arguments)

    async def restore(self, gauge: str, leases: Sequence[tuple[str, float, float]]) -> None:
        """Tells a counter that was lost of the reservations that still hold.

        Args:
            gauge: The counter.
            leases: Lease, amount and seconds left of each.

        Raises:
            OSError: Valkey does not answer.
        """
        await self._run(_RESTORE, [gauge], [part for lease in leases for part in lease])

    async def raise_to(self, gauge: str, amount: float) -> None:
        """Lets a counter that has less have so much.

        Raises:
            OSError: Valkey does not answer.
        """
        await self._run(_RAISE, [gauge], [amount])

    async def beat(self) -> int:
        """Says that this replica is alive; returns how many are.

        Raises:
            OSError: Valkey does not answer.
        """
        key = f"{self._prefix}replicas"
        try:
            async with asyncio.timeout(4 * self._timeout_seconds):
                seconds, _ = await self._client.time()
                async with self._client.pipeline(transaction=False) as pipe:
                    pipe.zadd(key, {self._replica: seconds})
                    pipe.zremrangebyscore(key, "-inf", seconds - REPLICA_SECONDS)
                    pipe.zcard(key)
                    return (await pipe.execute())[-1]
        except (RedisError, TimeoutError) as error:
            raise OSError(type(error).__name__) from error

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sends asks while the block runs."""
        task = asyncio.get_running_loop().create_task(self._send_batches())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._fail(self._waiting, OSError("closing"))
            with contextlib.suppress(RedisError, OSError):
                await self._client.zrem(f"{self._prefix}replicas", self._replica)
            await self._client.aclose()

    async def _run(self, script: str, gauges: list[str], arguments: list[Any]) -> Any:
        if len(self._waiting) >= _MAX_WAITING:
            raise OSError("too many asks are waiting")
        keys = [f"{self._prefix}{gauge}{suffix}" for gauge in gauges for suffix in ("", ":leases")]
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((script, keys, arguments, future))
        self._wake.set()
        return await future

    async def _send_batches(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._waiting[:_MAX_BATCH]
                del self._waiting[:_MAX_BATCH]
                try:
                    await self._within_time(self._send(batch))
                except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
                    # Whoever waits behind would wait as long in vain.
                    late, self._waiting = self._waiting, []
                    self._fail([*batch, *late], OSError(type(error).__name__))
                    with contextlib.suppress(RedisError, OSError):
                        await self._client.connection_pool.disconnect()
                except asyncio.CancelledError:
                    self._fail(batch, OSError("closing"))
                    raise

    async def _within_time(self, sending: Coroutine[Any, Any, None]) -> None:
        """Waits for Valkey, and not for this process: an answer that came in time is taken.

        A loop that was busy finds the answer and the end of the time together, and would cancel
        what is about to succeed.
        """
        task = asyncio.get_running_loop().create_task(sending)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout_seconds)
            for _ in range(_SECOND_LOOKS):
                if done:
                    break
                done, _ = await asyncio.wait({task}, timeout=_SECOND_LOOK_SECONDS)
            if not done:
                raise TimeoutError
            task.result()
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, RedisError, OSError):
                    await task

    async def _send(
        self, batch: list[tuple[str, list[str], list[Any], asyncio.Future[Any]]]
    ) -> None:
        results = await self._execute(batch)
        if any(isinstance(each, NoScriptError) for each in results):
            for script in self._shas:
                await self._client.script_load(script)
            # A script that is not known did nothing.
            again = [i for i, each in enumerate(results) if isinstance(each, NoScriptError)]
            for index, result in zip(
                again, await self._execute([batch[i] for i in again]), strict=True
            ):
                results[index] = result
        for (_, _, _, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, RedisError):
                future.set_exception(OSError(str(result)[:200]))
            else:
                future.set_result(result)

    async def _execute(
        self, batch: list[tuple[str, list[str], list[Any], asyncio.Future[Any]]]
    ) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for script, keys, arguments, _ in batch:
                pipe.evalsha(self._shas[script], len(keys), *keys, *arguments)
            return await pipe.execute(raise_on_error=False)

    def _fail(
        self, waiting: Sequence[tuple[Any, Any, Any, asyncio.Future[Any]]], error: OSError
    ) -> None:
        for *_, future in waiting:
            if not future.done():
                future.set_exception(error)
