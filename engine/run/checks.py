"""What is checked before a run's folder is claimed, and each time it is opened again: found out before anything is paid for."""

import json
from collections.abc import Mapping
from shlex import quote

from engine.config import HELDOUT, JUDGE, MIN_GROUNDINGS, TEST, RunConfig, Select
from engine.episodes.lengths import refuse_shots
from engine.evaluate.judge.protocols import refuse_unknown_wordings
from engine.evaluate.metrics import metric_of
from engine.evaluate.scores import refuse_missing
from engine.evaluate.sets import files_beside, read_set
from engine.generate.grounding import FEWEST_OTHERS
from engine.ingest import manifest
from engine.ingest.card import Card
from engine.ingest.splits import refuse_empty
from engine.ingest.step import inputs_of
from engine.judging import Judge
from engine.labels import has_reference
from engine.language import parse
from engine.language.words import refuse_unknown_language
from engine.presets import differing_keys
from engine.rows import Clip
from engine.run import elsewhere
from engine.run.engines import refuse_missing_engine
from engine.run.plan import BASE, INGEST, TRAIN, name_of, needs_no_evaluation, so_far
from engine.run.resources import afford
from engine.run.seals import Seal
from engine.run.trackers import refuse_missing_trackers
from engine.run.work import run_config
from engine.select.conversations import read_conversations, refuse_no_examples
from engine.select.grounded import rate_of
from engine.select.lengths import Lengths
from engine.select.signed import videos_in
from engine.store.files import Store
from engine.verify.stages import refuse_unknown
from models.folders import is_here
from models.registry import check


def check_inputs(config: RunConfig, until: str) -> None:
    """Raises ValueError for what cannot work, before the run's folder is claimed by it."""
    if not config.evaluate.only:
        check_manifest(config, until)
    check_settings(config, until)


def check_settings(config: RunConfig, until: str) -> None:
    """As `check_inputs`, of all but the manifest."""
    refuse_unknown_names(config)
    refuse_bad_sets(config)
    refuse_no_examples(config.mixture, config.access())
    for folder in config.select.benchmarks:
        videos_in(folder, config.access())
    if not config.evaluate.only:
        refuse_tiny(config)
        refuse_contradictions(config)
    refuse_missing_engine(config)
    greet_elsewhere(config, {}, until)
    afford(config, TRAIN in splits_for(until))
    refuse_unwritable(config)
    for spec in config.models():
        if is_here(spec.base):  # else the actors find out: fetching it would cost the driver what it costs them
            check(spec)


def check_manifest(config: RunConfig, until: str) -> None:
    """Raises ValueError for a manifest that the run cannot be made from."""
    card = Card()
    for clip in manifest.read_manifest(config.data, config.access(), card):
        refuse_undecided(config, clip)
    try:
        refuse_empty(card.counts(), [*splits_for(until), *([TEST] if config.data.test is not None and not until else [])])
    except ValueError as error:
        raise ValueError("; ".join([str(error), *card.notes()])) from None


def refuse_undecided(config: RunConfig, clip: Clip) -> None:
    """Raises ValueError for a clip whose label no rule decides about, where nothing else is to decide."""
    if not has_reference(clip.label):
        return
    if clip.split == TRAIN and config.generates and JUDGE not in config.verify.stages:
        raise ValueError(
            f"clip {clip.clip_id!r}: no rule decides about a label of kind reference, so nothing of it could be trained on; name a "
            'judge, verify.stages = ["rules", "judge"] (docs/judge.md), or leave such clips out'
        )
    if clip.split in (HELDOUT, TEST) and not metric_of(config.evaluate.sets[0].metrics[0]).source:
        raise ValueError(
            f"clip {clip.clip_id!r} is held out, and no rule decides about a label of kind reference; measure the set heldout by "
            "another metric, such as rouge_l or qa_score (docs/benchmarks.md), or leave such clips out"
        )


def greet_elsewhere(config: RunConfig, sealed: Mapping[str, Seal], until: str) -> str:
    """What models on other machines will be asked, in one line; "" where none is, or none any more.

    Raises ValueError where one refuses a test question, ModelAway where it does not answer.
    """
    unsealed = [step for step in so_far(config, sealed) if step.name not in sealed]
    lines = elsewhere.scored(config, {step.split for step in unsealed if step.kind == "evaluate"})
    if lines:
        elsewhere.greet_scorer(config)
    if TRAIN not in splits_for(until) or config.evaluate.only:
        return "; ".join(lines)
    if elsewhere.is_asked(config) and name_of(0, "generate") not in sealed:
        elsewhere.greet(config)
        lines.append(elsewhere.questions(config))
    if elsewhere.judges(config) and any(step.kind == "generate" for step in unsealed):
        elsewhere.greet_judge(config)
        lines.append(elsewhere.judged(config))
    return "; ".join(lines)


def refuse_unwritable(config: RunConfig) -> None:
    """Raises ValueError where the base's chat template can write no conversation of mixture.examples, or no shots of episodes."""
    mixture, base, storage = config.mixture, config.spec(config.model.base), config.access()
    if mixture.episodes and max(config.episodes.shots):
        refuse_shots(base, storage)
    detail = ""
    if mixture.instruct:
        lengths = Lengths(base, storage)
        for examples in read_conversations(mixture.examples, storage):
            for example in examples:
                if not (detail := lengths.unwritable(example)):
                    return
    if detail:
        raise ValueError(f"mixture.examples {mixture.examples}: none of its conversations can be trained on; the last: {detail}")


def refuse_tiny(config: RunConfig) -> None:
    """Raises ValueError for the toy base, unless the configuration allows it: on real videos it learns to fill in a pattern."""
    if config.model.toys and not config.model.allow_tiny:
        raise ValueError(
            f'{config.model.toys[0]} is "tiny", a toy that has only seen moving shapes; name a video LLM, --set model.base=FOLDER, '
            "or try the machinery with --set model.allow_tiny=true"
        )


def refuse_contradictions(config: RunConfig) -> None:
    """Raises ValueError for keys of which one makes another one useless. A run that has begun with such keys goes on."""
    mixture = config.mixture
    if config.loop.final_direct_only and not (mixture.direct or mixture.episodes or mixture.instruct):
        raise ValueError(
            "mixture.direct = 0 leaves the last finetune nothing, which uses no rationalized examples; give mixture.direct a "
            "weight above 0, or set loop.final_direct_only = false"
        )
    if config.train.augment == "published" and mixture.episodes:
        raise ValueError(
            'train.augment = "published" has ImageNet\'s means in a finetune, and episodes are never augmented; leave '
            "train.augment or mixture.episodes out"
        )
    unused = [name for name, own in config.verify.judge if JUDGE not in config.verify.stages and own != getattr(Judge(), name)]
    if unused:
        raise ValueError(f'verify.judge.{unused[0]} is of a judge that is never asked; add --set verify.stages=["rules","judge"]')
    if config.verify.parser and config.verify.preset != "strict":
        raise ValueError(f"verify.parser is of the preset strict, and verify.preset is {config.verify.preset}; leave it out")
    value = config.select.min_grounding
    if isinstance(value, str) and value != "off" and not rate_of(value):
        raise ValueError(f"select.min_grounding = {value!r}: {MIN_GROUNDINGS}")
    if value not in ("off", Select().min_grounding) and config.generates and not config.scores_answers:
        cause = "generate.grounding = 0" if config.generate.grounding == 0 else f"generate.engine = {config.generate.engine!r}"
        raise ValueError(
            f"select.min_grounding = {value!r} rejects nothing, since with {cause} no answer has a grounding; leave it out, set it "
            'to "off", or change the other key'
        )
    if value not in ("off", Select().min_grounding) and config.generates and config.generate.piece_clips <= FEWEST_OTHERS:
        raise ValueError(
            f"select.min_grounding = {value!r} rejects nothing, since a piece of {config.generate.piece_clips} clips has not the "
            f"{FEWEST_OTHERS} others that a text is compared with; raise generate.piece_clips"
        )


def refuse_unknown_names(config: RunConfig) -> None:
    """Raises ValueError for a verifier stage, a tracker or a metric that is in no table, and for a tracker without its package."""
    refuse_unknown(config.verify.stages)
    refuse_unknown_language(config.verify.language)
    parse.of(config.verify.parser)  # before a GPU is asked for
    refuse_missing_trackers(config.run.trackers)
    refuse_unknown_wordings(config.evaluate.judge.wordings)
    for evaluation_set in config.sets[1:] if config.evaluate.only else config.sets:
        refuse_missing(config.evaluate, evaluation_set, [metric_of(name) for name in evaluation_set.metrics])
    headline = metric_of(config.evaluate.sets[0].metrics[0])
    if headline.falls:
        raise ValueError(f"the set heldout is measured by {headline.name}, of which less is better; name another metric before it")


def refuse_bad_sets(config: RunConfig) -> None:
    """Raises ValueError, naming the evaluation set, where its files cannot be read."""
    for evaluation_set in config.evaluate.sets:
        try:
            for _ in read_set(evaluation_set, config.data.question, config.access()) if evaluation_set.files else ():
                pass
        except ValueError as error:
            raise ValueError(f"evaluation set {evaluation_set.name!r} (evaluate.sets): {error}") from None


def refuse_changed_inputs(config: RunConfig, store: Store, ingested: Seal, until: str) -> None:
    """Raises ValueError where the manifest or an evaluation set is not what ingest read, or has no clips for what is asked."""
    for name, fingerprint in inputs_of(config).items():
        if ingested.facts["inputs"][name] != fingerprint:
            files = {own.name: [own.files, *files_beside(own, config.access())] for own in config.evaluate.sets if own.files}
            path = " or ".join(files.get(name, [config.data.manifest]))
            how = f"`starloop extend {quote(store.url())} {quote(path)}`"
            again = "" if name in files else f", or continue the run with what it holds now: {how}"
            raise ValueError(f"{path} has changed since {store.url()} read it; restore it or choose another run.uri{again}")
    refuse_empty_splits(ingested, until)


def refuse_empty_splits(ingested: Seal, until: str) -> None:
    """Raises ValueError where ingest has left a split empty that is needed: all of its videos may be copies of the other one's."""
    sizes = {split: sum(parts) for split, parts in ingested.facts["parts"].items()}
    if TRAIN not in sizes:  # of a run that only evaluates
        return
    refuse_empty(sizes, [*splits_for(until), *([TEST] if TEST in sizes and not until else [])])


def splits_for(until: str) -> list[str]:
    """Splits that must have clips for a run to the step named `until`; "": to its end.

    A step of a later cycle follows from the evaluations before it.

    >>> splits_for("ingest"), splits_for("base/evaluate"), splits_for("cycle-000/train"), splits_for("cycle-001/train")
    ([], ['heldout'], ['train'], ['train', 'heldout'])
    """
    if until == INGEST:
        return []
    if until.startswith(BASE):
        return ["heldout"]
    return ["train"] if needs_no_evaluation(until) else ["train", "heldout"]


def claim(store: Store, config: RunConfig) -> RunConfig:
    """Save the resolved configuration beside the run, and return it; raises ValueError where the run was begun with another one."""
    resolved = json.dumps(config.model_dump(mode="json"), indent=1).encode()
    try:
        if store.create("config.json", resolved):
            return config
    except NotImplementedError as error:
        raise ValueError(f"run.uri {config.run.uri!r} cannot be written: {error!r}; choose another") from None
    return continued(store, config)


def continued(store: Store, config: RunConfig) -> RunConfig:
    """The configuration with which a run that has begun goes on. Raises ValueError where it was begun with another one.

    A run keeps the data.heldout that it was begun with where the configuration leaves it open: its default was another once.
    """
    begun = run_config(store)
    if config.data.heldout is None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"heldout": begun.data.heldout})})
    if changed := differing_keys(begun.identity(), config.identity()):
        is_manifest = [line.partition(":")[0] for line in changed] == ["data.manifest"]
        how = f"`starloop extend {quote(store.uri)} {quote(config.data.manifest)}`"
        again = f", or continue the run with it: {how}" if is_manifest else ""
        raise ValueError(
            f"{store.uri} was begun with another configuration ({'; '.join(changed)}); restore it or choose another run.uri{again}"
        )
    return config


def note_costs(store: Store, config: RunConfig) -> None:
    """Keep config.json true where fields that only cost time or memory have changed; to be called under the lease."""
    resolved = json.dumps(config.model_dump(mode="json"), indent=1).encode()
    if store.read("config.json") != resolved:
        store.write("config.json", resolved)
