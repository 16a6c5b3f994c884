"""Several answers to one question from one prefix: its keys and values are kept once, and read once for a token of each answer.

The answers of a row grow side by side: each step adds a token of each, and the mask lets a token see the prefix, the question and
its own answer. A row for each answer would keep, and read, the prefix as often as there are answers.

Shapes: R rows, S answers of each row, L tokens of the longest question, P prefix tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.base import Sampling
from models.decoding import CUT_SHARE, WINDOWS, Prefix, Step, continue_from, draw, placed
from models.scoring import Read
from models.stops import StopTexts


@dataclass(frozen=True)
class Writer:
    """A model that writes answers behind prefixes."""

    step: Step
    read: Read
    config: Any
    """The LLM's."""
    dtype: torch.dtype
    """Of its activations."""
    end_ids: frozenset[int]
    decode: Callable[[Sequence[int]], str]

    def answers(
        self, prefix: Prefix, rows: Sequence[int], questions: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling
    ) -> list[list[int]]:
        """The answer to each question behind prefix row rows[i], as continue_from gives it. Equal questions share what is equal."""
        stops = StopTexts(sampling.stop, self.decode)
        equal: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        for number, (row, question) in enumerate(zip(rows, questions, strict=True)):
            equal.setdefault((row, tuple(question)), []).append(number)
        by_samples: dict[int, list[list[int]]] = {}
        for numbers in equal.values():
            samples = len(numbers) if self._may_share(prefix, questions[numbers[0]], len(numbers) * sampling.max_tokens) else 1
            by_samples.setdefault(samples, []).extend([numbers] if samples > 1 else [[number] for number in numbers])
        answers: dict[int, list[int]] = {}
        for samples, groups in sorted(by_samples.items()):
            firsts = [numbers[0] for numbers in groups]
            own_rows, own_questions = [rows[number] for number in firsts], [questions[number] for number in firsts]
            if samples == 1:
                own_seeds = [seeds[number] for number in firsts]
                texts = continue_from(self.step, prefix, own_rows, own_questions, own_seeds, sampling, self.end_ids, stops)
                answers |= zip(firsts, texts, strict=True)
            else:
                streams = [[seeds[number] for number in numbers] for numbers in groups]
                for numbers, of_row in zip(groups, self._streams(prefix, own_rows, own_questions, streams, sampling), strict=True):
                    answers |= zip(numbers, of_row, strict=True)
        return [answers[number] for number in range(len(rows))]

    def _may_share(self, prefix: Prefix, question: Sequence[int], places: int) -> bool:
        """False where an LLM that looks back through a window would count the places of other answers."""
        windows = [size for name in WINDOWS if (size := getattr(self.config, name, None)) is not None]
        return not windows or prefix.length + len(question) + places <= min(windows)

    @torch.inference_mode()
    def _streams(
        self,
        prefix: Prefix,
        rows: Sequence[int],
        questions: Sequence[Sequence[int]],
        seeds: Sequence[Sequence[int]],
        sampling: Sampling,
    ) -> list[list[list[int]]]:
        """The S answers of each row. Rows whose answers are finished leave the batch, and so do finished answers of the others."""
        device, num_streams, stops = prefix.device, len(seeds[0]), StopTexts(sampling.stop, self.decode)
        ids, mask, positions = placed(prefix, rows, questions, 0)
        cache = prefix.select(torch.tensor(list(rows), device=device), ids.shape[1] + num_streams * sampling.max_tokens)
        generators = [[torch.Generator(device).manual_seed(seed) for seed in of_row] for of_row in seeds]
        spare = torch.Generator(device)
        answers: list[list[list[int]]] = [[[] for _ in of_row] for of_row in seeds]
        batch = Batch(list(range(len(rows))), [list(range(num_streams)) for _ in rows])
        is_visible = mask == 1  # [R, P + L, and a place for each token of an answer]
        owners = torch.full_like(mask, EVERYONE)  # whose token stands there
        logits = self.step(ids, mask, positions, cache).unsqueeze(1).expand(-1, num_streams, -1)
        for step in range(sampling.max_tokens):
            own = [generators[row][stream] if stream != NOBODY else spare for row, stream in batch.pairs]
            drawn = draw(logits.flatten(0, 1), own if sampling.temperature > 0 else [], sampling.temperature).view(
                len(batch.rows), -1
            )
            batch.take(drawn.tolist(), answers, stops.ends, self.end_ids)
            if not batch.num_unfinished or step == sampling.max_tokens - 1:
                break
            if (kept := batch.cut()) is not None:
                slots, places = (torch.tensor(numbers, device=device) for numbers in kept)
                cache.batch_select_indices(slots)
                drawn, positions, is_visible, owners = drawn[slots], positions[slots], is_visible[slots], owners[slots]
                drawn = drawn.gather(1, places)
            streams = torch.tensor(batch.streams, device=device)
            positions, owners = positions[:, -1:] + 1, torch.cat((owners, streams), 1)
            is_visible = torch.cat((is_visible, streams != NOBODY), 1)
            is_own = (owners[:, None] == EVERYONE) | (owners[:, None] == streams[:, :, None])
            hidden = ~(is_own & is_visible[:, None]).unsqueeze(1)
            logits = self.read(drawn, _hiding(hidden, self.dtype), positions.expand(-1, streams.shape[1]), cache)
        return answers


EVERYONE, NOBODY = -1, -2
"""Owners of a place beside the answers, which are numbered from 0: prefix and question, and what only fills a row up."""


@dataclass
class Batch:
    """Which rows are still answered, and which of their answers: Batch([0, 3], [[0, 2], [1, NOBODY]])."""

    rows: list[int]
    streams: list[list[int]]
    """The numbers of answers of each row, as many for each row; NOBODY fills up, and stands for a finished one after a cut."""

    def __post_init__(self) -> None:
        self._unfinished = [{*streams} for streams in self.streams]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return [(row, stream) for row, streams in zip(self.rows, self.streams, strict=True) for stream in streams]

    @property
    def num_unfinished(self) -> int:
        return sum(map(len, self._unfinished))

    def take(
        self,
        drawn: Sequence[Sequence[int]],
        answers: list[list[list[int]]],
        is_at_stop: Callable[[Sequence[int]], bool],
        end_ids: frozenset[int],
    ) -> None:
        """Add a drawn token to each answer that is not finished."""
        for slot, row in enumerate(self.rows):
            for stream, token in zip(self.streams[slot], drawn[slot], strict=True):
                if stream not in self._unfinished[slot]:
                    continue
                if token not in end_ids:
                    answers[row][stream].append(token)
                if token in end_ids or is_at_stop(answers[row][stream]):
                    self._unfinished[slot].remove(stream)

    def cut(self) -> tuple[list[int], list[list[int]]] | None:
        """Leave finished rows and answers out where that makes the batch so much smaller: slots of the rows that stay, and of
        each the places of its answers among those before."""
        slots = [slot for slot, unfinished in enumerate(self._unfinished) if unfinished]
        width = max(len(self._unfinished[slot]) for slot in slots)
        if len(slots) * width > (1 - CUT_SHARE) * len(self.rows) * len(self.streams[0]):
            return None
        places = []
        for slot in slots:
            own = [place for place, stream in enumerate(self.streams[slot]) if stream in self._unfinished[slot]]
            places.append(own + own[:1] * (width - len(own)))
        streams = [
            [self.streams[slot][place] for place in own[: len(self._unfinished[slot])]]
            for slot, own in zip(slots, places, strict=True)
        ]
        self.streams = [own + [NOBODY] * (width - len(own)) for own in streams]
        self.rows, self._unfinished = [self.rows[slot] for slot in slots], [self._unfinished[slot] for slot in slots]
        return slots, places


def _hiding(is_hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention: 0 where a place is seen, the least number where it is hidden."""
    return torch.zeros(is_hidden.shape, dtype=dtype, device=is_hidden.device).masked_fill(is_hidden, torch.finfo(dtype).min)
