"""Which episodes do not fit into the model's context, without counting the tokens of every episode."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from engine.rows import Episode, Unused
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import ModelSpec, Turn
from models.folders import SMALL_FILES
from models.registry import sample_tokens, size

SLACK_TOKENS = 2
"""Per turn: how far the sum over the turns may be from the tokens of the whole, because texts that meet may share a token."""
END = Turn(0, "?", "!")
Told = tuple[str, str]
"""(example_id, prompt) of a shot or a query."""


class EpisodeLengths:
    """Counts tokens of episodes: by the sum over their turns first; only where that is near the context, as a whole."""

    def __init__(self, base: ModelSpec, storage: Storage, answers: Mapping[str, str]) -> None:
        """`answers`: example_id -> the answer of that example."""
        self._spec = local(base, storage, SMALL_FILES)
        self._context, self._answers = size(self._spec, lora_rank=1).context_tokens, answers
        [self._end] = sample_tokens(self._spec, [[END]])
        self._shots: dict[Told, int] = {}
        """The tokens of a turn before another one."""
        self._queries: dict[Told, int] = {}
        """The tokens of a turn alone, with the chat's beginning."""

    def too_long(self, episodes: Sequence[Episode]) -> list[Unused]:
        """Those that do not fit, each with its numbers."""
        shots = sorted({turn for episode in episodes for turn in self._turns(episode)[:-1]} - self._shots.keys())
        before_end = sample_tokens(self._spec, ([self._turn(turn), END] for turn in shots))
        self._shots |= zip(shots, (tokens - self._end for tokens in before_end), strict=True)
        queries = sorted({self._turns(episode)[-1] for episode in episodes} - self._queries.keys())
        self._queries |= zip(queries, sample_tokens(self._spec, ([self._turn(turn)] for turn in queries)), strict=True)
        unsure = [episode for episode in episodes if self._most_tokens(episode) > self._context]
        counted = zip(unsure, self._whole(unsure), strict=True) if unsure else ()
        return [
            Unused(example_id=episode.episode_id, reason="too_long", detail=self._detail(episode, tokens))
            for episode, tokens in counted
            if tokens > self._context
        ]

    def _most_tokens(self, episode: Episode) -> int:
        *shots, query = self._turns(episode)
        return sum(self._shots[shot] for shot in shots) + self._queries[query] + SLACK_TOKENS * (len(shots) + 1)

    def _whole(self, episodes: Iterable[Episode]) -> Iterator[int]:
        return sample_tokens(self._spec, ([self._turn(turn) for turn in self._turns(episode)] for episode in episodes))

    def _detail(self, episode: Episode, tokens: int) -> str:
        return (
            f"an episode of {len(episode.context)} shots takes {tokens} tokens, and the model's context is {self._context}; lower "
            "episodes.shots, episodes.pooling_shape or model.pooling_shape"
        )

    def _turn(self, turn: Told) -> Turn:
        example_id, prompt = turn
        return Turn(0, prompt, self._answers[example_id])

    def _turns(self, episode: Episode) -> list[Told]:
        """Of each shot and of the query."""
        return list(zip((*episode.context, episode.query), episode.prompts, strict=True))
