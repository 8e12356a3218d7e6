"""What each endpoint asks for: the table that the surfaces are held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Place = Literal["collection", "tenant", "anywhere"]
Least = Literal["viewer", "editor", "operator", "admin"]


@dataclass(frozen=True)
class Rule:
    """What an endpoint asks for, and a request that gets as far as being asked."""

    operation: str
    least: Least
    place: Place
    """Whether it needs a grant for the collection, for the whole tenant, or any at all."""
    body: Any = None
    query: str = ""


NONE = "none-000"
"""Identifier of what there is not: who may ask gets a 404 at worst."""

ASK = {"model": "cairn", "messages": [{"role": "user", "content": "granite?"}]}
STORE = {"name": "docs"}
FILE = b"a file"
"""Sent as a form."""
FILTERED = "?source=none"

REST: dict[str, Rule] = {
    "query": Rule("query", "viewer", "collection", {"query": "granite"}),
    "search": Rule("search", "viewer", "collection", {"query": "granite"}),
    "recommend": Rule("recommend", "viewer", "collection", {"positive_ids": ["a"]}),
    "submit_documents": Rule("ingest", "editor", "collection", {"documents": [{"text": "x"}]}),
    "list_documents": Rule("read_documents", "viewer", "collection"),
    "delete_documents": Rule("delete_documents", "operator", "collection", None, FILTERED),
    "fetch_documents": Rule("ingest", "editor", "collection", {"urls": ["https://a.example"]}),
    "list_chunks": Rule("read_documents", "viewer", "collection", None, "?document_id=a"),
    "retry_document": Rule("ingest", "editor", "collection"),
    "get_document": Rule("read_documents", "viewer", "collection"),
    "delete_document": Rule("delete_document", "editor", "collection"),
    "list_collections": Rule("read_collections", "viewer", "anywhere"),
    "create_collection": Rule("create_collection", "editor", "collection", {"name": "default"}),
    "get_collection": Rule("read_collections", "viewer", "collection"),
    "update_collection": Rule(
        "update_collection", "operator", "collection", {"description": "rocks"}
    ),
    "optimize_collection": Rule("update_collection", "operator", "collection", {}),
    "delete_collection": Rule("delete_collection", "operator", "collection"),
    "get_enrichment": Rule("read_collections", "viewer", "collection"),
    "set_enrichment": Rule("manage_sources", "operator", "collection", {}),
    "reset_enrichment": Rule("manage_sources", "operator", "collection"),
    "list_sources": Rule("sync_source", "editor", "tenant"),
    "get_source": Rule("sync_source", "editor", "tenant"),
    "put_source": Rule(
        "manage_sources",
        "operator",
        "tenant",
        {"collection": "default", "kind": "url", "urls": ["https://a.example"]},
    ),
    "delete_source": Rule("manage_sources", "operator", "tenant"),
    "list_source_items": Rule("manage_sources", "operator", "tenant"),
    "sync_source": Rule("sync_source", "editor", "tenant", {}),
    "verify_answer": Rule("verify", "viewer", "anywhere", {"answer": "Granite is hard."}),
    "get_calibration": Rule("read_collections", "viewer", "collection"),
    "set_calibration": Rule("calibrate", "operator", "collection", {"min_support": 0.5}),
    "reset_calibration": Rule("calibrate", "operator", "collection"),
    "submit_feedback": Rule(
        "feedback", "viewer", "anywhere", {"trace_id": "0" * 32, "rating": "up"}
    ),
    "list_keys": Rule("manage_keys", "admin", "tenant"),
    "create_key": Rule("manage_keys", "admin", "tenant", {"name": "x"}),
    "get_key": Rule("manage_keys", "admin", "tenant"),
    "revoke_key": Rule("manage_keys", "admin", "tenant"),
    "rotate_key": Rule("manage_keys", "admin", "tenant", {}),
    "revoke_key_secret": Rule("manage_keys", "admin", "tenant"),
    "get_caller": Rule("read_self", "viewer", "anywhere"),
    "list_tenants": Rule("manage_users", "admin", "tenant"),
    "get_tenant": Rule("manage_users", "admin", "tenant"),
    "put_tenant": Rule("manage_tenants", "admin", "tenant", {}),
    "list_users": Rule("manage_users", "admin", "tenant"),
    "get_user": Rule("manage_users", "admin", "tenant"),
    "put_user": Rule("manage_users", "admin", "tenant", {}),
    "delete_user": Rule("manage_users", "admin", "tenant"),
    "list_groups": Rule("manage_users", "admin", "tenant"),
    "get_group": Rule("manage_users", "admin", "tenant"),
    "put_group": Rule("manage_users", "admin", "tenant", {}),
    "delete_group": Rule("manage_users", "admin", "tenant"),
    "list_roles": Rule("manage_users", "admin", "tenant"),
    "get_role": Rule("manage_users", "admin", "tenant"),
    "put_role": Rule("manage_users", "admin", "tenant", {"permissions": ["query"]}),
    "delete_role": Rule("manage_users", "admin", "tenant"),
    "list_audit": Rule("read_audit", "admin", "tenant"),
    "export_audit": Rule("read_audit", "admin", "tenant"),
    "verify_audit": Rule("read_audit", "admin", "tenant"),
    "get_usage": Rule("read_usage", "operator", "tenant"),
    "list_usage_events": Rule("read_usage", "operator", "tenant"),
    "list_usage_alerts": Rule("read_usage", "operator", "tenant"),
    "check_usage": Rule("read_usage", "operator", "tenant"),
    "get_limits": Rule("read_limits", "viewer", "anywhere"),
    "list_limits": Rule("manage_limits", "admin", "tenant"),
    "set_limit": Rule(
        "manage_limits",
        "admin",
        "tenant",
        {"subject": "key", "resource": "requests", "period": "day", "amount": 1_000_000},
    ),
    "delete_limit": Rule(
        "manage_limits", "admin", "tenant", None, "?subject=key&resource=requests&period=day"
    ),
    "openai_list_models": Rule("read_collections", "viewer", "anywhere"),
    "openai_get_model": Rule("read_collections", "viewer", "anywhere"),
    "openai_create_embedding": Rule("embed", "viewer", "anywhere", {"input": "x"}),
    "openai_create_chat_completion": Rule("query", "viewer", "collection", ASK),
    "openai_create_response": Rule(
        "query",
        "viewer",
        "collection",
        {
            "model": "cairn",
            "input": "granite?",
            "tools": [{"type": "file_search", "vector_store_ids": ["default"]}],
        },
    ),
    "openai_create_file": Rule("ingest", "editor", "tenant", FILE),
    "openai_list_files": Rule("read_documents", "viewer", "tenant"),
    "openai_get_file": Rule("read_documents", "viewer", "tenant"),
    "openai_get_file_content": Rule("read_documents", "viewer", "tenant"),
    "openai_delete_file": Rule("delete_document", "editor", "tenant"),
    "openai_create_vector_store": Rule("create_collection", "editor", "tenant", STORE),
    "openai_list_vector_stores": Rule("read_collections", "viewer", "anywhere"),
    "openai_get_vector_store": Rule("read_collections", "viewer", "collection"),
    "openai_update_vector_store": Rule("create_collection", "editor", "collection", STORE),
    "openai_delete_vector_store": Rule("delete_collection", "operator", "collection"),
    "openai_search_vector_store": Rule("search", "viewer", "collection", {"query": "granite"}),
    "openai_create_vector_store_file": Rule("ingest", "editor", "tenant", {"file_id": NONE}),
    "openai_list_vector_store_files": Rule("read_documents", "viewer", "collection"),
    "openai_get_vector_store_file": Rule("read_documents", "viewer", "collection"),
    "openai_get_vector_store_file_content": Rule("read_documents", "viewer", "collection"),
    "openai_delete_vector_store_file": Rule("delete_document", "editor", "collection"),
    "openai_create_file_batch": Rule("ingest", "editor", "collection", {"file_ids": [NONE]}),
    "openai_get_file_batch": Rule("read_documents", "viewer", "collection"),
    "openai_cancel_file_batch": Rule("delete_document", "editor", "collection"),
    "openai_list_file_batch_files": Rule("read_documents", "viewer", "collection"),
    "get_operations": Rule("read_operations", "operator", "tenant"),
    "list_recent_traces": Rule("read_operations", "operator", "tenant"),
}
"""By the operation's name in the OpenAPI description."""

PLAIN_MODELS = Rule("embed", "viewer", "tenant")
"""Models to embed with, and to talk to without a collection."""

GRPC: dict[str, str] = {
    "Query": "query",
    "StreamQuery": "query",
    "Search": "search",
    "Recommend": "recommend",
    "SubmitDocuments": "submit_documents",
    "UploadDocument": "submit_documents",
    "FetchDocuments": "fetch_documents",
    "GetDocument": "get_document",
    "ListDocuments": "list_documents",
    "DeleteDocument": "delete_document",
    "DeleteDocuments": "delete_documents",
    "RetryDocument": "retry_document",
    "CreateCollection": "create_collection",
    "GetCollection": "get_collection",
    "ListCollections": "list_collections",
    "UpdateCollection": "update_collection",
    "OptimizeCollection": "optimize_collection",
    "DeleteCollection": "delete_collection",
    "SubmitFeedback": "submit_feedback",
    "VerifyAnswer": "verify_answer",
    "GetCalibration": "get_calibration",
    "SetCalibration": "set_calibration",
    "GetUsage": "get_usage",
    "GetCaller": "get_caller",
    "CreateKey": "create_key",
    "GetKey": "get_key",
    "ListKeys": "list_keys",
    "RotateKey": "rotate_key",
    "RevokeKey": "revoke_key",
    "ListTenants": "list_tenants",
    "PutTenant": "put_tenant",
    "ListUsers": "list_users",
    "GetUser": "get_user",
    "PutUser": "put_user",
    "DeleteUser": "delete_user",
    "ListGroups": "list_groups",
    "GetGroup": "get_group",
    "PutGroup": "put_group",
    "DeleteGroup": "delete_group",
    "ListRoles": "list_roles",
    "PutRole": "put_role",
    "DeleteRole": "delete_role",
    "ListAuditEntries": "list_audit",
    "VerifyAudit": "verify_audit",
    "PutSource": "put_source",
    "GetSource": "get_source",
    "ListSources": "list_sources",
    "ListSourceItems": "list_source_items",
    "SyncSource": "sync_source",
    "DeleteSource": "delete_source",
    "GetEnrichment": "get_enrichment",
    "SetEnrichment": "set_enrichment",
    "ListUsageEvents": "list_usage_events",
    "ListUsageAlerts": "list_usage_alerts",
    "GetLimits": "get_limits",
    "ListLimitRules": "list_limits",
    "SetLimit": "set_limit",
    "DeleteLimit": "delete_limit",
    "Embed": "openai_create_embedding",
}
"""Methods of `GatewayService`, and the operation whose rule each keeps."""
