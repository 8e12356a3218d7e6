"""The dashboard of who uses how much and what it costs."""

from __future__ import annotations

from monitoring.alerts import threshold
from monitoring.model import Dashboard, Section
from monitoring.panels import lines, rate

TENANTS = Dashboard(
    "cairn-tenants",
    "Cairn tenants and cost",
    "Who uses how much, what it costs, who is held back. The first hundred tenants are named.",
    (
        Section(
            "Use",
            (
                lines(
                    "Requests metered",
                    "reqps",
                    (rate("cairn_gateway_metered_requests_total", by="operation"), "{{operation}}"),
                ),
                lines(
                    "Tokens by tenant",
                    "short",
                    (rate("cairn_gateway_tenant_tokens_total", by="tenant"), "{{tenant}}"),
                ),
                lines(
                    "Tokens by kind",
                    "short",
                    (rate("cairn_gateway_tenant_tokens_total", by="kind"), "{{kind}}"),
                ),
            ),
        ),
        Section(
            "Cost",
            (
                lines(
                    "Cost an hour by tenant",
                    "short",
                    (
                        "sum by (tenant, currency) (increase(cairn_gateway_tenant_cost_total[1h]))",
                        "{{tenant}} {{currency}}",
                    ),
                ),
                lines(
                    "Against the day before",
                    "short",
                    (
                        "sum(rate(cairn_gateway_tenant_cost_total[1h]))"
                        " / sum(rate(cairn_gateway_tenant_cost_total[1d] offset 1h))",
                        "cost",
                    ),
                    (
                        "sum(rate(cairn_gateway_tenant_tokens_total[1h]))"
                        " / sum(rate(cairn_gateway_tenant_tokens_total[1d] offset 1h))",
                        "tokens",
                    ),
                    threshold=threshold("CairnTokenCostSpike"),
                ),
                lines(
                    "Cache hits",
                    "percentunit",
                    (
                        rate("cairn_gateway_cache_lookups_total", by="cache", where='outcome="hit"')
                        + " / "
                        + rate("cairn_gateway_cache_lookups_total", by="cache"),
                        "{{cache}}",
                    ),
                    threshold=threshold("CairnCacheHitsLow"),
                ),
            ),
        ),
        Section(
            "Caches",
            (
                lines(
                    "Bytes",
                    "bytes",
                    ("sum by (cache) (cairn_gateway_cache_bytes)", "{{cache}}"),
                ),
                lines(
                    "Entries",
                    "short",
                    ("sum by (cache) (cairn_gateway_cache_entries)", "{{cache}}"),
                ),
                lines(
                    "Evicted",
                    "short",
                    (
                        rate("cairn_gateway_cache_evicted_total", by="cache, reason"),
                        "{{cache}} {{reason}}",
                    ),
                ),
            ),
        ),
        Section(
            "Limits",
            (
                lines(
                    "Credentials refused",
                    "reqps",
                    (rate("cairn_gateway_credentials_refused_total", by="kind"), "{{kind}}"),
                ),
                lines(
                    "Limits kept per replica",
                    "short",
                    ("max by (instance) (cairn_gateway_limiter_is_local)", "{{instance}}"),
                    note="1 while Valkey is away, or was never given.",
                ),
                lines(
                    "Held back",
                    "reqps",
                    (
                        rate("cairn_gateway_limited_total", by="limit, scope, mode"),
                        "{{limit}} of {{scope}} ({{mode}})",
                    ),
                ),
                lines(
                    "Budget and spike alerts",
                    "short",
                    ("sum by (kind) (increase(cairn_gateway_usage_alerts_total[1h]))", "{{kind}}"),
                ),
                lines(
                    "Audit",
                    "short",
                    (rate("cairn_gateway_audit_entries_total", by="surface"), "{{surface}}"),
                    ("sum (cairn_gateway_audit_waiting_entries)", "not yet written"),
                ),
                lines(
                    "Tools that agents called",
                    "reqps",
                    (
                        rate("cairn_mcp_tool_calls_total", by="tool, outcome"),
                        "{{tool}} {{outcome}}",
                    ),
                ),
                lines(
                    "Ledger",
                    "short",
                    ("sum (cairn_gateway_ledger_pending_events)", "not yet written"),
                    (rate("cairn_gateway_journal_errors_total"), "journal errors"),
                ),
            ),
        ),
    ),
)
