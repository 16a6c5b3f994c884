"""Evaluation of a model.

step      the evaluate step of a cycle: answers to the held-out clips
accuracy  the share of these answers that contain the label
few_shot  EILEV's curve: narrations after 0 to 16 shots (`starloop few-shot`)
"""
