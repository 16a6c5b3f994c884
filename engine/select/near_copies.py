"""Which clips show nearly the same pictures: copies that were encoded again, mirrored, cropped, or made faster or slower.

An index finds for each clip, in several views, those that look most like it; engine/select/alignment.py decides about each pair.
"""

import tempfile
from array import array
from collections.abc import Iterator, Sequence, Set
from itertools import product

import faiss
import numpy as np
from numpy.typing import NDArray

from engine.decode.signature import CHROMA, LUMA, VERSION, Coefficients, Floats, coefficients, cosines, waves
from engine.select.alignment import HALVES, are_copies

VIEWS = [(down, across, is_mirrored) for down, across in product((0.98, 0.87), repeat=2) for is_mirrored in (False, True)]
"""How a clip is shown to the index: the shares of its height and width in the middle, and whether left for right."""
COARSE = (6, 3)
"""Frequencies in each direction that the index compares, of brightness and of colour."""
ALIKE = 0.7
"""Least cosine of a pair that is looked at closely. Planted copies of real clips, cropped by up to a quarter, had .72 and more."""
NEAREST = 10
"""Clips that are looked at closely for each view of a clip, at most: of more copies than these each is found from its own side."""
FEW = 2000
"""Vectors up to which all are compared; of more a graph leads to the nearest (HNSW: Malkov and Yashunin 2016)."""
NEIGHBOURS, LOOKED_AT_TO_ADD, LOOKED_AT = 16, 40, 64
"""Of the graph: links of a vector, and vectors that are looked at for a new one, and for a question."""
TOGETHER, PAIRS = 1024, 512
"""Clips whose coefficients are in memory at once, and pairs that are fitted at once."""
INDEX_SAMPLES = 48
Pairs = NDArray[np.int64]


class Looks:
    """Signatures of clips in the order in which they came, in a temporary file: 8 bytes a clip in memory.

    >>> with Looks() as looks:
    ...     looks.add(""), len(looks)
    (False, 0)
    """

    def __init__(self, signatures: Sequence[str] = ()) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # __exit__ closes it
        self._ends = array("Q", [0])
        for text in signatures:
            self.add(text)

    def __enter__(self) -> "Looks":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, text: str) -> bool:
        """False where it cannot be compared: there is none, or another version wrote it."""
        if not text.startswith(VERSION):
            return False
        self._file.seek(self._ends[-1])
        self._file.write(text.encode())
        self._ends.append(self._ends[-1] + len(text))
        return True

    def coefficients(self, places: Sequence[int] | NDArray[np.int64]) -> Coefficients:
        return coefficients([self._text(int(place)) for place in places])

    def _text(self, place: int) -> str:
        self._file.seek(self._ends[place])
        return self._file.read(self._ends[place + 1] - self._ends[place]).decode()

    def blocks(self) -> Iterator[tuple[int, Coefficients]]:
        """The number of its first clip and the coefficients of each TOGETHER clips."""
        for start in range(0, len(self), TOGETHER):
            yield start, self.coefficients(range(start, min(len(self), start + TOGETHER)))


def near_copies(first: Looks, second: Looks) -> list[tuple[int, int]]:
    """Pairs of places in both: near-copies of each other, whichever of the two is cropped.

    With one of them twice: each pair in one order only. Time and memory: docs/near_copies.md.
    """
    if not len(first) or not len(second):
        return []
    copies = set[tuple[int, int]]()
    if second is first:
        for place, other in _copies(first, first, copies):
            copies.add((min(place, other), max(place, other)))
    else:
        for place, other in _copies(first, second, copies):
            copies.add((place, other))
        turned = {(other, place) for place, other in copies}
        copies |= {(place, other) for other, place in _copies(second, first, turned)}
    return sorted(copies)


def _copies(shown: Looks, whole: Looks, known: Set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Places in both, of pairs of which a view of the clip of `shown` is the clip of `whole`; without those that are `known`."""
    index, is_same = _index_of(whole), whole is shown
    for start, block in shown.blocks():
        alike = _alike(index, block, NEAREST + is_same)
        alike[:, 0] += start
        if is_same:
            alike = alike[alike[:, 0] != alike[:, 1]]
        alike = alike[np.argsort(alike[:, 1], kind="stable")]  # each clip of `whole` is read once or twice, not once a pair
        pairs = [row for row in alike.tolist() if (row[0], row[1]) not in known]
        for at in range(0, len(pairs), PAIRS):
            places, others, numbers = (np.array(column) for column in zip(*pairs[at : at + PAIRS], strict=True))
            views = [VIEWS[number] for number in numbers]
            is_mirrored = np.array([view[2] for view in views])
            starts = np.array([[0.5, down, 0.5, across] for down, across, _ in views])
            distinct, of_pair = np.unique(others, return_inverse=True)
            own = whole.coefficients(distinct)[of_pair].mirrored(is_mirrored)
            are = are_copies(own, block[places - start], starts)
            yield from zip(places[are].tolist(), others[are].tolist(), strict=True)


def _alike(index: faiss.Index, clips: Coefficients, nearest: int) -> Pairs:
    """[n, 3]: number of a clip, place in the index, and number of the view in which both are most alike: mirrored, and not.

    A picture with a thing in its middle may look more like its copy when it is mirrored, and then be none.
    """
    candidates = list[Pairs]()
    cosines_of = list[Floats]()
    for number, view in enumerate(VIEWS):
        cosine, places = index.search(_vectors(clips, *view), nearest)
        rows, columns = np.nonzero((cosine > ALIKE) & (places >= 0))
        candidates.append(np.stack([rows, places[rows, columns], np.full(len(rows), number)], 1))
        cosines_of.append(cosine[rows, columns])
    pairs = np.concatenate(candidates)
    pairs = pairs[np.argsort(-np.concatenate(cosines_of), kind="stable")]
    is_mirrored = np.array([view[2] for view in VIEWS])[pairs[:, 2:]]
    _, first = np.unique(np.concatenate([pairs[:, :2], is_mirrored], 1), axis=0, return_index=True)
    return np.asarray(pairs[first], np.int64)


def _index_of(looks: Looks) -> faiss.Index:
    size = 2 * int(_kept(COARSE[0]).sum()) + 2 * int(_kept_colours().sum())
    index: faiss.Index = faiss.IndexFlatIP(size)
    if len(looks) > FEW:
        graph = faiss.IndexHNSWFlat(size, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = LOOKED_AT_TO_ADD, LOOKED_AT
        index = graph
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # several would make another graph each time
    for _, block in looks.blocks():
        index.add(_vectors(block, 1.0, 1.0, False))
    faiss.omp_set_num_threads(threads)
    return index


def _vectors(clips: Coefficients, down: float, across: float, is_mirrored: bool) -> Floats:
    """float32[n, d], of length 1: what is in the middle of the picture, all frequencies alike, of both halves of the clip.

    In photographs amplitudes fall with their frequency, so each is multiplied with it.
    """
    luma, chroma = COARSE
    halves = np.einsum("ht,ntkl->nhkl", HALVES, clips.luma)
    rows, columns = _middle(down, luma, LUMA), _middle(across, luma, LUMA, is_mirrored)
    bright = (rows @ halves @ columns.T * _weights(luma))[..., _kept(luma)]
    rows, columns = _middle(down, chroma, CHROMA), _middle(across, chroma, CHROMA, is_mirrored)
    tints = (rows @ clips.chroma[:, 0] @ columns.T * np.maximum(0.7, _weights(chroma)))[..., _kept_colours()]
    vectors = np.concatenate([bright.reshape(len(bright), -1), tints.reshape(len(tints), -1)], 1)
    return np.asarray(vectors / np.maximum(1.0, np.linalg.norm(vectors, axis=1, keepdims=True)), np.float32)


def _middle(share: float, kept: int, count: int, is_mirrored: bool = False) -> Floats:
    """[kept, count]: the first frequencies of the middle of a line, from those of the line."""
    places = 0.5 + share * ((np.arange(INDEX_SAMPLES) + 0.5) / INDEX_SAMPLES - 0.5)
    return np.asarray(cosines(INDEX_SAMPLES, kept) @ waves(places[::-1] if is_mirrored else places, count), np.float32)


def _weights(count: int) -> Floats:
    return np.asarray(np.hypot(*np.ogrid[:count, :count]), np.float32)


def _kept(count: int) -> NDArray[np.bool_]:
    """Without the mean brightness, and without the corner where both frequencies are high."""
    total = np.add.outer(np.arange(count), np.arange(count))
    return (total > 0) & (total <= count)


def _kept_colours() -> NDArray[np.bool_]:
    return np.add.outer(np.arange(COARSE[1]), np.arange(COARSE[1])) < COARSE[1]
