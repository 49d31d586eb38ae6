"""What one service asks of another, and the shapes of the answers.

Questions change nothing and go to `q.<service>.<question>`; commands ask for a
decision and go to `cmd.<service>.<verb>`. Every request names its user, and every
answer about sessions is already in the form the HTTP API gives: the gateway hands
its bytes on. Absent optional values are omitted.
"""

from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

from shared import subjects


SERVICES = ("gateway", "ingest")
"""Every service that has a projection; each answers the operator's requests."""


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something one service asks another."""

    kind: ClassVar[str]
    service: ClassVar[str]
    """Who answers; requests that every service answers have none of their own."""
    reply: ClassVar[Any]

    @classmethod
    def subject(cls, service: str | None = None) -> str:
        return subjects.request(cls.kind, service or cls.service, cls.__name__)


class Question(Request, frozen=True, kw_only=True, omit_defaults=True):
    """Asks for what a projection holds.

    `after` maps partitions to log sequences: the answer waits, at most two seconds,
    until the projection has passed them, so that writers read their own writes.
    """

    kind: ClassVar[str] = "q"
    after: dict[int, int] = {}


class Command(Request, frozen=True, kw_only=True, omit_defaults=True):
    """Asks for a decision; deciding twice is deciding once."""

    kind: ClassVar[str] = "cmd"
    correlation_id: str = ""


class Answer(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """A shape of the HTTP API."""


Sort = Literal["updated", "created", "tokens", "cost", "duration"]
Order = Literal["desc", "asc"]


class SessionSummary(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """One session without its messages.

    `derived` names the fields the client did not give and we worked out.
    Tokens are counts, `cost` is US dollars, times are milliseconds since the epoch.
    """

    id: str
    external_id: str
    title: str | None = None
    project_path: str | None = None
    project_name: str | None = None
    model: str | None = None
    provider: str | None = None
    source: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float
    duration_ms: int | None = None
    is_public: bool
    public_slug: str | None = None
    message_count: int
    tool_call_count: int
    client_message_count: int | None = None
    client_tool_call_count: int | None = None
    end_reason: str | None = None
    language: str | None = None
    created_at: int
    updated_at: int
    first_message_at: int | None = None
    last_message_at: int | None = None
    seq: int
    derived: list[str]
    extra: dict[str, Any] | None = None


class PartView(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A piece of a message; a tool call and its result share a `callId`."""

    type: str
    content: Any
    tool_name: str | None = None
    call_id: str | None = None
    paired_message_id: str | None = None
    """The message that holds the other half of this call or result."""


class MessageView(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """One message with its parts."""

    id: str
    external_id: str
    role: str
    text_content: str | None = None
    model: str | None = None
    provider: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    duration_ms: int | None = None
    created_at: int
    seq: int
    parts: list[PartView]
    derived: list[str]
    extra: dict[str, Any] | None = None


class SessionPage(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """Sessions in the order asked for; `nextCursor` is absent on the last page."""

    sessions: list[SessionSummary]
    next_cursor: str | None = None


class SessionDetail(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """A session and a page of its messages, oldest first."""

    session: SessionSummary
    messages: list[MessageView]
    next_cursor: str | None = None


class PublicSession(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """What a stranger sees: secrets masked, no absolute path, no client ids."""

    title: str | None = None
    project_name: str | None = None
    model: str | None = None
    provider: str | None = None
    source: str
    total_tokens: int
    message_count: int
    created_at: int
    updated_at: int
    messages: list[dict[str, Any]]
    next_cursor: str | None = None


class ExternalIds(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """The clients' own ids of a user's sessions."""

    session_ids: list[str]
    next_cursor: str | None = None


class ModelUsage(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What one model was used for."""

    tokens: int
    cost: float
    sessions: int


class Stats(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A user's totals."""

    session_count: int
    message_count: int
    total_tokens: int
    total_cost: float
    total_duration_ms: int
    model_usage: dict[str, ModelUsage]


class Decided(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A decision was made, or had been made before; `seq` is its place in the log."""

    ok: bool = msgspec.field(default_factory=lambda: True)  # so that it is written
    id: str
    seq: int
    slug: str | None = None


class StoreReceipt(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """What one store held of something erased, and what is left of it there."""

    store: str
    removed: int
    remains: int
    note: str | None = None


class Receipt(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Something is gone for good: what, when, and from which stores."""

    ok: bool = True
    what: str
    id: str
    seq: int
    """The place in the log of the fact that it was erased."""
    erased_at: int
    stores: list[StoreReceipt]


class ListSessions(Question, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = SessionPage
    user: UUID
    limit: int = 50
    cursor: str | None = None
    source: str | None = None
    model: str | None = None
    provider: str | None = None
    project: str | None = None
    since: int | None = None
    until: int | None = None
    is_public: bool | None = None
    sort: Sort = "updated"
    order: Order = "desc"


class GetSession(Question, frozen=True, kw_only=True, omit_defaults=True):
    """`id` is ours or the client's; `limit` counts messages."""

    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = SessionDetail
    user: UUID
    id: str
    limit: int = 200
    cursor: str | None = None


class GetPublicSession(Question, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = PublicSession
    slug: str
    limit: int = 200
    cursor: str | None = None


class ListExternalIds(Question, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = ExternalIds
    user: UUID
    limit: int = 50_000
    cursor: str | None = None


class GetStats(Question, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = Stats
    user: UUID


class RenameSession(Command, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = Decided
    user: UUID
    id: str
    title: str


class ShareSession(Command, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = Decided
    user: UUID
    id: str


class UnshareSession(Command, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = Decided
    user: UUID
    id: str


class DeleteSession(Command, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "ingest"
    reply: ClassVar[Any] = Decided
    user: UUID
    id: str


class Holdings(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How many rows each table of a service has of a user, or of one session."""

    rows: dict[str, int]


class AskHoldings(Question, frozen=True, kw_only=True, omit_defaults=True):
    """Every service answers this."""

    reply: ClassVar[Any] = Holdings
    user: UUID
    session: UUID | None = None


class EraseUser(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Erase a user and everything that was theirs, in every store."""

    service: ClassVar[str] = "gateway"
    reply: ClassVar[Any] = Receipt
    user: UUID


Scope = Literal["sync", "read", "export", "admin"]
SCOPES: tuple[Scope, ...] = ("sync", "read", "export", "admin")


class KeyView(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A key as its owner may see it; the key itself is shown once, when issued."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None
    revoked_at: int | None = None


class KeyList(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    keys: list[KeyView]


class IssuedKey(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A new key: `key` is shown here and never again."""

    id: str
    key: str
    name: str
    prefix: str
    scopes: list[str]
    expires_at: int | None = None
    seq: int


class UserView(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    id: str
    name: str
    email: str | None = None
    created_at: int


class UserList(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    users: list[UserView]


class ListKeys(Question, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "gateway"
    reply: ClassVar[Any] = KeyList
    user: UUID


class ListUsers(Question, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "gateway"
    reply: ClassVar[Any] = UserList


class GetUser(Question, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "gateway"
    reply: ClassVar[Any] = UserView
    user: UUID


class RegisterUser(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Names are unique here; registering one again changes nothing."""

    service: ClassVar[str] = "gateway"
    reply: ClassVar[Any] = Decided
    name: str
    email: str | None = None


class IssueApiKey(Command, frozen=True, kw_only=True, omit_defaults=True):
    """`key` is only given where an operator must choose it; it is random otherwise."""

    service: ClassVar[str] = "gateway"
    reply: ClassVar[Any] = IssuedKey
    user: UUID
    name: str
    scopes: tuple[Scope, ...] = SCOPES
    expires_at: int | None = None
    key: str | None = None


class RevokeApiKey(Command, frozen=True, kw_only=True, omit_defaults=True):
    service: ClassVar[str] = "gateway"
    reply: ClassVar[Any] = Decided
    user: UUID
    key_id: UUID


class Ready(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A service answers, and how far its projection is."""

    service: str
    seq: int
    """The last event of the log that this projection has applied, at its slowest."""
    lag: int
    """Events in the log that it has not applied yet."""
    workers: int
    dead_letters: int
    blocked_sessions: int


class AskReady(Question, frozen=True, kw_only=True, omit_defaults=True):
    """Every service answers this."""

    reply: ClassVar[Any] = Ready


class LaneView(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One partition of a projection."""

    partition: int
    seq: int
    lag: int
    worker: str | None = None
    lag_s: float = 0.0
    """Age of the lane's oldest event that is not applied yet, in seconds."""
    dead_letters: int = 0
    blocked_sessions: int = 0


class Progress(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How far a projection is, lane by lane."""

    projection: str
    seq: int
    lag: int
    lag_s: float
    """Age of the oldest event that is not applied yet, in seconds."""
    workers: int
    dead_letters: int
    blocked_sessions: int
    lanes: list[LaneView]


class AskProgress(Question, frozen=True, kw_only=True, omit_defaults=True):
    """Every service answers this."""

    reply: ClassVar[Any] = Progress


class DeadLetterView(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """A parked event; without an error it waits behind the one that failed."""

    projection: str
    seq: int
    type: str
    user: str | None = None
    session: str | None = None
    since: int
    """When the event was written, milliseconds since the epoch."""
    error: str | None = None


class DeadLetters(
    Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    letters: list[DeadLetterView]


class ListDeadLetters(Question, frozen=True, kw_only=True, omit_defaults=True):
    """Every service answers this, oldest first."""

    reply: ClassVar[Any] = DeadLetters
    limit: int = 200
    from_seq: int = 0


class Retried(Answer, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What came of a retry: how many parked events were applied, how many still wait."""

    applied: int
    remaining: int
    error: str | None = None


class RetryDeadLetter(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Apply the parked events of the session that this one blocks, in order.

    `skip` leaves the event itself out for good. Every service answers this.
    """

    reply: ClassVar[Any] = Retried
    seq: int
    skip: bool = False
