"""Settings of the retrieval service, read once from CAIRN_RETRIEVAL_… variables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from services.rpc.settings import Port, ServiceSettings, settings_config


class RetrievalSettings(ServiceSettings):
    """What the retrieval service can be told."""

    model_config = settings_config("CAIRN_RETRIEVAL_")

    port: Port = 9102
    """Port of the gRPC server; 0 takes a free one."""
    metrics_port: Port = 9202
    """Port of the Prometheus endpoint `/metrics`; 0 takes a free one."""
    database_url: SecretStr = SecretStr("")
    """`postgresql://…` or `sqlite:///file`; empty: a SQLite file in the data directory. Replicas
    share one database."""
    disk_reserve_bytes: Annotated[int, Field(ge=0, le=1 << 40)] = 64 << 20
    """Space kept free beside a SQLite database so that deletes work on a full disk; 0: none."""
    backend: Literal["local", "milvus"] = "local"
    """What finds chunks: views in this process, or Milvus. The truth is in the database anyhow."""
    milvus_uri: str = ""
    """`http://host:19530` of a Milvus server, or a file for Milvus Lite; empty: a file in the data
    directory."""
    milvus_token: SecretStr = SecretStr("")
    """`user:password` or API key for Milvus; empty: none."""
    milvus_prefix: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,31}$")] = "cairn"
    """First part of the names of this installation's collections in Milvus, which others may
    share."""
    search_threads: Annotated[int, Field(ge=1, le=64)] = 4
    """Searches that run at once; about two for each core."""
    max_queries: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Queries in work at once; more are refused with a time to come back."""
    max_write_bytes: Annotated[int, Field(ge=1 << 20)] = 256 << 20
    """Bytes of writes in work at once; more are refused with a time to come back."""
    poll_seconds: Annotated[float, Field(ge=0.005, le=10)] = 0.05
    """Between two looks at the log of other replicas' writes: bounds how late they are seen."""
    max_view_bytes: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    """Memory for views of collections; the longest unused is dropped first and loads again."""
    warm_after_seconds: Annotated[float, Field(ge=0)] = 3600.0
    """Without a search for so long, a large view moves from memory to mapped files, unless its
    collection says otherwise."""
    cold_after_seconds: Annotated[float, Field(ge=0)] = 604_800.0
    """Without a search for so long, a view is dropped; its files stay, and it loads when asked
    for."""
    hot_searches: Annotated[int, Field(ge=1)] = 30
    """Searches within a minute that bring a view back from mapped files to memory."""
    build_threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of the process of low priority that builds indexes."""
    max_snapshots: Annotated[int, Field(ge=1, le=1000)] = 16
    """Snapshots of one collection; more are refused until one is deleted or past its time."""
    preload_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """Time given to loading views before the service says it is ready; others load when asked."""
    graph_rows: Annotated[int, Field(ge=100)] = 20_000
    """Rows from which a graph is built over them."""
    passage_cache_bytes: Annotated[int, Field(ge=1 << 20)] = 64 << 20
    """Memory for passages found lately: one that is here is not read from the database again."""
    default_max_vectors: Annotated[int | None, Field(ge=0)] = None
    """Vectors a tenant may store that was given no quota of its own; unset: no limit."""
    default_max_bytes: Annotated[int | None, Field(ge=0)] = None
    """Bytes a tenant may store (texts, metadata, vectors, token codes) that was given no quota of
    its own; unset: no limit."""
