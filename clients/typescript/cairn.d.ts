// Types of Cairn's REST API. Written by `make typescript` from the routes.
// API version 1.0.0.

/** A page of entries, newest first. */
export interface AuditEntriesView {
  entries: AuditEntryView[];
  next_page_token: string;
}

/** One entry of the audit log. */
export interface AuditEntryView {
  seq: number;
  tenant: string;
  at: string;
  actor: string;
  action: string;
  collection: string;
  /** "ok", or the reason of the refusal. */
  outcome: string;
  surface: string;
  trace_id: string;
  /** What it was about: kind and keyed hash. */
  subjects: string[];
  details: Record<string, string | number>;
  hash: string;
}

/** What a check found. */
export interface AuditReportView {
  is_intact: boolean;
  /** Whether the end of the chain was reached; else go on from the checkpoint. */
  is_complete: boolean;
  entry_count: number;
  /** "SEQ:HASH" of the last entry that was checked. */
  checkpoint: string;
  broken: BrokenLinkView | null;
}

/** The first broken link of a chain. */
export interface BrokenLinkView {
  seq: number;
  problem: string;
}

/** A cache of this gateway, since its start. */
export interface CacheView {
  name: string;
  hit_count: number;
  miss_count: number;
  entry_count: number;
  size_bytes: number;
}

/** From which support on questions are answered, and what that was found from. */
export interface CalibrationBody {
  min_support: number;
  question_count?: number;
  off_topic_count?: number;
  false_refusal_rate?: number;
  off_topic_refusal_rate?: number | null;
  auroc?: number | null;
}

/** A calibration that is kept. */
export interface CalibrationValues {
  collection: string;
  min_support: number;
  question_count: number;
  off_topic_count: number;
  false_refusal_rate: number;
  off_topic_refusal_rate: number | null;
  auroc: number | null;
  updated_at: string;
}

/** The calibration; null: the deployment's own threshold holds. */
export interface CalibrationView {
  calibration: CalibrationValues | null;
}

/** Who the credential stands for. */
export interface CallerView {
  tenant: string;
  tenant_class: "free" | "standard" | "premium";
  /** "key:ID", "user:SUBJECT" or "service:NAME". */
  actor: string;
  key_id: string;
  user_id: string;
  name: string;
  /** Greatest built-in role that is held for every collection. */
  role: "viewer" | "editor" | "operator" | "admin" | "custom";
  /** Operations that are allowed, at least on some collection. */
  permissions: string[];
  grants: GrantView[];
  /** What the caller reads as. */
  principals: string[];
}

/** A chat completion. */
export interface ChatBody {
  temperature?: number | null;
  top_p?: number | null;
  seed?: number | null;
  stop?: string | string[] | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  /** "cairn" for answers from the default collection, "cairn/NAME" from another; any other model answers by itself. */
  model: string;
  messages: Message[];
  stream?: boolean | null;
  stream_options?: StreamOptions | null;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  n?: number | null;
  tools?: unknown[] | null;
  functions?: unknown[] | null;
  logprobs?: boolean | null;
  logit_bias?: Record<string, number> | null;
  response_format?: ResponseFormat | null;
  /** Condition on metadata, for answers from a collection. Not of OpenAI's API. */
  filter?: string;
  /** Passages to answer from; 0: 5. Not of OpenAI's API. */
  top_k?: number;
}

/** The one choice. */
export interface ChatChoiceView {
  index: number;
  message: ChatMessageView;
  logprobs: null;
  finish_reason: "stop" | "length";
  [other: string]: unknown;
}

/** A chat completion. */
export interface ChatCompletionView {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: ChatChoiceView[];
  usage: Record<string, unknown>;
  system_fingerprint: string;
  [other: string]: unknown;
}

/** The answer; the lower fields are ours, and there for answers from documents only. */
export interface ChatMessageView {
  role: "assistant";
  content: string;
  refusal: null;
  citations?: CitationView[];
  passages?: PlaceView[];
  refused?: boolean;
  grounded?: number;
  degraded?: string[];
  cached?: string;
  [other: string]: unknown;
}

/** A part of a document; `text` is the document's text[start:end]. */
export interface ChunkView {
  chunk_id: string;
  ordinal: number;
  start: number;
  end: number;
  text: string;
  heading_path: string[];
  page: number;
}

/** How files are cut. */
export interface ChunkingStrategy {
  type?: string;
}

/** A page of a document's chunks, in their order. */
export interface ChunksView {
  chunks: ChunkView[];
  next_page_token: string;
}

/** A place in a document; `text` is the document's text[start:end]. */
export interface CitationView {
  marker: number;
  document_id: string;
  document_version: number;
  chunk_id: string;
  start: number;
  end: number;
  text: string;
  uri: string;
  title: string;
  support: number;
}

/** A collection to create. */
export interface CollectionBody {
  name: string;
  /** Empty: the default one. */
  embedding_model?: string;
  /** Types of metadata fields; others are inferred. */
  fields?: Record<string, "keyword" | "integer" | "float" | "bool" | "timestamp" | "tags">;
  /** Whether documents without an access list are refused. */
  is_acl_required?: boolean;
  /** Snowball language of the keyword index; empty: "english". */
  language?: string;
  description?: string;
  /** Kind of the vector index; "auto": chosen by size. */
  index_type?: "auto" | "flat" | "hnsw" | "hnsw_sq8" | "ivf_flat" | "ivf_sq8" | "ivf_pq" | "rabitq";
}

/** What to change of a collection; what is absent stays. */
export interface CollectionChangeBody {
  /** Kind of the vector index from now on; what is built keeps its own until it is merged or optimized. */
  index_type?: "auto" | "flat" | "hnsw" | "hnsw_sq8" | "ivf_flat" | "ivf_sq8" | "ivf_pq" | "rabitq" | null;
  description?: string | null;
}

/** The index in use. */
export interface CollectionIndexView {
  index_type: string;
  /** Bytes in memory, codes and graph included; 0: it is not in memory. */
  bytes_per_vector: number;
  /** 1 - recall@10 against the exact answer, measured when it was built; null: not measured, as exact search loses nothing. */
  recall_loss: number | null;
  /** Bytes in memory of all that is searched. */
  view_bytes: number;
  disk_bytes: number;
  segment_count: number;
}

/** A collection. */
export interface CollectionView {
  name: string;
  embedding_model: string;
  dimensions: number;
  fields: Record<string, string>;
  is_acl_required: boolean;
  language: string;
  description: string;
  created_at: string | null;
  document_count: number;
  chunk_count: number;
  index_description: string;
  /** As asked for; "auto": chosen by size. */
  index_type: string;
  /** Null right after the collection was created. */
  index: CollectionIndexView | null;
}

/** A page of collections. */
export interface CollectionsView {
  collections: CollectionView[];
  next_page_token: string;
}

/** Part of a message. */
export interface ContentPart {
  type: string;
  text?: string;
}

/** A price by what it was for, in the currency of the whole. */
export interface CostPartsView {
  embedding: number;
  retrieval: number;
  rerank: number;
  generation: number;
}

/** What the tenant used today, UTC. */
export interface CostTodayView {
  today: CostView;
  request_count: number;
}

/** A price. */
export interface CostView {
  amount: number;
  currency: string;
}

/** What was deleted. */
export interface DeletedObjectView {
  id: string;
  object: string;
  deleted: boolean;
  [other: string]: unknown;
}

/** What was deleted. */
export interface DeletedView {
  deleted_count: number;
  /** Jobs of the deleted documents that were still under way. */
  stopped_job_count: number;
  /** Documents that a second look still found; 0: they are gone. */
  remaining_count: number;
  /** Whether the second look was made at the index, too. */
  is_verified: boolean;
}

/** A document to take in: `text`, or `content_base64` for bytes. */
export interface DocumentBody {
  /** Identifier in the collection; empty: derived from uri, or from the content. */
  document_id?: string;
  uri?: string;
  title?: string;
  /** MIME type; empty: recognised. */
  content_type?: string;
  file_name?: string;
  metadata?: Record<string, string | number | boolean | string[] | TimestampValue | null>;
  /** Principals who may read it; empty: as the collection's policy says. */
  acl?: string[];
  idempotency_key?: string;
  text?: string | null;
  content_base64?: string | null;
}

/** A document and how far it is. */
export interface DocumentView {
  document_id: string;
  collection: string;
  job_id: string;
  state: string;
  stage: string;
  title: string;
  uri: string;
  content_type: string;
  size_bytes: number;
  chunk_count: number;
  attempt_count: number;
  failure_reason: string;
  failure_message: string;
  failure_stage: string;
  created_at: string | null;
  updated_at: string | null;
  version: number;
  text: string;
  metadata: Record<string, unknown>;
  warnings: string[];
}

/** A page of documents. */
export interface DocumentsView {
  documents: DocumentView[];
  next_page_token: string;
}

/** A vector: numbers, or their bytes in base64. */
export interface EmbeddingView {
  object: "embedding";
  index: number;
  embedding: number[] | string;
  [other: string]: unknown;
}

/** Texts to embed. */
export interface EmbeddingsBody {
  input: string | string[] | number[] | number[][];
  model?: string;
  encoding_format?: "float" | "base64";
  dimensions?: number;
}

/** Vectors. */
export interface EmbeddingsView {
  object: "list";
  data: EmbeddingView[];
  model: string;
  usage: Record<string, unknown>;
  [other: string]: unknown;
}

/** What is found out about the documents of a collection. */
export interface EnrichmentBody {
  detect_language?: boolean;
  detect_dates?: boolean;
  personal_data?: "off" | "hash" | "replace";
  /** Functions that the service is set up with, in the order they are called. */
  hooks?: string[];
  on_hook_failure?: "fail" | "skip";
}

/** What is found out about the documents of a collection. */
export interface EnrichmentView {
  detect_language: boolean;
  detect_dates: boolean;
  personal_data: string;
  hooks: string[];
  on_hook_failure: string;
  /** Whether the collection has settings of its own; else they are the service's. */
  is_own: boolean;
  available_hooks: string[];
}

/** Why something failed. */
export interface FailureView {
  reason: string;
  message: string;
  is_retryable: boolean;
}

/** What a person thinks of an answer. */
export interface FeedbackBody {
  trace_id: string;
  rating: "up" | "down";
  comment?: string;
  markers?: number[];
}

/** The stored feedback. */
export interface FeedbackView {
  feedback_id: string;
}

/** Documents to fetch. */
export interface FetchDocumentsBody {
  /** Addresses: http or https, no credentials in them. */
  urls: string[];
  collection?: string;
  metadata?: Record<string, string | number | boolean | string[] | TimestampValue | null>;
  /** Principals who may read them; empty: as the collection's policy says. */
  acl?: string[];
}

/** Files that were added together. */
export interface FileBatchView {
  id: string;
  object: "vector_store.files_batch";
  created_at: number;
  vector_store_id: string;
  status: "in_progress" | "completed" | "failed" | "cancelled";
  file_counts: FileCountsView;
  [other: string]: unknown;
}

/** How many files are how far. */
export interface FileCountsView {
  in_progress: number;
  completed: number;
  failed: number;
  cancelled: number;
  total: number;
  [other: string]: unknown;
}

/** Answers come from a vector store. */
export interface FileSearchTool {
  type: "file_search";
  /** One: a collection by its name or identifier. */
  vector_store_ids: string[];
  /** Passages to answer from; absent: 5. */
  max_num_results?: number | null;
  /** Comparison or compound filter on attributes. */
  filters?: Record<string, unknown> | null;
  ranking_options?: RankingOptions | null;
}

/** The text of a file as it was taken in. */
export interface FileTextView {
  object: "vector_store.file_content.page";
  data: (Record<string, string>)[];
  has_more: boolean;
  next_page: null;
  [other: string]: unknown;
}

/** A kept file. */
export interface FileView {
  id: string;
  object: "file";
  bytes: number;
  created_at: number;
  expires_at: number | null;
  filename: string;
  purpose: string;
  status: "processed";
  [other: string]: unknown;
}

/** A page of files. */
export interface FilesView {
  object: "list";
  data: FileView[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
  [other: string]: unknown;
}

/** A role, for all collections or some. */
export interface GrantBody {
  role: string;
  /** Names, a trailing "*" standing for any ending; empty: all, and what belongs to none. */
  collections?: string[];
}

/** A role, for all collections or some. */
export interface GrantView {
  role: string;
  /** Names, a trailing "*" standing for any ending; empty: all, and what belongs to none. */
  collections: string[];
}

/** A group to create or replace; its members stay. */
export interface GroupBody {
  description?: string;
  grants?: GrantBody[];
}

/** A group. */
export interface GroupView {
  group: string;
  tenant: string;
  description: string;
  grants: GrantView[];
  member_count: number;
  created_at: string | null;
  updated_at: string | null;
}

/** A page of groups. */
export interface GroupsView {
  groups: GroupView[];
  next_page_token: string;
}

/** The process is alive. */
export interface HealthView {
  status: "ok";
}

/** Weights of meaning and words. */
export interface HybridSearch {
  embedding_weight: number;
  text_weight: number;
}

/** A message, or what an earlier response put out. */
export interface InputItem {
  type?: string;
  role?: "system" | "developer" | "user" | "assistant" | null;
  content?: unknown;
}

/** A named schema. */
export interface JsonSchema {
  name?: string;
  /** JSON Schema that the answer is valid under. */
  schema?: Record<string, unknown> | null;
}

/** A key to make. */
export interface KeyBody {
  name: string;
  /** Role for everything. Empty: what `grants` say; without any, what the user may do; without a user, viewer. */
  role?: "" | "viewer" | "editor" | "operator" | "admin";
  /** Roles by collection, instead of `role`. */
  grants?: GrantBody[];
  /** What the key reads as besides itself; null: everyone. */
  principals?: string[] | null;
  /** Empty: the caller's own. Others only for admins of the home tenant. */
  tenant?: string;
  /** User whose key it is: it never may more than the user. Empty: nobody's. */
  user_id?: string;
  /** "service" for callers that belong to the installation. */
  kind?: "user" | "service";
  expires_in_days?: number | null;
}

/** A key, without its secrets. */
export interface KeyView {
  key_id: string;
  tenant: string;
  name: string;
  /** "custom": what the grants say; without any, what the user may do. */
  role: string;
  grants: GrantView[];
  principals: string[];
  user_id: string;
  kind: "user" | "service";
  created_at: string | null;
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at: string | null;
  secrets: SecretView[];
}

/** Keys, newest first. */
export interface KeysView {
  keys: KeyView[];
}

/** A limit as it was set. */
export interface LimitRuleView {
  tier: string;
  tenant: string;
  subject: string;
  subject_id: string;
  resource: string;
  period: string;
  amount: number | null;
  burst: number | null;
  mode: string;
  updated_at: string;
  updated_by: string;
}

/** Limits that were set. */
export interface LimitRulesView {
  rules: LimitRuleView[];
}

/** A limit and how far it is used. */
export interface LimitView {
  subject: string;
  subject_id: string;
  resource: string;
  period: string;
  amount: number;
  burst: number | null;
  mode: string;
  /** Where it was set: "tier", "tenant", "user" or "key". */
  source: string;
  used: number;
  remaining: number;
  reset_seconds: number;
}

/** The limits of a caller. */
export interface LimitsView {
  tenant: string;
  tier: string;
  limits: LimitView[];
}

/** What this gateway is doing. */
export interface LoadView {
  version: string;
  uptime_seconds: number;
  requests_in_flight: number;
}

/** A message. */
export interface Message {
  role: "system" | "developer" | "user" | "assistant";
  content?: string | ContentPart[] | null;
}

/** A model. */
export interface ModelView {
  id: string;
  object: "model";
  created: number;
  owned_by: string;
  [other: string]: unknown;
}

/** Models. */
export interface ModelsView {
  object: "list";
  data: ModelView[];
  [other: string]: unknown;
}

/** Files to add together: `file_ids` with common attributes, or `files` each with its own. */
export interface NewBatchBody {
  file_ids?: string[] | null;
  files?: NewStoreFileBody[] | null;
  attributes?: Record<string, string | boolean | number> | null;
  acl?: string[];
  chunking_strategy?: Record<string, unknown> | null;
}

/** A key and its new secret, which is shown this once. */
export interface NewKeyView {
  key: KeyView;
  secret: string;
}

/** A vector store to create. */
export interface NewStoreBody {
  name?: string | null;
  description?: string | null;
  metadata?: Record<string, string> | null;
  /** Files to add at once. */
  file_ids?: string[] | null;
  /** "auto" only: documents are cut along their structure. */
  chunking_strategy?: ChunkingStrategy | null;
  /** Not offered: a vector store stays until it is deleted. */
  expires_after?: Record<string, unknown> | null;
}

/** A file to add. */
export interface NewStoreFileBody {
  file_id: string;
  /** Metadata to filter by. */
  attributes?: Record<string, string | boolean | number> | null;
  /** Principals who may read it; empty: as the collection's policy says. Not of OpenAI's API. */
  acl?: string[];
  /** "auto" only. */
  chunking_strategy?: Record<string, unknown> | null;
}

/** A collection. */
export interface OneCollectionView {
  collection: CollectionView;
}

/** A document. */
export interface OneDocumentView {
  document: DocumentView;
}

/** A group. */
export interface OneGroupView {
  group: GroupView;
}

/** A key. */
export interface OneKeyView {
  key: KeyView;
}

/** A role. */
export interface OneRoleView {
  role: RoleView;
}

/** A source with its state. */
export interface OneSourceView {
  source: SourceView;
}

/** A tenant. */
export interface OneTenantView {
  tenant: TenantView;
}

/** A user. */
export interface OneUserView {
  user: UserView;
}

/** What went wrong, in OpenAI's words. */
export interface OpenAiErrorDetail {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
}

/** An error as OpenAI's clients read it. */
export interface OpenAiErrorView {
  error: OpenAiErrorDetail;
}

/** How an index is built anew. */
export interface OptimizeBody {
  /** Kind from now on; "auto": as it is set. */
  index_type?: "auto" | "flat" | "hnsw" | "hnsw_sq8" | "ivf_flat" | "ivf_sq8" | "ivf_pq" | "rabitq";
}

/** The state of this gateway. */
export interface OverviewView {
  health: ReadyView;
  load: LoadView;
  /** Null: ingestion does not answer. */
  queue: QueueView | null;
  caches: CacheView[];
  cost: CostTodayView;
  latency: StageLatencyView[];
}

/** A chunk of a document; `text` is the document's text[start:end]. */
export interface PassageView {
  chunk_id: string;
  document_id: string;
  document_version: number;
  collection: string;
  ordinal: number;
  start: number;
  end: number;
  text: string;
  title: string;
  uri: string;
  heading_path: string[];
  metadata: Record<string, unknown>;
  page: number;
}

/** An operation that a role may allow. */
export interface PermissionView {
  name: string;
  /** Least built-in role that allows it. */
  least_role: string;
}

/** Where a passage is. */
export interface PlaceView {
  chunk_id: string;
  document_id: string;
  start: number;
  end: number;
  score: number;
  [other: string]: unknown;
}

/** An error (RFC 9457). */
export interface ProblemView {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** A `cairn.types.v1.ErrorReason` without its prefix. */
  reason: string;
  violations: ViolationView[];
  trace_id: string;
  retry_after_seconds: number | null;
}

/** A question. */
export interface QueryBody {
  /** The question. */
  query: string;
  /** Collection or alias; empty: "default". */
  collection?: string;
  /** Former turns, oldest first. */
  history?: TurnBody[];
  /** Condition on metadata. */
  filter?: string;
  /** Passages to answer from; 0: 5. */
  top_k?: number;
  mode?: "hybrid" | "dense" | "keyword";
  rerank?: boolean;
  /** Model to answer with; empty: the default chain. */
  model?: string;
  /** Tokens to write at most; 0: the engine's default. */
  max_tokens?: number;
  temperature?: number | null;
  /** What becomes of markers whose passage does not support the sentence. */
  verification?: "drop" | "annotate" | "refuse";
  explain?: boolean;
  bypass_cache?: boolean;
  /** Whether the answer comes as server-sent events. */
  stream?: boolean;
  /** Lowers the deadline. */
  timeout_ms?: number | null;
}

/** An answer. */
export interface QueryView {
  answer: string;
  citations: CitationView[];
  passages: ScoredPassageView[];
  refused: boolean;
  grounded: number;
  degraded: string[];
  timings_ms: Record<string, number>;
  usage: UsageView;
  cost: CostView;
  trace_id: string;
  cached: "" | "exact" | "semantic";
  cached_age_seconds: number;
  cached_similarity: number;
  engine: string;
  model: string;
  explanation: StageView[];
  finish_reason: string;
  support: number | null;
  sentences: SentenceView[];
}

/** Ingestion's jobs of the tenant. */
export interface QueueView {
  queued_count: number;
  running_count: number;
  dead_letter_count: number;
  ready_count: number;
  /** Of the oldest job that has not ended; 0: there is none. */
  oldest_job_age_seconds: number;
}

/** How passages are ordered. */
export interface RankingOptions {
  /** "none" or absent: as the search found them; any other: re-ranked. */
  ranker?: string | null;
  /** Least score of a hit. */
  score_threshold?: number | null;
  /** Equal weights, or one of them 0: by meaning or by words alone. */
  hybrid_search?: HybridSearch | null;
}

/** Whether requests can be served, and what is not there. */
export interface ReadyView {
  status: "ready" | "degraded" | "not_ready" | "draining";
  /** Names of what does not answer. */
  not_ready: string[];
  components: Record<string, "ready" | "not_ready">;
}

/** Documents to be like and unlike, and what a person liked and disliked before. */
export interface RecommendBody {
  /** May be empty where liked_ids is not. */
  positive_ids?: string[];
  collection?: string;
  negative_ids?: string[];
  filter?: string;
  /** Documents at most; 0: 10. */
  top_k?: number;
  /** History: candidates are put in a new order by their likeness to these. */
  liked_ids?: string[];
  disliked_ids?: string[];
  /** Share of the history in the new order. */
  history_weight?: number;
  /** Variety against relevance; 0: relevance only. */
  diversity?: number;
  /** Candidates that are put in a new order; 0: 50, or top_k where that is more. */
  candidates?: number;
  timeout_ms?: number | null;
}

/** Best passage of each document. */
export interface RecommendView {
  passages: ScoredPassageView[];
  degraded: string[];
  timings_ms: Record<string, number>;
  trace_id: string;
  cached: "" | "exact";
  cached_age_seconds: number;
}

/** One request that has ended; names and times, no texts. */
export interface RequestTraceView {
  trace_id: string;
  name: string;
  status: string;
  began_at: string;
  duration_ms: number;
  is_failed: boolean;
  /** What was less than asked for. */
  marks: string[];
  steps: StepView[];
}

/** The last requests, newest first; reads that went well are left out. */
export interface RequestTracesView {
  traces: RequestTraceView[];
}

/** A response to create. */
export interface ResponseBody {
  temperature?: number | null;
  top_p?: number | null;
  seed?: number | null;
  stop?: string | string[] | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  /** "cairn" or "cairn/NAME" for answers from a collection; any other model answers by itself, unless `tools` has file_search. */
  model: string;
  /** A question, or the conversation with the question last. */
  input: string | InputItem[];
  instructions?: string | null;
  tools?: FileSearchTool[] | null;
  /** "file_search_call.results" adds the passages. */
  include?: string[] | null;
  max_output_tokens?: number | null;
  stream?: boolean | null;
  text?: TextOptions | null;
  metadata?: Record<string, string> | null;
  previous_response_id?: string | null;
  background?: boolean | null;
}

/** Form of the answer. */
export interface ResponseFormat {
  type?: "text" | "json_object" | "json_schema";
  json_schema?: JsonSchema | null;
  /** Of the Responses API, which has it here. */
  schema?: Record<string, unknown> | null;
}

/** A response: a file_search_call and a message for answers from documents. */
export interface ResponseView {
  id: string;
  object: "response";
  created_at: number;
  status: "completed" | "incomplete" | "failed" | "in_progress";
  model: string;
  output: (Record<string, unknown>)[];
  usage: Record<string, unknown> | null;
  [other: string]: unknown;
}

/** A role to create or replace. */
export interface RoleBody {
  /** Operations it allows, as `/v1/roles` names them. */
  permissions: string[];
  description?: string;
}

/** A role. */
export interface RoleView {
  role: string;
  /** Empty for built-in ones. */
  tenant: string;
  description: string;
  permissions: string[];
  is_builtin: boolean;
}

/** Roles, the built-in ones first, and what they are made of. */
export interface RolesView {
  roles: RoleView[];
  permissions: PermissionView[];
}

/** How a key's secrets follow each other. */
export interface RotateBody {
  /** How long the former secrets go on being accepted; 0: they end now. */
  overlap_seconds?: number;
}

/** A limit to set. */
export interface RuleBody {
  /** Whose use is counted: "key", "user" or "tenant". */
  subject: string;
  /** "requests", "tokens", "documents", "vectors", "bytes", "streams" or "cost". */
  resource: string;
  /** "second", "minute", "hour", "day", "month", "at_once" or "stored". */
  period: string;
  /** null: no limit, where a wider rule has one. Money in whole units of the currency. */
  amount: number | null;
  /** Of limits per second, minute and hour: what may come at once; null: the amount. */
  burst?: number | null;
  /** "hard" refuses; "soft" passes and warns; "shadow" passes and only metrics tell. */
  mode?: string;
  /** Tier whose tenants it holds for, in place of a tenant. */
  tier?: string;
  /** Empty: the caller's own. */
  tenant?: string;
  /** Key or user; empty: each of them. */
  subject_id?: string;
}

/** A passage and its scores. */
export interface ScoredPassageView {
  passage: PassageView;
  scores: ScoresView;
}

/** How a passage came to its place; null where it was not found that way. */
export interface ScoresView {
  dense: number | null;
  keyword: number | null;
  fused: number | null;
  rerank: number | null;
  final: number;
}

/** A search. */
export interface SearchBody {
  query: string;
  collection?: string;
  /** Former turns, oldest first: what the query leaves unsaid is taken from the turn before. */
  history?: TurnBody[];
  filter?: string;
  /** Passages at most; 0: 10. */
  top_k?: number;
  mode?: "hybrid" | "dense" | "keyword";
  rerank?: boolean;
  /** Passages of one document at most; 0: no limit. */
  max_per_document?: number;
  explain?: boolean;
  timeout_ms?: number | null;
}

/** A passage. */
export interface SearchHitView {
  file_id: string;
  filename: string;
  score: number;
  attributes: Record<string, string | number | boolean>;
  content: (Record<string, string>)[];
  [other: string]: unknown;
}

/** Passages, best first. */
export interface SearchPageView {
  object: "vector_store.search_results.page";
  search_query: string[];
  data: SearchHitView[];
  has_more: boolean;
  next_page: null;
  [other: string]: unknown;
}

/** A search. */
export interface SearchStoreBody {
  /** One question, or up to 8: the best hits of all. */
  query: string | string[];
  /** Comparison or compound filter on attributes. */
  filters?: Record<string, unknown> | null;
  max_num_results?: number;
  ranking_options?: RankingOptions | null;
  /** Passed over: queries are searched as they are. */
  rewrite_query?: boolean;
}

/** Passages, best first. */
export interface SearchView {
  passages: ScoredPassageView[];
  degraded: string[];
  timings_ms: Record<string, number>;
  usage: UsageView;
  trace_id: string;
  explanation: StageView[];
  cached: "" | "exact";
  cached_age_seconds: number;
}

/** One of a key's secrets, never the secret itself. */
export interface SecretView {
  secret_id: string;
  created_at: string | null;
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at: string | null;
}

/** A sentence: answer[start:end], and how well what it rests on carries it. */
export interface SentenceView {
  start: number;
  end: number;
  support: number;
}

/** A source, whole. */
export interface SourceBody {
  kind: "folder" | "url" | "object_store";
  /** A folder's absolute path, or "s3://bucket/prefix". */
  location?: string;
  /** Addresses, for kind "url". */
  urls?: string[];
  collection?: string;
  rules?: SourceRuleBody[];
  /** Principals who may read the documents; empty: as the collection's policy says. */
  acl?: string[];
  metadata?: Record<string, string | number | boolean | string[] | TimestampValue | null>;
  priority?: "low" | "normal" | "high" | null;
  /** What becomes of documents whose items are gone; null: they are deleted. */
  on_removal?: "delete" | "keep" | null;
  /** How often it is looked at; null: only when asked. */
  sync_interval_seconds?: number | null;
  /** Metadata field "owner" of the documents. */
  owner?: string;
  /** Name of the credentials that the service is set up with, for kind "object_store". */
  credentials?: string;
  is_paused?: boolean;
}

/** The source is gone. */
export interface SourceDeletedView {
  deleted_count: number;
}

/** One item of a source. */
export interface SourceItemView {
  path: string;
  collection: string;
  document_id: string;
  job_id: string;
  size_bytes: number;
  modified_at: string | null;
  submitted_at: string | null;
  failure: FailureView | null;
}

/** A page of items. */
export interface SourceItemsView {
  items: SourceItemView[];
  next_page_token: string;
}

/** What holds for items whose path matches; the first rule that matches applies. */
export interface SourceRuleBody {
  /** Glob on the path: "*" stays within a folder, "**" does not; without "/": on the name. */
  pattern: string;
  /** Whether items that match are left out. */
  is_excluded?: boolean;
  /** Principals who may read the documents; empty: as the source says. */
  acl?: string[];
  metadata?: Record<string, string | number | boolean | string[] | TimestampValue | null>;
  collection?: string;
  priority?: "low" | "normal" | "high" | null;
  on_removal?: "delete" | "keep" | null;
}

/** What holds for items whose path matches; null and empty: as the source says. */
export interface SourceRuleView {
  pattern: string;
  is_excluded: boolean;
  acl: string[];
  metadata: Record<string, unknown>;
  collection: string;
  priority: string | null;
  on_removal: string | null;
}

/** State of a source. */
export interface SourceStatusView {
  state: string;
  report: SyncReportView | null;
  next_sync_at: string | null;
  item_count: number;
  failed_count: number;
  pending_count: number;
  last_success_at: string | null;
  requested_sync_number: number;
  created_at: string | null;
  updated_at: string | null;
}

/** A source. */
export interface SourceView {
  name: string;
  kind: string;
  location: string;
  urls: string[];
  collection: string;
  rules: SourceRuleView[];
  acl: string[];
  metadata: Record<string, unknown>;
  priority: string | null;
  on_removal: string | null;
  sync_interval_seconds: number | null;
  owner: string;
  credentials: string;
  is_paused: boolean;
  status: SourceStatusView;
}

/** A page of sources. */
export interface SourcesView {
  sources: SourceView[];
  next_page_token: string;
}

/** How long a stage took, over the tenant's last requests here. */
export interface StageLatencyView {
  operation: string;
  /** A stage, or "total". */
  stage: string;
  count: number;
  p50_ms: number;
  p95_ms: number;
  p99_ms: number;
}

/** What a stage did. */
export interface StageView {
  stage: string;
  candidates: ScoredPassageView[];
  dropped: Record<string, string>;
  notes: string[];
}

/** One thing that was done for a request. */
export interface StepView {
  name: string;
  /** "stage" for work of this gateway, "call" for a call to another service. */
  kind: string;
  /** After the request's begin. */
  begin_ms: number;
  duration_ms: number;
  /** Steps it is a part of. */
  depth: number;
  is_failed: boolean;
}

/** What a stream carries. */
export interface StreamOptions {
  include_usage?: boolean | null;
}

/** What became of one document; `document` is null when it was refused. */
export interface SubmissionView {
  document: DocumentView | null;
  is_duplicate: boolean;
  is_unchanged: boolean;
  error_reason: string;
  error_message: string;
}

/** One result per document, in order. */
export interface SubmissionsView {
  submissions: SubmissionView[];
}

/** Documents to take in. */
export interface SubmitDocumentsBody {
  documents: DocumentBody[];
  collection?: string;
}

/** What a synchronisation does. */
export interface SyncBody {
  /** Items that were created, changed or removed; empty: look at everything. */
  paths?: string[];
  /** Whether items are read and submitted although they look unchanged. */
  is_full?: boolean;
  /** Whether a source that is found empty is believed, and its documents are deleted. */
  allow_empty?: boolean;
}

/** Figures of one synchronisation. */
export interface SyncReportView {
  sync_number: number;
  started_at: string | null;
  ended_at: string | null;
  item_count: number;
  submitted_count: number;
  unchanged_count: number;
  excluded_count: number;
  removed_count: number;
  deleted_count: number;
  failed_count: number;
  failure: FailureView | null;
}

/** The synchronisation that was asked for. */
export interface SyncView {
  sync_number: number;
  status: SourceStatusView;
}

/** A tenant to create or change. */
export interface TenantBody {
  /** Empty: its identifier. */
  name?: string;
  tenant_class?: "free" | "standard" | "premium";
  /** Whether every credential of it is refused. */
  is_disabled?: boolean;
}

/** A tenant. */
export interface TenantView {
  tenant: string;
  name: string;
  tenant_class: "free" | "standard" | "premium";
  is_disabled: boolean;
  created_at: string | null;
  updated_at: string | null;
}

/** A page of tenants. */
export interface TenantsView {
  tenants: TenantView[];
  next_page_token: string;
}

/** Form of the text. */
export interface TextOptions {
  format?: ResponseFormat | null;
}

/** A point in time, RFC 3339. */
export interface TimestampValue {
  timestamp: string;
}

/** A former turn of the conversation. */
export interface TurnBody {
  speaker: "user" | "assistant";
  text: string;
}

/** What changes. */
export interface UpdateStoreBody {
  name?: string | null;
  metadata?: Record<string, string> | null;
  /** Not offered. */
  expires_after?: Record<string, unknown> | null;
}

/** Something that was noticed about usage. */
export interface UsageAlertView {
  alert_id: string;
  /** "budget" or "spike". */
  kind: string;
  subject: string;
  subject_id: string;
  resource: string;
  period: string;
  /** Month or day. */
  window: string;
  /** Part of the budget that was passed; of spikes, the day in means of the days before. */
  threshold: number;
  used: number;
  /** The budget; of spikes, the mean of the days before. */
  limit: number;
  at: string;
}

/** What was noticed. */
export interface UsageAlertsView {
  alerts: UsageAlertView[];
}

/** Whether the sums are those of the single requests. */
export interface UsageCheckView {
  is_exact: boolean;
  /** First day of which all single requests are kept. */
  from_day: string;
  differing_days: string[];
}

/** One metered request. */
export interface UsageEventView {
  event_id: string;
  at: string;
  tenant: string;
  user: string;
  key_id: string;
  collection: string;
  operation: string;
  /** "ok", "failed", "cancelled" or "interrupted". */
  outcome: string;
  model: string;
  trace_id: string;
  document_count: number;
  byte_count: number;
  vector_count: number;
  /** Whether a part of the usage is estimated: the engine did not come to tell it. */
  is_estimated: boolean;
  usage: UsageView;
  cost: CostView;
  cost_parts: CostPartsView;
}

/** A page of metered requests. */
export interface UsageEventsView {
  events: UsageEventView[];
  next_page_token: string;
}

/** What was used; dimensions that were not asked for are empty. */
export interface UsageRowView {
  day: string;
  operation: string;
  user: string;
  collection: string;
  tenant: string;
  request_count: number;
  failed_count: number;
  document_count: number;
  byte_count: number;
  vector_count: number;
  usage: UsageView;
  cost: CostView;
  cost_parts: CostPartsView;
}

/** What was used, by the dimensions asked for and over all. */
export interface UsageRowsView {
  rows: UsageRowView[];
  total: UsageRowView;
}

/** What was consumed. */
export interface UsageView {
  embedding_tokens: number;
  rerank_tokens: number;
  prompt_tokens: number;
  cached_prompt_tokens: number;
  completion_tokens: number;
  vectors_scanned: number;
  embedding_cache_hits: number;
}

/** A user to create or replace. */
export interface UserBody {
  name?: string;
  /** Groups that there are not are made. */
  groups?: string[];
  grants?: GrantBody[];
  /** Whether its keys and tokens are refused. */
  is_disabled?: boolean;
}

/** A user. */
export interface UserView {
  user_id: string;
  tenant: string;
  name: string;
  groups: string[];
  grants: GrantView[];
  is_disabled: boolean;
  created_at: string | null;
  updated_at: string | null;
}

/** A page of users. */
export interface UsersView {
  users: UserView[];
  next_page_token: string;
}

/** A file of a vector store: a document. */
export interface VectorStoreFileView {
  id: string;
  object: "vector_store.file";
  created_at: number;
  vector_store_id: string;
  status: "in_progress" | "completed" | "failed" | "cancelled";
  last_error: Record<string, string> | null;
  usage_bytes: number;
  attributes: Record<string, string | number | boolean>;
  [other: string]: unknown;
}

/** A page of files. */
export interface VectorStoreFilesView {
  object: "list";
  data: VectorStoreFileView[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
  [other: string]: unknown;
}

/** A vector store: a collection. */
export interface VectorStoreView {
  id: string;
  object: "vector_store";
  created_at: number;
  name: string;
  status: "completed" | "in_progress";
  file_counts: FileCountsView;
  usage_bytes: number;
  metadata: Record<string, string>;
  last_active_at: number | null;
  [other: string]: unknown;
}

/** A page of vector stores. */
export interface VectorStoresView {
  object: "list";
  data: VectorStoreView[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
  [other: string]: unknown;
}

/** An answer and what it should rest on. */
export interface VerifyBody {
  /** Markers such as "[1]" are not looked at. */
  answer: string;
  sources?: string[];
}

/** How well the sources carry the answer. */
export interface VerifyView {
  grounded: number;
  sentences: SentenceView[];
  degraded: string[];
  trace_id: string;
}

/** A field that is wrong. */
export interface ViolationView {
  field: string;
  description: string;
}

/** Every operation by its identifier. */
export interface Operations {
  /** Answers a question with citations. */
  query: {
    method: "POST";
    url: "/v1/query";
    path: {};
    query: {};
    body: QueryBody;
    result: QueryView | {
      event?: string;
      data: string;
    };
  };
  /** Finds passages, best first. */
  search: {
    method: "POST";
    url: "/v1/search";
    path: {};
    query: {};
    body: SearchBody;
    result: SearchView;
  };
  /** Finds documents like some and unlike others. */
  recommend: {
    method: "POST";
    url: "/v1/recommend";
    path: {};
    query: {};
    body: RecommendBody;
    result: RecommendView;
  };
  /** Lists documents with their states, newest first. */
  list_documents: {
    method: "GET";
    url: "/v1/documents";
    path: {};
    query: { page_size?: number; page_token?: string; collection?: string; state?: string[] };
    body: never;
    result: DocumentsView;
  };
  /** Accepts documents; each gets a job. One bad document fails alone. */
  submit_documents: {
    method: "POST";
    url: "/v1/documents";
    path: {};
    query: {};
    header: { "Idempotency-Key"?: string };
    body: SubmitDocumentsBody | {
      file: (Blob | string)[];
      acl?: string[];
      collection?: string;
      content_type?: string;
      document_id?: string;
      idempotency_key?: string;
      metadata?: string;
      title?: string;
      uri?: string;
    };
    result: SubmissionsView;
  };
  /** Deletes documents by filter, source or owner, and looks whether any is left. */
  delete_documents: {
    method: "DELETE";
    url: "/v1/documents";
    path: {};
    query: { collection?: string; filter?: string; source?: string; owner?: string };
    body: never;
    result: DeletedView;
  };
  /** Fetches documents by their URLs and accepts them. One bad address fails alone. */
  fetch_documents: {
    method: "POST";
    url: "/v1/documents/fetch";
    path: {};
    query: {};
    body: FetchDocumentsBody;
    result: SubmissionsView;
  };
  /** Lists the parts of a document that are searched, in their order. */
  list_chunks: {
    method: "GET";
    url: "/v1/chunks";
    path: {};
    query: { page_size?: number; page_token?: string; document_id: string; collection?: string };
    body: never;
    result: ChunksView;
  };
  /** Runs a failed document again. */
  retry_document: {
    method: "POST";
    url: "/v1/documents/{document_id}/retry";
    path: { document_id: string };
    query: { collection?: string };
    body: never;
    result: OneDocumentView;
  };
  /** Returns a document: its state and, once ready, its text. */
  get_document: {
    method: "GET";
    url: "/v1/documents/{document_id}";
    path: { document_id: string };
    query: { collection?: string; omit_text?: boolean };
    body: never;
    result: OneDocumentView;
  };
  /** Deletes a document everywhere. */
  delete_document: {
    method: "DELETE";
    url: "/v1/documents/{document_id}";
    path: { document_id: string };
    query: { collection?: string };
    body: never;
    result: void;
  };
  /** Lists the tenant's collections. */
  list_collections: {
    method: "GET";
    url: "/v1/collections";
    path: {};
    query: { page_size?: number; page_token?: string };
    body: never;
    result: CollectionsView;
  };
  /** Creates a collection; creating an equal one again succeeds. */
  create_collection: {
    method: "POST";
    url: "/v1/collections";
    path: {};
    query: {};
    body: CollectionBody;
    result: OneCollectionView;
  };
  /** Returns a collection with its figures. */
  get_collection: {
    method: "GET";
    url: "/v1/collections/{name}";
    path: { name: string };
    query: {};
    body: never;
    result: OneCollectionView;
  };
  /** Changes a collection's settings. */
  update_collection: {
    method: "PATCH";
    url: "/v1/collections/{name}";
    path: { name: string };
    query: {};
    body: CollectionChangeBody;
    result: OneCollectionView;
  };
  /** Deletes a collection with everything in it. */
  delete_collection: {
    method: "DELETE";
    url: "/v1/collections/{name}";
    path: { name: string };
    query: {};
    body: never;
    result: void;
  };
  /** Builds the index anew, with another kind if one is given; searches go on meanwhile. */
  optimize_collection: {
    method: "POST";
    url: "/v1/collections/{name}/optimize";
    path: { name: string };
    query: {};
    body: OptimizeBody;
    result: {
      event?: string;
      data: string;
    };
  };
  /** Returns what is found out about the collection's documents when they are taken in. */
  get_enrichment: {
    method: "GET";
    url: "/v1/collections/{name}/enrichment";
    path: { name: string };
    query: {};
    body: never;
    result: EnrichmentView;
  };
  /** Sets what is found out about documents that are taken in from now on. */
  set_enrichment: {
    method: "PUT";
    url: "/v1/collections/{name}/enrichment";
    path: { name: string };
    query: {};
    body: EnrichmentBody;
    result: EnrichmentView;
  };
  /** Goes back to what the service is set up to find out. */
  reset_enrichment: {
    method: "DELETE";
    url: "/v1/collections/{name}/enrichment";
    path: { name: string };
    query: {};
    body: never;
    result: EnrichmentView;
  };
  /** Says how well texts carry an answer that was written from them. */
  verify_answer: {
    method: "POST";
    url: "/v1/verify";
    path: {};
    query: {};
    body: VerifyBody;
    result: VerifyView;
  };
  /** Returns from which support on questions about the collection are answered. */
  get_calibration: {
    method: "GET";
    url: "/v1/collections/{name}/calibration";
    path: { name: string };
    query: {};
    body: never;
    result: CalibrationView;
  };
  /** Sets from which support on questions about the collection are answered. */
  set_calibration: {
    method: "PUT";
    url: "/v1/collections/{name}/calibration";
    path: { name: string };
    query: {};
    body: CalibrationBody;
    result: CalibrationView;
  };
  /** Goes back to the deployment's own threshold. */
  reset_calibration: {
    method: "DELETE";
    url: "/v1/collections/{name}/calibration";
    path: { name: string };
    query: {};
    body: never;
    result: void;
  };
  /** Lists the tenant's sources with their states. */
  list_sources: {
    method: "GET";
    url: "/v1/sources";
    path: {};
    query: { page_size?: number; page_token?: string };
    body: never;
    result: SourcesView;
  };
  /** Returns a source with the state of its synchronisation. */
  get_source: {
    method: "GET";
    url: "/v1/sources/{name}";
    path: { name: string };
    query: {};
    body: never;
    result: OneSourceView;
  };
  /** Creates a source, or replaces its settings; it is synchronised at once. */
  put_source: {
    method: "PUT";
    url: "/v1/sources/{name}";
    path: { name: string };
    query: {};
    body: SourceBody;
    result: OneSourceView;
  };
  /** Deletes a source with the documents that came from it, or keeps those. */
  delete_source: {
    method: "DELETE";
    url: "/v1/sources/{name}";
    path: { name: string };
    query: { keep_documents?: boolean };
    body: never;
    result: SourceDeletedView;
  };
  /** Lists what was found in a source: which document each item became, or why not. */
  list_source_items: {
    method: "GET";
    url: "/v1/sources/{name}/items";
    path: { name: string };
    query: { page_size?: number; page_token?: string; failed_only?: boolean };
    body: never;
    result: SourceItemsView;
  };
  /** Asks for a synchronisation: of everything, or of the named items as an event does. */
  sync_source: {
    method: "POST";
    url: "/v1/sources/{name}/sync";
    path: { name: string };
    query: {};
    body: SyncBody;
    result: SyncView;
  };
  /** Stores what a person thinks of an answer. */
  submit_feedback: {
    method: "POST";
    url: "/v1/feedback";
    path: {};
    query: {};
    body: FeedbackBody;
    result: FeedbackView;
  };
  /** Lists keys, without their secrets. */
  list_keys: {
    method: "GET";
    url: "/v1/keys";
    path: {};
    query: { tenant?: string };
    body: never;
    result: KeysView;
  };
  /** Makes a key. Its secret is shown this once. */
  create_key: {
    method: "POST";
    url: "/v1/keys";
    path: {};
    query: {};
    body: KeyBody;
    result: NewKeyView;
  };
  /** Returns a key: its secrets' ages and when each was last used. */
  get_key: {
    method: "GET";
    url: "/v1/keys/{key_id}";
    path: { key_id: string };
    query: {};
    body: never;
    result: OneKeyView;
  };
  /** Revokes a key; it is refused everywhere within five seconds. */
  revoke_key: {
    method: "DELETE";
    url: "/v1/keys/{key_id}";
    path: { key_id: string };
    query: {};
    body: never;
    result: void;
  };
  /** Gives a key one more secret, shown this once; the former ones go on for a while. */
  rotate_key: {
    method: "POST";
    url: "/v1/keys/{key_id}/rotate";
    path: { key_id: string };
    query: {};
    body: RotateBody;
    result: NewKeyView;
  };
  /** Revokes one of a key's secrets; it is refused everywhere within five seconds. */
  revoke_key_secret: {
    method: "DELETE";
    url: "/v1/keys/{key_id}/secrets/{secret_id}";
    path: { key_id: string; secret_id: string };
    query: {};
    body: never;
    result: void;
  };
  /** Returns whom the credential stands for and what it may do. */
  get_caller: {
    method: "GET";
    url: "/v1/me";
    path: {};
    query: {};
    body: never;
    result: CallerView;
  };
  /** Lists tenants: all for admins of the home tenant, their own for others. */
  list_tenants: {
    method: "GET";
    url: "/v1/tenants";
    path: {};
    query: { page_size?: number; page_token?: string };
    body: never;
    result: TenantsView;
  };
  /** Returns a tenant. */
  get_tenant: {
    method: "GET";
    url: "/v1/tenants/{tenant}";
    path: { tenant: string };
    query: {};
    body: never;
    result: OneTenantView;
  };
  /** Creates or changes a tenant. Only for admins of the home tenant. */
  put_tenant: {
    method: "PUT";
    url: "/v1/tenants/{tenant}";
    path: { tenant: string };
    query: {};
    body: TenantBody;
    result: OneTenantView;
  };
  /** Lists users. */
  list_users: {
    method: "GET";
    url: "/v1/users";
    path: {};
    query: { page_size?: number; page_token?: string; tenant?: string };
    body: never;
    result: UsersView;
  };
  /** Returns a user. */
  get_user: {
    method: "GET";
    url: "/v1/users/{user_id}";
    path: { user_id: string };
    query: { tenant?: string };
    body: never;
    result: OneUserView;
  };
  /** Creates or replaces a user; what it may do holds everywhere within five seconds. */
  put_user: {
    method: "PUT";
    url: "/v1/users/{user_id}";
    path: { user_id: string };
    query: { tenant?: string };
    body: UserBody;
    result: OneUserView;
  };
  /** Deletes a user; keys of it are refused. To keep tokens out, disable the user instead. */
  delete_user: {
    method: "DELETE";
    url: "/v1/users/{user_id}";
    path: { user_id: string };
    query: { tenant?: string };
    body: never;
    result: void;
  };
  /** Lists groups. */
  list_groups: {
    method: "GET";
    url: "/v1/groups";
    path: {};
    query: { page_size?: number; page_token?: string; tenant?: string };
    body: never;
    result: GroupsView;
  };
  /** Returns a group. */
  get_group: {
    method: "GET";
    url: "/v1/groups/{group}";
    path: { group: string };
    query: { tenant?: string };
    body: never;
    result: OneGroupView;
  };
  /** Creates or replaces a group; its members stay. */
  put_group: {
    method: "PUT";
    url: "/v1/groups/{group}";
    path: { group: string };
    query: { tenant?: string };
    body: GroupBody;
    result: OneGroupView;
  };
  /** Deletes a group. */
  delete_group: {
    method: "DELETE";
    url: "/v1/groups/{group}";
    path: { group: string };
    query: { tenant?: string };
    body: never;
    result: void;
  };
  /** Lists roles, and the operations they are made of. */
  list_roles: {
    method: "GET";
    url: "/v1/roles";
    path: {};
    query: { tenant?: string };
    body: never;
    result: RolesView;
  };
  /** Returns a role. */
  get_role: {
    method: "GET";
    url: "/v1/roles/{role}";
    path: { role: string };
    query: { tenant?: string };
    body: never;
    result: OneRoleView;
  };
  /** Creates or replaces a role of the tenant. */
  put_role: {
    method: "PUT";
    url: "/v1/roles/{role}";
    path: { role: string };
    query: { tenant?: string };
    body: RoleBody;
    result: OneRoleView;
  };
  /** Deletes a role that nobody has. */
  delete_role: {
    method: "DELETE";
    url: "/v1/roles/{role}";
    path: { role: string };
    query: { tenant?: string };
    body: never;
    result: void;
  };
  /** Lists entries, newest first. */
  list_audit: {
    method: "GET";
    url: "/v1/audit";
    path: {};
    query: { page_size?: number; page_token?: string; tenant?: string; of_installation?: boolean; actor?: string; action?: string; outcome?: string; subject?: string; from_time?: string; to_time?: string };
    body: never;
    result: AuditEntriesView;
  };
  /** Returns a chain, one entry a line: `body` is the text that `hash` covers. */
  export_audit: {
    method: "GET";
    url: "/v1/audit/export";
    path: {};
    query: { tenant?: string; of_installation?: boolean };
    body: never;
    result: string;
  };
  /** Checks a chain and names its first broken link. */
  verify_audit: {
    method: "GET";
    url: "/v1/audit/verify";
    path: {};
    query: { tenant?: string; of_installation?: boolean; after?: string };
    body: never;
    result: AuditReportView;
  };
  /** Returns what was used, by day and operation or by other dimensions. */
  get_usage: {
    method: "GET";
    url: "/v1/usage";
    path: {};
    query: { tenant?: string; from_day?: string; to_day?: string; user?: string; key_id?: string; collection?: string; operation?: string; group_by?: string; format?: "" | "json" | "csv" };
    body: never;
    result: UsageRowsView | string;
  };
  /** Lists single metered requests, the latest first, for as long as they are kept. */
  list_usage_events: {
    method: "GET";
    url: "/v1/usage/events";
    path: {};
    query: { tenant?: string; from_day?: string; to_day?: string; user?: string; key_id?: string; collection?: string; operation?: string; page_size?: number; page_token?: string };
    body: never;
    result: UsageEventsView;
  };
  /** Lists budgets that ran low and days out of the ordinary, the latest first. */
  list_usage_alerts: {
    method: "GET";
    url: "/v1/usage/alerts";
    path: {};
    query: { tenant?: string };
    body: never;
    result: UsageAlertsView;
  };
  /** Compares the sums with the single requests. */
  check_usage: {
    method: "GET";
    url: "/v1/usage/check";
    path: {};
    query: { tenant?: string };
    body: never;
    result: UsageCheckView;
  };
  /** Returns the limits that hold and how far they are used. */
  get_limits: {
    method: "GET";
    url: "/v1/limits";
    path: {};
    query: { tenant?: string; user?: string; key_id?: string };
    body: never;
    result: LimitsView;
  };
  /** Lists the limits that were set for a tenant, and those of tiers. */
  list_limits: {
    method: "GET";
    url: "/v1/limits/rules";
    path: {};
    query: { tenant?: string };
    body: never;
    result: LimitRulesView;
  };
  /** Sets a limit in place of the one that was there; it holds within five seconds. */
  set_limit: {
    method: "PUT";
    url: "/v1/limits/rules";
    path: {};
    query: {};
    body: RuleBody;
    result: LimitRuleView;
  };
  /** Removes a limit that was set: the wider one holds again. */
  delete_limit: {
    method: "DELETE";
    url: "/v1/limits/rules";
    path: {};
    query: { tenant?: string; subject: string; resource: string; period: string; tier?: string; subject_id?: string };
    body: never;
    result: void;
  };
  /** Lists a model for each collection, the embedding models and the generation models. */
  openai_list_models: {
    method: "GET";
    url: "/openai/v1/models";
    path: {};
    query: {};
    body: never;
    result: ModelsView;
  };
  /** Returns a model. */
  openai_get_model: {
    method: "GET";
    url: "/openai/v1/models/{name}";
    path: { name: string };
    query: {};
    body: never;
    result: ModelView;
  };
  /** Embeds texts. */
  openai_create_embedding: {
    method: "POST";
    url: "/openai/v1/embeddings";
    path: {};
    query: {};
    body: EmbeddingsBody;
    result: EmbeddingsView;
  };
  /** Answers the last message: from a collection with `citations`, or by a model alone. */
  openai_create_chat_completion: {
    method: "POST";
    url: "/openai/v1/chat/completions";
    path: {};
    query: {};
    body: ChatBody;
    result: ChatCompletionView | {
      event?: string;
      data: string;
    };
  };
  /** Answers: with file_search from a vector store, else as the model's name says. */
  openai_create_response: {
    method: "POST";
    url: "/openai/v1/responses";
    path: {};
    query: {};
    body: ResponseBody;
    result: ResponseView | {
      event?: string;
      data: string;
    };
  };
  /** Lists the caller's files; operators see everybody's. */
  openai_list_files: {
    method: "GET";
    url: "/openai/v1/files";
    path: {};
    query: { limit?: number; order?: "asc" | "desc"; after?: string; purpose?: string };
    body: never;
    result: FilesView;
  };
  /** Keeps a file of 64 MB at most, for its sender to add to vector stores. */
  openai_create_file: {
    method: "POST";
    url: "/openai/v1/files";
    path: {};
    query: {};
    body: {
      file: Blob | string;
      purpose: "assistants" | "user_data" | "batch" | "fine-tune" | "vision" | "evals";
      "expires_after[anchor]"?: "created_at";
      "expires_after[seconds]"?: string;
    };
    result: FileView;
  };
  /** Returns a file without its bytes. */
  openai_get_file: {
    method: "GET";
    url: "/openai/v1/files/{file_id}";
    path: { file_id: string };
    query: {};
    body: never;
    result: FileView;
  };
  /** Deletes a file; documents that were made of it stay in their vector stores. */
  openai_delete_file: {
    method: "DELETE";
    url: "/openai/v1/files/{file_id}";
    path: { file_id: string };
    query: {};
    body: never;
    result: DeletedObjectView;
  };
  /** Returns a file's bytes. */
  openai_get_file_content: {
    method: "GET";
    url: "/openai/v1/files/{file_id}/content";
    path: { file_id: string };
    query: {};
    body: never;
    result: Blob | string;
  };
  /** Lists the tenant's collections as vector stores. */
  openai_list_vector_stores: {
    method: "GET";
    url: "/openai/v1/vector_stores";
    path: {};
    query: { limit?: number; order?: "asc" | "desc"; after?: string };
    body: never;
    result: VectorStoresView;
  };
  /** Creates a vector store: a collection with the default embedding model. */
  openai_create_vector_store: {
    method: "POST";
    url: "/openai/v1/vector_stores";
    path: {};
    query: {};
    body: NewStoreBody;
    result: VectorStoreView;
  };
  /** Returns a vector store with its figures. */
  openai_get_vector_store: {
    method: "GET";
    url: "/openai/v1/vector_stores/{store_id}";
    path: { store_id: string };
    query: {};
    body: never;
    result: VectorStoreView;
  };
  /** Changes name and metadata. */
  openai_update_vector_store: {
    method: "POST";
    url: "/openai/v1/vector_stores/{store_id}";
    path: { store_id: string };
    query: {};
    body: UpdateStoreBody;
    result: VectorStoreView;
  };
  /** Deletes a vector store with everything in it; the files stay. */
  openai_delete_vector_store: {
    method: "DELETE";
    url: "/openai/v1/vector_stores/{store_id}";
    path: { store_id: string };
    query: {};
    body: never;
    result: DeletedObjectView;
  };
  /** Finds passages, best first; `score` lies between 0 and 1 and compares within a search. */
  openai_search_vector_store: {
    method: "POST";
    url: "/openai/v1/vector_stores/{store_id}/search";
    path: { store_id: string };
    query: {};
    body: SearchStoreBody;
    result: SearchPageView;
  };
  /** Lists the documents of a collection that the caller may see. */
  openai_list_vector_store_files: {
    method: "GET";
    url: "/openai/v1/vector_stores/{store_id}/files";
    path: { store_id: string };
    query: { limit?: number; order?: "asc" | "desc"; after?: string; filter?: "" | "in_progress" | "completed" | "failed" | "cancelled" };
    body: never;
    result: VectorStoreFilesView;
  };
  /** Takes a kept file in. */
  openai_create_vector_store_file: {
    method: "POST";
    url: "/openai/v1/vector_stores/{store_id}/files";
    path: { store_id: string };
    query: {};
    body: NewStoreFileBody;
    result: VectorStoreFileView;
  };
  /** Takes several kept files in; a bad one fails alone. */
  openai_create_file_batch: {
    method: "POST";
    url: "/openai/v1/vector_stores/{store_id}/file_batches";
    path: { store_id: string };
    query: {};
    body: NewBatchBody;
    result: FileBatchView;
  };
  /** Returns a batch and how far its files are. */
  openai_get_file_batch: {
    method: "GET";
    url: "/openai/v1/vector_stores/{store_id}/file_batches/{batch_id}";
    path: { store_id: string; batch_id: string };
    query: {};
    body: never;
    result: FileBatchView;
  };
  /** Takes back what is not taken in yet. */
  openai_cancel_file_batch: {
    method: "POST";
    url: "/openai/v1/vector_stores/{store_id}/file_batches/{batch_id}/cancel";
    path: { store_id: string; batch_id: string };
    query: {};
    body: never;
    result: FileBatchView;
  };
  /** Lists the files of a batch. */
  openai_list_file_batch_files: {
    method: "GET";
    url: "/openai/v1/vector_stores/{store_id}/file_batches/{batch_id}/files";
    path: { store_id: string; batch_id: string };
    query: { limit?: number; order?: "asc" | "desc"; after?: string; filter?: "" | "in_progress" | "completed" | "failed" | "cancelled" };
    body: never;
    result: VectorStoreFilesView;
  };
  /** Returns the text that citations refer to. */
  openai_get_vector_store_file_content: {
    method: "GET";
    url: "/openai/v1/vector_stores/{store_id}/files/{file_id}/content";
    path: { store_id: string; file_id: string };
    query: {};
    body: never;
    result: FileTextView;
  };
  /** Returns a file and how far it is. */
  openai_get_vector_store_file: {
    method: "GET";
    url: "/openai/v1/vector_stores/{store_id}/files/{file_id}";
    path: { store_id: string; file_id: string };
    query: {};
    body: never;
    result: VectorStoreFileView;
  };
  /** Takes a file out; the kept file stays. */
  openai_delete_vector_store_file: {
    method: "DELETE";
    url: "/openai/v1/vector_stores/{store_id}/files/{file_id}";
    path: { store_id: string; file_id: string };
    query: {};
    body: never;
    result: DeletedObjectView;
  };
  /** Returns health, load, queue, caches, cost and latency of this gateway. */
  get_operations: {
    method: "GET";
    url: "/v1/operations";
    path: {};
    query: {};
    body: never;
    result: OverviewView;
  };
  /** Returns the tenant's last requests at this gateway with their steps. */
  list_recent_traces: {
    method: "GET";
    url: "/v1/operations/traces";
    path: {};
    query: { limit?: number };
    body: never;
    result: RequestTracesView;
  };
  /** Says that the process is alive. */
  healthz: {
    method: "GET";
    url: "/healthz";
    path: {};
    query: {};
    body: never;
    result: HealthView;
  };
  /** Says whether requests should come here, and names what is not ready. */
  readyz: {
    method: "GET";
    url: "/readyz";
    path: {};
    query: {};
    body: never;
    result: ReadyView;
  };
}
