"""Video LLMs. Frames and text only: no rows, no labels, no Ray.

base       what the engine asks of a model: dataclasses and Protocols
registry   finds the module that serves a checkpoint
folders    a checkpoint's folder: shipped, local or from the hub; its JSON files, its digest
caches     folders of this user for files that are fetched or computed once per machine
digests    sha256 of large files, read once per machine
context    whether prompt and answer fit into a model's context, in words
batching   holds questions back until every clip has one, then answers them as one batch
stops      texts that end an answer, looked for as its tokens come
pllava     PLLaVA, LLaVA-1.5 and LLaVA-NeXT checkpoints, on transformers' LLaVA
endpoint   a model behind an OpenAI-compatible server
tiny       a real, tiny PLLaVA that learns on a CPU
"""
