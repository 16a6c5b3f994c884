"""VideoChat2-IT as a folder: which annotation file is which set, and where the videos of each set lie.

video/caption/textvr/train.json is the set caption_textvr; PLLaVA trains on the sixteen of VIDEOS (tasks/train/instruction_data.py).
"""

import re

from engine.ingest.folders import files_under
from engine.store.filesystems import Storage

LAYOUT = re.compile(r"(?:^|/)(caption|classification|conversation|reasoning|vqa)/([A-Za-z0-9_-]+)/train\.jsonl?$")
VIDEOS = {
    "caption_textvr": "TextVR",
    "caption_videochat": "webvid_10m",
    "caption_webvid": "webvid_10m",
    "caption_youcook2": "YouCook2/split_videos",
    "classification_k710": "kinetics",
    "classification_ssv2": "20bn-something-something-v2",
    "conversation_videochat1": "webvid_10m",
    "conversation_videochat2": "InternVid-10M-FLT/videos",
    "conversation_videochatgpt": "AVideo_ChatGPT",
    "reasoning_clevrer_mc": "CLEVRER",
    "reasoning_clevrer_qa": "CLEVRER",
    "reasoning_next_qa": "NExTVideo",
    "vqa_ego_qa": "ego4d_data/split_videos",
    "vqa_tgif_frame_qa": "tgif",
    "vqa_tgif_transition_qa": "tgif",
    "vqa_webvid_qa": "webvid_10m",
}
"""Set -> folder of its videos, below that of all videos."""


def collection_of(path: str) -> str:
    """
    >>> collection_of("magic_jsons/video/vqa/tgif_frame_qa/train.json"), collection_of("talks.json")
    ('vqa_tgif_frame_qa', '')
    """
    match = LAYOUT.search(path)
    return f"{match[1]}_{match[2]}" if match else ""


def collections_in(path: str, storage: Storage) -> dict[str, str]:
    """The annotation file of each set in a folder, by the set's name; {} for a file, or a folder of another layout.

    Raises ValueError where two files are the same set.
    """
    files: dict[str, str] = {}
    for name in sorted(files_under(path, storage) or ()):
        collection, file = collection_of(name), f"{path.rstrip('/')}/{name}"
        if collection in files:
            raise ValueError(f"{files[collection]} and {file} are both the set {collection}; take one of them out of the folder")
        if collection:
            files[collection] = file
    return files
