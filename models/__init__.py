"""Video LLMs. Frames and text only: no rows, no labels, no Ray.

base         what the engine asks of a model (Protocols)
pllava       configuration, modeling and processing of PLLaVA on transformers' LLaVA
video_llm    a PLLaVA checkpoint as the engine sees it: watch, reply, converse (after shots), finetune, save
layouts      what lies in a checkpoint folder, of whichever kind, under one set of names
checkpoints  load a checkpoint, refuse a missing weight; put an adapter on it
convert      released PLLaVA into base and adapter; base and adapter into stock LLaVA
size         how large a model is, of its config.json
decoding     shared-prefix batched sampling
tiny         a real, tiny PLLaVA that learns on a CPU
"""
