"""One valid request per RPC of the five services, as a starting point for hostile variants."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from cairn.embedding.v1 import embedding_service_pb2 as embedding
from cairn.gateway.v1 import gateway_service_pb2 as gateway
from cairn.gateway.v1 import identity_pb2 as identity
from cairn.gateway.v1 import limits_pb2 as limits
from cairn.gateway.v1 import quality_pb2 as quality
from cairn.gateway.v1 import sources_pb2 as sources
from cairn.generation.v1 import generation_service_pb2 as generation
from cairn.ingestion.v1 import ingestion_service_pb2 as ingestion
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval
from cairn.types.v1 import metadata_pb2, passage_pb2, scope_pb2, vector_pb2
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.message import Message

DIMENSIONS = 384
COLLECTION = "hostile"
SCOPE = scope_pb2.Scope(tenant="hostile", principals=["everyone"], actor="service:test")
VECTOR = vector_pb2.Vector(
    data=struct.pack(f"<{DIMENSIONS}f", *([DIMENSIONS**-0.5] * DIMENSIONS)),
    element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
    dimensions=DIMENSIONS,
)
TEXT = "Granite is an igneous rock. It forms when magma cools slowly below the ground."


def _keyword(text: str) -> metadata_pb2.MetadataValue:
    return metadata_pb2.MetadataValue(keyword=text)


def _filter() -> metadata_pb2.Filter:
    equals = metadata_pb2.Filter(
        equals=metadata_pb2.FieldValue(field="kind", value=_keyword("rock"))
    )
    year = metadata_pb2.Filter(
        range=metadata_pb2.FieldRange(field="year", gte=metadata_pb2.MetadataValue(integer=1900))
    )
    return metadata_pb2.Filter(all_of=metadata_pb2.FilterList(filters=[equals, year]))


def _document() -> retrieval.Document:
    return retrieval.Document(
        document_id="granite",
        title="Granite",
        uri="rocks/granite.md",
        text=TEXT,
        metadata={"kind": _keyword("rock"), "year": metadata_pb2.MetadataValue(integer=1950)},
        acl=["everyone"],
        chunks=[
            retrieval.Chunk(
                chunk_id="c0", start=0, end=len(TEXT), heading_path=["Rocks"], vector=VECTOR
            )
        ],
        content_hash="h",
    )


def _passage() -> passage_pb2.ScoredPassage:
    return passage_pb2.ScoredPassage(
        passage=passage_pb2.Passage(
            chunk_id="c0",
            document_id="granite",
            document_version=1,
            collection=COLLECTION,
            end=len(TEXT),
            text=TEXT,
            title="Granite",
        ),
        scores=passage_pb2.PassageScores(dense=0.5, keyword=3.0, fused=1.0, final=1.0),
    )


def _options() -> retrieval.SearchOptions:
    return retrieval.SearchOptions(
        top_k=3,
        mode=retrieval.SEARCH_MODE_HYBRID,
        filter=_filter(),
        fusion=retrieval.Fusion(dense_weight=0.5, candidates=50),
        diversity=retrieval.Diversity(strength=0.3),
        max_per_document=2,
        explain=True,
        include_vectors=True,
        token_codes_top_k=2,
    )


def embedding_requests() -> dict[str, Message]:
    """Requests of EmbeddingService, by method."""
    options = embedding.EmbedOptions(kind=embedding.INPUT_KIND_DOCUMENT, lane=embedding.LANE_BULK)
    embed = embedding.EmbedRequest(
        scope=SCOPE, options=options, texts=["granite", "basalt"], include_token_codes=True
    )
    return {
        "Embed": embed,
        "EmbedStream": embedding.EmbedStreamRequest(batch_id=1, request=embed),
        "EncodeTokens": embedding.EncodeTokensRequest(
            scope=SCOPE, options=options, texts=["slate"]
        ),
        "Rerank": embedding.RerankRequest(
            scope=SCOPE,
            query="hard rock",
            passages=["granite", "sand"],
            query_word_weights=[1, 2],
            passage_token_codes=[b"", b"\1" * 59],
            spans=[embedding.PassageSpan(passage_index=1, start=0, end=3)],
        ),
        "CountTokens": embedding.CountTokensRequest(scope=SCOPE, texts=["granite"]),
        "ListModels": embedding.ListModelsRequest(scope=SCOPE),
        "LoadModel": embedding.LoadModelRequest(scope=SCOPE, name="other", source="/no/such/model"),
        "UnloadModel": embedding.UnloadModelRequest(scope=SCOPE, name="other"),
    }


def retrieval_requests() -> dict[str, Message]:
    """Requests of RetrievalService, by method, in an order that works; deletes come last."""
    upsert = retrieval.UpsertRequest(scope=SCOPE, collection=COLLECTION, documents=[_document()])
    query = retrieval.Query(
        text="igneous rock",
        vector=VECTOR,
        mixed_vectors=[retrieval.WeightedVector(vector=VECTOR, weight=0.3)],
        mixed_texts=[retrieval.WeightedText(text="magma", weight=0.3)],
    )
    return {
        "CreateCollection": retrieval.CreateCollectionRequest(
            scope=SCOPE,
            name=COLLECTION,
            settings=retrieval.CollectionSettings(
                dimensions=DIMENSIONS,
                fields={"kind": metadata_pb2.FIELD_TYPE_KEYWORD},
                language="english",
            ),
        ),
        "Upsert": upsert,
        "UpsertStream": retrieval.UpsertStreamRequest(batch_id=1, request=upsert),
        "GetCollection": retrieval.GetCollectionRequest(scope=SCOPE, name=COLLECTION),
        "ListCollections": retrieval.ListCollectionsRequest(scope=SCOPE, page_size=10),
        "UpdateCollection": retrieval.UpdateCollectionRequest(
            scope=SCOPE,
            name=COLLECTION,
            settings=retrieval.CollectionSettings(
                index_type=retrieval.INDEX_TYPE_HNSW_SQ8,
                index_parameters=retrieval.IndexParameters(links=16, refine=3),
                tier_policy=retrieval.TierPolicy(warm_after=duration_pb2.Duration(seconds=3600)),
                description="rocks",
            ),
            update_mask=field_mask_pb2.FieldMask(
                paths=["index_type", "index_parameters", "tier_policy", "description"]
            ),
        ),
        "OptimizeCollection": retrieval.OptimizeCollectionRequest(
            scope=SCOPE,
            name=COLLECTION,
            index_type=retrieval.INDEX_TYPE_FLAT,
            index_parameters=retrieval.IndexParameters(links=16),
        ),
        "CheckCollection": retrieval.CheckCollectionRequest(scope=SCOPE, name=COLLECTION),
        "SetAlias": retrieval.SetAliasRequest(
            scope=SCOPE, alias=retrieval.Alias(name="rocks", collection=COLLECTION)
        ),
        "ListAliases": retrieval.ListAliasesRequest(scope=SCOPE),
        "GetDocuments": retrieval.GetDocumentsRequest(
            scope=SCOPE, collection=COLLECTION, document_ids=["granite"], include_chunks=True
        ),
        "Scroll": retrieval.ScrollRequest(
            scope=SCOPE, collection=COLLECTION, filter=_filter(), page_size=5
        ),
        "Count": retrieval.CountRequest(scope=SCOPE, collection=COLLECTION, filter=_filter()),
        "Facet": retrieval.FacetRequest(
            scope=SCOPE, collection=COLLECTION, field="kind", filter=_filter(), limit=5
        ),
        "GetPosition": retrieval.GetPositionRequest(scope=SCOPE, collection=COLLECTION),
        "Search": retrieval.SearchRequest(
            scope=SCOPE, collection=COLLECTION, query=query, options=_options()
        ),
        "BatchSearch": retrieval.BatchSearchRequest(
            scope=SCOPE, collection=COLLECTION, queries=[query, query], options=_options()
        ),
        "SearchStream": retrieval.SearchStreamRequest(
            search_id=1,
            request=retrieval.SearchRequest(
                scope=SCOPE, collection=COLLECTION, query=query, options=_options()
            ),
        ),
        "Recommend": retrieval.RecommendRequest(
            scope=SCOPE,
            collection=COLLECTION,
            positive_ids=["granite"],
            positive_vectors=[VECTOR],
            negative_vectors=[VECTOR],
            history=retrieval.History(liked_ids=["basalt"], disliked_ids=["slate"], weight=0.4),
            options=_options(),
        ),
        "ExportCollection": retrieval.ExportCollectionRequest(
            scope=SCOPE, collection=COLLECTION, filter=_filter(), batch_size=10
        ),
        "ImportCollection": retrieval.ImportCollectionRequest(
            scope=SCOPE, collection=COLLECTION, documents=[_document()]
        ),
        "SetQuota": retrieval.SetQuotaRequest(
            scope=SCOPE, quota=retrieval.Quota(max_vectors=1_000_000, max_bytes=1 << 40)
        ),
        "GetQuota": retrieval.GetQuotaRequest(scope=SCOPE),
        "CreateSnapshot": retrieval.CreateSnapshotRequest(
            scope=SCOPE, collection=COLLECTION, retention=duration_pb2.Duration(seconds=60)
        ),
        "ListSnapshots": retrieval.ListSnapshotsRequest(scope=SCOPE, collection=COLLECTION),
        "RestoreSnapshot": retrieval.RestoreSnapshotRequest(
            scope=SCOPE, collection=COLLECTION, snapshot_id="none"
        ),
        "DeleteSnapshot": retrieval.DeleteSnapshotRequest(
            scope=SCOPE, collection=COLLECTION, snapshot_id="none"
        ),
        "DeleteAlias": retrieval.DeleteAliasRequest(scope=SCOPE, name="rocks"),
        "Delete": retrieval.DeleteRequest(
            scope=SCOPE, collection=COLLECTION, document_ids=["granite"]
        ),
        "DeleteCollection": retrieval.DeleteCollectionRequest(scope=SCOPE, name=COLLECTION),
    }


def generation_requests() -> dict[str, Message]:
    """Requests of GenerationService, by method."""
    return {
        "Generate": generation.GenerateRequest(
            scope=SCOPE,
            messages=[generation.Message(role=generation.ROLE_USER, content="What is granite?")],
            passages=[_passage()],
            sampling=generation.Sampling(
                max_tokens=64, temperature=0.5, top_p=0.9, top_k=4, seed=1, stop=["\n\n"]
            ),
            structured_output=generation.StructuredOutput(
                json_schema=json.dumps({"type": "object"})
            ),
            prompt_template="answer@1",
            stream=True,
        ),
        "CountTokens": generation.CountTokensRequest(scope=SCOPE, texts=["granite"]),
        "ListModels": generation.ListModelsRequest(scope=SCOPE),
        "LoadAdapter": generation.LoadAdapterRequest(scope=SCOPE, name="a", source="/no/such"),
        "UnloadAdapter": generation.UnloadAdapterRequest(scope=SCOPE, name="a"),
        "SetEngineState": generation.SetEngineStateRequest(
            scope=SCOPE, state=generation.ENGINE_STATE_SERVING
        ),
    }


def _source() -> ingestion.Source:
    return ingestion.Source(
        name="rocks",
        kind=ingestion.SOURCE_KIND_URL,
        urls=["http://127.0.0.1:9/granite.md"],
        collection=COLLECTION,
        rules=[
            ingestion.SourceRule(
                pattern="**/*.md",
                acl=["everyone"],
                metadata={"kind": _keyword("rock")},
                priority=ingestion.PRIORITY_LOW,
                on_removal=ingestion.REMOVAL_POLICY_KEEP,
            )
        ],
        acl=["everyone"],
        metadata={"kind": _keyword("rock")},
        sync_interval=duration_pb2.Duration(seconds=3600),
        owner="user:ann",
        is_paused=True,
    )


def ingestion_requests() -> dict[str, Message]:
    """Requests of IngestionService, by method; deletes come last."""
    header = ingestion.DocumentHeader(
        document_id="granite",
        uri="rocks/granite.md",
        title="Granite",
        content_type="text/markdown",
        file_name="granite.md",
        metadata={"kind": _keyword("rock")},
        acl=["everyone"],
    )
    document = ingestion.DocumentInput(header=header, content=TEXT.encode())
    return {
        "SubmitDocuments": ingestion.SubmitDocumentsRequest(
            scope=SCOPE, collection=COLLECTION, documents=[document]
        ),
        "UploadDocument": ingestion.UploadDocumentRequest(
            header=ingestion.UploadHeader(scope=SCOPE, collection=COLLECTION, document=header)
        ),
        "GetJob": ingestion.GetJobRequest(
            scope=SCOPE, collection=COLLECTION, document_id="granite"
        ),
        "ListJobs": ingestion.ListJobsRequest(
            scope=SCOPE, collection=COLLECTION, states=[ingestion.JOB_STATE_READY], page_size=5
        ),
        "WatchJobs": ingestion.WatchJobsRequest(scope=SCOPE, job_ids=["no-such-job"]),
        "RetryJobs": ingestion.RetryJobsRequest(scope=SCOPE, collection=COLLECTION),
        "CancelJobs": ingestion.CancelJobsRequest(scope=SCOPE, job_ids=["no-such-job"]),
        "Reindex": ingestion.ReindexRequest(scope=SCOPE, collection=COLLECTION),
        "GetQueueStats": ingestion.GetQueueStatsRequest(scope=SCOPE),
        "FetchDocuments": ingestion.FetchDocumentsRequest(
            scope=SCOPE,
            collection=COLLECTION,
            urls=["http://127.0.0.1:9/granite.md"],
            header=ingestion.DocumentHeader(metadata={"kind": _keyword("rock")}, acl=["everyone"]),
        ),
        "PutSource": ingestion.PutSourceRequest(scope=SCOPE, source=_source()),
        "GetSource": ingestion.GetSourceRequest(scope=SCOPE, name="rocks"),
        "ListSources": ingestion.ListSourcesRequest(scope=SCOPE, page_size=5),
        "ListSourceItems": ingestion.ListSourceItemsRequest(
            scope=SCOPE, name="rocks", failed_only=True, page_size=5
        ),
        "SyncSource": ingestion.SyncSourceRequest(scope=SCOPE, name="rocks", paths=["granite.md"]),
        "WatchSource": ingestion.WatchSourceRequest(scope=SCOPE, name="no-such-source"),
        "GetEnrichment": ingestion.GetEnrichmentRequest(scope=SCOPE, collection=COLLECTION),
        "SetEnrichment": ingestion.SetEnrichmentRequest(
            scope=SCOPE,
            collection=COLLECTION,
            settings=ingestion.EnrichmentSettings(
                detect_language=True,
                personal_data=ingestion.PERSONAL_DATA_POLICY_HASH,
                on_hook_failure=ingestion.HOOK_FAILURE_POLICY_SKIP,
            ),
        ),
        "DeleteSource": ingestion.DeleteSourceRequest(scope=SCOPE, name="rocks"),
        "DeleteDocuments": ingestion.DeleteDocumentsRequest(
            scope=SCOPE, collection=COLLECTION, document_ids=["granite"]
        ),
    }


def gateway_requests() -> dict[str, Message]:
    """Requests of GatewayService, by method; deletes come last."""
    query = gateway.QueryRequest(
        query="What is granite?",
        collection=COLLECTION,
        history=[gateway.Turn(speaker=gateway.SPEAKER_USER, text="Tell me about rocks.")],
        filter='kind = "rock" AND year >= 1900',
        top_k=3,
        mode=gateway.SEARCH_MODE_HYBRID,
        max_tokens=32,
        temperature=0.5,
        verification=gateway.VERIFICATION_DROP,
        explain=True,
    )
    return {
        "CreateCollection": gateway.CreateCollectionRequest(
            name=COLLECTION,
            language="english",
            description="rocks",
            index_type=gateway.INDEX_TYPE_FLAT,
        ),
        "SubmitDocuments": gateway.SubmitDocumentsRequest(
            collection=COLLECTION,
            documents=[
                gateway.DocumentInput(
                    document_id="granite",
                    file_name="granite.md",
                    content=TEXT.encode(),
                    metadata={"kind": _keyword("rock")},
                    acl=["everyone"],
                )
            ],
        ),
        "Query": query,
        "StreamQuery": gateway.StreamQueryRequest(query=query),
        "Search": gateway.SearchRequest(
            query="igneous", collection=COLLECTION, filter='kind = "rock"', top_k=3, rerank=True
        ),
        "Recommend": gateway.RecommendRequest(
            collection=COLLECTION,
            positive_ids=["granite"],
            filter='kind = "rock"',
            top_k=3,
            liked_ids=["granite"],
            history_weight=0.4,
            diversity=0.2,
        ),
        "GetDocument": gateway.GetDocumentRequest(collection=COLLECTION, document_id="granite"),
        "ListDocuments": gateway.ListDocumentsRequest(
            collection=COLLECTION, states=["ready"], page_size=3
        ),
        "RetryDocument": gateway.RetryDocumentRequest(collection=COLLECTION, document_id="granite"),
        "GetCollection": gateway.GetCollectionRequest(name=COLLECTION),
        "UpdateCollection": gateway.UpdateCollectionRequest(
            name=COLLECTION, index_type=gateway.INDEX_TYPE_FLAT, description="rocks"
        ),
        "OptimizeCollection": gateway.OptimizeCollectionRequest(
            name=COLLECTION, index_type=gateway.INDEX_TYPE_FLAT
        ),
        "ListCollections": gateway.ListCollectionsRequest(page_size=10),
        "SubmitFeedback": gateway.SubmitFeedbackRequest(
            trace_id="0af7651916cd43dd8448eb211c80319c", rating=gateway.RATING_UP, comment="good"
        ),
        "VerifyAnswer": quality.VerifyAnswerRequest(
            answer="Granite is hard [1].", sources=["Granite is an igneous rock."]
        ),
        "SetCalibration": quality.SetCalibrationRequest(
            collection=COLLECTION,
            calibration=quality.Calibration(min_support=0.5, question_count=20, auroc=0.9),
        ),
        "GetCalibration": quality.GetCalibrationRequest(collection=COLLECTION),
        "GetUsage": gateway.GetUsageRequest(from_day="2026-01-01", to_day="2026-01-31"),
        "ListUsageEvents": gateway.ListUsageEventsRequest(
            usage=gateway.GetUsageRequest(from_day="2026-01-01", collection="rocks"), page_size=10
        ),
        "ListUsageAlerts": gateway.ListUsageAlertsRequest(),
        "GetLimits": limits.GetLimitsRequest(),
        "ListLimitRules": limits.ListLimitRulesRequest(),
        "SetLimit": limits.SetLimitRequest(
            rule=limits.LimitRule(
                subject="key",
                subject_id="000000000000",
                resource="tokens",
                period="minute",
                amount=1_000_000,
                mode="shadow",
            )
        ),
        "DeleteLimit": limits.DeleteLimitRequest(
            rule=limits.LimitRule(subject="user", resource="cost", period="month")
        ),
        "GetCaller": identity.GetCallerRequest(),
        "CreateKey": identity.CreateKeyRequest(
            name="ci", role="viewer", principals=["everyone"], expires_in_days=30
        ),
        "GetKey": identity.GetKeyRequest(key_id="000000000000"),
        "ListKeys": identity.ListKeysRequest(tenant="hostile"),
        "RotateKey": identity.RotateKeyRequest(key_id="000000000000", overlap_seconds=60),
        "RevokeKey": identity.RevokeKeyRequest(key_id="000000000000", secret_id="00"),
        "ListTenants": identity.ListTenantsRequest(page_size=10),
        "PutTenant": identity.PutTenantRequest(
            tenant="hostile", name="Hostile", tenant_class="standard"
        ),
        "PutRole": identity.PutRoleRequest(
            tenant="hostile", role="reader", description="reads", permissions=["search"]
        ),
        "ListRoles": identity.ListRolesRequest(tenant="hostile"),
        "PutGroup": identity.PutGroupRequest(
            tenant="hostile",
            group="geologists",
            description="rocks",
            grants=[identity.RoleGrant(role="viewer", collections=["rocks"])],
        ),
        "GetGroup": identity.GetGroupRequest(tenant="hostile", group="geologists"),
        "ListGroups": identity.ListGroupsRequest(tenant="hostile", page_size=10),
        "PutUser": identity.PutUserRequest(
            tenant="hostile",
            user_id="ada",
            name="Ada",
            groups=["geologists"],
            grants=[identity.RoleGrant(role="editor", collections=["rocks"])],
        ),
        "GetUser": identity.GetUserRequest(tenant="hostile", user_id="ada"),
        "ListUsers": identity.ListUsersRequest(tenant="hostile", page_size=10),
        "DeleteUser": identity.DeleteUserRequest(tenant="hostile", user_id="ada"),
        "DeleteGroup": identity.DeleteGroupRequest(tenant="hostile", group="geologists"),
        "DeleteRole": identity.DeleteRoleRequest(tenant="hostile", role="reader"),
        "ListAuditEntries": identity.ListAuditEntriesRequest(
            actor="key:x",
            action="query",
            outcome="ok",
            subject="document:granite",
            from_time=timestamp_pb2.Timestamp(seconds=1_700_000_000),
            to_time=timestamp_pb2.Timestamp(seconds=1_900_000_000),
            page_size=10,
        ),
        "VerifyAudit": identity.VerifyAuditRequest(tenant="hostile"),
        "UploadDocument": gateway.UploadDocumentRequest(
            header=gateway.UploadHeader(
                collection=COLLECTION,
                document=gateway.DocumentInput(document_id="slate", metadata={"a": _keyword("b")}),
                size_bytes=3,
                sha256="0" * 64,
            )
        ),
        "FetchDocuments": gateway.FetchDocumentsRequest(
            collection=COLLECTION, urls=["http://127.0.0.1:9/granite.md"], acl=["everyone"]
        ),
        "PutSource": sources.PutSourceRequest(
            source=ingestion.Source(
                name="hostile-web",
                kind=ingestion.SOURCE_KIND_URL,
                urls=["http://127.0.0.1:9/a.md"],
                collection=COLLECTION,
                rules=[ingestion.SourceRule(pattern="*.tmp", is_excluded=True)],
                metadata={"kind": _keyword("rock")},
                is_paused=True,
            )
        ),
        "GetSource": sources.GetSourceRequest(name="hostile-web"),
        "ListSources": sources.ListSourcesRequest(page_size=10),
        "ListSourceItems": sources.ListSourceItemsRequest(name="hostile-web", page_size=10),
        "SyncSource": sources.SyncSourceRequest(name="hostile-web", paths=["a.md"]),
        "DeleteSource": sources.DeleteSourceRequest(name="hostile-web", keep_documents=True),
        "SetEnrichment": sources.SetEnrichmentRequest(
            collection=COLLECTION,
            settings=ingestion.EnrichmentSettings(
                detect_language=True,
                personal_data=ingestion.PERSONAL_DATA_POLICY_OFF,
                on_hook_failure=ingestion.HOOK_FAILURE_POLICY_SKIP,
            ),
        ),
        "GetEnrichment": sources.GetEnrichmentRequest(collection=COLLECTION),
        "Embed": sources.EmbedRequest(texts=["granite"]),
        "ListModels": sources.ListModelsRequest(),
        "DeleteDocuments": gateway.DeleteDocumentsRequest(
            collection=COLLECTION, filter='kind = "none"'
        ),
        "DeleteDocument": gateway.DeleteDocumentRequest(
            collection=COLLECTION, document_id="granite"
        ),
        "DeleteCollection": gateway.DeleteCollectionRequest(name=COLLECTION),
    }


SERVICES = {
    "embedding": ("cairn.embedding.v1.EmbeddingService", embedding_requests),
    "retrieval": ("cairn.retrieval.v1.RetrievalService", retrieval_requests),
    "generation": ("cairn.generation.v1.GenerationService", generation_requests),
    "ingestion": ("cairn.ingestion.v1.IngestionService", ingestion_requests),
    "gateway": ("cairn.gateway.v1.GatewayService", gateway_requests),
}


def all_requests() -> Iterator[tuple[str, str, Message]]:
    """Yields (service, method, valid request)."""
    for service, (_, requests) in SERVICES.items():
        for method, request in requests().items():
            yield service, method, request
