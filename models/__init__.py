"""Video LLMs. Frames and text only: no rows, no labels, no Ray.

base         what the engine asks of a model (Protocols)
pllava       configuration, modeling and processing of PLLaVA on transformers' LLaVA
video_llm    a PLLaVA checkpoint as the engine sees it: watch, reply, finetune, save
checkpoints  load a checkpoint, refuse a missing weight; put an adapter on it
decoding     shared-prefix batched sampling
tiny         a real, tiny PLLaVA that learns on a CPU
"""
