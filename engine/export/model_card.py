"""The card of what a finetune wrote: README.md beside its weights, as hubs and PEFT read it.

It follows from seals alone, so a resumed run has the same bytes. A command on the run writes it when it ends, of each cycle that
is evaluated: only then its accuracy is known, and whether it is promoted. No seal records it, and no fetch of the model takes it
along. It names no path of this machine but the base's, which adapter_config.json names too.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub.repocard_data import EvalResult, ModelCardData

from engine.config import RunConfig
from engine.export.front import card, counted, table
from engine.run.plan import BASE, history, name_of
from engine.run.seals import Seal
from engine.store.locations import masked

HUB_ID_PARTS = 2


def model_card(config: RunConfig, sealed: Mapping[str, Seal], cycle: int, run: str) -> bytes:
    """Of a cycle that is evaluated. `run`: its URI."""
    base, is_adapter = config.model.base, config.train.method == "lora"
    data = ModelCardData(
        **({"base_model": base, "base_model_relation": "adapter" if is_adapter else "finetune"} if _is_hub_id(base) else {}),
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="video-text-to-text",
        language=config.verify.language,
        tags=["starloop", "video", *(["lora"] if is_adapter else [])],
        model_name=f"{_name(run)}-cycle-{cycle:03d}",
        eval_results=list(_results(config, sealed, cycle)),
    )
    return card(data, _body(config, sealed, cycle, run))


def _is_hub_id(uri: str) -> bool:
    """
    >>> _is_hub_id("Qwen/Qwen3-VL-8B-Instruct"), _is_hub_id("tiny"), _is_hub_id("/models/a"), _is_hub_id("s3://b/a")
    (True, False, False, False)
    """
    return not uri.startswith((".", "/", "~")) and "://" not in uri and len(uri.split("/")) == HUB_ID_PARTS


def _results(config: RunConfig, sealed: Mapping[str, Seal], cycle: int) -> Iterator[EvalResult]:
    for own in config.sets:
        seal = sealed.get(name_of(cycle, "evaluate", own.name))
        for metric, value in (seal.facts["metrics"] if seal else {}).items():
            if value is not None:
                yield EvalResult(
                    task_type="video-text-to-text",
                    dataset_type=f"starloop-{own.name}",
                    dataset_name=f"{own.name}, {seal.facts['clips']} clips",  # type: ignore[union-attr]  # there is none without it
                    metric_type=metric,
                    metric_value=round(value, 6),
                )


def _body(config: RunConfig, sealed: Mapping[str, Seal], cycle: int, run: str) -> Iterator[str]:
    past, selected, trained = history(sealed), sealed[name_of(cycle, "select")], sealed[name_of(cycle, "train")]
    evaluated = sealed[name_of(cycle, "evaluate")].facts
    promoted = past.best_cycle == cycle
    what = "A LoRA adapter and a projector" if config.train.method == "lora" else "A model, finetuned in full,"
    yield f"# {_name(run)}, cycle {cycle}"
    yield ""
    yield f"{what} on `{masked(config.model.base)}` that answers questions about videos with reasons. It was trained on answers of"
    yield "a model that the labels of their clips confirm, after Video-STaR (arXiv 2407.06189)."
    yield ""
    yield "It is the promoted model of its run." if promoted else _other(past.best_cycle)
    yield from ("", "## Evaluation", "")
    rows = [
        ["base", f"{past.base:.3f}", _interval(sealed[BASE].facts), ""],
        [f"cycle {cycle}", f"{evaluated['accuracy']:.3f}", *_compared(evaluated)],
    ]
    yield from table(
        [
            f"held-out, {evaluated['clips']} clips",
            config.sets[0].metrics[0].replace("_", " "),
            "95 % interval",
            "paired test with the best before",
        ],
        rows,
    )
    yield from ("", "## Training", "")
    yield from table(["", ""], [[key, value] for key, value in _training(config, sealed, cycle, run).items()])
    counts = {name: selected.counts.get(name, 0) for name in ("direct", "rationalized", "instruct", "episodes")}
    yield from ("", f"Examples: {counted(counts)}; of {trained.counts.get('steps', 0)} optimizer steps the loss of the last was")
    yield f"{_last([loss for loss in trained.facts['losses'] if loss is not None])}."
    yield from ("", "## Use", "")
    if config.train.method == "lora":
        yield f"    starloop export {masked(config.model.base)} --adapter FOLDER --out merged"
        yield ""
    yield "The frames and the pooling that it was trained with are part of the model; a chat as the base's template writes it."


def _name(run: str) -> str:
    return run.rstrip("/").rpartition("/")[2]


def _other(best: int) -> str:
    return (
        f"It is not the promoted model of its run, which is that of cycle {best}."
        if best >= 0
        else "No model of its run is promoted."
    )


def _compared(facts: Mapping[str, Any]) -> list[str]:
    comparison = facts.get("comparison")
    test = f"{comparison['won']} better, {comparison['lost']} worse, p = {comparison['p']:.2g}" if comparison else ""
    return [_interval(facts), test]


def _interval(facts: Mapping[str, Any]) -> str:
    low, high = next(iter(facts["intervals"].values())) if facts.get("intervals") else (None, None)
    return "" if low is None else f"{low:.3f} to {high:.3f}"


def _training(config: RunConfig, sealed: Mapping[str, Seal], cycle: int, run: str) -> dict[str, Any]:
    train = config.train
    model = sealed[name_of(cycle, "evaluate")].facts.get("model") or {}
    lora = {"LoRA rank, alpha, dropout": f"{train.lora_rank}, {train.lora_alpha:g}, {train.lora_dropout:g}"}
    return {
        "run": _name(run),
        "examples": sealed[name_of(cycle, "select")].output,
        "weights": sealed[name_of(cycle, "train")].output,
        "model that answered the evaluation": model.get("digest", ""),
        "epochs, examples of a step": f"{train.epochs:g}, {train.batch_rows}",
        "learning rate": f"{train.lr:g}",
        **(lora if train.method == "lora" else {}),
        "seed": config.run.seed,
        "data": config.data.source or "not told (data.source)",
        "license of the data": config.data.license or "not told (data.license)",
    }


def _last(losses: list[float]) -> str:
    return f"{losses[-1]:.4f}" if losses else "none"
