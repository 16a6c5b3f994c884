"""Whether prompts and samples fit into a model's context: the words for those that do not, the same for all families."""


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


def sample_too_long(num_tokens: int, context_tokens: int, contents: str, keys: str) -> str:
    """Why a sample is too long; "" where it is not. Nothing is cut off: the answer would be cut off first.

    `contents` are what takes the tokens, `keys` the settings that make them fewer.

    >>> sample_too_long(130, 120, "its 2 questions and answers", "model.num_frames")
    "its 2 questions and answers take 130 tokens, with what they show, and the model's context is 120; shorten it, or lower \
model.num_frames in another run (run.uri)"
    """
    if num_tokens <= context_tokens:
        return ""
    return (
        f"{contents} take {num_tokens} tokens, with what they show, and the model's context is {context_tokens}; shorten it, or "
        f"lower {keys} in another run (run.uri)"
    )
