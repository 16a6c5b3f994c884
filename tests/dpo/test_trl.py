"""Pins that trl's own collators take our preference pairs: their JSONL is read by datasets, and frames stand for the video."""

from pathlib import Path

import av
import pytest
from datasets import load_dataset
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessor, LlavaProcessor
from trl.data_utils import apply_chat_template
from trl.trainer.dpo_trainer import DataCollatorForPreference, DataCollatorForVisionPreference

from builders import a_clip, an_attempt
from engine.generate.prompts import STRICT, train_prompt
from engine.select.choose import select
from engine.select.preferences import PreferenceWriter, preferences
from worlds.shapes import scene, write_video

pytestmark = pytest.mark.dpo
TOKENIZER = Path(__file__).parents[2] / "models" / "tiny"
CHAT = (
    "{% for message in messages %}{{ message['role'] }}: {% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs of two clips, as the select step writes them."""
    folder = tmp_path_factory.mktemp("pairs")
    with (
        open(folder / "preferences.parquet", "wb") as table,
        open(folder / "preferences.trl.jsonl", "wb") as trl,
        open(folder / "preferences.swift.jsonl", "wb") as swift,
        PreferenceWriter(table, trl, swift) as writer,
    ):
        for number in range(2):
            write_video(scene(1, number), folder / f"{number}.mp4")
            clip = a_clip(str(number), "rising", video=str(folder / f"{number}.mp4"), question="What is the action in this video?")
            attempts = [
                an_attempt(clip.clip_id, text="The red circle sinks.", outcome="rejected", reason="label_missing"),
                an_attempt(clip.clip_id, text="The red circle goes up, so the action is rising.", mode="rationalized"),
            ]
            [example] = select([clip], attempts, frozenset({"direct", "rationalized"}), STRICT)
            writer.write(preferences(example, attempts))
    return folder / "preferences.trl.jsonl"


@pytest.fixture(scope="module")
def processor() -> LlavaProcessor:
    [folder] = {path.parent for path in TOKENIZER.rglob("tokenizer.json")}
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    images = CLIPImageProcessor(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48})
    return LlavaProcessor(images, tokenizer, patch_size=12, vision_feature_select_strategy="full", chat_template=CHAT)


def with_frames(row: dict[str, object]) -> dict[str, object]:
    """As docs/preferences.md says: a few frames of the window as images."""
    with av.open(str(row["video"])) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return row | {"images": [Image.fromarray(frames[at]) for at in (0, len(frames) // 2, len(frames) - 1)]}


def test_the_vision_collator_batches_pairs_with_frames(file: Path, processor: LlavaProcessor) -> None:
    rows = list(load_dataset("json", data_files=str(file), split="train", cache_dir=str(file.parent / "cache")))
    assert [len(row["chosen"]) for row in rows] == [1, 1]
    batch = DataCollatorForVisionPreference(processor)([with_frames(row) for row in rows])
    assert batch["input_ids"].shape[0] == 4, "two pairs: the chosen answers, then the rejected ones"
    assert batch["pixel_values"].shape[0] == 4 * 3
    chosen, _, rejected, _ = (
        processor.tokenizer.decode(ids[mask.bool()]) for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    )
    assert "so the action is rising" in chosen
    assert "sinks" in rejected
    assert "action is rising" not in rejected


def test_the_text_collator_takes_what_its_trainer_makes_of_the_rows(file: Path, processor: LlavaProcessor) -> None:
    rows = load_dataset("json", data_files=str(file), split="train", cache_dir=str(file.parent / "cache"))
    tokenizer, examples = processor.tokenizer, []
    for row in rows:
        texts = apply_chat_template(dict(row), processor)
        ids = {key: tokenizer(texts[key], add_special_tokens=False)["input_ids"] for key in ("prompt", "chosen", "rejected")}
        examples.append({f"{key}_ids": own for key, own in ids.items()})
    assert train_prompt(STRICT, "What is the action in this video?") in texts["prompt"]
    batch = DataCollatorForPreference(pad_token_id=0)(examples)
    assert batch["input_ids"].shape == batch["completion_mask"].shape
    assert batch["completion_mask"].sum(1).min() > 0
