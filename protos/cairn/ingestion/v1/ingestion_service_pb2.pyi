import datetime

from cairn.types.v1 import metadata_pb2 as _metadata_pb2
from cairn.types.v1 import scope_pb2 as _scope_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_RECEIVED: _ClassVar[Stage]
    STAGE_PARSED: _ClassVar[Stage]
    STAGE_CHUNKED: _ClassVar[Stage]
    STAGE_EMBEDDED: _ClassVar[Stage]
    STAGE_INDEXED: _ClassVar[Stage]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_READY: _ClassVar[JobState]
    JOB_STATE_DEAD_LETTER: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]
    JOB_STATE_SUPERSEDED: _ClassVar[JobState]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]

class SourceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_KIND_UNSPECIFIED: _ClassVar[SourceKind]
    SOURCE_KIND_FOLDER: _ClassVar[SourceKind]
    SOURCE_KIND_URL: _ClassVar[SourceKind]
    SOURCE_KIND_OBJECT_STORE: _ClassVar[SourceKind]

class RemovalPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REMOVAL_POLICY_UNSPECIFIED: _ClassVar[RemovalPolicy]
    REMOVAL_POLICY_DELETE: _ClassVar[RemovalPolicy]
    REMOVAL_POLICY_KEEP: _ClassVar[RemovalPolicy]

class SyncState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SYNC_STATE_UNSPECIFIED: _ClassVar[SyncState]
    SYNC_STATE_IDLE: _ClassVar[SyncState]
    SYNC_STATE_QUEUED: _ClassVar[SyncState]
    SYNC_STATE_RUNNING: _ClassVar[SyncState]

class PersonalDataPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PERSONAL_DATA_POLICY_UNSPECIFIED: _ClassVar[PersonalDataPolicy]
    PERSONAL_DATA_POLICY_OFF: _ClassVar[PersonalDataPolicy]
    PERSONAL_DATA_POLICY_HASH: _ClassVar[PersonalDataPolicy]
    PERSONAL_DATA_POLICY_REPLACE: _ClassVar[PersonalDataPolicy]

class HookFailurePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOOK_FAILURE_POLICY_UNSPECIFIED: _ClassVar[HookFailurePolicy]
    HOOK_FAILURE_POLICY_FAIL: _ClassVar[HookFailurePolicy]
    HOOK_FAILURE_POLICY_SKIP: _ClassVar[HookFailurePolicy]
STAGE_UNSPECIFIED: Stage
STAGE_RECEIVED: Stage
STAGE_PARSED: Stage
STAGE_CHUNKED: Stage
STAGE_EMBEDDED: Stage
STAGE_INDEXED: Stage
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_READY: JobState
JOB_STATE_DEAD_LETTER: JobState
JOB_STATE_CANCELLED: JobState
JOB_STATE_SUPERSEDED: JobState
PRIORITY_UNSPECIFIED: Priority
PRIORITY_LOW: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority
SOURCE_KIND_UNSPECIFIED: SourceKind
SOURCE_KIND_FOLDER: SourceKind
SOURCE_KIND_URL: SourceKind
SOURCE_KIND_OBJECT_STORE: SourceKind
REMOVAL_POLICY_UNSPECIFIED: RemovalPolicy
REMOVAL_POLICY_DELETE: RemovalPolicy
REMOVAL_POLICY_KEEP: RemovalPolicy
SYNC_STATE_UNSPECIFIED: SyncState
SYNC_STATE_IDLE: SyncState
SYNC_STATE_QUEUED: SyncState
SYNC_STATE_RUNNING: SyncState
PERSONAL_DATA_POLICY_UNSPECIFIED: PersonalDataPolicy
PERSONAL_DATA_POLICY_OFF: PersonalDataPolicy
PERSONAL_DATA_POLICY_HASH: PersonalDataPolicy
PERSONAL_DATA_POLICY_REPLACE: PersonalDataPolicy
HOOK_FAILURE_POLICY_UNSPECIFIED: HookFailurePolicy
HOOK_FAILURE_POLICY_FAIL: HookFailurePolicy
HOOK_FAILURE_POLICY_SKIP: HookFailurePolicy

class DocumentHeader(_message.Message):
    __slots__ = ("document_id", "uri", "title", "content_type", "file_name", "metadata", "acl", "idempotency_key", "priority")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ACL_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    uri: str
    title: str
    content_type: str
    file_name: str
    metadata: _containers.MessageMap[str, _metadata_pb2.MetadataValue]
    acl: _containers.RepeatedScalarFieldContainer[str]
    idempotency_key: str
    priority: Priority
    def __init__(self, document_id: _Optional[str] = ..., uri: _Optional[str] = ..., title: _Optional[str] = ..., content_type: _Optional[str] = ..., file_name: _Optional[str] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.MetadataValue]] = ..., acl: _Optional[_Iterable[str]] = ..., idempotency_key: _Optional[str] = ..., priority: _Optional[_Union[Priority, str]] = ...) -> None: ...

class DocumentInput(_message.Message):
    __slots__ = ("header", "content")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    header: DocumentHeader
    content: bytes
    def __init__(self, header: _Optional[_Union[DocumentHeader, _Mapping]] = ..., content: _Optional[bytes] = ...) -> None: ...

class SubmitDocumentsRequest(_message.Message):
    __slots__ = ("scope", "collection", "documents")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    documents: _containers.RepeatedCompositeFieldContainer[DocumentInput]
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[DocumentInput, _Mapping]]] = ...) -> None: ...

class SubmitDocumentsResponse(_message.Message):
    __slots__ = ("submissions",)
    SUBMISSIONS_FIELD_NUMBER: _ClassVar[int]
    submissions: _containers.RepeatedCompositeFieldContainer[Submission]
    def __init__(self, submissions: _Optional[_Iterable[_Union[Submission, _Mapping]]] = ...) -> None: ...

class Submission(_message.Message):
    __slots__ = ("job", "is_duplicate", "is_unchanged", "error")
    JOB_FIELD_NUMBER: _ClassVar[int]
    IS_DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    IS_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job: Job
    is_duplicate: bool
    is_unchanged: bool
    error: JobFailure
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., is_duplicate: bool = ..., is_unchanged: bool = ..., error: _Optional[_Union[JobFailure, _Mapping]] = ...) -> None: ...

class UploadDocumentRequest(_message.Message):
    __slots__ = ("header", "content", "end")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    header: UploadHeader
    content: bytes
    end: UploadEnd
    def __init__(self, header: _Optional[_Union[UploadHeader, _Mapping]] = ..., content: _Optional[bytes] = ..., end: _Optional[_Union[UploadEnd, _Mapping]] = ...) -> None: ...

class UploadHeader(_message.Message):
    __slots__ = ("scope", "collection", "document", "size_bytes", "sha256", "has_end")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    HAS_END_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    document: DocumentHeader
    size_bytes: int
    sha256: str
    has_end: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., document: _Optional[_Union[DocumentHeader, _Mapping]] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., has_end: bool = ...) -> None: ...

class UploadEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UploadDocumentResponse(_message.Message):
    __slots__ = ("submission",)
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    submission: Submission
    def __init__(self, submission: _Optional[_Union[Submission, _Mapping]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "collection", "document_id", "uri", "title", "state", "stage", "attempt_count", "failure", "created_at", "updated_at", "next_attempt_at", "size_bytes", "chunk_count", "reused_chunk_count", "content_type", "document_version", "stage_durations", "warnings")
    class StageDurationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _duration_pb2.Duration
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_AT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    REUSED_CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    STAGE_DURATIONS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    collection: str
    document_id: str
    uri: str
    title: str
    state: JobState
    stage: Stage
    attempt_count: int
    failure: JobFailure
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    next_attempt_at: _timestamp_pb2.Timestamp
    size_bytes: int
    chunk_count: int
    reused_chunk_count: int
    content_type: str
    document_version: int
    stage_durations: _containers.MessageMap[str, _duration_pb2.Duration]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, job_id: _Optional[str] = ..., collection: _Optional[str] = ..., document_id: _Optional[str] = ..., uri: _Optional[str] = ..., title: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., stage: _Optional[_Union[Stage, str]] = ..., attempt_count: _Optional[int] = ..., failure: _Optional[_Union[JobFailure, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_attempt_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., size_bytes: _Optional[int] = ..., chunk_count: _Optional[int] = ..., reused_chunk_count: _Optional[int] = ..., content_type: _Optional[str] = ..., document_version: _Optional[int] = ..., stage_durations: _Optional[_Mapping[str, _duration_pb2.Duration]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class JobFailure(_message.Message):
    __slots__ = ("reason", "message", "stage", "is_retryable")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    IS_RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    stage: Stage
    is_retryable: bool
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., stage: _Optional[_Union[Stage, str]] = ..., is_retryable: bool = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("scope", "job_id", "collection", "document_id")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    job_id: str
    collection: str
    document_id: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., job_id: _Optional[str] = ..., collection: _Optional[str] = ..., document_id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("scope", "collection", "states", "page_size", "page_token", "latest_only")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LATEST_ONLY_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    states: _containers.RepeatedScalarFieldContainer[JobState]
    page_size: int
    page_token: str
    latest_only: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., states: _Optional[_Iterable[_Union[JobState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., latest_only: bool = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobsRequest(_message.Message):
    __slots__ = ("scope", "job_ids")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., job_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class RetryJobsRequest(_message.Message):
    __slots__ = ("scope", "job_ids", "collection")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    collection: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., job_ids: _Optional[_Iterable[str]] = ..., collection: _Optional[str] = ...) -> None: ...

class RetryJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class CancelJobsRequest(_message.Message):
    __slots__ = ("scope", "job_ids")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., job_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CancelJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class DeleteDocumentsRequest(_message.Message):
    __slots__ = ("scope", "collection", "document_ids", "filter", "source", "owner")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    document_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: _metadata_pb2.Filter
    source: str
    owner: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., document_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_metadata_pb2.Filter, _Mapping]] = ..., source: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class DeleteDocumentsResponse(_message.Message):
    __slots__ = ("deleted_count", "seq", "stopped_job_count", "remaining_count", "is_verified")
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STOPPED_JOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_COUNT_FIELD_NUMBER: _ClassVar[int]
    IS_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    seq: int
    stopped_job_count: int
    remaining_count: int
    is_verified: bool
    def __init__(self, deleted_count: _Optional[int] = ..., seq: _Optional[int] = ..., stopped_job_count: _Optional[int] = ..., remaining_count: _Optional[int] = ..., is_verified: bool = ...) -> None: ...

class ReindexRequest(_message.Message):
    __slots__ = ("scope", "collection", "reparse")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    REPARSE_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    reparse: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., reparse: bool = ...) -> None: ...

class ReindexResponse(_message.Message):
    __slots__ = ("job_count",)
    JOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    job_count: int
    def __init__(self, job_count: _Optional[int] = ...) -> None: ...

class GetQueueStatsRequest(_message.Message):
    __slots__ = ("scope",)
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ...) -> None: ...

class GetQueueStatsResponse(_message.Message):
    __slots__ = ("queued_count", "running_count", "dead_letter_count", "ready_count", "oldest_job_age")
    QUEUED_COUNT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    READY_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_JOB_AGE_FIELD_NUMBER: _ClassVar[int]
    queued_count: int
    running_count: int
    dead_letter_count: int
    ready_count: int
    oldest_job_age: _duration_pb2.Duration
    def __init__(self, queued_count: _Optional[int] = ..., running_count: _Optional[int] = ..., dead_letter_count: _Optional[int] = ..., ready_count: _Optional[int] = ..., oldest_job_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class FetchDocumentsRequest(_message.Message):
    __slots__ = ("scope", "collection", "urls", "header")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    URLS_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    urls: _containers.RepeatedScalarFieldContainer[str]
    header: DocumentHeader
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., urls: _Optional[_Iterable[str]] = ..., header: _Optional[_Union[DocumentHeader, _Mapping]] = ...) -> None: ...

class FetchDocumentsResponse(_message.Message):
    __slots__ = ("submissions",)
    SUBMISSIONS_FIELD_NUMBER: _ClassVar[int]
    submissions: _containers.RepeatedCompositeFieldContainer[Submission]
    def __init__(self, submissions: _Optional[_Iterable[_Union[Submission, _Mapping]]] = ...) -> None: ...

class SourceRule(_message.Message):
    __slots__ = ("pattern", "is_excluded", "acl", "metadata", "collection", "priority", "on_removal")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    IS_EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    ACL_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ON_REMOVAL_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    is_excluded: bool
    acl: _containers.RepeatedScalarFieldContainer[str]
    metadata: _containers.MessageMap[str, _metadata_pb2.MetadataValue]
    collection: str
    priority: Priority
    on_removal: RemovalPolicy
    def __init__(self, pattern: _Optional[str] = ..., is_excluded: bool = ..., acl: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.MetadataValue]] = ..., collection: _Optional[str] = ..., priority: _Optional[_Union[Priority, str]] = ..., on_removal: _Optional[_Union[RemovalPolicy, str]] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("name", "kind", "location", "urls", "collection", "rules", "acl", "metadata", "priority", "on_removal", "sync_interval", "owner", "credentials", "is_paused")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    URLS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    ACL_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ON_REMOVAL_FIELD_NUMBER: _ClassVar[int]
    SYNC_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    IS_PAUSED_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: SourceKind
    location: str
    urls: _containers.RepeatedScalarFieldContainer[str]
    collection: str
    rules: _containers.RepeatedCompositeFieldContainer[SourceRule]
    acl: _containers.RepeatedScalarFieldContainer[str]
    metadata: _containers.MessageMap[str, _metadata_pb2.MetadataValue]
    priority: Priority
    on_removal: RemovalPolicy
    sync_interval: _duration_pb2.Duration
    owner: str
    credentials: str
    is_paused: bool
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[SourceKind, str]] = ..., location: _Optional[str] = ..., urls: _Optional[_Iterable[str]] = ..., collection: _Optional[str] = ..., rules: _Optional[_Iterable[_Union[SourceRule, _Mapping]]] = ..., acl: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.MetadataValue]] = ..., priority: _Optional[_Union[Priority, str]] = ..., on_removal: _Optional[_Union[RemovalPolicy, str]] = ..., sync_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., owner: _Optional[str] = ..., credentials: _Optional[str] = ..., is_paused: bool = ...) -> None: ...

class SyncReport(_message.Message):
    __slots__ = ("sync_number", "started_at", "ended_at", "item_count", "submitted_count", "unchanged_count", "excluded_count", "removed_count", "deleted_count", "failed_count", "failure")
    SYNC_NUMBER_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    sync_number: int
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    item_count: int
    submitted_count: int
    unchanged_count: int
    excluded_count: int
    removed_count: int
    deleted_count: int
    failed_count: int
    failure: JobFailure
    def __init__(self, sync_number: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., item_count: _Optional[int] = ..., submitted_count: _Optional[int] = ..., unchanged_count: _Optional[int] = ..., excluded_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., deleted_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., failure: _Optional[_Union[JobFailure, _Mapping]] = ...) -> None: ...

class SourceStatus(_message.Message):
    __slots__ = ("state", "report", "next_sync_at", "item_count", "failed_count", "last_success_at", "requested_sync_number", "created_at", "updated_at", "pending_count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    NEXT_SYNC_AT_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_SUCCESS_AT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_SYNC_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    state: SyncState
    report: SyncReport
    next_sync_at: _timestamp_pb2.Timestamp
    item_count: int
    failed_count: int
    last_success_at: _timestamp_pb2.Timestamp
    requested_sync_number: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    pending_count: int
    def __init__(self, state: _Optional[_Union[SyncState, str]] = ..., report: _Optional[_Union[SyncReport, _Mapping]] = ..., next_sync_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., item_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., last_success_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requested_sync_number: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pending_count: _Optional[int] = ...) -> None: ...

class PutSourceRequest(_message.Message):
    __slots__ = ("scope", "source")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    source: Source
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., source: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...

class PutSourceResponse(_message.Message):
    __slots__ = ("source", "status", "is_created")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    IS_CREATED_FIELD_NUMBER: _ClassVar[int]
    source: Source
    status: SourceStatus
    is_created: bool
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ..., status: _Optional[_Union[SourceStatus, _Mapping]] = ..., is_created: bool = ...) -> None: ...

class GetSourceRequest(_message.Message):
    __slots__ = ("scope", "name")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class GetSourceResponse(_message.Message):
    __slots__ = ("source", "status")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    source: Source
    status: SourceStatus
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ..., status: _Optional[_Union[SourceStatus, _Mapping]] = ...) -> None: ...

class ListSourcesRequest(_message.Message):
    __slots__ = ("scope", "page_size", "page_token")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    page_size: int
    page_token: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSourcesResponse(_message.Message):
    __slots__ = ("sources", "next_page_token")
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[SourceEntry]
    next_page_token: str
    def __init__(self, sources: _Optional[_Iterable[_Union[SourceEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SourceEntry(_message.Message):
    __slots__ = ("source", "status")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    source: Source
    status: SourceStatus
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ..., status: _Optional[_Union[SourceStatus, _Mapping]] = ...) -> None: ...

class ListSourceItemsRequest(_message.Message):
    __slots__ = ("scope", "name", "failed_only", "page_size", "page_token")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FAILED_ONLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    failed_only: bool
    page_size: int
    page_token: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ..., failed_only: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSourceItemsResponse(_message.Message):
    __slots__ = ("items", "next_page_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SourceItem]
    next_page_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[SourceItem, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SourceItem(_message.Message):
    __slots__ = ("path", "collection", "document_id", "job_id", "size_bytes", "modified_at", "submitted_at", "failure")
    PATH_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    path: str
    collection: str
    document_id: str
    job_id: str
    size_bytes: int
    modified_at: _timestamp_pb2.Timestamp
    submitted_at: _timestamp_pb2.Timestamp
    failure: JobFailure
    def __init__(self, path: _Optional[str] = ..., collection: _Optional[str] = ..., document_id: _Optional[str] = ..., job_id: _Optional[str] = ..., size_bytes: _Optional[int] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure: _Optional[_Union[JobFailure, _Mapping]] = ...) -> None: ...

class SyncSourceRequest(_message.Message):
    __slots__ = ("scope", "name", "paths", "is_full", "allow_empty")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    IS_FULL_FIELD_NUMBER: _ClassVar[int]
    ALLOW_EMPTY_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    is_full: bool
    allow_empty: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., is_full: bool = ..., allow_empty: bool = ...) -> None: ...

class SyncSourceResponse(_message.Message):
    __slots__ = ("sync_number", "status")
    SYNC_NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    sync_number: int
    status: SourceStatus
    def __init__(self, sync_number: _Optional[int] = ..., status: _Optional[_Union[SourceStatus, _Mapping]] = ...) -> None: ...

class WatchSourceRequest(_message.Message):
    __slots__ = ("scope", "name", "sync_number")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SYNC_NUMBER_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    sync_number: int
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ..., sync_number: _Optional[int] = ...) -> None: ...

class WatchSourceResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: SourceStatus
    def __init__(self, status: _Optional[_Union[SourceStatus, _Mapping]] = ...) -> None: ...

class DeleteSourceRequest(_message.Message):
    __slots__ = ("scope", "name", "keep_documents")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEEP_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    keep_documents: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ..., keep_documents: bool = ...) -> None: ...

class DeleteSourceResponse(_message.Message):
    __slots__ = ("deleted_count",)
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    def __init__(self, deleted_count: _Optional[int] = ...) -> None: ...

class EnrichmentSettings(_message.Message):
    __slots__ = ("detect_language", "detect_dates", "personal_data", "hooks", "on_hook_failure")
    DETECT_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DETECT_DATES_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_DATA_FIELD_NUMBER: _ClassVar[int]
    HOOKS_FIELD_NUMBER: _ClassVar[int]
    ON_HOOK_FAILURE_FIELD_NUMBER: _ClassVar[int]
    detect_language: bool
    detect_dates: bool
    personal_data: PersonalDataPolicy
    hooks: _containers.RepeatedScalarFieldContainer[str]
    on_hook_failure: HookFailurePolicy
    def __init__(self, detect_language: bool = ..., detect_dates: bool = ..., personal_data: _Optional[_Union[PersonalDataPolicy, str]] = ..., hooks: _Optional[_Iterable[str]] = ..., on_hook_failure: _Optional[_Union[HookFailurePolicy, str]] = ...) -> None: ...

class GetEnrichmentRequest(_message.Message):
    __slots__ = ("scope", "collection")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ...) -> None: ...

class GetEnrichmentResponse(_message.Message):
    __slots__ = ("settings", "is_own", "available_hooks")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    IS_OWN_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_HOOKS_FIELD_NUMBER: _ClassVar[int]
    settings: EnrichmentSettings
    is_own: bool
    available_hooks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, settings: _Optional[_Union[EnrichmentSettings, _Mapping]] = ..., is_own: bool = ..., available_hooks: _Optional[_Iterable[str]] = ...) -> None: ...

class SetEnrichmentRequest(_message.Message):
    __slots__ = ("scope", "collection", "settings")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    settings: EnrichmentSettings
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., settings: _Optional[_Union[EnrichmentSettings, _Mapping]] = ...) -> None: ...

class SetEnrichmentResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: EnrichmentSettings
    def __init__(self, settings: _Optional[_Union[EnrichmentSettings, _Mapping]] = ...) -> None: ...
