"""The evaluate step: how good a model is on each evaluation set.

step      asks the model about the clips of a set
metrics   what a set is measured by
sets      how the files of a set become clips, one file for each format
few_shot  the curve over numbers of shots, after EILEV
"""
