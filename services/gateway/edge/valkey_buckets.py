"""Token buckets in Valkey: one round trip, decided by the server's clock."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.gateway.edge.limits import Allowance, Rate, allowance

TIMEOUT_SECONDS = 0.05
"""Longest a request waits for a frozen server. The client's own retries would take 5 s."""

_TAKE = """
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'since')
local tokens = tonumber(bucket[1]) or burst
local since = tonumber(bucket[2]) or now
tokens = math.min(burst, tokens + math.max(0, now - since) * rate)
local allowed = 0
if tokens >= 1 then
  tokens = tokens - 1
  allowed = 1
end
local left = string.format('%.6f', tokens)
redis.call('HSET', KEYS[1], 'tokens', left, 'since', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(1000 * burst / rate) + 1000)
return {allowed, left}
"""


class ValkeyBuckets:
    """Token buckets that all replicas share.

    Args:
        url: "redis://host:port/0".
        prefix: Begins the name of every bucket.
    """

    def __init__(self, url: str, prefix: str = "cairn:rate:") -> None:
        self._client = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=64,
            client_name="cairn-gateway",
        )
        self._take = self._client.register_script(_TAKE)
        self._prefix = prefix

    async def take(self, name: str, rate: Rate) -> Allowance:
        """Takes one token, if there is one.

        Raises:
            OSError: Valkey does not answer.
        """
        try:
            allowed, tokens = await self._take(
                keys=[f"{self._prefix}{name}"], args=[rate.per_second, rate.burst]
            )
        except RedisError as error:
            raise OSError(type(error).__name__) from error
        return allowance(rate, float(tokens), is_allowed=bool(allowed))

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
