"""Video LLMs. Frames and text only: no rows, no labels, no Ray.

base       what the engine asks of a model: dataclasses and Protocols
registry   finds the module that serves a checkpoint
folders    a checkpoint's folder: shipped, local or from the hub; its JSON files, its digest
caches     folders of this user for files that are fetched or computed once per machine
digests    sha256 of large files, read once per machine
context    whether prompt and answer fit into a model's context, in words
batching   holds questions back until every clip has one, then answers them as one batch
decoding   batched sampling with shared prefixes
attention  keys and values that query heads share are not copied for each of them
streams    several answers to one question, from one prefix
passages   texts that are read after prefixes, as tokens
scoring    how likely texts are after prefixes that were computed before
frames     what a processor of transformers bounds: number and size of frames; a video's times as it reads them
parts      which modules of a model of transformers are decoder, tower and projector
lora       a LoRA beside its weight, or merged into it
devices    a GPU that is missing, and memory that does not suffice
replies    token ids of an answer -> the reply
stops      texts that end an answer, looked for as its tokens come
pllava     PLLaVA, LLaVA-1.5 and LLaVA-NeXT checkpoints, on transformers' LLaVA
native     every other video model of transformers' AutoModelForImageTextToText
vllm       the engine vLLM
endpoint   a model behind an OpenAI-compatible server
tiny       a real, tiny PLLaVA that learns on a CPU
"""
