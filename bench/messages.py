"""What the bench syncs: messages of 1 KB, each with ids of its own."""

from itertools import count

from shared import ids
from shared.events import MessageSynced
from shared.log import Entry, seal


SESSION_SIZE = 100
"""Messages in a session, so that sessions begin all the time as they do in life."""
TEXT = (
    "The redirect loses its query string because the handler rebuilds the address"
    " from the path alone. I kept the original request in the session, restored it"
    " after the login and added a test with two parameters and a fragment.\\n\\n"
    "```python\\ndef restored(request, session):\\n    wanted = session.pop('wanted',"
    " None)\\n    return redirect(wanted or url_for('home'))\\n```\\n\\nThe test fails"
    " without the change and passes with it; the other forty-one still pass. The"
    " same mistake is in the sign-up form, which I left alone since nobody asked for"
    " it. It would be four lines, and a second test like the first one."
)


class Writer:
    """One client's messages, spelled out with no more work than joining strings."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = count()

    def session(self, number: int) -> str:
        return f"bench-{self._name}-{number // SESSION_SIZE}"

    def message(self) -> tuple[str, bytes]:
        """Return the next message and the session it belongs to."""
        number = next(self._numbers)
        session = self.session(number)
        return session, (
            f'{{"sessionExternalId":"{session}","externalId":"m{number}"'
            f',"role":"{"assistant" if number % 2 else "user"}","source":"claude-code"'
            f',"model":"claude-opus-4-8","promptTokens":{900 + number % 100}'
            f',"completionTokens":{number % 400},"textContent":"{number}: {TEXT}"}}'
        ).encode()

    def batch(self, size: int) -> bytes:
        messages = (self.message()[1] for _ in range(size))
        return b'{"messages":[' + b",".join(messages) + b"]}"


def as_stored(number: int) -> bytes:
    """Spell out the event that the log stores for such a message."""
    user = ids.user_id("bench")
    session = f"bench-raw-{number // SESSION_SIZE}"
    event = MessageSynced(
        session_external_id=session,
        external_id=f"m{number}",
        role="assistant",
        source="claude-code",
        model="claude-opus-4-8",
        prompt_tokens=900 + number % 100,
        completion_tokens=number % 400,
        text_content=f"{number}: {TEXT}",
    )
    entry = Entry(
        event=event,
        user=user,
        session=ids.session_id(user, session),
        time=1_770_000_000_000,
        correlation_id=f"{number:032x}",
    )
    return seal(entry).payload
