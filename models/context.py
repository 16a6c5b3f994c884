"""Whether prompt and answer fit into a model's context: the words for a prompt that does not, the same for all families."""


def too_long(prompt_tokens: int, max_tokens: int, context_tokens: int) -> str:
    """Why a prompt is too long, after "its question makes"; "" where it is not. See VideoLLM.too_long in models/base.py.

    >>> too_long(100, 20, 120), too_long(110, 20, 120)[:70]
    ('', "a prompt of 110 tokens, the video's included, and with generate.max_to")
    """
    if prompt_tokens + max_tokens <= context_tokens:
        return ""
    return (
        f"a prompt of {prompt_tokens} tokens, the video's included, and with generate.max_tokens = {max_tokens} that is more than "
        f"the model's context of {context_tokens}"
    )
