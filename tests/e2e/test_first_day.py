"""What a newcomer does on the first day, and what the README promises about it."""

import json
from typing import Any

import httpx
import pytest

from deploy.local import System
from tests.e2e.conftest import NewPerson, Person


pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

SECRET = "sk-ant-api03-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4"  # noqa: S105 - made up
HOME = "/home/ada/work/shop"
SESSION = "ses_first_day"


async def synced(api: httpx.AsyncClient, path: str, **fields: Any) -> int:
    answer = await api.post(f"/sync/{path}", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["seq"]


async def a_session(api: httpx.AsyncClient) -> int:
    """Sync a short session in which a secret and a path are mentioned."""
    await synced(
        api,
        "session",
        externalId=SESSION,
        title="Repair the checkout",
        projectPath=HOME,
        model="claude-opus-4-8",
        source="claude-code",
    )
    about = {"sessionExternalId": SESSION}
    await synced(
        api,
        "message",
        **about,
        externalId="m1",
        role="user",
        textContent=f"The key is {SECRET}, the file {HOME}/pay.py",
    )
    call = {"toolName": "Bash", "args": {"command": f"export KEY={SECRET}"}}
    result = f"{HOME}/pay.py: written"
    return await synced(
        api,
        "message",
        **about,
        externalId="m2",
        role="assistant",
        textContent="The checkout works again.",
        parts=[
            {"type": "tool-call", "content": call},
            {"type": "tool-result", "content": result},
        ],
    )


async def test_sync_list_get(api: httpx.AsyncClient):
    """What was synced is in the list and can be opened, at once."""
    seq = await a_session(api)
    listed = (await api.get("/api/sessions", params={"after": seq})).json()

    [session] = listed["sessions"]
    found = (await api.get(f"/api/sessions/{session['id']}")).json()
    assert found["session"] == session
    assert session["title"] == "Repair the checkout"
    assert ["m1", "m2"] == [m["externalId"] for m in found["messages"]]


async def test_either_id(api: httpx.AsyncClient):
    """A session opens by our id and by the client's, in the path and as a parameter."""
    seq = await a_session(api)
    found = await api.get(f"/api/sessions/{SESSION}", params={"after": seq})
    ours = found.json()["session"]["id"]
    for name in (SESSION, ours):
        for url in (f"/api/sessions/{name}", f"/api/sessions/get?id={name}"):
            assert found.json() == (await api.get(url)).json()


async def test_export(api: httpx.AsyncClient):
    """A session can be taken away as JSON, JSON Lines and Markdown."""
    seq = await a_session(api)
    texts = {}
    for form in ("json", "jsonl", "ndjson", "markdown"):
        asked = {"id": SESSION, "format": form, "after": seq}
        answer = await api.get("/api/export", params=asked)
        assert answer.status_code == 200, answer.text
        texts[form] = answer.text

    said = [m["content"] for m in json.loads(texts["json"])["messages"]]
    assert said[1] == "The checkout works again."
    lines = [json.loads(line)["content"] for line in texts["ndjson"].splitlines()]
    assert said == lines
    assert texts["ndjson"].strip() == json.loads(texts["jsonl"])["content"]
    assert "# Repair the checkout" in texts["markdown"]
    assert "Tool call: Bash" in texts["markdown"]


async def test_export_everything(api: httpx.AsyncClient):
    """Everything can be taken away at once, as lines and as a table."""
    seq = await a_session(api)
    asked = {"after": seq}
    lines = await api.get("/api/export/sessions", params={**asked, "format": "jsonl"})
    table = await api.get("/api/export/sessions", params={**asked, "format": "csv"})

    [line] = lines.text.splitlines()
    found = await api.get(f"/api/sessions/{SESSION}")
    assert found.json() == json.loads(line)
    assert len(table.text.splitlines()) == 2
    assert SESSION in table.text


async def test_stats(api: httpx.AsyncClient):
    """The totals count what was just synced."""
    seq = await a_session(api)
    stats = (await api.get("/api/stats", params={"after": seq})).json()

    assert (1, 2) == (stats["sessionCount"], stats["messageCount"])
    assert list(stats["modelUsage"]) == ["claude-opus-4-8"]


async def test_rename(api: httpx.AsyncClient):
    """A title given by a person outlives what the plugin sends later."""
    await a_session(api)
    await api.patch(f"/api/sessions/{SESSION}", json={"title": "My words"})
    seq = await a_session(api)

    found = await api.get(f"/api/sessions/{SESSION}", params={"after": seq})
    assert found.json()["session"]["title"] == "My words"


async def shared(api: httpx.AsyncClient) -> tuple[str, int]:
    answer = (await api.post(f"/api/sessions/{SESSION}/share")).json()
    return answer["slug"], answer["seq"]


async def test_public_page(api: httpx.AsyncClient, stranger: httpx.AsyncClient):
    """A shared session is read without a key, and tells no secret, path or client id."""
    await a_session(api)
    slug, seq = await shared(api)
    answer = await stranger.get(f"/api/public/{slug}", params={"after": seq})

    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["title"] == "Repair the checkout"
    assert page["messages"][1]["textContent"] == "The checkout works again."
    for hidden in (SECRET, HOME, "/home/ada", SESSION):
        assert hidden not in answer.text


async def test_unshare(api: httpx.AsyncClient, stranger: httpx.AsyncClient):
    """A session that is private again is gone for strangers, and so is its address."""
    await a_session(api)
    slug, _ = await shared(api)
    answer = await api.post(f"/api/sessions/{SESSION}/unshare")
    again, seq = await shared(api)

    assert answer.status_code == 200
    assert slug != again
    gone = await stranger.get(f"/api/public/{slug}", params={"after": seq})
    assert gone.status_code == 404


async def test_delete(api: httpx.AsyncClient, stranger: httpx.AsyncClient):
    """A deleted session is gone everywhere, and a plugin cannot bring it back."""
    await a_session(api)
    slug, _ = await shared(api)
    answer = await api.delete(f"/api/sessions/{SESSION}")
    assert answer.status_code == 200, answer.text
    late = await api.post("/sync/session", json={"externalId": SESSION, "title": "x"})

    assert late.json()["ok"]
    assert "ignored" in late.json()
    assert (await api.get("/sync/sessions/list")).json() == {"sessionIds": []}
    assert (await api.get("/api/sessions")).json() == {"sessions": []}
    for url in (f"/api/sessions/{SESSION}", f"/api/export?id={SESSION}"):
        assert (await api.get(url)).status_code == 404
    assert (await stranger.get(f"/api/public/{slug}")).status_code == 404


async def test_cursor(api: httpx.AsyncClient):
    """Pages neither repeat nor skip a session, also when more arrive meanwhile."""
    names = [f"ses_{number}" for number in range(25)]
    sessions = [{"externalId": name} for name in names]
    seq = await synced(api, "batch", sessions=sessions)
    asked = {"limit": 10, "sort": "created", "order": "asc", "after": seq}
    found = []
    while True:
        page = (await api.get("/api/sessions", params=asked)).json()
        found += [session["externalId"] for session in page["sessions"]]
        if "nextCursor" not in page:
            break
        asked["cursor"] = page["nextCursor"]
        await synced(api, "session", externalId="ses_late")

    assert sorted(names) == sorted(set(found) - {"ses_late"})
    assert len(set(found)) == len(found)


async def strange_requests(
    mine: httpx.AsyncClient, ours: str
) -> list[tuple[str, httpx.Response]]:
    """Try everything that takes an id with somebody else's."""
    title = {"title": "Mine now"}
    answers = []
    for name in (ours, SESSION):
        path = f"/api/sessions/{name}"
        answers += [
            ("get", await mine.get(path)),
            ("query", await mine.get("/api/sessions/get", params={"id": name})),
            ("export", await mine.get("/api/export", params={"id": name})),
            ("rename", await mine.patch(path, json=title)),
            ("share", await mine.post(f"{path}/share")),
            ("unshare", await mine.post(f"{path}/unshare")),
            ("delete", await mine.delete(path)),
        ]
    return answers


async def test_somebody_elses(new_person: NewPerson):
    """Somebody else's session is not found, whatever is asked of it."""
    ada, bob = await new_person(), await new_person()
    seq = await a_session(ada.api)
    found = await ada.api.get(f"/api/sessions/{SESSION}", params={"after": seq})
    before = found.json()

    for asked, answer in await strange_requests(bob.api, before["session"]["id"]):
        assert answer.status_code == 404, asked
    assert before == (await ada.api.get(f"/api/sessions/{SESSION}")).json()


async def test_same_external_ids(new_person: NewPerson):
    """Two users whose clients use the same ids have two sessions."""
    ada, bob = await new_person(), await new_person()
    for person in (ada, bob):
        await a_session(person.api)
        about = {"sessionExternalId": SESSION, "externalId": "m1"}
        await synced(person.api, "message", **about, textContent=str(person.id))

    mine = [await opened(person) for person in (ada, bob)]
    assert mine[0]["session"]["id"] != mine[1]["session"]["id"]
    assert [str(ada.id), str(bob.id)] == [m["messages"][0]["textContent"] for m in mine]


async def opened(person: Person) -> dict[str, Any]:
    listed = (await person.api.get("/sync/sessions/list")).json()
    assert listed == {"sessionIds": [SESSION]}
    return (await person.api.get(f"/api/sessions/{SESSION}")).json()


async def test_nothing_of_others(new_person: NewPerson):
    """Lists, totals and exports of one user hold nothing of another's."""
    ada, bob = await new_person(), await new_person()
    after = {"after": await a_session(ada.api)}

    api = bob.api
    assert (await api.get("/api/sessions", params=after)).json() == {"sessions": []}
    assert (await api.get("/api/stats", params=after)).json()["sessionCount"] == 0
    assert (await api.get("/sync/sessions/list")).json() == {"sessionIds": []}
    assert (await api.get("/api/export/sessions", params=after)).text == ""


async def test_revoked_key(person: Person):
    """A key that its owner has revoked opens nothing any more."""
    issued = (await person.api.post("/api/keys", json={"name": "spare"})).json()
    headers = {"Authorization": f"Bearer {issued['key']}"}
    assert (await person.api.get("/api/me", headers=headers)).status_code == 200
    await person.api.delete(f"/api/keys/{issued['id']}")

    answer = await person.api.get("/api/me", headers=headers)
    assert (401, "Invalid API key") == (answer.status_code, answer.json()["error"])


async def test_health(stranger: httpx.AsyncClient, system: System):
    """Health is told without a key, and names every projection."""
    health = (await stranger.get("/health")).json()

    assert health["status"] == "ok"
    assert {"ingest", "gateway"} <= set(health["projections"])
    assert set(health["projections"]) <= set(system.run.pids)
