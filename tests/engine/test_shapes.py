"""Pins that a rendered world has the same bytes every time, and that its descriptions are true."""

from pathlib import Path

import pytest

from worlds import shapes


def test_the_same_scene_is_the_same_file(tmp_path: Path) -> None:
    for index in range(6):
        files = []
        for attempt in range(5):
            path = tmp_path / f"{index}-{attempt}.mp4"
            shapes.write_video(shapes.scene(0, index), path)
            files.append(path.read_bytes())
        assert len(set(files)) == 1


def test_a_world_is_balanced_varied_and_split_by_video(tmp_path: Path) -> None:
    clips = shapes.write_world(tmp_path, 20, 10, seed=1)
    assert [clip.split for clip in clips] == ["train"] * 20 + ["heldout"] * 10
    assert len({clip.video for clip in clips}) == 30
    assert sorted(clip.label.text for clip in clips[:10]) == sorted(shapes.ACTIONS)
    scenes = [shapes.scene(1, index) for index in range(30)]
    assert len({(scene.fps, scene.width_px, scene.height_px) for scene in scenes}) > 10
    assert all((clip.verb, clip.noun) == (shapes.ACTIONS[s.name][0], s.noun) for clip, s in zip(clips, scenes, strict=True))
    assert shapes.write_world(tmp_path, 20, 10, seed=1) == clips


@pytest.mark.parametrize("index", range(10))
def test_descriptions_are_true(index: int) -> None:
    """The poses at start and end are as described, and the shape stays inside the frame."""
    scene = shapes.scene(9, index)
    poses = [shapes.pose(scene, t / 50) for t in range(51)]
    (x0, y0, r0), (x1, y1, r1) = poses[0], poses[-1]
    moves = {
        "at the bottom and ends at the top": y0 - y1 > 0.4,
        "at the top and ends at the bottom": y1 - y0 > 0.4,
        "on the left and ends on the right": x1 - x0 > 0.4,
        "on the right and ends on the left": x0 - x1 > 0.4,
        "small and ends large": r1 > 3 * r0,
        "large and ends small": r0 > 3 * r1,
        "vanishes": any(r == 0 for _, _, r in poses) and any(r > 0 for _, _, r in poses),
        "up and down": max(y for _, y, _ in poses) - min(y for _, y, _ in poses) > 0.3 and x0 == x1,
        "left and right again": max(x for x, _, _ in poses) - min(x for x, _, _ in poses) > 0.3 and y0 == y1,
        "round and round": max(y for _, y, _ in poses) - min(y for _, y, _ in poses) > 0.3 and x0 != x1,
    }
    assert [is_true for phrase, is_true in moves.items() if phrase in scene.description] == [True]
    assert all(r <= x <= 1 - r and r <= y <= 1 - r for x, y, r in poses if scene.name not in ("growing", "dwindling"))
