"""Short ways to write panels."""

from __future__ import annotations

from monitoring.model import Panel, Query


def lines(
    title: str,
    unit: str,
    *queries: tuple[str, str],
    note: str = "",
    threshold: float | None = None,
    width: int = 8,
) -> Panel:
    """Returns a chart of queries, each with its legend."""
    found = tuple(Query(" ".join(expr.split()), legend) for expr, legend in queries)
    return Panel(title, unit, found, note, threshold=threshold, width=width)


def figure(title: str, unit: str, expr: str, note: str = "", width: int = 4) -> Panel:
    """Returns one number."""
    return Panel(title, unit, (Query(" ".join(expr.split())),), note, kind="stat", width=width)


def quantiles(
    title: str,
    metric: str,
    *,
    by: str = "",
    where: str = "",
    note: str = "",
    threshold: float | None = None,
) -> Panel:
    """Returns p50, p95 and p99 of a histogram, or p95 by a label."""
    braces = f"{{{where}}}" if where else ""
    groups = f"le, {by}" if by else "le"

    def quantile(share: float) -> str:
        return (
            f"histogram_quantile({share:g}, sum by ({groups}) "
            f"(rate({metric}_bucket{braces}[$__rate_interval])))"
        )

    queries = (
        [(quantile(0.95), f"p95 {{{{{by}}}}}")]
        if by
        else [(quantile(share), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)]
    )
    return lines(title, "s", *queries, note=note, threshold=threshold)


def rate(metric: str, *, by: str = "", where: str = "") -> str:
    """Returns the query of a counter's rate."""
    braces = f"{{{where}}}" if where else ""
    groups = f" by ({by})" if by else ""
    return f"sum{groups} (rate({metric}{braces}[$__rate_interval]))"
