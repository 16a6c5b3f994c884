"""EILEV's few-shot evaluation of a model on the folder that `starloop episodes` wrote.

curve     pure: contexts in, pieces of questions out; answers in, points of the curve out
classes   pure: verb and noun classes by likelihood, and their macro F1
gains     pure: what each class gains from shots, beside its clips in training
narrator  the Ray actor that answers and scores the questions of a piece
step      the driver: reads the folder, runs what is not answered yet, writes curve.json and plots
"""
