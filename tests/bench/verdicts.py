"""Measures keyword verdicts a second on one core, with 100 and with 10,000 classes. Answers have 60 words; half hold their label.

.venv/bin/python tests/bench/verdicts.py
"""

import json
import random
import time

from engine.labels import Keywords
from engine.verify.verdict import VerifySpec, verify

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


def main() -> None:
    few, many = per_second(classes(100)), per_second(classes(10_000))
    print(json.dumps({"verdicts_per_s": round(few), "with_10000_classes": round(many), "many_over_few": round(many / few, 3)}))


if __name__ == "__main__":
    main()
