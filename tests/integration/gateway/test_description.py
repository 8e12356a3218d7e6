"""The OpenAPI description tells the truth about what the routes take and give."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from services.gateway.edge import identity_views, usage_views, views
from tests.kit.gateway import RunningGateway

LIMIT = {"subject": "key", "resource": "tokens", "period": "day", "amount": 1, "mode": "soft"}

EXAMPLES: list[tuple[str, str, Any, type[BaseModel]]] = [
    ("POST", "/v1/query", {"query": "granite", "explain": True}, views.QueryView),
    ("POST", "/v1/search", {"query": "granite", "explain": True}, views.SearchView),
    ("POST", "/v1/recommend", {"positive_ids": ["a"]}, views.RecommendView),
    ("POST", "/v1/documents", {"documents": [{"text": "x"}]}, views.SubmissionsView),
    ("GET", "/v1/documents", None, views.DocumentsView),
    ("GET", "/v1/documents/rocks/granite.md", None, views.OneDocumentView),
    ("POST", "/v1/collections", {"name": "fresh"}, views.OneCollectionView),
    ("GET", "/v1/collections/default", None, views.OneCollectionView),
    ("PATCH", "/v1/collections/default", {"index_type": "flat"}, views.OneCollectionView),
    ("GET", "/v1/collections", None, views.CollectionsView),
    ("POST", "/v1/feedback", {"trace_id": "0" * 32, "rating": "up"}, views.FeedbackView),
    ("GET", "/v1/usage", None, usage_views.UsageRowsView),
    ("GET", "/v1/usage/events", None, usage_views.UsageEventsView),
    ("GET", "/v1/usage/alerts", None, usage_views.UsageAlertsView),
    ("GET", "/v1/usage/check", None, usage_views.UsageCheckView),
    ("GET", "/v1/limits", None, usage_views.LimitsView),
    ("GET", "/v1/limits/rules", None, usage_views.LimitRulesView),
    ("PUT", "/v1/limits/rules", LIMIT, usage_views.LimitRuleView),
    ("POST", "/v1/keys", {"name": "x"}, identity_views.NewKeyView),
    ("GET", "/v1/keys", None, identity_views.KeysView),
    ("GET", "/v1/me", None, identity_views.CallerView),
    ("PUT", "/v1/tenants/acme", {"name": "Acme"}, identity_views.OneTenantView),
    ("GET", "/v1/tenants", None, identity_views.TenantsView),
    ("GET", "/v1/tenants/acme", None, identity_views.OneTenantView),
    ("PUT", "/v1/roles/reader", {"permissions": ["search"]}, identity_views.OneRoleView),
    ("GET", "/v1/roles", None, identity_views.RolesView),
    ("GET", "/v1/roles/reader", None, identity_views.OneRoleView),
    ("PUT", "/v1/groups/staff", {"grants": [{"role": "reader"}]}, identity_views.OneGroupView),
    ("GET", "/v1/groups", None, identity_views.GroupsView),
    ("GET", "/v1/groups/staff", None, identity_views.OneGroupView),
    ("PUT", "/v1/users/ada", {"groups": ["staff"]}, identity_views.OneUserView),
    ("GET", "/v1/users", None, identity_views.UsersView),
    ("GET", "/v1/users/ada", None, identity_views.OneUserView),
    ("GET", "/v1/audit", None, identity_views.AuditEntriesView),
    ("GET", "/v1/audit/verify", None, identity_views.AuditReportView),
    ("GET", "/healthz", None, views.HealthView),
    ("GET", "/readyz", None, views.ReadyView),
    ("GET", "/v1/nowhere", None, views.ProblemView),
    ("GET", "/openai/v1/nowhere", None, views.OpenAiErrorView),
]


async def test_responses_are_as_described(gw: RunningGateway) -> None:
    async with gw.client() as client:
        for method, path, body, view in EXAMPLES:
            response = await client.request(method, path, json=body)
            is_there = not path.endswith("/nowhere")
            assert response.is_success is is_there, (path, response.status_code)
            assert is_there or response.status_code == 404
            view.model_validate_json(response.content, strict=True)


async def test_description_is_whole(gw: RunningGateway) -> None:
    async with gw.client(None) as client:
        description = (await client.get("/openapi.json")).json()
    assert description["openapi"].startswith("3.1")
    names = set(description["components"]["schemas"])
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            what = f"{method} {path}"
            assert operation["operationId"], what
            assert operation.get("description"), what
            if path.startswith("/v1"):
                assert operation["security"] == [{"api_key": []}], what
                assert {"400", "401", "403", "413", "429", "503"} <= set(operation["responses"])
            assert "422" not in operation["responses"], what
    references = _references(description)
    assert references
    assert {reference.rsplit("/", 1)[1] for reference in references} <= names


@pytest.mark.parametrize("path", ["/v1/query", "/v1/search", "/v1/documents", "/v1/keys"])
async def test_described_fields_are_the_ones_that_are_taken(gw: RunningGateway, path: str) -> None:
    async with gw.client() as client:
        description = (await client.get("/openapi.json")).json()
        content = description["paths"][path]["post"]["requestBody"]["content"]
        name = content["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        schema = description["components"]["schemas"][name]
        assert schema["additionalProperties"] is False
        response = await client.post(path, json={})
        missing = {each["field"] for each in response.json()["violations"]}
    assert missing == set(schema["required"])


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_references(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(_references(each) for each in value))
    return set()
