"""Verb and noun as classes, by likelihood: of all classes' texts the model's likeliest after the context, and the macro F1 of that.

It is EILEV's classification (icl_eval.py): first the verb after "The camera wearer", then the noun after the verb that was
chosen. Each class has one text or several; a text counts by the mean log-likelihood of its tokens. Here the shots are the curve's.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.episodes.narration import third_person
from engine.episodes.sampler import OTHER
from engine.ingest.tables import text_of
from engine.rows import Clip
from engine.store.filesystems import Storage
from models.base import Likelihood

OF_CLIPS = "clips"
"""In place of a file: the classes that the clips have."""
COLUMNS = {"verb": "structured_verb", "noun": "structured_noun"}
"""Of a file of texts: the class; its text is the column prompt."""


@dataclass(frozen=True, slots=True)
class ClassTexts:
    """The texts of all verbs and of all nouns, each with its class: ClassTexts({"puts": "put_(place)", "places": ...}, {...})."""

    verbs: Mapping[str, str]
    nouns: Mapping[str, str]


def class_texts(files: Mapping[str, str], clips: Iterable[Clip], storage: Storage) -> ClassTexts:
    """`files`: "verb" and "noun" -> a file: CSV with the columns prompt and structured_verb (or structured_noun), or JSON with
    lists of class names under verbs and nouns, as Ego4D's fho_lta_taxonomy.json; or OF_CLIPS. Raises ValueError naming the file.
    """
    actions = [clip.action for clip in clips]
    both = {}
    for part, (kind, file) in enumerate(files.items()):
        if file == OF_CLIPS:
            both[kind] = texts_of(kind, sorted({action[part] for action in actions} - {"", OTHER}), "the clips")
        else:
            with text_of(file, storage) as text:
                both[kind] = _read(kind, text.read(), file)
    return ClassTexts(both["verb"], both["noun"])


def _read(kind: str, content: str, file: str) -> dict[str, str]:
    try:
        if file.endswith(".json"):
            return texts_of(kind, [str(name) for name in json.loads(content)[f"{kind}s"]], file)
        texts = {row["prompt"].strip(): row[COLUMNS[kind]].strip() for row in csv.DictReader(content.splitlines())}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError):
            raise
        raise ValueError(
            f"few_shot.{kind}s: {file} has no classes ({error!r}); give a CSV with the columns prompt and {COLUMNS[kind]}, or a "
            f"JSON with a list {kind}s"
        ) from None
    if not texts or "" in texts:
        raise ValueError(f"few_shot.{kind}s: {file} has {'an empty prompt' if texts else 'no rows'}; fill it in")
    return texts


def texts_of(kind: str, classes: Sequence[str], source: str) -> dict[str, str]:
    """Texts for classes by name, with the synonyms that an Ego4D name lists. Raises ValueError where a class gets none of its own.

    >>> texts_of("verb", ["put_(place,_leave,_drop)", "turn-on"], "x")
    {'puts': 'put_(place,_leave,_drop)', 'places': 'put_(place,_leave,_drop)', 'leaves': 'put_(place,_leave,_drop)', \
'drops': 'put_(place,_leave,_drop)', 'turns on': 'turn-on'}
    >>> texts_of("noun", ["cup_(cup,_mug)", "nut_(food)", "nut_(tool)", "board:chopping"], "x")
    {'the cup': 'cup_(cup,_mug)', 'the mug': 'cup_(cup,_mug)', 'the food nut': 'nut_(food)', 'the tool nut': 'nut_(tool)', \
'the chopping board': 'board:chopping'}
    """
    texts: dict[str, str] = {}
    for name in classes:
        for words in _names(kind, name):
            texts.setdefault(third_person(words) if kind == "verb" else f"the {words}", name)
    if bare := sorted(set(classes) - set(texts.values())):
        raise ValueError(
            f"few_shot.{kind}s: all texts of {bare[0]!r} are another class's too ({source}); give a CSV with the columns prompt "
            f"and {COLUMNS[kind]}"
        )
    return texts


def _names(kind: str, name: str) -> list[str]:
    """The names of a class. A noun with a single word in brackets is told by it from another one: nut_(food), nut_(tool)."""
    first, _, rest = name.partition("_(")
    plain = " ".join(reversed(first.split(":"))).replace("_", " ").replace("-", " ").strip()
    listed = [word.replace("_", " ").strip() for word in re.split(r"[,']", rest.rpartition("(")[2].rstrip(", ").rstrip(")"))]
    others = [word for word in listed if word]
    if kind == "noun" and len(others) == 1 and others[0] != plain:
        return [f"{others[0]} {plain}"]
    return list(dict.fromkeys([plain, *others]))


def classify(read: Callable[[Sequence[str]], Sequence[Likelihood]], pattern: str, texts: ClassTexts) -> tuple[str, str]:
    """The classes (verb, noun) that the model takes for likeliest.

    `read`: likelihoods of texts as answers. `pattern`: a narration with its places of {verb} and {noun}, of which the first is
    chosen first, and then stands before the second.
    """
    of_slot, chosen = {"{verb}": texts.verbs, "{noun}": texts.nouns}, dict[str, str]()
    head = ""
    for part in re.split(r"(\{verb\}|\{noun\})", pattern):
        if part in of_slot:
            phrases = list(of_slot[part])
            best = likeliest(read([head + phrase for phrase in phrases]), len(head))
            chosen[part] = of_slot[part][phrases[best]]
            part = phrases[best]
        head += part
    return chosen["{verb}"], chosen["{noun}"]


def likeliest(likelihoods: Sequence[Likelihood], start: int) -> int:
    """The first of those whose tokens behind the `start`th character have the highest mean log-likelihood.

    >>> a = Likelihood(text="He runs.", spans=((0, 2), (2, 7)), logprobs=(-9.0, -0.5))
    >>> likeliest([Likelihood(text="He swims", spans=((0, 2), (2, 8)), logprobs=(0.0, -0.7)), a], 3)
    1
    """
    means = []
    for likelihood in likelihoods:
        own = [value for (_, end), value in zip(likelihood.spans, likelihood.logprobs, strict=True) if end > start]
        means.append(sum(own) / len(own) if own else float("-inf"))
    return means.index(max(means))


def macro_f1(pairs: Iterable[tuple[str, str]]) -> float:
    """Mean F1 of the classes that occur, in `pairs` of (true class, chosen class); "" as chosen is none. As torchmetrics' macro F1.

    >>> macro_f1([("a", "a"), ("a", "b"), ("b", "b"), ("c", "")])
    0.4444444444444444
    """
    pairs = list(pairs)
    right = Counter(true for true, chosen in pairs if true == chosen)
    golds, choices = Counter(true for true, _ in pairs), Counter(chosen for _, chosen in pairs if chosen)
    scores = [2 * right[name] / (golds[name] + choices[name]) for name in sorted(golds.keys() | choices.keys())]
    return sum(scores) / len(scores) if scores else 0.0
