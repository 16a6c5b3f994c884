"""Pins PLLaVA's published chats: the token ids of its eleven prompts and of its two training strings are those of its own code.

The strings are what magic-research/PLLaVA builds at 6f49fd2 (Conversation.get_prompt, ITVidTrainDataset.process_qa); its tokenizer
reads a prompt as one text, and a training string in parts that end and begin at the roles.
"""

import json
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer, normalizers
from transformers import AutoTokenizer

from engine.config import RunConfig
from engine.generate.prompts import Prompts, answer_prompt, train_prompt, wording_of
from engine.presets import load_config
from llavas import write_tokenizer
from models.base import ChatSpec, Sampling, Turn
from models.pllava.architecture import VideoShape
from models.pllava.chat import chat_tokenizer
from models.pllava.forms import Exchange
from models.pllava.processing import PllavaProcessor, refuse_unwritten
from models.pllava.samples import SampleCounter, ids_of
from models.replies import replies_of

VCG = (
    "You are Video-ChatGPT, a large vision-language assistant. You are able to understand the video content that the user provides,"
    " and assist the user with a variety of tasks using natural language.Follow the instructions carefully and explain your "
    "answers in detail based on the provided video."
)
MVBENCH = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of objects, and the "
    "action and pose of persons. Based on your observations, select the best option that accurately addresses the question.\n"
)
RECAPTION = (
    "You are a powerful Video Magic ChatBot, a large vision-language assistant. \nYou are able to understand the video content "
    "that the user provides and assist the user in a video recaptioning task.\n"
    "The user will provide you with the video and maybe some extra noisy information to help you "
    "out. Make use of the information in a proper way to be competent for the recaption job\n"
    "### INSTRUCTIONS:\n1. Follow the user's instruction.\n2. Be critical yet believe in yourself.\n"
)
DEMO = (
    "You are Pllava, a large vision-language assistant. \nYou are able to understand the video content that the user provides, and "
    "assist the user with a variety of tasks using natural language.\nFollow the instructions carefully and explain your answers "
    "in detail based on the provided video.\n"
)
QA = (
    "The input consists of a sequence of key frames from a video. Answer the question concisely first and followed by significant "
    "events, characters, or objects that appear throughout the frames. Question:"
)
ASKED, CHOICE, TASK = (
    "What is the man doing?",
    "Question: What rises?\nOptions:\n(A) it\n(B) the circle",
    "Describe it.\n# Task\nAll.\n",
)
USER, CLOSE, ANSWER = "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n"


@dataclass(frozen=True)
class Published:
    prompts: str
    """The section of docs/prompts.md."""
    chat: str
    question: str
    text: str


PUBLISHED = {
    "plain": Published("plain", "pllava-vicuna-demo", ASKED, f"USER:<image> {ASKED} ASSISTANT:"),
    "eval_vcgbench": Published("vcg", "pllava-vicuna", ASKED, f"{VCG} USER: <image>\n USER: {ASKED} ASSISTANT:"),
    "eval_vcg_llavanext": Published(
        "vcg", "pllava-chatml", ASKED, f"{VCG}{CLOSE}{USER}<image>\n{CLOSE}{USER}{ASKED}{CLOSE}{ANSWER}"
    ),
    "eval_mvbench": Published(
        "mvbench",
        "pllava-vicuna",
        CHOICE,
        f"{MVBENCH} USER: <image>\n USER: {CHOICE} \nOnly give the best option. ASSISTANT:Best option:(",
    ),
    "eval_mvbench_llavanext": Published(
        "mvbench-34b",
        "pllava-chatml",
        CHOICE,
        f"{VCG}{CLOSE}{USER}<image>\n{CLOSE}{USER}{CHOICE} \nOnly give the best option.{CLOSE}{ANSWER}Best option:(",
    ),
    "eval_videoqabench": Published(
        "videoqa", "pllava-vicuna", ASKED, f"USER: <image>\n {QA} {ASKED} \n ASSISTANT:\nAnswer: In the video,"
    ),
    "eval_videoqa_llavanext": Published(
        "videoqa-34b",
        "pllava-chatml",
        ASKED,
        f"<|im_start|>system\nAnswer the question.{CLOSE}{USER}<image>\n {QA} {ASKED} \n{CLOSE}{ANSWER}\nAnswer: In the video,",
    ),
    "eval_recaption": Published("recaption", "pllava-vicuna", TASK, f"{RECAPTION} USER: <image>\n USER: {TASK} ASSISTANT:"),
    "eval_recaption_llavanext": Published(
        "recaption", "pllava-chatml", TASK, f"{RECAPTION}{CLOSE}{USER}<image>\n{CLOSE}{USER}{TASK}{CLOSE}{ANSWER}"
    ),
    "demo": Published("demo", "pllava-vicuna-demo", ASKED, f"{DEMO} USER:<image>  USER:{ASKED} ASSISTANT:"),
    "demo at 34B": Published(
        "demo-34b", "pllava-chatml", ASKED, f"{DEMO}{CLOSE}{USER}<image>\n{CLOSE}{USER}{CLOSE}{USER}{ASKED}{CLOSE}{ANSWER}"
    ),
}
TOKENIZERS = {
    "pllava-vicuna": ("llama", "llama of 2023"),
    "pllava-vicuna-demo": ("llama", "llama of 2023"),
    "pllava-chatml": ("llama", "llama of 2023", "no begin token"),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tokenizers")
    for form, kinds in TOKENIZERS.items():
        for kind in kinds:
            write_kind(root / form / kind, kind, chatml=form == "pllava-chatml")
    return root


def write_kind(folder: Path, kind: str, chatml: bool) -> None:
    """A Llama's tokenizer; of 2023: every stretch between special tokens gets a blank; Yi's puts no begin token."""
    write_tokenizer(folder, chatml)
    path = folder / "tokenizer.json"
    if kind == "llama of 2023":
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        plain = json.loads(tokenizer.to_str()) | {"pre_tokenizer": None}
        path.write_text(json.dumps(plain))
    if kind == "no begin token":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))


def page_config(chat: str, prompts: str) -> RunConfig:
    """A configuration with the sections of docs/prompts.md."""
    page = (Path(__file__).parents[2] / "docs/prompts.md").read_text()
    (block,) = [part for part in page.split("```") if part.startswith("toml\n[prompts.plain]")]
    evaluation_sets = {"sets": [{"name": "heldout", "prompts": prompts}]}
    return RunConfig.model_validate(
        {"model": {"chat": chat}, "evaluate": evaluation_sets} | tomllib.loads(block.partition("\n")[2])
    )


def a_processor(folder: Path, chat: ChatSpec, llm: str = "llama") -> PllavaProcessor:
    return PllavaProcessor(
        chat_tokenizer(folder, llm, chat.form),
        image_size=48,
        patch_size=6,
        video=VideoShape(4, (2, 3, 3), 2, (1, 2, 2)),
        chat_spec=chat,
    )


def with_one_image(processor: PllavaProcessor, ids: list[int]) -> list[int]:
    """The ids with each video as the original's single <image>."""
    video, image = processor.video_token_id, processor.image_token_id
    assert image is not None
    assert ids.count(video or 0) == processor.tokens_per_video
    return [image if token == video else token for place, token in enumerate(ids) if token != video or ids[place - 1] != video]


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, own in PUBLISHED.items() for kind in TOKENIZERS[own.chat]])
def test_the_eleven_prompts_have_the_original_s_token_ids(folders: Path, name: str, kind: str) -> None:
    assert len(PUBLISHED) == 11
    own = PUBLISHED[name]
    folder, config = folders / own.chat / kind, page_config(own.chat, own.prompts)
    processor = a_processor(folder, config.spec("x", prompts=config.prompts_of("heldout")).chat)
    question = train_prompt(wording_of(config, own.prompts), own.question)
    before, after = processor.prompt_ids(question)
    assert processor.prompt_ids("Another?")[0] == before, "what stands before the video's end is shared"
    assert with_one_image(processor, before + after) == AutoTokenizer.from_pretrained(folder)(own.text).input_ids


SAID = [("What is it?", "the red circle"), ("and?", "it is rising.")]
TRAINED = {
    "pllava-vicuna": ["Watch it. ", "USER:", "<image>\nWhat is it?</s>", "ASSISTANT:", ">the red circle</s>", "USER:", "and?</s>",
                      "ASSISTANT:", ">it is rising.</s>"],
    "pllava-chatml": ["Watch it.<|im_end|>\n", USER, "<image>\nWhat is it?<|im_end|>\n", ANSWER, ">the red circle<|im_end|>\n",
                      USER, "and?<|im_end|>\n", ANSWER, ">it is rising.<|im_end|>\n"],
}  # fmt: skip
"""The parts that the original's training tokenizes one by one; > marks those that are learned."""


@pytest.mark.parametrize("instruction", ["Watch it.", ""])
@pytest.mark.parametrize(("form", "kind"), [(form, kind) for form in TRAINED for kind in TOKENIZERS[form]])
def test_the_training_strings_have_the_original_s_token_ids(folders: Path, form: str, kind: str, instruction: str) -> None:
    processor, theirs = (
        a_processor(folders / form / kind, ChatSpec(form=form)),
        AutoTokenizer.from_pretrained(folders / form / kind),
    )
    first = "\n".join(text for text in (instruction, SAID[0][0]) if text)
    exchanges = [
        Exchange(first, SAID[0][1], instruction=instruction),
        Exchange(*SAID[1], shows=False),
    ]
    parts, expected, learned = TRAINED[form], list[int](), list[int]()
    for number, part in enumerate(parts if instruction else ["", *parts[1:]]):
        ids = theirs(part.removeprefix(">"), add_special_tokens=number == 0).input_ids
        expected += ids
        learned += ids if part.startswith(">") else [-100] * len(ids)
    ids, labels = processor.training_ids(exchanges)
    assert with_one_image(processor, ids) == expected
    assert [label for label in labels if label != -100] == [label for label in learned if label != -100]
    assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
    counter = SampleCounter(processor, context_tokens=1000)
    turns = [Turn(0, first, SAID[0][1], instruction=instruction), Turn(None, *SAID[1])]
    assert counter.count(turns) == len(ids) == len(ids_of(processor, turns)), "what is counted is what is trained on"


def test_an_instruction_stands_before_the_question_where_the_template_decides(folders: Path) -> None:
    processor = a_processor(folders / "pllava-vicuna" / "llama", ChatSpec())
    with_instruction = Exchange("Watch it.\nWhat is it?", "so it is.", instruction="Watch it.")
    assert processor.conversation([with_instruction]) == processor.chat("Watch it.\nWhat is it?", "so it is.")


def test_a_video_alone_and_an_answer_that_runs_on(folders: Path) -> None:
    processor = a_processor(folders / "pllava-vicuna" / "llama", ChatSpec(form="pllava-vicuna"))
    ids = processor.tokenizer.encode("so it is. USER: and?")
    (reply,) = replies_of(processor, [ids], Sampling(temperature=0.0, max_tokens=len(ids)))
    assert (reply.text, reply.finished) == ("so it is.", True)


@pytest.mark.parametrize("form", ["", "pllava-vicuna"])
@pytest.mark.parametrize(
    ("start", "goes_on", "text"),
    [("Best option:(", "B) the circle", "Best option:(B) the circle"), ("Answer: It", " is rising.", "Answer: It is rising.")],
)
def test_a_reply_has_the_beginning_that_was_written_for_it(folders: Path, form: str, start: str, goes_on: str, text: str) -> None:
    processor = a_processor(folders / "pllava-vicuna" / "llama", ChatSpec(form=form, answer_start=start))
    prompt = processor.chat("what is it?")
    assert prompt.endswith(f"ASSISTANT:{'' if form else ' '}{start}")
    ids = processor.tokenizer.encode(start + goes_on)[len(processor.tokenizer.encode(start)) :]
    (reply,) = replies_of(processor, [ids], Sampling(temperature=0.0, max_tokens=64))
    assert (reply.text, reply.num_tokens, reply.finished) == (text, len(ids), True)
    finished = processor.training_ids([Exchange("what is it?", text)])[1]
    assert processor.tokenizer.decode([label for label in finished if label != -100]).strip() == f"{text}</s>"


def test_a_template_writes_system_text_and_what_stands_before_the_video(folders: Path) -> None:
    chat = ChatSpec(system="Be exact.", opening="Watch this: {video}Then answer. ")
    folder = folders / "pllava-vicuna" / "llama"
    template = (
        "{% for m in messages %}{{ m.role.upper() + ': ' }}{% for p in m.content %}"
        "{{ p.text if p.type == 'text' else '<video>\n' }}{% endfor %}"
        "{{ ' </s>' if m.role == 'assistant' else ' ' }}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    own = chat_tokenizer(folder, "llama").with_template(template, folder)
    processor = PllavaProcessor(own, image_size=48, patch_size=6, video=VideoShape(4, (2, 3, 3), 2, (1, 2, 2)), chat_spec=chat)
    refuse_unwritten(folder, processor)
    assert processor.chat("q?") == "<s>SYSTEM: Be exact. USER: Watch this: <video>\nThen answer. q? ASSISTANT:"


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        (
            ChatSpec(form="pllava"),
            "model.chat = 'pllava': known are pllava-vicuna, pllava-vicuna-demo, pllava-chatml, and \"\" for",
        ),
        (ChatSpec(form="pllava-chatml"), r"ends an answer with <\|im_end\|>, which its tokenizer does not have"),
        (ChatSpec(opening="{video}{turn}"), "a chat template has no place for {turn} in a prompt set's opening; set model.chat to"),
        (ChatSpec(form="pllava-vicuna", system="<video> is shown"), "the prompt set's system holds <video>; write {video} in its"),
    ],
)
def test_what_cannot_be_written_is_one_line(folders: Path, chat: ChatSpec, message: str) -> None:
    folder = folders / "pllava-vicuna" / "llama"
    with pytest.raises(ValueError, match=message) as caught:
        refuse_unwritten(folder, a_processor(folder, chat))
    assert len(str(caught.value).splitlines()) == 1


def test_a_template_that_leaves_the_system_text_out_is_refused(folders: Path) -> None:
    folder = folders / "pllava-vicuna" / "llama"
    plain = a_processor(folder, ChatSpec())
    assert a_processor(folder, ChatSpec(system="Be exact.")).chat("q?") == "<s>Be exact. USER: <video>\nq? ASSISTANT:"
    template = (plain.tokenizer.chat_template or "").replace("{{ message.content[0].text }}", "")
    deaf = replace(plain, tokenizer=plain.tokenizer.with_template(template, folder), chat_spec=ChatSpec(system="Be exact."))
    with pytest.raises(
        ValueError, match=r"its chat template does not write 'Be exact.' where the prompt set has it; set model.chat"
    ):
        refuse_unwritten(folder, deaf)


def test_a_published_form_needs_no_template(folders: Path) -> None:
    folder = folders / "pllava-vicuna" / "llama"
    with pytest.raises(ValueError, match="has no chat template"):
        a_processor(folder, ChatSpec(), llm="mistral")
    assert a_processor(folder, ChatSpec(form="pllava-vicuna"), llm="mistral").chat("q") == "USER: <video>\nq ASSISTANT:"


def test_a_prompt_set_is_wording_and_chat() -> None:
    config = page_config("pllava-vicuna", "mvbench")
    assert wording_of(config, "mvbench") == Prompts(
        answer="{question} \nOnly give the best option.", rationalize="", train="{question} \nOnly give the best option."
    )
    assert answer_prompt(wording_of(config, "mvbench"), "a {label}?") == "a {label}? \nOnly give the best option."
    generating, evaluating = config.spec("x"), config.spec("x", prompts=config.prompts_of("heldout"))
    assert generating.chat == ChatSpec(form="pllava-vicuna")
    assert (evaluating.chat.opening, evaluating.chat.answer_start) == ("{video}{turn}", "Best option:(")


def test_the_recaption_recipe_asks_as_published() -> None:
    """Its chat is that of docs/prompts.md, and its question the one of tasks/eval/recaption, greedy in 400 tokens."""
    config, page = load_config(Path("jobs/configs/recaption-pllava-7b.toml"), []), page_config("pllava-vicuna", "recaption")
    assert config.spec("x").chat == page.spec("x", prompts="recaption").chat
    prompt = answer_prompt(wording_of(config, "recaption"), config.data.question)
    assert prompt.splitlines()[0].endswith("and Then, make your response with a elaborate paragraph.")
    assert prompt.endswith("# Task\nDescribe the background, characters and the actions in the provided video.\n")
    assert [line[:2] for line in prompt.splitlines()] == ["Yo", "# ", "1.", "2.", "3.", "# ", "De"]
    assert (config.generate.temperature, config.generate.max_tokens, config.generate.rationalize) == (0.0, 400, False)
