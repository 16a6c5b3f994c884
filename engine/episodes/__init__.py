"""In-context episodes as EILEV makes them (arXiv 2311.17041): pure functions of clips, seeds and settings.

splits      train and query sets: by video, or common against rare actions
sampler     which clips stand before a query: same verb or same noun, never the same action
narration   surface forms of a narration, canonical narrations, how a shot is asked
build       episodes of a set of clips, epoch after epoch, and frozen contexts for evaluation
properties  burstiness, tail, dynamic meaning and leaks, measured
export      the same episodes in others' formats
"""
