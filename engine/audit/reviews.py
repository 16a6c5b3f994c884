"""Reviews in the run's folder, and verdicts overridden by them: nothing that is sealed changes, and the next select reads them.

Each file that comes back is one more file in audit/reviews; for an answer with several words the latest one counts, and `unsure`
takes an earlier word back. A word belongs to a clip's content and a text, so that it also stands for the same text in a later
cycle, and in a run that continues this one.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from engine.generate.reuse import content_of
from engine.rows import Answer, Clip, Example, Review
from engine.run.seals import Seal
from engine.store.documents import to_json
from engine.store.files import FileRecord, Store, digest

FOLDER = "audit/reviews"
APPLIED = "reviews.json"
"""People's words that a select step was given, the latest about each answer; beside its examples, where there are any."""
KEPT, DROPPED = "people_keep", "people_drop"
"""Reasons of verdicts that people have overridden."""
CONFIRMED, OVERRIDDEN = "confirmed", "overridden"
"""What the column `people` of an example says."""


def answer_id(clip: Clip, text: str) -> str:
    """By which a row of a sample is known when it comes back. It begins with a letter: a spreadsheet takes 12e45 for a number."""
    return f"a{digest([content_of(clip), text])[:16]}"


def records_of(store: Store) -> tuple[FileRecord, ...]:
    """The files with reviews, the earliest first."""
    return tuple(store.describe([f"{FOLDER}/{name}" for name in store.names(FOLDER)]))


def read(store: Store, records: Iterable[FileRecord]) -> dict[str, Review]:
    """The latest word about each answer. Raises StorageError where a file is not as recorded, ValueError where it is not ours."""
    reviews: dict[str, Review] = {}
    for record in records:
        try:
            rows = [Review(**row) for row in json.loads(store.read_recorded(record))["reviews"]]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{store.url(record.path)} is not what `starloop audit` writes; restore it, or delete it") from None
        reviews |= {review.answer: review for review in rows}
    return reviews


def add(store: Store, reviews: Sequence[Review], source: str) -> list[Review]:
    """Store those that say something new, as one file, and return them. `source`: the name of the file that came back."""
    before = read(store, records_of(store))
    fresh = [review for review in reviews if before.get(review.answer) != review]
    number = 1 + max((int(name[:5]) for name in store.names(FOLDER) if name[:5].isdigit()), default=0)
    data = to_json({"source": source, "reviews": [asdict(review) for review in fresh]}, indent=1)
    while fresh and not store.create(f"{FOLDER}/{number:05d}.json", data):
        number += 1  # somebody else has handed a file in at the same time
    return fresh


def unheard(store: Store, sealed: Mapping[str, Seal]) -> int:
    """How many answers have a word that the run's last select step was not given."""
    selects = [seal for name, seal in sealed.items() if name.endswith("/select")]
    heard = [record for record in selects[-1].files if record.path.endswith(f"/{APPLIED}")] if selects else []
    given = {row["answer"]: row for record in heard for row in json.loads(store.read_recorded(record))}
    words = read(store, records_of(store))
    return sum(given.get(answer) != asdict(review) for answer, review in words.items())


def copy(store: Store, continuation: Store) -> None:
    """Hand the reviews on to a run that continues this one."""
    for record in records_of(store):
        continuation.create(record.path, store.read_recorded(record))


@dataclass
class Overrides:
    """Overrides(reviews).applied(clips, attempts): the same attempts, with people's word in place of the verifiers'."""

    reviews: Mapping[str, Review]
    words: dict[str, str] = field(default_factory=dict)
    """Answers that a word was applied to -> confirmed, or the reason of the new verdict."""
    _clips: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for review in self.reviews.values():
            self._clips[review.clip_id].append(review.people)

    def applied(self, clips: Sequence[Clip], attempts: Sequence[Answer]) -> list[Answer]:
        by_id = {clip.clip_id: clip for clip in clips if clip.clip_id in self._clips}
        return [self._applied(by_id[attempt.clip_id], attempt) if attempt.clip_id in by_id else attempt for attempt in attempts]

    def _applied(self, clip: Clip, attempt: Answer) -> Answer:
        answer = answer_id(clip, attempt.text)
        review = self.reviews.get(answer)
        if attempt.outcome == "failed" or review is None or review.people == "unsure":
            return attempt
        keeps = review.people == "keep"
        if keeps == (attempt.outcome == "kept"):
            self.words.setdefault(answer, CONFIRMED)
            return attempt
        self.words[answer] = KEPT if keeps else DROPPED
        return replace(attempt, outcome="kept" if keeps else "rejected", reason=self.words[answer])

    def marked(self, clips: Sequence[Clip], examples: Sequence[Example]) -> list[Example]:
        """The examples, each with what people say about its answer."""
        by_id = {clip.clip_id: clip for clip in clips if clip.clip_id in self._clips}
        return [self._marked(by_id[example.clip_id], example) if example.clip_id in by_id else example for example in examples]

    def _marked(self, clip: Clip, example: Example) -> Example:
        word = self.words.get(answer_id(clip, example.answer), "")
        return replace(example, people=OVERRIDDEN if word == KEPT else word) if word else example

    def counts(self) -> dict[str, int]:
        """For the seal: verdicts that people confirmed, and those that they overrode.

        >>> Overrides({}, {"a": CONFIRMED, "b": DROPPED}).counts()
        {'people.confirmed': 1, 'people.kept': 0, 'people.dropped': 1}
        """
        counts = Counter(self.words.values())
        return {"people.confirmed": counts[CONFIRMED], "people.kept": counts[KEPT], "people.dropped": counts[DROPPED]}
