"""Captions, several references a video: MSR-VTT, MSVD, and any file in the form of COCO captions.

MSR-VTT:  {"videos": [{"video_id": "video7010", "split": "test"}], "sentences": [{"video_id": "video7010", "caption": "..."}]}
COCO:     {"images": [{"id": 7, "file_name": "a.mp4"}], "annotations": [{"image_id": 7, "caption": "..."}]}
MSVD:     AllVideoDescriptions.txt, "-4wsuPCjDBc_5_15 a squirrel is eating a peanut"; its test videos are vid1301 to vid1970 of
          youtube_mapping.txt, and without that file beside it all are asked about

Of MSR-VTT the test videos are asked about, where its file names any. Published are BLEU-4, METEOR, ROUGE-L and CIDEr; here bleu,
rouge_l and bert_score: METEOR and CIDEr need Java or a corpus of their own. There is no published wording.
"""

from collections.abc import Iterable, Iterator
from functools import partial

from engine.evaluate.sets.openqa import names_by_number
from engine.evaluate.sets.published import Published, reference
from engine.ingest.adapters.source import each
from engine.ingest.tables import Record, Row, text_of

FILES = "MSR-VTT's test_videodatainfo.json, MSVD's AllVideoDescriptions.txt, or JSON as COCO's captions; videos: their folder"
QUESTION = "Describe what happens in this video in one sentence."
FIRST_TEST = 1301
"""Number of the first of MSVD's test videos."""
Captioned = tuple[str, str]
"""Video and caption."""


def records(published: Published) -> Iterator[Record]:
    is_text = published.data.manifest.endswith(".txt")
    captions = dict[str, list[str]]()
    for video, caption in _of_text(published) if is_text else _of_json(published):
        if any(map(str.isalnum, caption)):  # among the hundred thousands of them are some of dots alone
            captions.setdefault(video, []).append(caption)
    return each(((f"{published.data.manifest} video {item[0]}", item) for item in captions.items()), partial(_row, published))


def _of_text(published: Published) -> Iterator[Captioned]:
    tested = {name for number, name in names_by_number(published).items() if int(number.removeprefix("vid")) >= FIRST_TEST}
    with text_of(published.data.manifest, published.storage) as lines:
        for line in lines:
            video, _, caption = line.strip().partition(" ")
            if caption and video != "#" and (not tested or video in tested):
                yield video, caption


def _of_json(published: Published) -> Iterable[Captioned]:
    """Raises ValueError for a file of another form."""
    document = dict(published.source().json_pairs(""))
    try:
        if "sentences" in document:
            tested = {video["video_id"] for video in document.get("videos", ()) if video.get("split") == "test"}
            named = ((item["video_id"], item["caption"]) for item in document["sentences"])
            return [(video, caption) for video, caption in named if not tested or video in tested]
        names = {image["id"]: image.get("file_name", str(image["id"])) for image in document["images"]}
        return [(names[item["image_id"]], item["caption"]) for item in document["annotations"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{published.data.manifest} is in the form of neither MSR-VTT nor COCO: it has no {error}") from None


def _row(published: Published, captioned: tuple[str, list[str]]) -> Row:
    video, captions = captioned
    return {"clip_id": video, "video": published.video(video), "question": QUESTION, "label": reference(captions)}
