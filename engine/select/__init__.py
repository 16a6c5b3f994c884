"""The select step: which attempts become examples, and what else a finetune is fed.

step           the driver: writes examples.parquet and episodes.parquet, counts, refuses an empty selection
survivors      what each clip's attempts leave to train on, piece by piece
choose         which attempt of a clip becomes its example, and how many examples a label may have: pure
votes          what samples of a clip say, as values that can be counted: pure
grounded       rejects kept answers that fit other videos as well as their own: pure
causes         why a first cycle has no example: pure
screen         leaves out what training could not use, with the reason of each
lengths        which examples the base's chat cannot write, or are longer than its context
duplicates     near-duplicate answers, counted and capped: pure
near_copies    which clips show nearly the same pictures: an index of what they look like
alignment      whether two clips show the same pictures, one laid over the other: pure
leaks          train clips that are near-copies of evaluation sets, benchmarks or other train clips
signed         signatures of clips that no model was asked about
preferences    pairs of a kept and a rejected answer, as a table and for trl and ms-swift
examples       the examples table while it is written, with counts and the shots of episodes
conversations  examples that `starloop ingest --format instruct` wrote
episodes       the episodes table; leaves out episodes that do not fit the model's context
"""
