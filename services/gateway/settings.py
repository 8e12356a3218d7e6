"""Settings of the gateway."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.gateway.usage import ModelPrices
from services.rpc.settings import Port, ServiceSettings, settings_config

Price = Annotated[float, Field(ge=0)]
"""Price of a million tokens."""


class ModelPriceSettings(BaseModel):
    """Prices of one model per million tokens; what is left out is as for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding: Price | None = None
    rerank: Price | None = None
    prompt: Price | None = None
    cached_prompt: Price | None = None
    completion: Price | None = None

    def prices(self) -> ModelPrices:
        """Returns the domain's form."""
        return ModelPrices(
            self.embedding, self.rerank, self.prompt, self.cached_prompt, self.completion
        )


class GatewaySettings(ServiceSettings):
    """Edge, limits, downstream services, prices."""

    model_config = settings_config("CAIRN_GATEWAY_")

    port: Port = 8081
    """Port of the gRPC server; 0 takes a free one."""
    metrics_port: Port = 9200
    """Port of the Prometheus endpoint `/metrics`; 0 takes a free one."""
    http_host: str = "127.0.0.1"
    """Address of the HTTP server; 0.0.0.0 for every interface."""
    http_port: Port = 8080
    """Port of the HTTP server; 0 takes a free one."""
    embedding_target: str = "127.0.0.1:9101"
    """Where the embedding service is: "host:port", several with commas, or "dns:///name:port"."""
    retrieval_target: str = "127.0.0.1:9102"
    """Where the retrieval service is."""
    generation_target: str = "127.0.0.1:9103"
    """Where the generation service is."""
    ingestion_target: str = "127.0.0.1:9104"
    """Where the ingestion service is."""
    database_url: SecretStr = SecretStr("")
    """Keys, usage and feedback: `postgresql://…` or `sqlite:///file`; empty: SQLite in data_dir."""
    valkey_url: SecretStr = SecretStr("")
    """`redis://host:port/0` for limits that replicas share; empty: each replica counts alone."""
    pepper: SecretStr = SecretStr("")
    """Secret that stored key hashes are made with; the same for all replicas. Empty: made at the
    first start and kept in data_dir."""
    former_peppers: SecretStr = SecretStr("")
    """Peppers of before, with spaces between: keys made with them are accepted and hashed anew when
    they are used, and audit entries written with them can be verified."""
    admin_key: SecretStr = SecretStr("")
    """First admin key, `crn_…`; empty: made at the first start, written to data_dir."""
    jwt_issuers: str = ""
    """Identity providers whose tokens are accepted, as a JSON list; see the API's page."""
    audit_retention_days: Annotated[int, Field(ge=0, le=36_500)] = 400
    """How long audit entries are kept; 0: for ever."""
    query_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Deadline of a query or search that asks for none or a later one."""
    request_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Deadline of any HTTP request, uploads included."""
    rerank_model: str = ""
    """Cross-encoder, loaded in the embedding service, that orders candidates; empty: late
    interaction does, by stored token vectors: nothing is read for it."""
    rewrite_model: str = ""
    """Language model that says each question anew before it is looked for, beside its own words;
    empty: none. Worth its second where conversations name things once."""
    neighbour_tokens: Annotated[int, Field(ge=0, le=32_000)] = 0
    """Tokens that the chunks before and behind the chosen ones may add to a prompt; 0: none are
    added. For models with room, where documents tell on over several chunks."""
    rate_per_second: Annotated[float, Field(gt=0)] = 200.0
    """Requests per second that come back to the bucket of a standard tenant's key; a free tenant's
    key has a tenth, a premium one's five times as much."""
    rate_burst: Annotated[int, Field(ge=1)] = 1_000
    """Requests in the full bucket of a standard tenant's key."""
    limit_replicas: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Gateways there are at least: one that cannot reach Valkey lets through this part of what is
    left of each limit. With Valkey they count themselves, too."""
    usage_event_days: Annotated[int, Field(ge=1, le=3_650)] = 35
    """How long single metered requests are kept; sums by day stay."""
    max_requests_in_flight: Annotated[int, Field(ge=1)] = 1_024
    """HTTP requests at once; more are refused with 429."""
    max_upload_bytes_in_flight: Annotated[int, Field(ge=64_000_000)] = 256_000_000
    """Bytes of uploads in memory at once; more are refused with 429."""
    max_tenant_file_bytes: Annotated[int, Field(ge=0)] = 10_000_000_000
    """Bytes of files that one tenant may keep through OpenAI's files API."""
    answer_cache_bytes: Annotated[int, Field(ge=0)] = 64_000_000
    """Bytes of answers kept in memory; 0 keeps none. Kept answers are never stale: each
    use is proven by where the collection stands."""
    result_cache_bytes: Annotated[int, Field(ge=0)] = 64_000_000
    """Bytes of results of searches and recommendations kept in memory; 0 keeps none."""
    cache_seconds: Annotated[float, Field(gt=0)] = 3_600.0
    """How long anything is kept at most."""
    semantic_cache_threshold: Annotated[float, Field(ge=0.5, le=2)] = 0.9
    """Least cosine of two questions that may share an answer, if their words and the passages found
    agree as well; above 1: only the very same question hits."""
    price_embedding: Price = 0.0
    """Price of a million tokens embedded."""
    price_retrieval: Price = 0.0
    """Price of a million vectors compared."""
    price_rerank: Price = 0.0
    """Price of a million tokens reranked."""
    price_prompt: Price = 0.0
    """Price of a million prompt tokens."""
    price_cached_prompt: Price = 0.0
    """Price of a million prompt tokens that the engine had in its cache."""
    price_completion: Price = 0.0
    """Price of a million tokens written."""
    model_prices: dict[str, ModelPriceSettings] = Field(default_factory=dict)
    """Models with prices of their own, as JSON: {"NAME": {"prompt": 0.15, "completion": 0.6}}."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """ISO 4217 code of the prices."""
