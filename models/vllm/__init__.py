"""The engine "vllm": checkpoints in vLLM (https://docs.vllm.ai), which batches over all pieces in flight.

engine      what models/registry.py calls: starts the engine
installed   which vLLM is installed, and what it knows
arguments   what it is started with: [generate.vllm], and what follows from the model
served      what vLLM has to be told of a family's checkpoints
pllava      the same of PLLaVA and LLaVA
native      the same of the video models of transformers
            -- the files above import vLLM only when it is started --
video_llm   watch, ask, converse
client      vLLM's asynchronous engine on an event loop of its own
plugin      what each of vLLM's processes learns about us
modeling    PLLaVA as a model of vLLM
weights     vLLM's loader that merges adapters
"""
