"""Four sessions with OpenCode, whose plugin sends text alone, and several models."""

from functools import partial

from bench.stories import Story, asked, told


opencode = partial(Story, agent="opencode")
GPT, GEMINI, QWEN = "gpt-5.1-codex", "gemini-3-pro", "qwen3-coder"

STREAM = """\
The handler collects the whole export in a list before it answers. This writes a row
as soon as it is read, so memory stays flat:

```go
func export(w http.ResponseWriter, r *http.Request) {
\trows, err := db.QueryContext(r.Context(), query)
\tif err != nil {
\t\thttp.Error(w, "export failed", http.StatusBadGateway)
\t\treturn
\t}
\tdefer rows.Close()
\tout := csv.NewWriter(w)
\tfor rows.Next() {
\t\tout.Write(record(rows))
\t}
\tout.Flush()
}
```

`rows.Err()` still has to be looked at after the loop: a broken connection ends it
without an error."""

HOOK = """\
```ts
export function useLive(url: string, onChange: () => void) {
  useEffect(() => {
    const source = new EventSource(url);
    source.addEventListener("changed", onChange);
    return () => source.close();
  }, [url, onChange]);
}
```

`onChange` must be stable, or the stream is opened again at every render."""

LOCK = """\
`tokio::sync::Mutex` is held across the `await` of the HTTP call, so every request
waits for the slowest one. Copy what is needed out first:

```rust
let token = { self.state.lock().await.token.clone() };
let answer = self.http.get(url).bearer_auth(token).send().await?;
```

After that the p99 of the load test falls from 2.1 s to 180 ms."""

STORIES = (
    opencode(
        id="ses_demo_stream_export",
        title="Export runs out of memory",
        project="reports",
        model=GPT,
        provider="openai",
        days_ago=0.9,
        cost=0.092,
        lines=[
            asked("The CSV export of a year runs out of memory, make it stream"),
            told("", 1900, 210),
            told(STREAM, 4200, 260, after_s=31),
            asked("What happens when the client goes away?"),
            told(
                "`r.Context()` is cancelled, the query with it, and `rows.Next()`"
                " returns false. Nothing leaks.",
                4600,
                41,
            ),
        ],
    ),
    opencode(
        id="ses_demo_event_source",
        title="Untitled Session",
        project="dashboard",
        model=GEMINI,
        provider="google",
        days_ago=3.8,
        cost=0.027,
        lines=[
            asked("Write a React hook that refetches when the server says so"),
            told(HOOK, 1500, 130, after_s=12),
            asked("It reconnects all the time"),
            told(
                "The callback is a new function at every render. Wrap it in"
                " `useCallback`, or keep it in a ref.",
                1800,
                37,
            ),
        ],
    ),
    opencode(
        id="ses_demo_held_lock",
        title="p99 of two seconds under load",
        project="relay",
        model=GPT,
        provider="openai",
        days_ago=11.1,
        cost=0.148,
        lines=[
            asked(
                "Under load the p99 is two seconds although the upstream takes 90 ms"
            ),
            told("", 2600, 180),
            told(LOCK, 6100, 220, after_s=44),
            asked("error[E0597]: `self.state` does not live long enough"),
            told(
                "The guard is a temporary in a block's last expression and lives too"
                " long there. Bind it first:\n\n```rust\n"
                "let guard = self.state.lock().await;\nlet token = guard.token.clone();"
                "\ndrop(guard);\n```",
                6900,
                77,
            ),
        ],
    ),
    opencode(
        id="ses_demo_local_model",
        title="A shell script that rotates backups",
        project="infra",
        model=QWEN,
        provider="ollama",
        days_ago=16.5,
        cost=0.0,
        lines=[
            asked("A shell script that keeps seven daily and four weekly backups"),
            told(
                "```sh\nset -eu\ncd /backups\nls -1t daily-* | tail -n +8 | xargs -r rm\n"
                "ls -1t weekly-* | tail -n +5 | xargs -r rm\n```",
                600,
                58,
                after_s=70,
            ),
            asked("Names may contain spaces"),
            told(
                "Then `xargs -r -d '\\n' rm --` instead; `ls` prints one name a line.",
                800,
                33,
                after_s=52,
            ),
        ],
    ),
)
