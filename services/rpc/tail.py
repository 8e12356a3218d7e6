"""Which traces are kept: a share decided where they begin, and all that failed or were slow.

Every process records every request and decides on its part when that part ends. Three signals make
the parts of one trace agree, whichever process sees first that it is worth keeping:

- down, early: the `sampled` flag of `traceparent`, for the share that is recorded in any case;
- up: the trailing metadata `cairn-trace-keep` of an answer that hides a failure (an engine that
  another stood in for, say); failures that are not hidden need no words;
- down, late: the metadata `cairn-trace-kept-bin` of every later call, health checks included, with
  the ids kept in the last seconds. A part that ended well is held back that long for them, unless
  it is an outline (`services.rpc.detail`).

A part that is asked for goes on asking, so the news passes through a process that is in between.
"""

from __future__ import annotations

import functools
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock

from services.rpc.instruments import Counter
from services.rpc.spans import (
    MAX_SPANS,
    EndedPart,
    LocalTrace,
    RecentTrace,
    RecordedSpan,
    recent,
)

KEEP_HEADER = "cairn-trace-keep"
KEPT_HEADER = "cairn-trace-kept-bin"
HOLD_SECONDS = 10.0
"""How long a part that nothing speaks for waits for another process to ask for it."""
MAX_HELD_SPANS = 20_000
"""About 20 MB; the oldest parts go first."""
KEPT_PER_SECOND = 10.0
"""Traces kept beyond the share: an outage must not become a flood of spans."""
_KEPT_BURST = 50.0
_MAX_NEWS = 32
_MAX_KNOWN = 4096
_ID_BYTES = 16
_RECENT = 300
_READS = ("GET ", "HEAD ", "OPTIONS ")
_READING_RPC = ("/Get", "/List", "/Check", "/Watch")
_LONG_READ_SECONDS = 1.0

_TRACES = Counter(
    "cairn_telemetry_traces_total",
    "Parts of traces by what became of them: sampled, error, slow, asked (for by another process), "
    "held (and then kept or forgotten), outlined (recorded without stages and forgotten at once), "
    "limited (too many were kept).",
    ["decision"],
)
_DECIDED = {
    name: _TRACES.labels(name)
    for name in ("sampled", "error", "slow", "asked", "held", "outlined", "limited")
}
_HELD, _OUTLINED = _DECIDED["held"], _DECIDED["outlined"]


class RecentTraces:
    """The last traces of this process, but for reads that went well: who looks at them polls.

    Of those in outline only the faulty and the slow: there are enough others then.
    """

    def __init__(self) -> None:
        self._parts: deque[EndedPart] = deque(maxlen=_RECENT)

    def add(self, part: EndedPart) -> None:
        """Keeps a trace whose root has ended."""
        local, root = part.local, part.root
        if _is_read(root.name) and not local.is_faulty and root.seconds < _LONG_READ_SECONDS:
            return
        if local.is_whole or local.is_faulty or local.verdict:
            self._parts.append(part)

    def list(self) -> tuple[RecentTrace, ...]:
        """Returns them, newest first."""
        return tuple(recent(each) for each in reversed(tuple(self._parts)))


@functools.lru_cache(maxsize=1024)
def _is_read(name: str) -> bool:
    """Whether requests of that name only read."""
    return name.startswith(_READS) or any(each in name for each in _READING_RPC)


class Tail:
    """Decides on the parts of traces as they end.

    Args:
        export: Takes a span that is kept.
        slow_seconds: A local root that took longer is kept.
        recent_traces: Where ended traces go for a page that shows them.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        export: Callable[[RecordedSpan], None],
        slow_seconds: float,
        recent_traces: RecentTraces | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._export = export
        self.slow_seconds = slow_seconds
        """A local root that took longer is kept."""
        self._recent = recent_traces
        self._clock = clock
        self._lock = Lock()
        self._held: dict[int, list[EndedPart]] = {}
        self._held_until: deque[tuple[float, int, int]] = deque()
        """When a part was held until, its trace, its spans."""
        self._held_spans = 0
        self._known: OrderedDict[int, float] = OrderedDict()
        """Traces that are kept, and until when they may be asked for."""
        self._news: deque[tuple[float, bytes]] = deque(maxlen=_MAX_NEWS)
        self._tokens = _KEPT_BURST
        self._tokens_at = clock()

    def ended(self, local: LocalTrace, span: RecordedSpan) -> None:
        """Takes a span that has ended; with the local root, decides."""
        root = local.root
        if root is None:  # work that went on behind the answer
            if local.verdict:
                self._export(span)
            return
        if len(local.spans) < MAX_SPANS or span is root:
            local.spans.append(span)
            if local.is_sampled:
                self._export(span)
        if span is not root:
            return
        part = local.end(root)
        if local.is_sampled:
            local.verdict = "sampled"
            _DECIDED["sampled"].inc()
        else:
            self._decide(part)
        if self._recent is not None:
            self._recent.add(part)

    def will_keep(self, local: LocalTrace) -> bool:
        """Whether a part that is about to end well hides something worth keeping."""
        return not local.is_sampled and (local.is_faulty or local.is_slow or local.is_asked_for)

    def asks_for(self, trace_id: int) -> bool:
        """Whether a trace was kept lately, here or in another process."""
        return trace_id in self._known

    def keep(self, ids: bytes) -> None:
        """Keeps the traces that another process asks for.

        Args:
            ids: 16 bytes each.
        """
        for start in range(0, min(len(ids), _MAX_NEWS * _ID_BYTES), _ID_BYTES):
            trace_id = int.from_bytes(ids[start : start + _ID_BYTES], "big")
            with self._lock:
                if trace_id in self._known:
                    continue
                self._learn(trace_id)
                parts = self._held.pop(trace_id, [])
            for each in parts:
                self._release(each, "asked")

    def news(self) -> bytes:
        """Returns the ids to send with a call: those kept in the last seconds, 16 bytes each."""
        if not self._news:
            return b""
        now = self._clock()
        with self._lock:
            while self._news and self._news[0][0] < now:
                self._news.popleft()
            return b"".join(each for _, each in self._news)

    def _decide(self, part: EndedPart) -> None:
        local, why = part.local, ""
        slow_seconds = self.slow_seconds if local.slow_seconds is None else local.slow_seconds
        if local.is_faulty:
            why = "error"
        elif local.is_slow or part.root.seconds > slow_seconds:
            why = "slow"
        elif not (local.is_whole or local.is_asked_for or local.trace_id in self._known):
            # An outline says little that its caller's span does not: it is not waited with.
            _OUTLINED.inc()
            return
        with self._lock:
            now = self._clock()
            self._forget(now)
            if local.trace_id in self._known or local.is_asked_for:
                why = why or "asked"
            if not why:
                self._hold(part, now)
                _HELD.inc()
                return
            if local.trace_id not in self._known:
                if not self._take():
                    _DECIDED["limited"].inc()
                    return
                self._learn(local.trace_id)
            held = self._held.pop(local.trace_id, [])
        self._release(part, why)
        for each in held:
            self._release(each, "asked")

    def _hold(self, part: EndedPart, now: float) -> None:
        trace_id, count = part.local.trace_id, len(part.spans)
        parts = self._held.get(trace_id)
        if parts is None:
            self._held[trace_id] = [part]
        else:
            parts.append(part)
        self._held_until.append((now + HOLD_SECONDS, trace_id, count))
        self._held_spans += count

    def _forget(self, now: float) -> None:
        """Forgets what was held long enough, or is too much."""
        while self._held_until and (
            self._held_until[0][0] < now or self._held_spans > MAX_HELD_SPANS
        ):
            _, trace_id, count = self._held_until.popleft()
            self._held_spans -= count
            parts = self._held.get(trace_id)
            if parts:
                parts.pop(0)
                if not parts:
                    del self._held[trace_id]

    def _learn(self, trace_id: int) -> None:
        now = self._clock()
        # Here, and not when parts end: ids come with health checks to a service that serves nobody.
        while self._known and (
            len(self._known) >= _MAX_KNOWN or next(iter(self._known.values())) < now
        ):
            self._known.popitem(last=False)
        until = now + HOLD_SECONDS
        self._known[trace_id] = until
        self._news.append((until, trace_id.to_bytes(_ID_BYTES, "big")))

    def _take(self) -> bool:
        now = self._clock()
        self._tokens = min(_KEPT_BURST, self._tokens + (now - self._tokens_at) * KEPT_PER_SECOND)
        self._tokens_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _release(self, part: EndedPart, why: str) -> None:
        part.local.verdict = why
        _DECIDED[why].inc()
        for span in part.spans:
            self._export(span)
