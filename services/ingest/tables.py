"""The tables of session truth, each keyed by its user first; `seq` is the last change."""

from shared.table import Table


DDL = """
CREATE TABLE IF NOT EXISTS session (
  user_id uuid NOT NULL,
  id uuid NOT NULL,
  external_id text NOT NULL,
  seq bigint NOT NULL,
  -- what the client said
  title text, project_path text, project_name text, model text, provider text,
  source text, prompt_tokens bigint, completion_tokens bigint,
  cache_read_tokens bigint, cache_write_tokens bigint, reasoning_tokens bigint,
  cost double precision, duration_ms bigint, message_count bigint,
  tool_call_count bigint, end_reason text, created_at bigint, extra jsonb,
  duration_told_at bigint, end_told_at bigint, is_title_echo boolean NOT NULL,
  -- what a person decided
  renamed text, slug text,
  -- what its messages add up to
  first_event_at bigint NOT NULL, last_event_at bigint NOT NULL,
  messages bigint NOT NULL, tool_calls bigint NOT NULL,
  sum_prompt bigint NOT NULL, sum_completion bigint NOT NULL,
  sum_cache_read bigint NOT NULL, sum_cache_write bigint NOT NULL,
  sum_reasoning bigint NOT NULL, sum_cost double precision NOT NULL,
  first_message_at bigint, last_message_at bigint,
  last_model text, last_provider text,
  last_model_at bigint, last_model_seq bigint,
  first_text text, first_text_at bigint, first_text_seq bigint, first_text_id uuid,
  languages jsonb NOT NULL,
  -- what a reader sees and sorts by
  shown_title text, shown_project text, shown_model text, shown_provider text,
  shown_source text NOT NULL, shown_tokens bigint NOT NULL,
  shown_cost double precision NOT NULL, shown_duration bigint NOT NULL,
  shown_created bigint NOT NULL,
  PRIMARY KEY (user_id, id)
) WITH (fillfactor = 80);

CREATE TABLE IF NOT EXISTS message (
  user_id uuid NOT NULL,
  session_id uuid NOT NULL,
  id uuid NOT NULL,
  external_id text NOT NULL,
  seq bigint NOT NULL,
  first_seq bigint NOT NULL,
  role text NOT NULL,
  model text, provider text, source text,
  prompt_tokens bigint, completion_tokens bigint, cache_read_tokens bigint,
  cache_write_tokens bigint, reasoning_tokens bigint, cost double precision,
  duration_ms bigint,
  created_at bigint NOT NULL,
  is_time_given boolean NOT NULL,
  tool_calls bigint NOT NULL,
  text_title text,
  part_title text,
  text_languages jsonb NOT NULL,
  part_languages jsonb NOT NULL,
  PRIMARY KEY (user_id, session_id, id)
);
CREATE INDEX IF NOT EXISTS message_order
  ON message (user_id, session_id, created_at, first_seq);

CREATE TABLE IF NOT EXISTS message_body (
  user_id uuid NOT NULL,
  session_id uuid NOT NULL,
  id uuid NOT NULL,
  seq bigint NOT NULL,
  text_content text,
  extra jsonb,
  PRIMARY KEY (user_id, session_id, id)
);

CREATE TABLE IF NOT EXISTS part (
  user_id uuid NOT NULL,
  session_id uuid NOT NULL,
  message_id uuid NOT NULL,
  index int NOT NULL,
  seq bigint NOT NULL,
  type text NOT NULL,
  tool_name text,
  call_id text,
  is_result boolean NOT NULL,
  content jsonb NOT NULL,
  PRIMARY KEY (user_id, session_id, message_id, index)
);

CREATE TABLE IF NOT EXISTS user_tombstone (
  user_id uuid PRIMARY KEY,
  seq bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS tombstone (
  user_id uuid NOT NULL,
  session_id uuid NOT NULL,
  seq bigint NOT NULL,
  PRIMARY KEY (user_id, session_id)
);
"""

INDEXES = """
CREATE INDEX IF NOT EXISTS session_updated ON session (user_id, last_event_at, id);
CREATE INDEX IF NOT EXISTS session_created ON session (user_id, shown_created, id);
CREATE INDEX IF NOT EXISTS session_tokens ON session (user_id, shown_tokens, id);
CREATE INDEX IF NOT EXISTS session_cost ON session (user_id, shown_cost, id);
CREATE INDEX IF NOT EXISTS session_duration ON session (user_id, shown_duration, id);
CREATE UNIQUE INDEX IF NOT EXISTS session_slug ON session (slug) WHERE slug IS NOT NULL;
CREATE INDEX IF NOT EXISTS part_call
  ON part (user_id, session_id, call_id) WHERE call_id IS NOT NULL;
"""

SESSION = Table(
    "session",
    {
        "user_id": "uuid",
        "id": "uuid",
        "external_id": "text",
        "seq": "bigint",
        "title": "text",
        "project_path": "text",
        "project_name": "text",
        "model": "text",
        "provider": "text",
        "source": "text",
        "prompt_tokens": "bigint",
        "completion_tokens": "bigint",
        "cache_read_tokens": "bigint",
        "cache_write_tokens": "bigint",
        "reasoning_tokens": "bigint",
        "cost": "double precision",
        "duration_ms": "bigint",
        "message_count": "bigint",
        "tool_call_count": "bigint",
        "end_reason": "text",
        "created_at": "bigint",
        "extra": "jsonb",
        "duration_told_at": "bigint",
        "end_told_at": "bigint",
        "is_title_echo": "boolean",
        "renamed": "text",
        "slug": "text",
        "first_event_at": "bigint",
        "last_event_at": "bigint",
        "messages": "bigint",
        "tool_calls": "bigint",
        "sum_prompt": "bigint",
        "sum_completion": "bigint",
        "sum_cache_read": "bigint",
        "sum_cache_write": "bigint",
        "sum_reasoning": "bigint",
        "sum_cost": "double precision",
        "first_message_at": "bigint",
        "last_message_at": "bigint",
        "last_model": "text",
        "last_provider": "text",
        "last_model_at": "bigint",
        "last_model_seq": "bigint",
        "first_text": "text",
        "first_text_at": "bigint",
        "first_text_seq": "bigint",
        "first_text_id": "uuid",
        "languages": "jsonb",
        "shown_title": "text",
        "shown_project": "text",
        "shown_model": "text",
        "shown_provider": "text",
        "shown_source": "text",
        "shown_tokens": "bigint",
        "shown_cost": "double precision",
        "shown_duration": "bigint",
        "shown_created": "bigint",
    },
    key=("user_id", "id"),
)

MESSAGE = Table(
    "message",
    {
        "user_id": "uuid",
        "session_id": "uuid",
        "id": "uuid",
        "external_id": "text",
        "seq": "bigint",
        "first_seq": "bigint",
        "role": "text",
        "model": "text",
        "provider": "text",
        "source": "text",
        "prompt_tokens": "bigint",
        "completion_tokens": "bigint",
        "cache_read_tokens": "bigint",
        "cache_write_tokens": "bigint",
        "reasoning_tokens": "bigint",
        "cost": "double precision",
        "duration_ms": "bigint",
        "created_at": "bigint",
        "is_time_given": "boolean",
        "tool_calls": "bigint",
        "text_title": "text",
        "part_title": "text",
        "text_languages": "jsonb",
        "part_languages": "jsonb",
    },
    key=("user_id", "session_id", "id"),
)

MESSAGE_BODY = Table(
    "message_body",
    {
        "user_id": "uuid",
        "session_id": "uuid",
        "id": "uuid",
        "seq": "bigint",
        "text_content": "text",
        "extra": "jsonb",
    },
    key=("user_id", "session_id", "id"),
    keep=("text_content", "extra"),
)

PART = Table(
    "part",
    {
        "user_id": "uuid",
        "session_id": "uuid",
        "message_id": "uuid",
        "index": "int",
        "seq": "bigint",
        "type": "text",
        "tool_name": "text",
        "call_id": "text",
        "is_result": "boolean",
        "content": "jsonb",
    },
    key=("user_id", "session_id", "message_id", "index"),
)

TOMBSTONE = Table(
    "tombstone",
    {"user_id": "uuid", "session_id": "uuid", "seq": "bigint"},
    key=("user_id", "session_id"),
)

USER_TOMBSTONE = Table(
    "user_tombstone",
    {"user_id": "uuid", "seq": "bigint"},
    key=("user_id",),
)
