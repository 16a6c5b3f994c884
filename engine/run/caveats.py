"""What a configuration gives up, or pays for in vain, in a line each: said at the start, by doctor and in the summary. Pure."""

from engine.config import RunConfig


def caveats(config: RunConfig) -> list[str]:
    """
    >>> from engine.config import Loop, Mixture
    >>> caveats(RunConfig()), [line[:52] for line in caveats(RunConfig(loop=Loop(max_cycles=1)))]
    ([], ['loop.max_cycles is 1: the only cycle is the last one'])
    """
    return [line for line in (_unrationalized(config), _unused_hints(config), _repeated(config)) if line]


def _unrationalized(config: RunConfig) -> str:
    """Of a run whose first cycle is its last."""
    loop = config.loop
    if loop.max_cycles > 1 or not loop.final_direct_only or not config.generate.rationalize or not config.generates:
        return ""
    return (
        "loop.max_cycles is 1: the only cycle is the last one, which uses direct attempts only, so nothing is rationalized; for "
        "rationalizations set loop.max_cycles=2 or more, or loop.final_direct_only=false"
    )


def _unused_hints(config: RunConfig) -> str:
    """Of a run that rationalizes, and whose finetunes leave that out."""
    if not config.generate.rationalize or not config.generates or config.learns_from_hints:
        return ""
    return (
        "mixture.rationalized is 0: answers are generated with a hint, and no finetune uses them; set generate.rationalize=false, "
        "which saves a second question for each rejected clip"
    )


def _repeated(config: RunConfig) -> str:
    """Of a run whose next cycle is the same again after one that is not promoted."""
    loop = config.loop
    if loop.patience < 2 or loop.promote == "last" or config.generate.temperature or not config.generates:
        return ""
    return (
        f"loop.patience is {loop.patience} and generate.temperature is 0: after a cycle that is not promoted, the next one asks "
        "the same model, gets the same answers, and trains on the same examples; set generate.temperature, such as 0.7, or "
        "loop.patience=1"
    )
