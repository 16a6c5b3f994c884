"""Pins that transformers' Auto classes load a PLLaVA once models.pllava.auto is imported, and that the example in the docs runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor, Qwen2Config, SiglipVisionConfig

import models.pllava.auto  # noqa: F401  # what is tested
from llavas import SIGLIP, TEXT, write_llava
from models.base import Device, ModelSpec, Sampling, Video
from models.pllava import convert, loading
from models.pllava.modeling import PllavaForConditionalGeneration, PllavaModel
from models.registry import load
from watching import replies


def test_the_example_in_the_docs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    (code,) = [part.split("```")[0] for part in Path("docs/pooling.md").read_text().split("```python\n")[1:]]
    names: dict[str, Any] = {}
    exec(code, names)
    video = Video(np.zeros((8, 48, 48, 3), np.uint8), tuple(map(float, range(8))))
    llm = load(ModelSpec(base="tiny"), Device("cpu", "float32"))
    (reply,) = replies(llm, [video], ["What happens?"], [0], Sampling(temperature=0.0, max_tokens=32))
    assert capsys.readouterr().out.strip() == reply.text
    assert type(names["model"]) is PllavaForConditionalGeneration


@pytest.mark.parametrize("pooling", ["pllava", "llava_onevision", "llava_next_video"])
def test_what_convert_wrote_is_the_model_that_it_was(tmp_path: Path, pooling: Any) -> None:
    write_llava(tmp_path / "stock", "llava_onevision", SiglipVisionConfig(**SIGLIP), Qwen2Config(**TEXT))
    spec = ModelSpec(base=str(tmp_path / "stock"), num_frames=3, pooling=pooling)
    convert.convert(spec, tmp_path / "out", lambda line: None)
    folder = tmp_path / "out" / "base"
    ours, processor = loading.load(spec)
    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    config, auto = AutoConfig.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    video = processor.video
    kept = (config.model_type, config.pooling_method, tuple(config.pooling_shape))
    assert kept == ("pllava", video.pooling.method, video.pooled)
    frames = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8)
    chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "what?"}]}]
    text = auto.apply_chat_template(chat, add_generation_prompt=True)
    assert text == processor.chat("what?")
    inputs = auto([text], videos=[frames])
    with torch.no_grad():
        expected = ours(**processor([text], videos=torch.from_numpy(frames[None]))).logits
        torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=1e-5)
    auto.save_pretrained(tmp_path / "saved")
    assert type(AutoModel.from_pretrained(folder)) is PllavaModel
    assert auto.batch_decode(inputs["input_ids"][:, -2:]) == [auto.decode(inputs["input_ids"][0, -2:])]
    model.save_pretrained(tmp_path / "saved")
    again, report = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not any(report.values()), report
    assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in model.state_dict().items())
    loading.load(ModelSpec(base=str(tmp_path / "saved")))
