"""What readers get of the rows: the API's shapes, with what we derived named as such. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from services.ingest.message import Message
from services.ingest.session import Session, duration, is_stale, primary_language
from shared.masking import masked
from shared.requests import MessageView, PartView, PublicSession, SessionSummary


def summary(row: Session) -> SessionSummary:
    """Show a session; the client's word first, ours where there is none."""
    prompt = row.prompt_tokens or row.sum_prompt
    completion = row.completion_tokens or row.sum_completion
    length = duration(row)
    return SessionSummary(
        id=str(row.id),
        external_id=row.external_id,
        title=row.shown_title,
        project_path=row.project_path,
        project_name=row.shown_project,
        model=row.shown_model,
        provider=row.shown_provider,
        source=row.shown_source,
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cache_read_tokens=row.cache_read_tokens or row.sum_cache_read or None,
        cache_write_tokens=row.cache_write_tokens or row.sum_cache_write or None,
        reasoning_tokens=row.reasoning_tokens or row.sum_reasoning or None,
        cost=row.shown_cost,
        duration_ms=length,
        is_public=row.slug is not None,
        public_slug=row.slug,
        message_count=row.messages,
        tool_call_count=row.tool_calls or row.tool_call_count or 0,
        client_message_count=row.message_count,
        client_tool_call_count=row.tool_call_count,
        end_reason=None if is_stale(row.end_told_at, row) else row.end_reason,
        language=primary_language(row),
        created_at=row.shown_created,
        updated_at=row.last_event_at,
        first_message_at=row.first_message_at,
        last_message_at=row.last_message_at,
        seq=row.seq,
        derived=derived(row, length),
        extra=row.extra,
    )


def derived(row: Session, length: int | None) -> list[str]:
    """Name the fields of a summary that no client and no person gave."""
    facts = {
        "title": row.shown_title is not None
        and row.shown_title not in (row.renamed, row.title),
        "projectName": row.shown_project is not None and row.project_name is None,
        "model": row.shown_model is not None and row.model is None,
        "provider": row.shown_provider is not None and row.provider is None,
        "source": row.source is None,
        "promptTokens": not row.prompt_tokens and row.sum_prompt > 0,
        "completionTokens": not row.completion_tokens and row.sum_completion > 0,
        "cacheReadTokens": not row.cache_read_tokens and row.sum_cache_read > 0,
        "cacheWriteTokens": not row.cache_write_tokens and row.sum_cache_write > 0,
        "reasoningTokens": not row.reasoning_tokens and row.sum_reasoning > 0,
        "cost": not row.cost and row.sum_cost > 0,
        "durationMs": length is not None and length != row.duration_ms,
        "messageCount": True,
        "toolCallCount": row.tool_calls > 0,
        "language": bool(row.languages),
        "createdAt": row.created_at is None,
    }
    return [name for name, is_derived in facts.items() if is_derived]


def message_view(
    row: Message,
    *,
    text: str | None,
    extra: dict[str, Any] | None,
    parts: Sequence[PartView],
) -> MessageView:
    return MessageView(
        id=str(row.id),
        external_id=row.external_id,
        role=row.role,
        text_content=text,
        model=row.model,
        provider=row.provider,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cache_read_tokens=row.cache_read_tokens,
        cache_write_tokens=row.cache_write_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost=row.cost,
        duration_ms=row.duration_ms,
        created_at=row.created_at,
        seq=row.seq,
        parts=list(parts),
        derived=[] if row.is_time_given else ["createdAt"],
        extra=extra,
    )


Halves = Mapping[tuple[str, bool], UUID]
"""Where in a session a call id's call (False) and result (True) are."""


def part_view(
    type_: str,
    content: Any,
    *,
    tool_name: str | None,
    call_id: str | None,
    is_result: bool,
    halves: Halves,
) -> PartView:
    """Show a part; half of a tool call says where the other half is."""
    other = halves.get((call_id, not is_result)) if call_id else None
    return PartView(
        type=type_,
        content=content,
        tool_name=tool_name,
        call_id=call_id,
        paired_message_id=str(other) if other else None,
    )


def public(
    row: Session, messages: Sequence[MessageView], next_cursor: str | None
) -> PublicSession:
    """Show a session to a stranger: masked, without client ids and without notes."""
    shown = summary(row)
    return PublicSession(
        title=masked(shown.title),
        project_name=masked(shown.project_name),
        model=masked(shown.model),
        provider=masked(shown.provider),
        source=masked(shown.source),
        total_tokens=shown.total_tokens,
        message_count=shown.message_count,
        created_at=shown.created_at,
        updated_at=shown.updated_at,
        messages=[_public_message(message) for message in messages],
        next_cursor=next_cursor,
    )


def _public_message(message: MessageView) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": message.id,
        "role": message.role,
        "createdAt": message.created_at,
        "parts": [
            {"type": masked(part.type), "content": masked(part.content)}
            | ({"toolName": masked(part.tool_name)} if part.tool_name else {})
            for part in message.parts
        ],
    }
    if message.text_content is not None:
        shown["textContent"] = masked(message.text_content)
    if message.model is not None:
        shown["model"] = masked(message.model)
    return shown
