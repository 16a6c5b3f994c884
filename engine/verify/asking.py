"""How a judge is reached: of the stage that judges answers, and of evaluation sets."""

from engine.verify.judging import JudgeSpec, request_body
from models.endpoint.address import Endpoint
from models.endpoint.client import ChatClient

PROBE_TOKENS = 16


def client_of(spec: JudgeSpec, endpoint: Endpoint | None = None) -> ChatClient:
    """`endpoint`: another one than the specification's, such as one with less patience."""
    probe = request_body(spec, "Is anybody there? Reply with one word.", 0) | {spec.max_tokens_key: PROBE_TOKENS}
    return ChatClient(endpoint or spec.endpoint, probe)
