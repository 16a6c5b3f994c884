"""Measures the verdicts: how many are right on tests/verdicts, by kind, or how many keyword verdicts a second one core gives.

.venv/bin/python tests/bench/verdicts.py --right                      # precision and recall by kind
.venv/bin/python tests/bench/verdicts.py --right --parser spacy:MODEL # with verify.parser
.venv/bin/python tests/bench/verdicts.py                              # speed, with 100 and with 10,000 classes

For the speed, answers have 60 words, and half hold their label.
"""

import argparse
import json
import random
import time
from collections import Counter
from pathlib import Path

from engine import labels
from engine.labels import Keywords
from engine.language.words import ENGLISH
from engine.rows import Mode
from engine.verify.verdict import VerifySpec, verify

VERDICTS_FOLDER = Path(__file__).parents[1] / "verdicts"
VERDICTS, WORDS = 20_000, 60
VERBS = (
    "ride play eat throw cut wash open close clean fix climb push pull carry fold paint build break catch kick hold lift drop pour "
    "fill stir peel chop slice bake"
).split()
SCENE = (
    "the person in this video stands near a wooden table and then walks slowly towards an old wall while two others watch from far "
    "away he bends both knees turns around twice before his arms reach out for something small so that must be what is going on"
).split()


def classes(count: int) -> list[str]:
    """Class names of a verb and an invented noun."""
    return [f"{VERBS[i % len(VERBS)]} {'bcdfgklm'[i % 8]}{'aeiou'[i % 5]}{i}x" for i in range(count)]


def answers(names: list[str], seed: int) -> list[tuple[str, Keywords]]:
    rng = random.Random(seed)
    cases = []
    for i in range(VERDICTS):
        name = rng.choice(names)
        answer_words = [rng.choice(SCENE) for _ in range(WORDS - 4)] + (
            f"he is {name}".split() if i % 2 else "he does something else".split()
        )
        for position in (14, 29, 44, WORDS - 5):
            answer_words[position] += "."
        cases.append((" ".join(answer_words) + ".", Keywords(text=name)))
    return cases


def per_second(names: list[str]) -> float:
    """The best of three passes, because the first one fills the caches of word forms."""
    cases, spec, best = answers(names, 0), VerifySpec(), 0.0
    for _ in range(3):
        start = time.perf_counter()
        kept = sum(verify(text, "What is happening?", label, "direct", True, spec).keep for text, label in cases)
        best = max(best, len(cases) / (time.perf_counter() - start))
        assert kept == VERDICTS // 2
    return best


def right(parser: str) -> None:
    """Prints a line for each kind of label, and for each set and style of cases.

    The rules were written with all of them in sight, except "held out": docs/labels.md has its figures before it was opened.
    """
    counts = dict[str, Counter[tuple[bool, bool]]]()
    for path in sorted(VERDICTS_FOLDER.glob("*.jsonl")):
        for case in map(json.loads, path.open(encoding="utf-8")):
            mode: Mode = "rationalized" if case["hint"] else "direct"
            spec = VerifySpec(parser=parser, language=case.get("language", ENGLISH))
            keep = verify(case["text"], case["question"], labels.parse(case["label"]), mode, True, spec).keep
            origin = case.get("id", {"set": "old", "style": "all"})
            for name in (path.stem, f"{origin['set']}: {origin['style']}", "all cases"):
                counts.setdefault(name, Counter())[case["keep"], keep] += 1
    print(f"{'':22} {'cases':>6} {'right':>6} {'precision':>10} {'recall':>7}")
    for name, count in counts.items():
        kept, true = count[True, True] + count[False, True], count[True, True] + count[True, False]
        share = (count[True, True] + count[False, False]) / count.total()
        precision, recall = (count[True, True] / max(1, total) for total in (kept, true))
        print(f"{name:22} {count.total():6} {share:6.3f} {precision:10.3f} {recall:7.3f}")


def speed() -> None:
    few, many = per_second(classes(100)), per_second(classes(10_000))
    print(json.dumps({"verdicts_per_s": round(few), "with_10000_classes": round(many), "many_over_few": round(many / few, 3)}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--right", action="store_true")
    parser.add_argument("--parser", default="")
    options = parser.parse_args()
    if options.right:
        right(options.parser)
    else:
        speed()


if __name__ == "__main__":
    main()
