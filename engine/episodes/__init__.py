"""In-context episodes as EILEV makes them (arXiv 2311.17041): functions of clips, seeds and settings.

All modules are pure, except for lengths.

splits      train clips and queries: by video, or common actions and rare ones
footage     a clip as the sampler sees it: its action, its video and its window
orders      clips sorted by verb and by noun, so that those of a word or an action are a range; timelines of single videos
pools       drawing from such ranges without replacement
sampler     EILEV's contexts: shots with the query's verb or its noun, never of its action
narration   prompts for shots, words of a narration, canonical narrations
build       the episodes of a set of clips, for each epoch, and frozen contexts for evaluation
properties  burstiness, tail, dynamic meaning, text-only baselines and leaks of episodes
export      episodes in the formats of other tools
tags        how rows of other tools show a file: <video> or <image>, and its list
lengths     the episodes that do not fit into the model's context; it reads the model's tokenizer
"""
