"""The evaluate step: how good a model is on each evaluation set.

step      asks the model about the clips of a set
outcomes  which clips were answered right, in arrays
scores    what is measured of answers beside their verdicts
judge     the judge of evaluation sets
metrics   what a set is measured by
figures   each metric with its interval, and by group
intervals the interval of a metric, by video
paired    the test of one model against another on the same clips
text_metrics  how close a text is to a person's: BLEU, ROUGE-L, BERTScore, STS
sets      how the files of a set become clips, one file for each format
few_shot  the curve over numbers of shots, after EILEV
"""
