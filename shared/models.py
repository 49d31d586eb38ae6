"""Whose model it is: the provider that follows from a model's name. Pure."""

_PREFIXES = (
    ("claude", "anthropic"),
    ("gpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"),
    ("codex", "openai"), ("chatgpt", "openai"), ("text-embedding", "openai"),
    ("gemini", "google"), ("gemma", "google"),
    ("mistral", "mistral"), ("mixtral", "mistral"), ("codestral", "mistral"),
    ("devstral", "mistral"), ("magistral", "mistral"),
    ("command", "cohere"), ("deepseek", "deepseek"), ("grok", "xai"),
    ("llama", "meta"), ("qwen", "alibaba"), ("qwq", "alibaba"),
    ("kimi", "moonshotai"), ("glm", "zhipuai"), ("minimax", "minimax"),
)  # fmt: skip


def infer_provider(model: str) -> str | None:
    """Name the maker of a model; None for a name that says nothing.

    A qualified name (`anthropic/claude-…`, `us.anthropic.claude-…`) is judged by its
    last piece, so that a router is not taken for the maker.
    """
    name = model.lower().rpartition("/")[2]
    for prefix, provider in _PREFIXES:
        if name.startswith(prefix) or f".{prefix}" in name:
            return provider
    return None
