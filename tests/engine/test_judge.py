"""Pins the judge against a real server: asked only where the rules leave it open, waited for, in trouble, wrong, never twice."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from builders import a_clip
from chat_server import MODEL, ChatServer, pictures_in, question_in
from engine.rows import Judgement, Verdict
from engine.verify.judge import Judge
from engine.verify.judging import JudgeSpec
from engine.verify.stages import Case, Stages, Verification
from engine.verify.verdict import VerifySpec
from models.base import ModelAway, Video
from models.endpoint.address import Endpoint

OPEN, KEPT, WRONG = "It may be rising.", "The circle goes up, so it is rising.", "It is sinking."
"""Answers to clips labelled rising that the rules leave open, keep and drop."""
KEEP, DROP = '{"verdict": "keep", "reason": "it commits itself"}', '{"verdict": "drop", "reason": "it hedges"}'
Asking = Callable[..., tuple[Verdict, tuple[Judgement, ...]]]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        server.says = lambda body: KEEP
        yield server


@pytest.fixture
def verification(server: ChatServer) -> Iterator[Callable[..., Verification]]:
    """Makes verifications by rules and judge, whose clients end with the test."""
    judges: list[Judge] = []

    def make(**fields: Any) -> Verification:
        connection = {name: fields.pop(name) for name in ("patience_s", "timeout_s", "concurrency") if name in fields}
        endpoint = Endpoint(
            url=server.url, model=MODEL, key_env="NO_KEY", section="verify.judge", **{"patience_s": 5.0} | connection
        )
        spec = JudgeSpec(
            **{"endpoint": endpoint, "rubric": "Be strict.", "run_seed": 1, "price_in": 2.0, "price_out": 10.0} | fields
        )
        verification = Verification(Stages(names=("rules", "judge"), spec=VerifySpec(judge=spec)))
        judges.extend(verifier for _, verifier in verification._verifiers if isinstance(verifier, Judge))
        return verification

    yield make
    for judge in judges:
        judge.client.close()


def a_case(text: str, clip_id: str = "a", **fields: Any) -> Case:
    return Case(
        **{"clip": a_clip(clip_id), "mode": "direct", "prompt": "What?", "text": text, "finished": True, "seed": 5} | fields
    )


def judged(verification: Verification, *cases: Case) -> list[tuple[Verdict, tuple[Judgement, ...]]]:
    async def all_of_them() -> list[tuple[Verdict, tuple[Judgement, ...]]]:
        return await asyncio.gather(*(verification.judge(case) for case in cases))

    return asyncio.run(all_of_them())


def test_only_what_the_rules_leave_open_is_asked_and_the_answer_is_in_columns(
    server: ChatServer, verification: Callable[..., Verification]
) -> None:
    [(opened, asked), (kept, by_rules), (wrong, also_by_rules)] = judged(
        verification(), a_case(OPEN), a_case(KEPT, "b"), a_case(WRONG, "c")
    )
    assert (opened.keep, opened.reason) == (True, "judge_keep")
    assert (kept.reason, len(by_rules), wrong.keep, len(also_by_rules)) == ("contains_label", 1, False, 1)
    [body] = server.asked
    assert json.loads(question_in(body)) == {"question": "What is the action?", "label": "rising", "answer": OPEN}
    assert pictures_in(body) == []
    rules, judge = asked
    assert (rules.stage, rules.keep, rules.reason, rules.model, rules.cost) == ("rules", False, "label_open", "", 0.0)
    tokens = len(question_in(body).split()), len(KEEP.split())
    assert judge == Judgement(
        stage="judge", keep=True, reason="judge_keep", score=1.0, detail="it commits itself", model=MODEL,
        prompt_tokens=tokens[0], num_tokens=tokens[1], cost=round((2 * tokens[0] + 10 * tokens[1]) / 1e6, 9),
    )  # fmt: skip


def test_a_judges_rejection_of_a_sampled_keep_is_a_rejection_which_can_be_rationalized(
    server: ChatServer, verification: Callable[..., Verification]
) -> None:
    server.says = lambda body: DROP
    every = verification(sample=1.0)
    [(kept, judgements), (opened, _)] = judged(every, a_case(KEPT), a_case(OPEN, "b"))
    assert (kept.keep, kept.reason, [judgement.keep for judgement in judgements]) == (False, "judge_drop", [True, False])
    assert (opened.keep, opened.reason) == (False, "label_open"), "what the rules and the judge both drop has the rules' reason"
    server.asked.clear()
    some = verification(sample=0.3)
    cases = [a_case(KEPT, f"c{number}") for number in range(40)]
    verdicts = [verdict.keep for verdict, _ in judged(some, *cases)]
    assert 4 < verdicts.count(False) == len(server.asked) < 20
    assert [verdict.keep for verdict, _ in judged(verification(sample=0.3), *cases)] == verdicts, "the same ones each time"


def test_frames_of_the_clip_are_shown(server: ChatServer, verification: Callable[..., Verification]) -> None:
    frames = np.stack([np.full((32, 48, 3), value, np.uint8) for value in (0, 40, 80, 120, 160, 200)])
    video = Video(frames, tuple(float(second) for second in range(6)))
    judged(verification(frames=3), a_case(OPEN, video=video))
    assert [round(picture.mean()) for picture in pictures_in(server.asked[0])] == [40, 120, 200]
    assert [part["text"] for part in server.asked[0]["messages"][1]["content"][:5:2]] == ["1.0 s:", "3.0 s:", "5.0 s:"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("I cannot say.", "judge_unclear"), ('{"verdict": "perhaps"}', "judge_unclear"), (f"{KEEP}{DROP}", "judge_unclear")],
)
def test_a_reply_without_a_verdict_is_counted_and_leaves_what_the_rules_said(
    server: ChatServer, verification: Callable[..., Verification], reply: str, reason: str
) -> None:
    server.says = lambda body: reply
    [(opened, first), (kept, second)] = judged(verification(sample=1.0), a_case(OPEN), a_case(KEPT, "b"))
    assert (opened.keep, opened.reason, first[1].reason, first[1].keep) == (False, "label_open", reason, False)
    assert (kept.keep, kept.reason, second[1].reason, second[1].keep) == (True, "contains_label", reason, True)
    assert first[1].num_tokens == len(reply.split()), "it was paid for"
    assert len(server.asked) == 2, "and is not asked again"


@pytest.mark.parametrize("trouble", ["improper", "long", "parameter"])
def test_a_question_that_the_server_refuses_leaves_what_the_rules_said(
    server: ChatServer, verification: Callable[..., Verification], trouble: str
) -> None:
    server.trouble_of = lambda body: trouble if OPEN in question_in(body) else ""
    [(opened, first), (kept, second)] = judged(verification(sample=1.0), a_case(OPEN), a_case(KEPT, "b"))
    assert (opened.reason, first[1].reason, first[1].cost) == ("label_open", "judge_refused", 0.0)
    assert "HTTP 40" in first[1].detail
    assert second[1].reason == "judge_keep", "others are judged"
    assert kept.keep


@pytest.mark.parametrize("trouble", ["busy", "broken", "gateway", "html", "empty", "away", "cut", "reset", "aborted", "slow"])
def test_trouble_that_passes_is_waited_for(server: ChatServer, verification: Callable[..., Verification], trouble: str) -> None:
    server.next(trouble, trouble)
    [(verdict, judgements)] = judged(verification(timeout_s=1.0, patience_s=20.0), a_case(OPEN))
    assert (verdict.keep, judgements[1].reason) == (True, "judge_keep")
    assert len(server.asked) == 3


def test_retry_after_is_honoured(server: ChatServer, verification: Callable[..., Verification]) -> None:
    server.retry_after = "2"
    server.next("busy")
    [(verdict, _)] = judged(verification(), a_case(OPEN))
    first, second = server.at_s
    assert (verdict.keep, second - first >= 2.0) == (True, True)
    # longer than the patience: it is not waited for at all, and nothing passes unjudged
    server.retry_after, server.always, began = "1000", "busy", time.monotonic()
    with pytest.raises(
        ModelAway, match=r"does not answer: HTTP 429: slow down.*it wants 1000 s more; start it, or check verify.judge"
    ):
        judged(verification(patience_s=1.0), a_case(OPEN))
    assert time.monotonic() - began < 5.0


def test_a_judge_that_is_away_ends_the_step_in_one_line_and_no_answer_passes_unjudged(
    server: ChatServer, verification: Callable[..., Verification]
) -> None:
    patient = verification(patience_s=0.5)
    server.stop()
    with pytest.raises(
        ModelAway, match=r"^toy/eyes at http\S+ does not answer: .*verify.judge.patience_s.*check verify.judge.url"
    ) as caught:
        judged(patient, *(a_case(OPEN, f"c{number}") for number in range(30)))
    assert "\n" not in str(caught.value)
    began = time.monotonic()
    with pytest.raises(ModelAway):
        judged(patient, a_case(KEPT), a_case(OPEN))
    assert time.monotonic() - began < 0.3, "the next piece does not wait once more"
    assert judged(patient, a_case(KEPT))[0][0].keep, "what the rules decide needs no judge"


def test_a_wrong_key_is_the_end_and_no_verdict(server: ChatServer, verification: Callable[..., Verification]) -> None:
    server.key = "sk-other"
    with pytest.raises(ModelAway, match=r"HTTP 401.*the environment variable NO_KEY \(verify.judge.key_env\) is empty"):
        judged(verification(), a_case(OPEN))


def test_a_judge_that_is_back_in_time_is_asked_what_it_was_not(
    server: ChatServer, verification: Callable[..., Verification]
) -> None:
    patient = verification(patience_s=20.0)
    server.stop()
    servers: list[ChatServer] = []

    def start_again() -> None:
        time.sleep(1.0)
        second = ChatServer(server.port)
        second.says = lambda body: DROP
        servers.append(second)
        second.__enter__()

    thread = threading.Thread(target=start_again)
    thread.start()
    try:
        verdicts = judged(patient, *(a_case(OPEN, f"c{number}") for number in range(8)))
    finally:
        thread.join()
        servers[0].stop()
    assert [judgements[1].reason for _, judgements in verdicts] == ["judge_drop"] * 8
    assert len(servers[0].answered) == 8


def test_nothing_is_asked_twice(server: ChatServer, verification: Callable[..., Verification]) -> None:
    """As where a piece did not fit a GPU's memory, and is answered again in halves; also while the first is under way."""
    server.answer_s = 0.2
    one = verification()
    cases = [a_case(OPEN, f"c{number}") for number in range(6)]

    async def twice() -> tuple[list[Any], list[Any]]:
        both = await asyncio.gather(*(one.judge(case) for case in [*cases, *cases]))
        again = await asyncio.gather(*(one.judge(case) for case in cases))
        return both, again

    both, again = asyncio.run(twice())
    assert len(server.asked) == 6
    assert both[:6] == both[6:] == again
    assert sum(judgements[1].prompt_tokens for _, judgements in again) > 0, "whichever attempt is written has what it took"


def test_another_sample_of_the_same_clip_is_another_question(server: ChatServer, verification: Callable[..., Verification]) -> None:
    judged(verification(), a_case(OPEN), replace(a_case(OPEN), seed=6), a_case("Perhaps it is rising."))
    assert len(server.asked) == 3
    assert len({body["seed"] for body in server.asked}) == 2


def test_so_many_are_asked_at_once(server: ChatServer, verification: Callable[..., Verification]) -> None:
    server.answer_s = 0.05
    judged(verification(concurrency=3), *(a_case(OPEN, f"c{number}") for number in range(12)))
    assert 2 <= server.most_at_once <= 3
    assert len(server.asked) == 12
