"""Pins what `starloop status` says of servers: those that answered, those that judged answers, and those that marked a set."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import JUDGE
from engine.evaluate.judge.asker import Account, Asker
from engine.generate.judged import Judged
from engine.run.plan import BASE, name_of
from engine.run.work import read_seals
from engine.store.files import Store
from engine.verify.judging import JudgeSpec
from jobs.status import status
from models.endpoint.address import Endpoint
from reported import a_run


def test_the_judge_of_an_evaluation_has_a_line_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(str(tmp_path))
    a_run(tmp_path, train=6, heldout=6)
    endpoint = Endpoint(url="http://u", model="m", key_env="NO_KEY", section="evaluate.judge")
    spec = JudgeSpec(endpoint=endpoint, rubric="", run_seed=0, price_in=2.0)
    asker = Asker(spec, {}, store, lambda marks: None)
    asker.account = Account(marks=40, new=30, unclear=3, prompt_tokens=9000, reply_tokens=400)
    judged = Judged(prompt=3000, answer=100)
    judged.outcomes["open"].update(keep=2, drop=1)
    facts = {BASE: asker.facts(), name_of(0, "generate"): judged.facts("m at u")}
    for step, of in facts.items():
        seal = read_seals(store)[step]
        store.write(f"{step}/seal.json", replace(seal, facts=seal.facts | {JUDGE: of}).to_json())
    status(str(tmp_path), [], as_json=False)
    printed = capsys.readouterr().out
    assert f"{BASE}: m at http://u was asked for 40 marks: 30 new replies, 3 unclear; 9,000 prompt and 400 reply" in printed
    assert f"{name_of(0, 'generate')}: m at u judged 3 answers: 3 that the rules leave open (2 keep, 1 drop)" in printed
