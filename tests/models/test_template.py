"""Pins that a checkpoint's own chat template is used, as its publisher wrote it, or refused in one line; and what ends an answer.

The templates are those of the hub, in the layouts of their repositories: llava-hf/llava-1.5-7b-hf, -v1.6-mistral-7b-hf,
-v1.6-34b-hf, llama3-llava-next-8b-hf, LLaVA-NeXT-Video-7B-hf; and of the LLMs' own repositories, which know text alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from llavas import write_tokenizer
from models.base import Sampling
from models.pllava.architecture import VideoShape
from models.pllava.chat import chat_tokenizer, open_tokenizer
from models.pllava.forms import Exchange
from models.pllava.processing import PllavaProcessor
from models.replies import replies_of

IMAGES = "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
TEXTS = "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}" + IMAGES
    + "{% if message['role'] != 'assistant' %}" + TEXTS + "{{ content['text'] + ' '}}{% endfor %}{% else %}" + TEXTS
    + "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)  # fmt: skip
NEXT_VIDEO = LLAVA.replace("{% generation %}", "").replace("{% endgeneration %}", "").replace(
    IMAGES, IMAGES + IMAGES.replace("image", "video")
)  # fmt: skip
MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}" + IMAGES + TEXTS + "{{ content['text'] }}"
    "{% endfor %}{{' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + 'END'}}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)  # fmt: skip
LLAMA_3 = (
    "{% for message in messages %}{{'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'}}" + IMAGES + TEXTS
    + "{{ content['text'] }}{% endfor %}{{'<|eot_id|>'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)  # fmt: skip
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}" + IMAGES + TEXTS + "{{ '\n' + content['text'] }}"
    "{% endfor %}{{'<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)  # fmt: skip
GEMMA = (
    "{{ bos_token }}{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
LLAMA_2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'].strip() + "
    "' [/INST]' }}{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
ONEVISION = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}{% for content in message['content'] | "
    "selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}" + TEXTS + "{{ '\n' + content['text'] }}{% endfor %}"
    "{{'<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)  # fmt: skip
INTERLEAVE = ONEVISION.replace("assistant\n", "assistant").replace("video", "image")
THINKING = CHATML.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>\n' }}")
NO_TURNS = LLAMA_2.replace("' ' + eos_token", "(' ' + eos_token if loop.last else '')")
SHARE = CHATML.replace("'<|im_start|>' +", "(loop.length | string) + '<|im_start|>' +")


@dataclass(frozen=True)
class Case:
    template: str
    prompt: str
    """Of the question "what is it?"."""
    answer: str
    """What follows in a finished chat, answered "so it is.": all of it is learned."""
    turn_tokens: tuple[str, ...] = ()
    special: bool = True


CASES = {
    "llava": Case(LLAVA, "<s>USER: <video>\nwhat is it? ASSISTANT:", " so it is. </s>"),
    "next-video": Case(NEXT_VIDEO, "<s>USER: <video>\nwhat is it? ASSISTANT:", " so it is. </s>"),
    "open-ended": Case(LLAVA.replace("ASSISTANT:", "ASSISTANT: "), "<s>USER: <video>\nwhat is it? ASSISTANT:", " so it is. </s>"),
    "mistral": Case(MISTRAL.replace("END", "</s> "), "<s>[INST] <video>\nwhat is it? [/INST]", " so it is.</s>"),
    "mistral with a broken end": Case(MISTRAL.replace("END", "<\\s> "), "<s>[INST] <video>\nwhat is it? [/INST]", " so it is.</s>"),
    "llama 3": Case(
        LLAMA_3,
        "<s><|start_header_id|>user<|end_header_id|>\n\n<video>\nwhat is it?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "so it is.<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    "onevision": Case(
        ONEVISION,
        "<s><|im_start|>user <video>\nwhat is it?<|im_end|><|im_start|>assistant\n",
        "so it is.<|im_end|>",
        ("<|im_start|>", "<|im_end|>"),
    ),
    "interleave": Case(
        INTERLEAVE,
        "<s><|im_start|>user <video>\nwhat is it?<|im_end|><|im_start|>assistant",
        " \nso it is.<|im_end|>",
        ("<|im_start|>", "<|im_end|>"),
    ),
    "chatml": Case(
        CHATML,
        "<s><|im_start|>user\n<video>\n\nwhat is it?<|im_end|><|im_start|>assistant\n",
        "\nso it is.<|im_end|>",
        ("<|im_start|>", "<|im_end|>"),
    ),
    "gemma": Case(
        GEMMA,
        "<s><start_of_turn>user\n<video>\nwhat is it?<end_of_turn>\n<start_of_turn>model\n",
        "so it is.<end_of_turn>",
        ("<start_of_turn>", "<end_of_turn>", "\n\n"),
        special=False,
    ),
    "llama 2": Case(LLAMA_2, "<s>[INST] <video>\nwhat is it? [/INST]", " so it is. </s>"),
    "phi": Case(
        PHI,
        "<s><|user|>\n<video>\nwhat is it?<|end|>\n<|assistant|>\n",
        "so it is.<|end|>",
        ("<|user|>", "<|assistant|>", "<|end|>"),
    ),
}  # fmt: skip


def a_processor(folder: Path, template: str | None, case: Case | None = None, llm: str = "mistral") -> PllavaProcessor:
    write_tokenizer(folder, turn_tokens=case.turn_tokens if case else (), special=case.special if case else True)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    video = VideoShape(2, (2, 2, 2), 2, (1, 1, 1))
    return PllavaProcessor(chat_tokenizer(folder, llm), image_size=48, patch_size=6, video=video)


@pytest.mark.parametrize("name", CASES)
def test_the_folders_own_template_is_used_and_its_end_is_a_token(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    processor = a_processor(tmp_path, case.template, case)
    tokenizer = processor.tokenizer
    assert processor.chat("what is it?") == case.prompt
    finished = processor.chat("what is it?", "so it is.")
    assert finished in (case.prompt + case.answer, case.prompt + case.answer.replace(" </s>", "</s>"))
    ids, labels = processor.training_ids([Exchange("what is it?", "so it is.")])
    before, after = processor.prompt_ids("what is it?")
    assert ids[: len(before + after)] == before + after, "training sees the prompt that generation gives"
    learned = [label for label in labels if label != -100]
    assert labels == [-100] * (len(labels) - len(learned)) + learned
    (end,) = tokenizer.encode(finished)[-1:]
    assert tokenizer.decode([end]) in ("</s>", "<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<|end|>")
    assert learned[-1] == end
    assert tokenizer.decode(learned[:-1]).strip() == "so it is."


@pytest.mark.parametrize("name", CASES)
def test_each_answer_of_several_turns_is_closed_and_may_be_learned(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    processor = a_processor(tmp_path, case.template, case)
    chat = [("what is it?", "so it is."), ("what is the action in this video?", "rising"), ("what is it?", "the red circle")]
    shapes = [processor.video.shot_pooled, processor.video.shot_pooled, processor.video.pooled]
    ids, labels = processor.training_ids([Exchange(*turn) for turn in chat], shapes)
    end = ids[-1]
    assert labels.count(end) == 3
    text = processor.tokenizer.decode([label for label in labels if label != -100], skip_special_tokens=not case.special)
    assert [word for word in ("so it is.", "rising", "the red circle") if word in text] == ["so it is.", "rising", "the red circle"]
    assert ids.count(processor.video_token_id or 0) == 8 + 2


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("llava", "USER:"),
        ("mistral", "[INST]"),
        ("llama 3", "<|start_header_id|>user<|end_header_id|>"),
        ("chatml", "<|im_start|>user"),
        ("gemma", "<start_of_turn>user"),
        ("llama 2", "[INST]"),
        ("phi", "<|user|>"),
    ],
)
def test_an_answer_that_goes_on_as_its_own_user_is_cut_there(tmp_path: Path, name: str, user: str) -> None:
    processor = a_processor(tmp_path, CASES[name].template, CASES[name])
    tokenizer = processor.tokenizer
    assert tokenizer.form is not None
    assert tokenizer.form.user == user
    for answer, text, finished in [
        ("so it is rising.", "so it is rising.", False),
        ("so USER: is it", "so USER: is it", False),
        (f"so it is rising.{tokenizer.form.end} {user} what is it?", "so it is rising.", True),
    ]:
        ids = tokenizer.encode(answer)
        (reply,) = replies_of(processor, [ids], Sampling(temperature=0.0, max_tokens=len(ids)))
        assert (reply.text, reply.finished) == (text, finished)


@pytest.mark.parametrize("name", ["llava", "mistral", "llama 3", "chatml", "next-video", "onevision", "interleave"])
def test_the_text_is_that_of_transformers_with_the_image_as_video(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    processor = a_processor(tmp_path, case.template, case)
    kind = "video" if name in ("next-video", "onevision") else "image"
    messages = [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": "what is it?"}]}]
    theirs = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        messages, chat_template=case.template, tokenize=False, add_generation_prompt=True
    )
    assert processor.chat("what is it?") == "<s>" + theirs.replace("<image>", "<video>")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}{% for p in m.content | selectattr('type', 'equalto', 'image') %}<image>{% endfor %}{% endfor %}",
         "it does not write the question"),
        ("HEY{% for m in messages %}{{ m.nothing.at_all }}{% endfor %}", "has no attribute"),
        ("no messages at all", "it does not write a video once"),
        ("{% for m in messages %}{{ m.content[1].text }}<video>{% endfor %}", "it writes the question before the video"),
        ("{% if %}", "Expected an expression"),
        (SHARE, "a prompt is not the beginning of prompt and answer together"),
        (THINKING, "a prompt is not the beginning of prompt and answer together"),
        (MISTRAL.replace("message['content'][0]['text'] + 'END'", "'yes</s>'"), "it does not write the answer once"),
        (LLAVA.replace("{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}", ""),
         r"it does not open the answer's turn at the end of a prompt \(add_generation_prompt\)"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_one_line(tmp_path: Path, template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        a_processor(tmp_path, template)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{tmp_path}: its chat template cannot be used for videos: ")
    assert message.endswith("put the chat_template.jinja of the published model into the folder")


def test_a_template_without_turns_answers_single_questions(tmp_path: Path) -> None:
    processor = a_processor(tmp_path, NO_TURNS)
    assert processor.training_ids([Exchange("what is it?", "so it is.")])[1][-1] != -100
    with pytest.raises(ValueError, match="writes the beginning of a chat otherwise where turns follow"):
        processor.training_ids([Exchange("and?", "no"), Exchange("what is it?", "so it is.")])


@pytest.mark.parametrize(
    ("turn_tokens", "llm", "prompt"),
    [
        ((), "llama", "<s>USER: <video>\nq ASSISTANT:"),
        (("<|im_start|>", "<|im_end|>"), "qwen2", "<s><|im_start|>user\n<video>\nq<|im_end|>\n<|im_start|>assistant\n"),
        ((), "mistral", ""),
        (("[INST]", "[/INST]"), "llama", ""),
    ],
)
def test_a_folder_without_a_template_gets_one_only_where_it_is_clear(
    tmp_path: Path, turn_tokens: tuple[str, ...], llm: str, prompt: str
) -> None:
    case = Case("", "", "", turn_tokens)
    if prompt:
        assert a_processor(tmp_path, None, case, llm).chat("q") == prompt
    else:
        with pytest.raises(ValueError, match=f"has no chat template, and its {llm} LLM may speak any chat; put the chat_template"):
            a_processor(tmp_path, None, case, llm)


def test_a_template_is_looked_for_where_transformers_looks(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    named = [{"name": "rag", "template": "x"}, {"name": "default", "template": "of the tokenizer"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": named}))
    assert open_tokenizer(tmp_path).chat_template == "of the tokenizer"
    (tmp_path / "processor_config.json").write_text(json.dumps({"chat_template": "of the processor"}))
    assert open_tokenizer(tmp_path).chat_template == "of the processor"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "of the older file"}))
    assert open_tokenizer(tmp_path).chat_template == "of the older file"
    (tmp_path / "chat_template.jinja").write_text("of the file")
    assert open_tokenizer(tmp_path).chat_template == "of the file"
    for name in ("chat_template.jinja", "chat_template.json", "processor_config.json"):
        (tmp_path / name).unlink()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": named[:1]}))
    with pytest.raises(ValueError, match="has chat templates rag, and none named default"):
        open_tokenizer(tmp_path)
