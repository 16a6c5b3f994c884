"""Prints what a command would do (--dry-run): which steps are there already, which would run, and on how many clips."""

from collections.abc import Iterator

from engine.config import RunConfig
from engine.estimate.workload import of_manifest
from engine.run import preview as previews
from engine.run.preview import Preview
from jobs.view import a_console


def preview(config: RunConfig, until: str) -> None:
    console, looked = a_console(), previews.preview(config, until)
    for line in lines(config.run.uri, looked, until):
        console.print(line)
    if looked.is_new:
        clips = ", ".join(f"{count:,} {split}" for split, count in of_manifest(config).clips.items())
        plan = "" if config.evaluate.only else "; `starloop plan` with the same configuration estimates hours, storage and money"
        console.print(f"clips      {clips}{plan}")
    console.print("nothing is changed: this was --dry-run")


def lines(uri: str, looked: Preview, until: str) -> Iterator[str]:
    """
    >>> begun = {"base/evaluate": (3, 8)}
    >>> looked = Preview(is_new=False, sealed=["ingest"], begun=begun, next=["base/evaluate"], more_cycles=2, holder="")
    >>> for line in lines("runs/a", looked, ""): print(line)
    run        runs/a: would be continued
    reused     ingest
    would run  base/evaluate (3 of 8 pieces are written)
    then       at most 2 more cycles, while accuracy gains
    """
    state = "no run is there, it would begin" if looked.is_new else "would be continued" if looked.next else "complete"
    yield f"run        {uri}: {state}"
    if looked.sealed:
        yield f"reused     {', '.join(looked.sealed)}"
    if not looked.next:
        yield f"would run  nothing: {until or 'the run'} is complete"
        return
    if looked.holder:
        yield f"refused    as long as {looked.holder} holds the lease"
    steps = (
        f"{name} ({looked.begun[name][0]} of {looked.begun[name][1]} pieces are written)" if name in looked.begun else name
        for name in looked.next
    )
    yield f"would run  {', '.join(steps)}"
    if looked.more_cycles:
        yield f"then       at most {looked.more_cycles} more cycle{'s' if looked.more_cycles > 1 else ''}, while accuracy gains"
