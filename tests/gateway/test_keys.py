"""The rules for users and keys."""

from uuid import UUID, uuid5

import pytest

from services.gateway import keys
from services.gateway.keys import Account
from shared.errors import Conflict, Invalid, NotFound
from shared.events import ApiKeyIssued, ApiKeyRevoked, Event, Recorded, UserRegistered
from shared.requests import IssueApiKey, RegisterUser, RevokeApiKey
from tests.factories import ADA, NOON


KEY_ID = uuid5(ADA, "key")
KEY = keys.mint(bytes(32))


def an_account(*events: Event) -> Account:
    return keys.remembered(
        Recorded(
            seq=seq,
            partition=0,
            id=uuid5(ADA, str(seq)),
            time=NOON,
            user=ADA,
            session=None,
            correlation_id="a-test",
            event=event,
        )
        for seq, event in enumerate(events, start=1)
    )


def issued(
    command: IssueApiKey, account: Account, *, key: str = KEY, key_id: UUID = KEY_ID
) -> list[ApiKeyIssued]:
    return keys.issue(command, account, key=key, key_id=key_id, now=NOON)


REGISTERED = UserRegistered(name="ada")
COMMAND = IssueApiKey(user=ADA, name="laptop")
[ISSUED] = issued(COMMAND, an_account(REGISTERED))


class TestRegister:
    def test_first_time(self) -> None:
        """
        Registering a new name records the user.
        """
        assert keys.register(RegisterUser(name="ada"), an_account()) == [REGISTERED]

    def test_again(self) -> None:
        """
        Registering a name again records nothing.
        """
        assert keys.register(RegisterUser(name="ada"), an_account(REGISTERED)) == []

    @pytest.mark.parametrize("name", ["", "  ", "x" * 201])
    def test_nameless(self, name: str) -> None:
        """
        A user has a name of reasonable length.
        """
        with pytest.raises(Invalid, match="1 to 200"):
            keys.register(RegisterUser(name=name), an_account())


class TestIssue:
    def test_only_the_hash_is_recorded(self) -> None:
        """
        The event holds the key's hash and its first characters, never the key.
        """
        assert KEY not in str(ISSUED)
        assert (ISSUED.hash, ISSUED.prefix) == (keys.hashed(KEY), KEY[:12])

    def test_again(self) -> None:
        """
        Issuing a key that exists records nothing.
        """
        assert issued(COMMAND, an_account(REGISTERED, ISSUED)) == []

    def test_revoked(self) -> None:
        """
        A revoked key cannot come back.
        """
        account = an_account(REGISTERED, ISSUED, ApiKeyRevoked(key_id=KEY_ID))

        with pytest.raises(Conflict, match="was revoked"):
            issued(COMMAND, account)

    def test_nobody(self) -> None:
        """
        Only a registered user gets a key.
        """
        with pytest.raises(NotFound):
            issued(COMMAND, an_account())

    @pytest.mark.parametrize("key", ["osk_short", "x" * 60, "osk_" + "é" * 40])
    def test_weak(self, key: str) -> None:
        """
        A chosen key must look like ours and be as long as 192 random bits.
        """
        with pytest.raises(Invalid, match="must begin with 'osk_'"):
            issued(COMMAND, an_account(REGISTERED), key=key)

    def test_expired(self) -> None:
        """
        A key cannot expire before it is issued.
        """
        with pytest.raises(Invalid, match="future"):
            issued(
                IssueApiKey(user=ADA, name="k", expires_at=NOON), an_account(REGISTERED)
            )

    def test_long_enough(self) -> None:
        """
        A minted key is `osk_` and 43 characters.
        """
        assert len(KEY) == len("osk_") + 43


class TestRevoke:
    def test_first_time(self) -> None:
        """
        Revoking a key records that it must not be accepted any more.
        """
        account = an_account(REGISTERED, ISSUED)

        assert keys.revoke(RevokeApiKey(user=ADA, key_id=KEY_ID), account) == [
            ApiKeyRevoked(key_id=KEY_ID)
        ]

    def test_again(self) -> None:
        """
        Revoking a revoked key records nothing.
        """
        account = an_account(REGISTERED, ISSUED, ApiKeyRevoked(key_id=KEY_ID))

        assert keys.revoke(RevokeApiKey(user=ADA, key_id=KEY_ID), account) == []

    def test_unknown(self) -> None:
        """
        A key that is not the user's cannot be told from one that is not there.
        """
        with pytest.raises(NotFound):
            keys.revoke(RevokeApiKey(user=ADA, key_id=KEY_ID), an_account(REGISTERED))
