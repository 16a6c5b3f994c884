"""A real, tiny PLLaVA: CLIP-type tower, MLP projector, 3-D average pool, Llama-type LLM, its own tokenizer; 1.3 M parameters.

`starloop make-base` trains its weights, which are shipped in weights/. Every test that needs a model uses it.
"""

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.llama.configuration_llama import LlamaConfig

from models.pllava.architecture import VideoShape
from models.pllava.chat import ChatTokenizer
from models.pllava.configuration import PllavaConfig
from models.pllava.modeling import PllavaForConditionalGeneration
from models.pllava.processing import PllavaProcessor
from models.pllava.template import VIDEO_TOKEN

IMAGE_SIZE, PATCH_SIZE = 48, 8
NUM_FRAMES = 8
POOLING_SHAPE = (8, 2, 2)
VOCAB_SIZE = 640
SPECIAL = ["<unk>", "<pad>", "<s>", "</s>", "<image>", VIDEO_TOKEN]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}USER: {% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<{{ part.type }}>\n{% endif %}{% endfor %}"
    "{% else %} ASSISTANT: {% for part in message.content %}{{ part.text }}{% endfor %}</s>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def train_tokenizer(corpus: Iterable[str]) -> ChatTokenizer:
    """Byte-level BPE: any text can be encoded, and the words of the corpus become single tokens."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    settings = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return ChatTokenizer(tokenizer, settings, CHAT_TEMPLATE)


def processor(tokenizer: ChatTokenizer) -> PllavaProcessor:
    video = VideoShape(NUM_FRAMES, POOLING_SHAPE, NUM_FRAMES, POOLING_SHAPE)
    return PllavaProcessor(tokenizer, image_size=IMAGE_SIZE, patch_size=PATCH_SIZE, video=video)


def config(tokenizer: ChatTokenizer) -> PllavaConfig:
    """3 tower layers of 128 (the last never runs: features come from layer -2), 4 LLM layers of 128."""
    return PllavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
            projection_dim=64,
        ),
        text_config=LlamaConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=128,
            intermediate_size=320,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.named_token_id("bos_token"),
            eos_token_id=tokenizer.named_token_id("eos_token"),
        ),
        image_token_index=tokenizer.token_id("<image>"),
        video_token_index=tokenizer.token_id(VIDEO_TOKEN),
        image_seq_length=(IMAGE_SIZE // PATCH_SIZE) ** 2,
        num_frames=NUM_FRAMES,
        pooling_shape=list(POOLING_SHAPE),
        tie_word_embeddings=True,
    )


def build(tokenizer: ChatTokenizer) -> PllavaForConditionalGeneration:
    """A tiny model with random weights.

    Its word embeddings start five times as wide as usual. Otherwise words that are interchangeable in the corpus end up with
    similar embeddings (cosine .91), and a model that cannot tell words apart cannot copy one from its context.
    """
    model = PllavaForConditionalGeneration(config(tokenizer))
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(std=0.1)
    return model
