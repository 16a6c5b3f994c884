"""Where a server is, and how patiently it is asked: a value, so that who names a server need not load what asks it."""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Endpoint(url="http://host:8000/v1", model="Qwen/Qwen3-VL-8B-Instruct")"""

    url: str
    """Without a slash at its end: chat/completions and models lie below it."""
    model: str
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; a server without keys ignores it."""
    concurrency: int = 16
    """Questions that are under way at once."""
    patience_s: float = 300.0
    """How long one question is asked again while the server is away, busy or in trouble."""
    timeout_s: float = 600.0
    """Of one request."""
    section: str = "generate.openai"
    """The section of the configuration that names the server, for messages."""

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    def __str__(self) -> str:
        return f"{self.model} at {self.url}"
