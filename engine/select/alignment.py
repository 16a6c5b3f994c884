"""Whether two clips that look alike show the same pictures: one is laid over the other, and what differs decides. Pure.

Least squares find how the second clip's picture is shifted and stretched (Lucas and Kanade 1981); what only one of them shows does
not count. Frames are compared with those at about the same share of the other clip, since a copy of another speed has others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.decode.signature import CHROMA, LUMA, MOMENTS, Coefficients, Floats, cosines, waves

SIDE = 12
"""Points in each direction at which pictures are compared."""
SHARP = 9
"""Frequencies in each direction that are compared: a crop of a picture of which LUMA are kept has fewer."""
COARSE, FINE = 6, LUMA
"""Frequencies by which pictures are fitted at first, which leads from afar, and then."""
STEPS = 3
"""Of the fit, with each number of frequencies."""
UNLIKE = 0.65
"""Difference of the coarse pictures, as a share of what they vary, with which the fit is not gone on with."""
LONGEST_STEP, ZOOMS, CENTRES = 0.05, (0.6, 1.6), (0.2, 0.8)
LATEST = 1
"""Moments by which the same picture may come sooner or later."""
WORST = 2
"""Moments of MOMENTS that need not agree: the shot changes between the frames of one clip and those of the other."""
SAME_EDGES = 0.7
"""Least correlation of the edges of the pictures. docs/near_copies.md has what lies on both sides of these bounds."""
OTHER_MOTION = 0.33
"""Most of what moves (the edges' energy, less that of the mean picture) that is not there in the other clip: two clips of a fixed
camera have nearly all edges in common, and no motion."""
STILL = 0.02
"""Share of the edges' energy that counts as motion in a still picture too."""
GREY, GREY_SHARE = 1.0, 0.25
"""Most difference of the pictures in grey levels (root mean square): GREY, and this share of what parts of the picture vary, their
median. So a shape on a plain ground has to be at the same place on the same ground."""
COLOUR = 9.0
"""Most difference of both colour differences, in grey levels."""
PLAIN = 1.5
"""Grey levels that a picture varies at least (root mean square): two dark or empty clips are no copies of each other."""
LIGHTER = 3.0
"""Grey levels by which a whole copy may be lighter or darker."""
BLOCKS = 4
"""Parts of a picture in each direction."""

POINTS = (np.arange(SIDE) + 0.5) / SIDE
IN_TIME = np.asarray(waves((np.arange(MOMENTS) + 0.5) / MOMENTS, MOMENTS), np.float32)
"""[MOMENTS, MOMENTS]: the moments' pictures of the frequencies in time."""
HALVES = np.stack([IN_TIME[: MOMENTS // 2].mean(0), IN_TIME[MOMENTS // 2 :].mean(0)])
"""The means of the first and the second half of a clip."""
SOFTEN = np.asarray(cosines(SIDE, SHARP).T @ cosines(SIDE, SHARP) * SIDE, np.float32)
NEAR = abs(np.subtract.outer(np.arange(MOMENTS), np.arange(MOMENTS))) <= LATEST


def are_copies(first: Coefficients, second: Coefficients, starts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each of n pairs.

    `starts`, [n, 4]: about which part of the second clip's picture the first one shows, as centre and zoom, down and then across.
    """
    views, rest = fitted(first.luma, second.luma, starts, COARSE)
    places, are = np.flatnonzero(rest < UNLIKE), np.zeros(len(starts), np.bool_)
    if len(places):
        own, other = first[places], second[places]
        are[places] = _agree(own, other, fitted(own.luma, other.luma, views[places], FINE)[0])
    return are


def _agree(first: Coefficients, second: Coefficients, views: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each of n pairs whether what both show is the same, with the part `views` of the second clip laid over the first one."""
    compared = _laid_over(first, second, views)
    edges, others = _edges(compared.first, compared.shared), _edges(compared.second, compared.shared)
    correlations = _correlations(edges, others)
    difference, vary, block = _difference(compared, correlations)
    return np.asarray(
        (_matched(correlations) > SAME_EDGES)
        & (_other_motion(edges, others) < OTHER_MOTION)
        & (difference < GREY + GREY_SHARE * block)
        & (compared.colour < COLOUR)
        & (vary > PLAIN)
    )


def fitted(first: Floats, second: Floats, starts: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], Floats]:
    """The views by which the clips differ least, [n, 4], and the share of what is shown that still differs, [n].

    Brightness alone decides, of which both are coefficients, [n, MOMENTS, LUMA, LUMA]; `count` frequencies count.
    """
    targets, others = (np.einsum("ht,ntkl->nhkl", HALVES, luma) for luma in (first, second))
    views, grid = starts.copy(), np.asarray(waves(POINTS, count), np.float32)
    down, across = np.asarray(POINTS - 0.5, np.float32)[:, None], np.asarray(POINTS - 0.5, np.float32)[None]
    shown, whole = grid @ targets[..., :count, :count] @ grid.T, others[..., :count, :count]
    for _ in range(STEPS):
        rows, columns = _places(views)
        pictured = _pictured(whole, rows, columns)
        by_row, by_column = _pictured(whole, rows, columns, slope="rows"), _pictured(whole, rows, columns, slope="columns")
        contrast = pictured - pictured.mean((-1, -2), keepdims=True)
        ways = [by_row, by_row * down, by_column, by_column * across, contrast, np.ones_like(pictured)]
        views += np.clip(_solved(np.stack(ways, -1), shown - pictured, _shared(rows, columns))[:, :4], -LONGEST_STEP, LONGEST_STEP)
        views[:, 1::2], views[:, ::2] = np.clip(views[:, 1::2], *ZOOMS), np.clip(views[:, ::2], *CENTRES)
    rows, columns = _places(views)
    shared = _shared(rows, columns)[:, None]
    rest, own = (_centred(pictures, shared) for pictures in (shown - _pictured(whole, rows, columns), shown))
    return views, np.asarray(np.sqrt((rest**2).sum((1, 2, 3)) / np.maximum(1e-3, (own**2).sum((1, 2, 3)))), np.float32)


def _centred(pictures: Floats, shared: Floats) -> Floats:
    """Without the mean of what is shared, and 0 elsewhere."""
    means = (pictures * shared).sum((-1, -2), keepdims=True) / np.maximum(1, shared.sum((-1, -2), keepdims=True))
    return np.asarray((pictures - means) * shared, np.float32)


def _solved(ways: Floats, rest: Floats, shared: Floats) -> NDArray[np.float64]:
    """[n, 6]: how far to go each of the ways, [n, 2, SIDE, SIDE, 6], that `rest` becomes least where both clips show something."""
    count, shared = len(ways), shared[:, None]
    ways, rest = (ways * shared[..., None]).reshape(count, -1, ways.shape[-1]), (rest * shared).reshape(count, -1, 1)
    squares, products = ways.transpose(0, 2, 1) @ ways, ways.transpose(0, 2, 1) @ rest
    scale = np.sqrt(np.maximum(1e-6, np.einsum("nii->ni", squares)))
    damped = squares / scale[:, :, None] / scale[:, None] + 0.01 * np.eye(ways.shape[-1], dtype=np.float32)
    return np.asarray(np.linalg.solve(damped, products / scale[:, :, None])[..., 0] / scale, np.float64)


def _places(views: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[n, SIDE] each: where the rows and columns of points lie in the second clip's picture, which is 0..1."""
    return tuple(views[:, at, None] + views[:, at + 1, None] * (POINTS - 0.5) for at in (0, 2))  # type: ignore[return-value]


def _shared(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Floats:
    """float32[n, SIDE, SIDE]: 1 where the second clip shows something, too."""
    is_row, is_column = ((places > 0) & (places < 1) for places in (rows, columns))
    return (is_row[:, :, None] & is_column[:, None]).astype(np.float32)


def _pictured(pictures: Floats, rows: NDArray[np.float64], columns: NDArray[np.float64], slope: str = "") -> Floats:
    """float32[n, m, SIDE, SIDE]: m pictures of each clip, given as coefficients, at the points; or their slope along an axis."""
    count = pictures.shape[-1]
    down = _slopes(rows, count) if slope == "rows" else waves(rows, count)
    across = _slopes(columns, count) if slope == "columns" else waves(columns, count)
    pictured = np.asarray(down, np.float32)[:, None] @ pictures @ np.asarray(across, np.float32).transpose(0, 2, 1)[:, None]
    return np.asarray(pictured, np.float32)


def _slopes(places: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The derivative of `waves`."""
    frequencies = np.arange(count)
    return np.asarray(-np.pi * np.sqrt(2) * frequencies * np.sin(np.pi * frequencies * places[..., None]))


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Pairs of clips, the second laid over the first: what both show."""

    first: Floats
    """float32[n, MOMENTS, SIDE, SIDE], in grey levels."""
    second: Floats
    shared: Floats
    """float32[n, SIDE, SIDE]: 1 where both show something."""
    colour: Floats
    """float32[n]: root mean square difference of the colours."""


def _laid_over(first: Coefficients, second: Coefficients, views: NDArray[np.float64]) -> Compared:
    rows, columns = _places(views)
    shared, grid = _shared(rows, columns), np.broadcast_to(POINTS, rows.shape)
    own, other = (np.einsum("it,ntkl->nikl", IN_TIME, clips.luma) for clips in (first, second))
    own, other = _pictured(own, grid, grid), _pictured(other, rows, columns)
    other = np.where(shared[:, None] > 0, other, own)
    shape = (len(views), -1, CHROMA, CHROMA)
    tints, others = (np.einsum("ht,ntckl->nhckl", HALVES, clips.chroma).reshape(shape) for clips in (first, second))
    squares = ((_pictured(tints, grid, grid) - _pictured(others, rows, columns)) ** 2 * shared[:, None]).sum((1, 2, 3))
    colour = np.asarray(np.sqrt(squares / np.maximum(1, len(HALVES) * shared.sum((1, 2)))), np.float32)
    own, other = (np.asarray(SOFTEN @ pictures @ SOFTEN, np.float32) for pictures in (own, other))
    return Compared(own, other, shared, colour)


def _edges(pictures: Floats, shared: Floats) -> Floats:
    """float32[n, MOMENTS, places]: differences of neighbouring points, which all frequencies contribute to in photographs."""
    shared, count = shared[:, None], len(pictures)
    down = (pictures[:, :, 1:] - pictures[:, :, :-1]) * shared[:, :, 1:] * shared[:, :, :-1]
    across = (pictures[..., 1:] - pictures[..., :-1]) * shared[..., 1:] * shared[..., :-1]
    return np.concatenate([down.reshape(count, MOMENTS, -1), across.reshape(count, MOMENTS, -1)], -1)


def _correlations(edges: Floats, others: Floats) -> Floats:
    """float32[n, MOMENTS, MOMENTS]: of each moment of the first clip with each of the second; -1 of those too far apart."""
    norms = [np.linalg.norm(own, axis=2) for own in (edges, others)]
    products = edges @ others.transpose(0, 2, 1) / np.maximum(1e-3, norms[0][:, :, None] * norms[1][:, None])
    return np.where(NEAR, products, -1)


def _matched(correlations: Floats) -> Floats:
    """float32[n]: the mean over the better moments, of the clip that finds less of itself in the other one."""
    sides = [np.sort(correlations.max(axis), axis=1)[:, WORST:].mean(1) for axis in (1, 2)]
    return np.asarray(np.minimum(*sides), np.float32)


def _other_motion(edges: Floats, others: Floats) -> Floats:
    """float32[n]: the share of both clips' motion that the other one has not, 0 to about 1."""
    moves, other_moves = (own - own.mean(1, keepdims=True) for own in (edges, others))
    energies = [(own**2).sum(2) for own in (moves, other_moves)]
    rests = energies[0][:, :, None] + energies[1][:, None] - 2 * moves @ other_moves.transpose(0, 2, 1)
    rests = np.where(NEAR, rests, np.inf)
    rest = np.maximum(*(np.sort(rests.min(axis), axis=1)[:, : MOMENTS - WORST].mean(1) for axis in (1, 2))) * MOMENTS
    everything = (edges**2).sum((1, 2)) + (others**2).sum((1, 2))
    return np.asarray(rest / np.maximum(1e-3, np.maximum(energies[0].sum(1) + energies[1].sum(1), STILL * everything)))


def _difference(compared: Compared, correlations: Floats) -> tuple[Floats, Floats, Floats]:
    """float32[n] each, in grey levels: how much the pictures differ, how much the first ones vary, and how much their parts do.

    It is the mean over the better moments, each with the moment of the other clip that it is most like.
    """
    shared, points = compared.shared, np.maximum(1, compared.shared.sum((1, 2)))
    best = correlations.argmax(2)[:, :, None, None]
    rests = (compared.first - np.take_along_axis(compared.second, best, 1)) * shared[:, None]
    better = np.argsort((rests**2).sum((2, 3)), axis=1)[:, : MOMENTS - WORST, None, None]
    rest = np.take_along_axis(rests, better, 1).mean(1)
    lighter = np.clip(rest.sum((1, 2)) / points, -LIGHTER, LIGHTER)[:, None, None]
    difference = np.sqrt((((rest - lighter) * shared) ** 2).sum((1, 2)) / points)
    own, other = compared.first.mean(1), compared.second.mean(1)
    middle = (own * shared).sum((1, 2), keepdims=True) / points[:, None, None]
    vary = np.sqrt((((own - middle) * shared) ** 2).sum((1, 2)) / points)
    return difference, vary, _parts_vary(own, other, shared)


def _parts_vary(own: Floats, other: Floats, shared: Floats) -> Floats:
    """float32[n]: how much a part of the pictures varies, the median over all parts that are mostly shared."""
    covers, *squares = (_parts(values) for values in (shared, own, other))
    counts = np.maximum(1, covers.sum(2))
    variances = []
    for values in squares:
        middle = (values * covers).sum(2) / counts
        variances.append((((values - middle[..., None]) * covers) ** 2).sum(2) / counts)
    vary = np.where(covers.mean(2) > 0.6, np.sqrt((variances[0] + variances[1]) / 2), np.nan)
    vary[np.isnan(vary).all(1)] = 0
    return np.asarray(np.nanmedian(vary, axis=1))


def _parts(pictures: Floats) -> Floats:
    """float32[n, BLOCKS * BLOCKS, points] of [n, SIDE, SIDE]."""
    each = SIDE // BLOCKS
    return pictures.reshape(-1, BLOCKS, each, BLOCKS, each).transpose(0, 1, 3, 2, 4).reshape(len(pictures), BLOCKS**2, each**2)
