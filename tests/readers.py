"""Tiny models for extractive question answering, in the folders in which verify.span_model names them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import BertTokenizerFast, DistilBertConfig, DistilBertForQuestionAnswering

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the a cup sits on table what is there ? . from 0 1 2 5 8 to ##s this example he runs jumps"
).split()


def a_config(words: Sequence[str] = WORDS, **fields: object) -> DistilBertConfig:
    return DistilBertConfig(vocab_size=len(words), dim=8, n_heads=2, hidden_dim=16, max_position_embeddings=64, **fields)


def save_tokenizer(folder: Path, words: Sequence[str] = WORDS) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=True, model_max_length=64).save_pretrained(folder)


def a_reader(folder: Path, *sought: str) -> str:
    """A model without layers that takes the words in `sought` for the start and the end of every answer."""
    words = [*WORDS, *(word for word in sought if word not in WORDS)]
    save_tokenizer(folder, words)
    model = DistilBertForQuestionAnswering(a_config(words, n_layers=0))
    with torch.no_grad():
        embeddings = model.distilbert.embeddings
        embeddings.position_embeddings.weight.zero_()
        embeddings.word_embeddings.weight.copy_(torch.eye(8)[1].repeat(len(words), 1))
        for word in sought:
            embeddings.word_embeddings.weight[words.index(word)] = torch.eye(8)[0]
        model.qa_outputs.weight.copy_(torch.stack([torch.eye(8)[0], torch.eye(8)[0]]) * 20)
        model.qa_outputs.bias.zero_()
    model.save_pretrained(folder)
    return str(folder)
