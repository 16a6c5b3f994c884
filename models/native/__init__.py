"""The video models of transformers' AutoModelForImageTextToText: one adapter, and no file for a model.

family      what models/registry.py calls: the functions of models/base.py's Family
loading     a checkpoint, its weights merged with an adapter
layout      the names of weights in files
processing  chats, frames and times as the checkpoint's own processor has them; tokens and labels
passages    the tokens of a text that is read as an answer
video_llm   answers questions, each clip's prefix computed once where the cache allows that
trainee     a model to be finetuned, by LoRA or in full
size        how large a model is, by config.json and processor
packages    what a processor imports and is not here, named in one line
published   sizes of published checkpoints, for machines without the hub
shrink      a random checkpoint of any architecture, a few MB small
"""
