"""What a person reads when the system is up."""

from shared.settings import Settings


def banner(settings: Settings, *, url: str, key: str | None) -> str:
    """Say where it is, with which key, and how an agent's plugin connects to it."""
    url = settings.public_url.rstrip("/") or url
    shown = key or "<your API key>"
    return f"""
OpenSync is running. Ctrl-C stops it.

  url      {url}
  docs     {url}/docs
  data     {settings.data_dir}
  api key  {_key_line(key)}

Connect Claude Code:

  npm install -g claude-code-sync
  export CLAUDE_SYNC_CONVEX_URL={url}/.convex.site CLAUDE_SYNC_API_KEY={shown}
  claude-code-sync setup

Connect OpenCode:

  ~/.opensync/credentials.json:
    {{"convexUrl": "{url}/.convex.site", "apiKey": "{shown}"}}
  opencode.json:
    {{"plugin": ["opencode-sync-plugin"]}}
"""


def _key_line(key: str | None) -> str:
    if key:
        return f"{key}  (shown this once)"
    return "shown at the first start; another: uv run opensync keys issue"
