"""Settings of the ingestion service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from services.rpc.settings import Port, ServiceSettings, settings_config


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(each.strip() for each in value.split(",") if each.strip())


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list that is written with commas."""


class IngestionSettings(ServiceSettings):
    """Environment variables `CAIRN_INGESTION_*`."""

    model_config = settings_config("CAIRN_INGESTION_")

    port: Port = 9104
    """Port of the gRPC server; 0 takes a free one."""
    metrics_port: Port = 9204
    """Port of the Prometheus endpoint `/metrics`; 0 takes a free one."""
    role: Literal["all", "api", "worker"] = "all"
    """What this process does: take documents in, work on them, or both."""
    database_url: SecretStr = SecretStr("")
    """Where jobs and documents are kept; empty: SQLite in the data directory. Several processes
    may share it."""
    embedding_target: str = "127.0.0.1:9101"
    """Address of the embedding service."""
    retrieval_target: str = "127.0.0.1:9102"
    """Address of the retrieval service."""
    valkey_url: SecretStr = SecretStr("")
    """`redis://host:port/0` to wake workers in other processes at once; empty: they look each
    second."""
    worker_concurrency: Annotated[int, Field(ge=1, le=1024)] = 128
    """Documents worked on at once: they share requests and commits, which short ones live by."""
    worker_express_concurrency: Annotated[int, Field(ge=0, le=64)] = 4
    """Further documents at once, of tenants that have nothing else in work: they pass the bulk."""
    worker_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    """Size of the documents worked on at once; a larger one is worked on alone."""
    parser_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Documents parsed at once, each in a process of its own (about 40 MB)."""
    parser_cpu_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Processor time that parsing one document may take."""
    parser_wall_seconds: Annotated[float, Field(gt=0, le=3600)] = 110.0
    """Time that parsing one document may take in all."""
    parser_memory_bytes: Annotated[int, Field(ge=128 * 1024 * 1024)] = 512 * 1024 * 1024
    """Address space of a parser process."""
    ocr_command: str = ""
    """Program with arguments that reads pages of a PDF which are images: it takes a PNG on standard
    input and prints UTF-8 (`tesseract - -`). Empty: such files are reported as needing OCR."""
    ocr_entry_point: str = ""
    """The same as a Python function, `package.module:function`, called with the PNG's bytes and the
    page number in the parser's process, without network; wins over the command."""
    max_document_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    """Largest document. Up to `max_message_bytes` in one request, beyond that by upload."""
    max_text_characters: Annotated[int, Field(ge=1, le=16_000_000)] = 10_000_000
    """Most text of one document."""
    max_documents_per_request: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """Documents in one SubmitDocuments request."""
    max_bytes_in_flight: Annotated[int, Field(ge=1)] = 192 * 1024 * 1024
    """Bytes of documents being received at once; more are refused with a time to come back."""
    max_queued_per_tenant: Annotated[int, Field(ge=1)] = 20_000
    """Documents of one tenant that may wait; more are refused."""
    max_queued: Annotated[int, Field(ge=1)] = 100_000
    """Documents of all tenants that may wait; more are refused. A tenant may have twice what is
    left of it, so that who comes late finds room."""
    max_queue_age_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """A tenant whose oldest waiting document no worker has begun for so long may submit no more."""
    overload_retry_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """When a refused submitter is told to come back."""
    lease_seconds: Annotated[float, Field(ge=1, le=600)] = 20.0
    """Within this time of its worker's last sign of life a job is with another worker."""
    poll_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """How often an idle worker looks for jobs when nothing wakes it."""
    history_seconds: Annotated[float, Field(ge=0)] = 7 * 86400.0
    """How long jobs that were replaced by newer ones stay listed."""
    chunk_min_words: Annotated[int, Field(ge=1, le=2000)] = 80
    """Fewest new words of a chunk, except at the ends of a section."""
    chunk_max_words: Annotated[int, Field(ge=2, le=4000)] = 148
    """Most new words of a chunk."""
    chunk_overlap_words: Annotated[int, Field(ge=0, le=1000)] = 32
    """Words a chunk repeats of the one before."""
    token_codes: bool = True
    """Whether chunks are stored with the signs of their token vectors (up to 8 kB each), where the
    model gives them: found passages are then reranked without being read again, 20 of them in 1
    instead of about 240 ms of processor time. Off saves the space."""
    source_folders: Names = ()
    """Folders that sources may read, with all below them; none: sources of kind FOLDER are
    refused."""
    source_protocols: Names = ("s3",)
    """Kinds of object stores that sources may read, by their fsspec names."""
    source_credentials: SecretStr = SecretStr("")
    """What object stores are opened with, as JSON, by the name that a source gives:
    `{"archive": {"key": "…", "secret": "…", "endpoint_url": "https://…"}}` (arguments of fsspec's
    file system)."""
    source_max_items: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000
    """Most objects below the prefix of one source."""
    max_sources_per_tenant: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Most sources of one tenant."""
    url_internal_hosts: Names = ()
    """Hosts, addresses and networks that may be fetched from although they are inside the network:
    `wiki.example.org,10.1.0.0/16`."""
    url_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Longest fetch of one address, redirects included."""
    url_max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    """Most redirects of one fetch; each is checked like the address itself."""
    enrich_language: bool = False
    """Whether the language of documents becomes metadata, in collections without settings of their
    own."""
    enrich_dates: bool = False
    """Whether the earliest and latest day a document names become metadata, likewise."""
    enrich_personal_data: Literal["off", "hash", "replace"] = "off"
    """What is done with personal identifiers, likewise: their hashes become metadata, or also
    stand in the text in their place."""
    personal_data_key: SecretStr = SecretStr("")
    """Key of the hashes of personal identifiers, the same in all processes; empty: one is made in
    the data directory, unless `database_url` is set."""
    enrichment_hooks: str = ""
    """Functions of your own that add metadata, as JSON, by name:
    `{"invoices": "acme.hooks:invoice_fields"}`."""
    enrichment_hook_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Longest call of such a function for one document; its process is killed then."""
    create_missing_collections: bool = True
    """Whether a document for a collection that does not exist creates it, with the default
    embedding model; otherwise it is refused."""
    failpoint: str = ""
    """For tests: `parsed:crash` kills the process when a job has done that stage and has not said
    so yet; `after-parsed:crash` when it just has; `sync-submitted:crash` while a source is gone
    through."""
