"""Six sessions with Claude Code: tools and their results, errors among them."""

from functools import partial

from bench.stories import Call, Story, asked, told


claude = partial(Story, agent="claude-code", provider="anthropic")
OPUS, SONNET, HAIKU = "claude-opus-4-8", "claude-sonnet-4-5", "claude-haiku-4-5"

REDIRECT = """\
The query string is lost because `login()` rebuilds the address from `request.path`.
This keeps the whole of it:

```python
def login():
    session["wanted"] = request.full_path
    return redirect(url_for("auth.form"))


def after_login():
    return redirect(safe(session.pop("wanted", None)) or url_for("home"))
```

`safe()` refuses addresses of other hosts; without it this would be an open redirect."""

FLAKY = """\
The test compares `datetime.now()` with a time taken 3 ms earlier, and truncates both
to seconds. It fails whenever a second ends in between: about once in 330 runs, which
fits the three failures of last week. I have frozen the clock instead of allowing a
tolerance, because the tolerance would hide the rounding bug in `expires_in()`."""

INDEX = """\
The planner reads 1.9 million rows because the filter is on `lower(email)` and the
index is on `email`. An expression index serves it:

```sql
CREATE INDEX CONCURRENTLY account_email_lower ON account (lower(email));
```

Measured on the copy: 840 ms before, 0.4 ms after. `CONCURRENTLY` keeps writes going,
but it cannot run in a transaction, so the migration is marked `atomic = False`."""

STORIES = (
    claude(
        id="demo-0b6f1c52-login-redirect",
        title="Fix the login redirect, it forgets the query string",
        project="storefront",
        model=OPUS,
        days_ago=0.1,
        cost=0.412,
        lines=[
            asked("Fix the login redirect, it forgets the query string"),
            told("I will look at how the redirect is built.", 2140, 37),
            Call(
                "Grep",
                {"pattern": "redirect\\(", "path": "storefront/auth"},
                "storefront/auth/views.py:41:    return redirect(request.path)",
                90,
            ),
            Call(
                "Read",
                {"file_path": "storefront/auth/views.py", "offset": 30, "limit": 30},
                'def login():\n    session["wanted"] = request.path\n    ...',
                30,
            ),
            told(REDIRECT, 5210, 318),
            Call(
                "Edit",
                {
                    "file_path": "storefront/auth/views.py",
                    "old_string": 'session["wanted"] = request.path',
                    "new_string": 'session["wanted"] = request.full_path',
                },
                "The file has been updated.",
                40,
            ),
            Call(
                "Bash",
                {"command": "pytest tests/auth -q"},
                "E   AssertionError: '/orders?' == '/orders'\n1 failed, 41 passed",
                4100,
            ),
            told(
                "`full_path` ends with `?` even without a query. I strip it.",
                6020,
                64,
            ),
            Call("Bash", {"command": "pytest tests/auth -q"}, "42 passed", 3900),
            told("Done: the whole address survives a login.", 6400, 55),
            asked("And a fragment, like /orders#12?"),
            told(
                "Browsers never send the fragment, so no server can keep it. The form"
                " could carry it in a hidden field; shall I?",
                6700,
                48,
            ),
        ],
    ),
    claude(
        id="demo-41d7aa90-flaky-test",
        title="Why does test_token_expiry fail once a week?",
        project="storefront",
        model=SONNET,
        days_ago=2.3,
        cost=0.083,
        lines=[
            asked("Why does test_token_expiry fail once a week?"),
            Call(
                "Bash",
                {"command": "gh run list --workflow test --status failure --limit 20"},
                "3 runs: 03:59:59, 11:20:59, 17:04:59",
                1900,
            ),
            told("All three ended on a full minute. Suspicious.", 1800, 21),
            Call(
                "Read",
                {"file_path": "tests/auth/test_token.py"},
                "def test_token_expiry():\n    assert expires_in(token) == 3600",
                20,
            ),
            told(FLAKY, 3900, 160),
            Call(
                "Bash",
                {"command": "pytest tests/auth/test_token.py -q --count 2000"},
                "2000 passed in 41.20s",
                41800,
            ),
            told("2,000 runs, no failure.", 4300, 12, model=HAIKU),
        ],
    ),
    claude(
        id="demo-7c1e88f3-slow-lookup",
        title="The account lookup takes most of a second in production",
        project="accounts-api",
        model=OPUS,
        days_ago=5.6,
        cost=0.655,
        lines=[
            asked("The account lookup takes most of a second in production"),
            Call(
                "Bash",
                {"command": "psql -c 'EXPLAIN ANALYZE SELECT … lower(email) = $1'"},
                "Seq Scan on account  (actual time=0.031..839.870 rows=1)\n"
                "  Filter: (lower(email) = 'ada@example.org')\n"
                "  Rows Removed by Filter: 1903114",
                1300,
            ),
            told(INDEX, 7300, 241),
            Call(
                "Write",
                {
                    "file_path": "migrations/0042_email_lower.py",
                    "content": "atomic = False\n…",
                },
                "File created.",
                30,
            ),
            Call(
                "Bash",
                {"command": "./manage migrate --plan"},
                "Error: two migrations are numbered 0042",
                800,
            ),
            told("Somebody was faster; I renumber mine to 0043.", 8100, 25),
            Call("Bash", {"command": "./manage migrate"}, "Applied 0043.", 2600),
            told("Applied. The lookup takes 0.4 ms on the copy.", 8600, 20),
        ],
    ),
    claude(
        id="demo-9e20b4d1-release-notes",
        title="Write release notes for 2.4 from the commits since 2.3",
        project="storefront",
        model=HAIKU,
        days_ago=8.2,
        cost=0.011,
        lines=[
            asked("Write release notes for 2.4 from the commits since 2.3"),
            Call(
                "Bash",
                {"command": "git log --oneline v2.3..main | wc -l"},
                "63",
                60,
            ),
            told(
                "### Fixed\n\n- Logging in keeps the address you came for.\n"
                "- A cart with 100 lines loads in a tenth of the time.\n\n"
                "### Changed\n\n- Prices are rounded once, at the end.",
                9100,
                96,
            ),
            asked("Shorter, and nothing internal"),
            told("- Logins keep your place.\n- Large carts are quick.", 9300, 19),
        ],
    ),
    claude(
        id="demo-c3fa6e07-docker-build",
        title="docker build fails on arm64 with exec format error",
        project="infra",
        model=SONNET,
        days_ago=13.4,
        cost=0.204,
        end_reason="other",
        lines=[
            asked("docker build fails on arm64 with exec format error"),
            Call(
                "Bash",
                {"command": "docker build --platform linux/arm64 ."},
                "exec /usr/local/bin/tini: exec format error",
                9400,
            ),
            told(
                "`tini` is fetched for amd64 whatever the platform:\n\n```dockerfile\n"
                "ARG TARGETARCH\nADD https://example.org/tini-${TARGETARCH} /tini\n```",
                2900,
                88,
            ),
            Call(
                "Bash",
                {"command": "docker build --platform linux/arm64 ."},
                "Error: context deadline exceeded",
                120000,
            ),
            told("The registry does not answer; I try once more.", 3300, 15),
            Call(
                "Bash",
                {"command": "docker build --platform linux/arm64 ."},
                "Successfully built 1f0c7a3e9b52",
                84000,
            ),
            told("It builds on both platforms now.", 3600, 12),
        ],
    ),
    claude(
        id="demo-e81b5a26-csv-import",
        title="Importing the supplier's CSV stops at line 10,412",
        project="warehouse",
        model=OPUS,
        days_ago=19.7,
        cost=0.338,
        lines=[
            asked("Importing the supplier's CSV stops at line 10,412"),
            Call(
                "Bash",
                {"command": "sed -n 10412p supplier.csv | xxd | head -2"},
                "00000000: 3431 3b4b 6166 6665 6520 9647 6572 fc73  41;Kaffee .Ger.s",
                70,
            ),
            told(
                "Byte `0x96` is a dash in Windows-1252 and nothing in UTF-8. The file"
                " is mixed, so I decode line by line and say which lines were odd:\n\n"
                "```python\ndef decoded(line: bytes) -> str:\n    try:\n"
                '        return line.decode("utf-8")\n'
                "    except UnicodeDecodeError:\n"
                '        return line.decode("cp1252")\n```',
                4100,
                142,
            ),
            Call(
                "Bash",
                {"command": "python -m warehouse.load supplier.csv"},
                "Traceback (most recent call last):\n  …\nKeyError: 'Menge'",
                2200,
            ),
            told(
                "One header has a BOM in front of it; `utf-8-sig`.",
                4700,
                31,
            ),
            Call(
                "Bash",
                {"command": "python -m warehouse.load supplier.csv"},
                "48,120 rows loaded, 17 decoded as cp1252",
                6100,
            ),
            told("All 48,120 rows are in; 17 were odd.", 5000, 24),
        ],
    ),
)
