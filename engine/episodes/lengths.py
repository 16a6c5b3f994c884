"""Which episodes do not fit into the model's context, without counting the tokens of every episode."""

from collections.abc import Mapping, Sequence

from engine.rows import Episode, Unused
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import ModelSpec, Turn, UnwritableChat
from models.folders import SMALL_FILES
from models.registry import token_counter

SLACK_TOKENS = 2
"""Per turn: how far the sum over the turns may be from the tokens of the whole, because texts that meet may share a token."""
END = Turn(0, "?", "!")
TurnKey = tuple[str, str]
"""(example_id, prompt) of a shot or a query."""


def refuse_shots(base: ModelSpec, storage: Storage) -> None:
    """Raises ValueError where the base's chat template cannot write shots before a query."""
    try:
        token_counter(local(base, storage, SMALL_FILES)).count([END, END])
    except UnwritableChat as error:
        raise ValueError(
            f"{base.base} has no chat for shots: {error}; set episodes.shots = [0], or use a base whose chat_template.jinja writes "
            "every turn in the same way"
        ) from None


class EpisodeLengths:
    """Counts tokens of episodes: by the sum over their turns first; only where that is near the context, as a whole."""

    def __init__(self, base: ModelSpec, storage: Storage, answers: Mapping[str, str]) -> None:
        """`answers`: example_id -> the answer of that example."""
        self._counter, self._answers = token_counter(local(base, storage, SMALL_FILES)), answers
        self._end = self._counter.count([END])
        self._shots: dict[TurnKey, int] = {}
        """The tokens of a turn before another one."""
        self._queries: dict[TurnKey, int] = {}
        """The tokens of a turn alone, with the chat's beginning."""

    def too_long(self, episodes: Sequence[Episode]) -> list[Unused]:
        """Those that do not fit, each with its numbers."""
        shots = sorted({turn for episode in episodes for turn in self._turns(episode)[:-1]} - self._shots.keys())
        self._shots |= {turn: self._counter.count([self._turn(turn), END]) - self._end for turn in shots}
        queries = sorted({self._turns(episode)[-1] for episode in episodes} - self._queries.keys())
        self._queries |= {turn: self._counter.count([self._turn(turn)]) for turn in queries}
        unsure = [episode for episode in episodes if self._most_tokens(episode) > self._counter.context_tokens]
        details = {episode.episode_id: self._counter.too_long([*map(self._turn, self._turns(episode))]) for episode in unsure}
        return [Unused(example_id=name, reason="too_long", detail=detail) for name, detail in details.items() if detail]

    def _most_tokens(self, episode: Episode) -> int:
        *shots, query = self._turns(episode)
        return sum(self._shots[shot] for shot in shots) + self._queries[query] + SLACK_TOKENS * (len(shots) + 1)

    def _turn(self, turn: TurnKey) -> Turn:
        example_id, prompt = turn
        return Turn(0, prompt, self._answers[example_id])

    def _turns(self, episode: Episode) -> list[TurnKey]:
        """Of each shot and of the query."""
        return list(zip((*episode.context, episode.query), episode.prompts, strict=True))
