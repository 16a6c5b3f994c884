"""A real PLLaVA of 1.3 M parameters: the model of the demo and of the tests, shipped.

build     its configuration, its tokenizer and a model with random weights; jobs/make_base.py trains it
weights/  the trained checkpoint: base = "tiny"
"""
