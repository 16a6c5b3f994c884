"""The smallest thing that can be plugged into each seam. tests/engine/test_seams.py plugs them in.

model       a kind of checkpoint
engine      a generation engine
judge       a verifier stage
benchmark   a format of evaluation sets
adapter     a dataset's format
"""
