"""vLLM's asynchronous engine on an event loop of its own: prompts in, token ids out, from any thread."""

import asyncio
import atexit
import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from models.base import EngineDied, Sampling
from models.vllm.served import Prompt

FINISHED, CUT_OFF = "stop", "length"
"""Reasons to finish of an answer that is one; vLLM gives an answer up by others, such as abort and error."""
SHUTDOWN_S = 5.0
"""Seconds that the engine's processes have to end by themselves."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer([4, 17, 2], finished=True): token ids, the one that ends the answer included."""

    token_ids: Sequence[int]
    finished: bool
    """False if max_tokens cut it off."""
    logprobs: Sequence[float] = ()
    """Of each token, where they are asked for."""


class Client:
    """Holds the engine, whose processes start with it and end with this one (models/vllm/plugin.py)."""

    def __init__(self, config: Any) -> None:
        """`config`: vLLM's VllmConfig. What the start raises is vLLM's own."""
        self._loop = asyncio.new_event_loop()
        # the engine's processes die with the thread that starts them: this one lives as long as the process
        threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True).start()
        self.engine: Any = self._run(_start(config)).result()
        self._numbers = itertools.count()
        atexit.register(self.close)

    def _run(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def submit(
        self, prompt: Prompt, seed: int, sampling: Sampling, end_ids: frozenset[int], logprobs: bool = False
    ) -> Future[Answer]:
        """The answer to a prompt. The future may raise EngineDied, or ValueError for a prompt that vLLM refuses."""
        return self._run(self._answer(prompt, self._params(seed, sampling, end_ids, logprobs)))

    def read(self, prompt: Prompt, num_tokens: int) -> Future[tuple[float, ...]]:
        """Log-likelihoods of the last `num_tokens` of a prompt, each given all before it.

        vLLM computes them for tokens alone that it does not take from its cache of prefixes. A text that it has written itself may
        be there, and then the whole prompt is computed again.
        """
        return self._run(self._read(prompt, num_tokens))

    async def _read(self, prompt: Prompt, num_tokens: int) -> tuple[float, ...]:
        for skips_cache in (False, True):
            output = await self._output(prompt, _reading_params(skips_cache))
            if (output.num_cached_tokens or 0) < len(output.prompt_token_ids) - num_tokens:
                break
        places = zip(output.prompt_token_ids[-num_tokens:], output.prompt_logprobs[-num_tokens:], strict=True)
        return tuple(at[token].logprob for token, at in places)

    def _params(self, seed: int, sampling: Sampling, end_ids: frozenset[int], logprobs: bool) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        return SamplingParams(
            temperature=sampling.temperature,
            max_tokens=sampling.max_tokens,
            seed=seed,
            stop=list(sampling.stop),
            stop_token_ids=sorted(end_ids),
            detokenize=bool(sampling.stop),
            skip_special_tokens=False,
            logprobs=0 if logprobs else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def _answer(self, prompt: Prompt, params: Any) -> Answer:
        completion = (await self._output(prompt, params)).outputs[0]
        steps = completion.logprobs or ()
        values = [step[token].logprob for token, step in zip(completion.token_ids, steps, strict=False)]
        return Answer(completion.token_ids, completion.finish_reason == FINISHED, values)

    async def _output(self, prompt: Prompt, params: Any) -> Any:
        """vLLM's RequestOutput. Raises EngineDied where it is not complete."""
        from vllm.exceptions import VLLMClientError

        engine = self.engine
        inputs: dict[str, Any] = {"prompt_token_ids": prompt.token_ids}
        if prompt.shown:
            inputs["multi_modal_data"] = {"video": [(shown.frames, dict(shown.metadata)) for shown in prompt.shown]}
            inputs["multi_modal_uuids"] = {"video": [shown.uuid for shown in prompt.shown]}
        try:
            (rendered,) = await engine.renderer.render_cmpl_async([inputs])
            async for latest in engine.generate(rendered, params, str(next(self._numbers))):
                output = latest
        except VLLMClientError as error:
            raise ValueError(f"vLLM refuses a prompt: {error}") from None
        except Exception as error:
            if engine.errored:
                raise EngineDied(f"the processes of vLLM's engine have ended ({type(error).__name__})") from None
            raise
        refuse_given_up(output)
        return output

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """What a method of each of vLLM's workers returns."""
        results: list[Any] = self._run(self.engine.collective_rpc(method, args=arguments)).result()
        return results

    def close(self) -> None:
        """End the engine's processes, and give back what they hold."""
        atexit.unregister(self.close)
        self._run(_stop(self.engine)).result()
        del self.engine
        self._loop.call_soon_threadsafe(self._loop.stop)


def refuse_given_up(output: Any) -> None:
    """Raises EngineDied where vLLM has given a request up: what it has written by then is no answer."""
    reason = output.outputs[0].finish_reason
    if reason not in (FINISHED, CUT_OFF):
        raise EngineDied(f"vLLM's engine has given a request up (finish_reason {reason!r})")


def _reading_params(skips_cache: bool) -> Any:
    """For a prompt whose own tokens are scored; one more has to be written."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        prompt_logprobs=0,
        detokenize=False,
        skip_reading_prefix_cache=skips_cache,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


async def _start(config: Any) -> Any:
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_vllm_config(config, enable_log_requests=False, disable_log_stats=True)


async def _stop(engine: Any) -> None:
    if engine.output_handler is not None:
        engine.output_handler.cancel()  # else it reports that the engine ended
        await asyncio.sleep(0)
    engine.shutdown(timeout=SHUTDOWN_S)
