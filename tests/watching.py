"""Clips and questions for a loaded model, as its callers give them: videos of random or rendered frames, batches of questions."""

from collections.abc import Sequence

import numpy as np

from models.base import Reply, Sampling, Video, VideoLLM


def videos_of(frames: np.ndarray) -> list[Video]:
    """uint8[B,T,S,S,3] as B videos of one second."""
    num_frames = frames.shape[1]
    return [Video(frames=clip, times_s=tuple((i + 0.5) / num_frames for i in range(num_frames))) for clip in frames]


def replies(
    llm: VideoLLM, videos: Sequence[Video], questions: Sequence[str], seeds: Sequence[int], sampling: Sampling
) -> list[Reply]:
    """One question about each clip, in one batch."""
    watched = llm.watch(videos)
    futures = [
        watched.ask(clip, question, seed, sampling) for clip, (question, seed) in enumerate(zip(questions, seeds, strict=True))
    ]
    for clip in range(len(videos)):
        watched.leave(clip)
    return [future.result() for future in futures]
