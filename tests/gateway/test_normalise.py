"""What clients send, however they spell it, becomes the same events."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.normalise import decode_body, message_synced, session_synced
from services.gateway.normalise.fields import MESSAGE, SESSION
from shared.errors import Invalid, Unprocessable
from shared.events import Event, MessageSynced, SessionSynced, encode


CAPTURES = sorted((Path(__file__).parent / "captures").glob("*.jsonl"))
AT = 1_769_076_000_000


def session(**sent: Any) -> SessionSynced:
    return session_synced({"externalId": "s", **sent})


def message(**sent: Any) -> MessageSynced:
    return message_synced({"sessionExternalId": "s", "externalId": "m", **sent})


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


class TestDecodeBody:
    def test_plain(self):
        assert decode_body('{"title": "Grüße 👋"}'.encode()) == {"title": "Grüße 👋"}

    @pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
    def test_a_number_that_is_not_finite_is_null(self, value: bytes):
        assert decode_body(b'{"a": [' + value + b"]}") == {"a": [None]}

    def test_half_a_surrogate_pair_is_replaced_in_values_as_in_keys(self):
        raw = rb'{"a\ud83d": ["x\ud83d", {"b": "\ude00\ud83d\ude00"}]}'
        assert decode_body(raw) == {"a\ufffd": ["x\ufffd", {"b": "\ufffd😀"}]}

    @pytest.mark.parametrize("digits", [30, 4000])
    def test_a_huge_integer_is_kept(self, digits: int):
        value = int("9" * digits)
        assert decode_body(b'{"a": %d}' % value) == {"a": value}

    def test_an_integer_beyond_reading_is_null(self):
        assert decode_body(b'{"a": ' + b"9" * 5000 + b"}") == {"a": None}

    def test_a_byte_order_mark_is_passed_over(self):
        assert decode_body(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{",
            b'{"a": 1} x',
            b'{"a": "\xff"}',
            b'{"a": "\xed\xa0\xbd"}',
            '{"a": 1}'.encode("utf-16"),
            b"[" * 100_000,
            nested(5000),
            nested(900),
            nested(201),
            nested(201).replace(b"1", b"NaN"),
        ],
    )
    def test_what_is_not_json_is_refused(self, raw: bytes):
        with pytest.raises(Invalid, match=r"^The body is not valid JSON[.:]"):
            decode_body(raw)

    @pytest.mark.parametrize("raw", [b"[]", b"null", b'"a"', b"1", b"NaN"])
    def test_what_is_not_an_object_is_refused(self, raw: bytes):
        with pytest.raises(Invalid, match="must be a JSON object"):
            decode_body(raw)

    def test_deep_but_reasonable_nesting_is_read(self):
        assert encode(decode_body(nested(200))) == nested(200)

    def test_many_shallow_objects_are_not_deep(self):
        body = {"messages": [{"parts": [{"type": "text"}]} for _ in range(500)]}
        assert decode_body(json.dumps(body).encode()) == body


class TestIds:
    @pytest.mark.parametrize(
        "key",
        ["externalId", "sessionId", "sessionID", "external_id", "session_id", "id"],
    )
    def test_a_session_is_named_by_any_alias(self, key: str):
        assert session_synced({key: "x"}) == SessionSynced(external_id="x")

    @pytest.mark.parametrize(
        "key",
        ["sessionExternalId", "sessionId", "session_external_id", "session_id"],
    )
    def test_a_message_names_its_session_by_any_alias(self, key: str):
        event = message_synced({key: "x", "id": "m"})
        assert event == MessageSynced(session_external_id="x", external_id="m")

    @pytest.mark.parametrize(
        "key", ["externalId", "messageId", "external_id", "message_id", "id"]
    )
    def test_a_message_is_named_by_any_alias(self, key: str):
        event = message_synced({"sessionId": "s", key: "x"})
        assert event == MessageSynced(session_external_id="s", external_id="x")

    def test_the_first_that_is_not_empty_wins(self):
        event = session_synced({"externalId": "", "sessionId": "b", "id": "c"})
        assert event == SessionSynced(external_id="b", extra={"id": "c"})

    @pytest.mark.parametrize(("sent", "kept"), [(7, "7"), (0, "0"), (1.5, "1.5")])
    def test_a_number_becomes_text(self, sent: float, kept: str):
        assert session_synced({"id": sent}).external_id == kept

    @pytest.mark.parametrize("sent", [{}, {"externalId": None}, {"sessionId": ""}])
    def test_a_session_without_one_is_refused(self, sent: dict[str, Any]):
        with pytest.raises(Invalid, match=r"^Missing externalId or sessionId$"):
            session_synced(sent)

    def test_a_message_without_its_session_is_refused(self):
        with pytest.raises(Invalid, match=r"^Missing sessionExternalId$"):
            message_synced({"externalId": "m"})

    def test_a_message_without_one_is_refused(self):
        with pytest.raises(Invalid, match=r"^Missing externalId$"):
            message_synced({"sessionExternalId": "s", "role": "user"})

    def test_an_id_may_have_1024_characters(self):
        assert session_synced({"id": "x" * 1024}).external_id == "x" * 1024

    @pytest.mark.parametrize("value", ["x" * 1025, True, ["x"], {"x": 1}, 10**1024])
    def test_an_id_that_makes_no_sense_is_named(self, value: Any):
        with pytest.raises(Unprocessable, match="sessionId"):
            session_synced({"sessionId": value})

    @pytest.mark.parametrize("item", [None, [], "x", 1])
    def test_only_objects_are_sessions_or_messages(self, item: Any):
        with pytest.raises(Invalid, match=r"^A session must be an object\.$"):
            session_synced(item)
        with pytest.raises(Invalid, match=r"^A message must be an object\.$"):
            message_synced(item)


class TestModel:
    @pytest.mark.parametrize(
        ("sent", "model", "provider"),
        [
            ({"providerID": "anthropic", "modelID": "opus"}, "opus", "anthropic"),
            ({"provider": "openai", "model": "gpt"}, "gpt", "openai"),
            ({"id": "opus", "name": "Opus"}, "opus", None),
            ({"name": "Opus"}, "Opus", None),
            ("opus", "opus", None),
            ("", None, None),
            ({}, None, None),
        ],
    )
    def test_text_or_object(self, sent: Any, model: str | None, provider: str | None):
        event = message(model=sent)
        assert (event.model, event.provider) == (model, provider)

    def test_what_the_object_says_besides_is_kept(self):
        event = session(model={"id": "opus", "name": "Opus"})
        assert event.extra == {"model": {"name": "Opus"}}

    def test_the_provider_beside_the_model_wins(self):
        assert session(model={"id": "m", "provider": "a"}, provider="b").provider == "b"


class TestNumbers:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [(0, 0), (12, 12), (1.6, 2), ("12", 12), (" 7.4 ", 7), (2**53, 2**53)],
    )
    def test_a_count_is_read(self, sent: Any, kept: int):
        count = session(promptTokens=sent).prompt_tokens
        assert (count, type(count)) == (kept, int)

    @pytest.mark.parametrize(
        "sent",
        [
            -1,
            -0.5,
            2**53 + 1,
            1e300,
            10**400,
            "9007199254740993",
            "nan",
            "inf",
            "many",
            "",
            "9" * 5000,
            True,
            False,
            [],
            [1],
            {},
            float("nan"),
            float("inf"),
        ],
    )
    @pytest.mark.parametrize("key", ["promptTokens", "duration_ms", "outputTokens"])
    def test_nonsense_is_named(self, key: str, sent: Any):
        with pytest.raises(Unprocessable, match=key):
            message(**{key: sent})

    @pytest.mark.parametrize(
        ("sent", "kept"), [(0, 0.0), (0.25, 0.25), ("0.25", 0.25), (10**20, 1e20)]
    )
    def test_a_cost_is_read(self, sent: Any, kept: float):
        cost = session(cost=sent).cost
        assert (cost, type(cost)) == (kept, float)

    @pytest.mark.parametrize("sent", [-0.01, True, "free", {}, 10**400, float("inf")])
    def test_a_cost_that_makes_no_sense_is_named(self, sent: Any):
        with pytest.raises(Unprocessable, match="cost"):
            message(cost=sent)

    def test_nested_nonsense_is_named_in_full(self):
        with pytest.raises(Unprocessable, match=r"^tokens\.cache\.read must be"):
            message(tokens={"cache": {"read": -1}})

    def test_a_complaint_is_short(self):
        with pytest.raises(Unprocessable) as caught:
            message(cost="x" * 1_000_000)
        assert len(str(caught.value)) < 150

    @pytest.mark.parametrize(
        ("field", "keys"),
        [
            ("prompt_tokens", "promptTokens inputTokens prompt_tokens input_tokens"),
            ("completion_tokens", "completionTokens outputTokens output_tokens"),
            ("cache_read_tokens", "cacheReadTokens cacheReadInputTokens"),
            ("cache_write_tokens", "cacheWriteTokens cacheCreationInputTokens"),
            ("cache_write_tokens", "cache_creation_input_tokens"),
            ("reasoning_tokens", "reasoningTokens reasoning_tokens"),
        ],
    )
    def test_token_aliases(self, field: str, keys: str):
        for key in keys.split():
            assert getattr(session(**{key: 5}), field) == 5
            assert message(**{key: 5}).extra is None

    def test_the_tokens_object_of_opencode(self):
        cache = {"read": 4, "write": 5}
        tokens = {"input": 1, "output": 2, "reasoning": 3, "cache": cache}
        assert message(tokens=tokens) == MessageSynced(
            session_external_id="s",
            external_id="m",
            prompt_tokens=1,
            completion_tokens=2,
            reasoning_tokens=3,
            cache_read_tokens=4,
            cache_write_tokens=5,
        )


class TestTimes:
    @pytest.mark.parametrize(
        "sent",
        [
            AT,
            AT / 1000,
            AT // 1000,
            str(AT),
            float(AT),
            "2026-01-22T10:00:00Z",
            "2026-01-22T10:00:00.000+00:00",
            "2026-01-22T11:00:00+01:00",
            "2026-01-22 10:00:00",
        ],
    )
    @pytest.mark.parametrize("key", ["createdAt", "created_at", "timestamp"])
    def test_a_time_is_milliseconds(self, key: str, sent: Any):
        assert session(**{key: sent}) == SessionSynced(external_id="s", created_at=AT)

    def test_the_time_object_of_opencode(self):
        event = message(time={"created": AT, "completed": AT + 5})
        assert event.created_at == AT
        assert event.extra == {"time": {"completed": AT + 5}}

    @pytest.mark.parametrize(
        "sent",
        [
            -1,
            1,
            True,
            "",
            "yesterday",
            [],
            {},
            1e18,
            float("nan"),
            10**400,
            "1989-12-31",
            "2200-01-01",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31",
        ],
    )
    def test_nonsense_is_named(self, sent: Any):
        with pytest.raises(Unprocessable, match="createdAt"):
            message(createdAt=sent)

    def test_zero_is_no_time(self):
        """
        A client that does not know the time sends 0, and loses no message by it.
        """
        assert None is message(createdAt=0).created_at


class TestText:
    @pytest.mark.parametrize("key", ["textContent", "text_content", "text", "content"])
    def test_aliases(self, key: str):
        assert message(**{key: "hi"}) == MessageSynced(
            session_external_id="s", external_id="m", text_content="hi"
        )

    def test_empty_text_is_text(self):
        assert message(textContent="").text_content == ""

    @pytest.mark.parametrize(
        ("sent", "kept"), [(5, "5"), (1.5, "1.5"), (True, "true"), (False, "false")]
    )
    def test_a_scalar_is_spelled_as_it_was_sent(self, sent: Any, kept: str):
        assert message(textContent=sent).text_content == kept
        assert session(title=sent).title == kept

    @pytest.mark.parametrize("sent", [{"a": 1}, ["a"]])
    @pytest.mark.parametrize("key", ["title", "provider", "source", "projectPath"])
    def test_an_object_is_not_text(self, key: str, sent: Any):
        with pytest.raises(Unprocessable, match=key):
            session(**{key: sent})

    @pytest.mark.parametrize("key", ["textContent", "text"])
    def test_an_object_is_not_message_text(self, key: str):
        with pytest.raises(Unprocessable, match=key):
            message(**{key: {"a": 1}})

    @pytest.mark.parametrize("key", ["textContent", "text", "content"])
    def test_a_list_of_blocks_becomes_parts(self, key: str):
        event = message(**{key: [{"type": "text", "text": "hi"}]})
        assert (event.text_content, event.extra) == (None, None)
        assert event.parts == [{"type": "text", "text": "hi"}]

    def test_blocks_beside_parts_are_kept_aside(self):
        event = message(textContent=["a"], parts=["b"])
        assert event.parts == [{"type": "text", "content": "b"}]
        assert event.extra == {"textContent": ["a"]}

    def test_an_object_as_content_is_kept_aside(self):
        assert message(content={"a": 1}).extra == {"content": {"a": 1}}

    @pytest.mark.parametrize("title", ["", "  Fix it \n", "a" * 100_000, "\u0000"])
    def test_a_title_is_verbatim(self, title: str):
        assert session(title=title).title == title


class TestRole:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("user", "user"),
            (" Assistant ", "assistant"),
            ("SYSTEM", "system"),
            ("tool", "tool"),
            ("unknown", "unknown"),
            ("human", "user"),
            ("ai", "assistant"),
            ("model", "assistant"),
            ("bot", "assistant"),
            ("developer", "system"),
            ("function", "tool"),
            ("tool_result", "tool"),
        ],
    )
    def test_known(self, sent: str, kept: str):
        event = message(role=sent)
        assert (event.role, event.extra) == (kept, None)

    @pytest.mark.parametrize("sent", ["Narrator", 5])
    def test_another_is_unknown_but_kept(self, sent: Any):
        event = message(role=sent)
        assert (event.role, event.extra) == ("unknown", {"role": sent})

    @pytest.mark.parametrize("sent", [None, "", " "])
    def test_none(self, sent: Any):
        assert message(role=sent).role is None

    def test_an_object_is_none(self):
        with pytest.raises(Unprocessable, match="role"):
            message(role={"name": "user"})


class TestSource:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            (" Claude-Code ", "claude-code"),
            ("Cursor", "cursor-sync"),
            ("cursor-sync", "cursor-sync"),
            ("", None),
            (None, None),
        ],
    )
    def test_source(self, sent: str | None, kept: str | None):
        event = session(source=sent)
        assert event == SessionSynced(external_id="s", source=kept)


class TestParts:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ([], []),
            ("hi", [{"type": "text", "content": "hi"}]),
            ({"type": "text"}, [{"type": "text"}]),
            (
                [{"type": "x", "$k": [1], "é": None}],
                [{"type": "x", "$k": [1], "é": None}],
            ),
            ([{"content": "hi"}], [{"content": "hi", "type": "unknown"}]),
            ([{"type": None}, {"type": ""}], [{"type": "unknown"}] * 2),
            (["hi", None], [{"type": "text", "content": "hi"}]),
            ([5], [{"type": "text", "content": "5"}]),
            ([["a"]], [{"type": "text", "content": '["a"]'}]),
        ],
    )
    def test_parts_are_objects_with_a_type(self, sent: Any, kept: list[dict[str, Any]]):
        assert message(parts=sent).parts == kept

    def test_null_is_absent(self):
        assert message(parts=None).parts is None

    @pytest.mark.parametrize("sent", [1, 1.5, True])
    def test_other_parts_are_refused(self, sent: Any):
        with pytest.raises(Unprocessable, match="parts"):
            message(parts=sent)

    def test_parts_are_not_copied(self):
        part = {"type": "text", "content": "x"}
        assert message(parts=[part]).parts[0] is part


class TestExtra:
    def test_unknown_keys_are_kept_as_sent(self):
        extra = {"gitBranch": "main", "$x": [1, None], "totalTokens": 5, "no": None}
        assert session(**extra).extra == extra
        assert message(**extra).extra == extra

    def test_null_is_absent(self):
        event = session(title=None, cost=None, createdAt=None, parts=None)
        assert event == SessionSynced(external_id="s", extra={"parts": None})

    def test_what_an_object_said_besides_is_kept(self):
        event = session(tokens={"input": 1, "total": 9, "cache": {"read": 2, "x": 3}})
        assert event.extra == {"tokens": {"total": 9, "cache": {"x": 3}}}

    @pytest.mark.parametrize("sent", [5, None, "many"])
    def test_tokens_that_are_not_an_object_are_unknown(self, sent: Any):
        assert session(tokens=sent).extra == {"tokens": sent}

    def test_what_was_sent_is_not_changed(self):
        sent = {"id": "s", "tokens": {"input": 1, "x": {}}, "model": {"id": "m"}}
        before = json.dumps(sent)
        session_synced(sent)
        assert json.dumps(sent) == before


class TestFields:
    @pytest.mark.parametrize(
        ("table", "kind"), [(SESSION, SessionSynced), (MESSAGE, MessageSynced)]
    )
    def test_every_field_of_the_event_can_be_sent(self, table: Any, kind: type[Event]):
        assert {field.name for field in table.fields} | {"extra"} == {
            field.name for field in msgspec.structs.fields(kind)
        }

    def test_a_whole_session(self):
        sent = {
            "title": "t",
            "projectPath": "/p",
            "projectName": "p",
            "model": "m",
            "provider": "v",
            "source": "s",
            "promptTokens": 1,
            "completionTokens": 2,
            "cacheReadTokens": 3,
            "cacheWriteTokens": 4,
            "reasoningTokens": 5,
            "cost": 0.5,
            "durationMs": 6,
            "messageCount": 7,
            "toolCallCount": 8,
            "endReason": "other",
            "createdAt": AT,
        }
        values = [*sent.values(), None]
        assert list(msgspec.structs.astuple(session(**sent)))[1:] == values

    @pytest.mark.parametrize("key", ["projectPath", "project_path", "cwd", "directory"])
    def test_the_project_has_several_names(self, key: str):
        assert session(**{key: "/p"}) == SessionSynced(
            external_id="s", project_path="/p"
        )

    def test_snake_case(self):
        event = session(
            project_name="p", message_count=1, tool_call_count=2, end_reason="e"
        )
        assert event == SessionSynced(
            external_id="s",
            project_name="p",
            message_count=1,
            tool_call_count=2,
            end_reason="e",
        )


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_what_real_agents_send_is_understood_in_full(capture: Path):
    """Every key that the recorded agents send has a field."""
    for line in capture.read_text().splitlines():
        request = json.loads(line)
        body = decode_body(json.dumps(request["body"]).encode())
        read = session_synced if request["path"].endswith("session") else message_synced
        event = read(body)
        assert event.extra is None
        assert len(msgspec.to_builtins(event)) == len(body)


KEYS = sorted(SESSION.keys | MESSAGE.keys | {"tokens", "time", "model", "cache"})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.sampled_from("\ud83d\ude00 1é\x00\\"))
    | st.sampled_from([10**30, 2**53, AT, "user", "2026-01-22T10:00:00Z", "1e5"])
)
NAMES = st.sampled_from([*KEYS, "input", "read", "created", "type"]) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=8)
NAMED = st.builds(lambda item: {"sessionId": "s", "id": "m", **item}, OBJECTS)


@given(item=OBJECTS | NAMED)
def test_any_object_is_an_event_or_a_plain_refusal(item: dict[str, Any]):
    """Whatever is sent, an event can be written to the log and read back."""
    body = decode_body(json.dumps(item).encode())
    for read, kind in (session_synced, SessionSynced), (message_synced, MessageSynced):
        with suppress(Invalid, Unprocessable):
            event = read(body)
            assert msgspec.json.decode(encode(event), type=kind) == event


@given(raw=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_body_or_a_plain_refusal(raw: bytes):
    with suppress(Invalid):
        assert isinstance(decode_body(raw), dict)
