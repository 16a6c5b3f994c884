"""Refuses episodes that do not fit into the model's context, without counting the tokens of every episode."""

from collections.abc import Iterator, Mapping, Sequence

from engine.rows import Episode
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import ModelSpec, Turn
from models.registry import sample_tokens, size

NUM_CANDIDATES = 16
"""Longest episodes whose tokens are counted exactly. They are chosen by a sum over turns, which is a token or two off per turn."""


class LongestEpisodes:
    """Keeps the episodes that take most of the model's context: by the sum over their turns first, then counted as a whole."""

    def __init__(self, base: ModelSpec, storage: Storage, answers: Mapping[str, str]) -> None:
        """`answers`: example_id -> the answer of that example."""
        self._spec = local(base, storage, only=".json")
        self._context, self._answers = size(self._spec, lora_rank=1).context_tokens, answers
        self._tokens: dict[tuple[str, str], int] = {}
        """By (example_id, prompt): the tokens of that turn before another one."""
        self._candidates: list[Episode] = []

    def add(self, episodes: Sequence[Episode]) -> None:
        turns = sorted({turn for episode in episodes for turn in self._turns(episode)} - self._tokens.keys())
        end = Turn(0, "?", "!")
        samples = ([Turn(0, prompt, self._answers[example_id]), end] for example_id, prompt in turns)
        self._tokens |= zip(turns, sample_tokens(self._spec, samples), strict=True)
        self._candidates = sorted([*self._candidates, *episodes], key=self._estimate, reverse=True)[:NUM_CANDIDATES]

    def refuse(self) -> None:
        """Raises ValueError for an episode that is longer than the model's context."""
        samples = (
            [Turn(0, prompt, self._answers[example_id]) for example_id, prompt in self._turns(episode)]
            for episode in self._candidates
        )
        tokens, episode = max(zip(sample_tokens(self._spec, samples), self._candidates, strict=True), key=lambda pair: pair[0])
        if tokens > self._context:
            raise ValueError(
                f"episode {episode.episode_id} of {len(episode.context)} shots takes {tokens} tokens, and the model's context is "
                f"{self._context}; lower episodes.shots, episodes.pooling_shape or model.pooling_shape"
            )

    def _turns(self, episode: Episode) -> Iterator[tuple[str, str]]:
        """(example_id, prompt) of each shot and of the query."""
        return zip((*episode.context, episode.query), episode.prompts, strict=True)

    def _estimate(self, episode: Episode) -> int:
        return sum(self._tokens[turn] for turn in self._turns(episode))
