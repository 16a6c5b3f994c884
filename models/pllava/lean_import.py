"""Imports two parts of transformers without scikit-learn and scipy: import this before any model of transformers.

Every model of transformers imports its assisted generation and its losses of object detection, and these import scikit-learn and
scipy wherever they are installed: with sentence-transformers, a third of the CPU seconds and 100 MB of each process that loads a
model (transformers 5.20). Nothing here uses either.
"""

import importlib

from transformers import utils

QUESTIONS = ("is_sklearn_available", "is_scipy_available")
"""What the two modules ask when they are imported."""
MODULES = ("transformers.generation.candidate_generator", "transformers.loss.loss_utils")


def _import_without_either() -> None:
    answers = {question: getattr(utils, question) for question in QUESTIONS}
    try:
        for question in QUESTIONS:
            setattr(utils, question, lambda: False)
        for module in MODULES:
            importlib.import_module(module)
    finally:
        for question, answer in answers.items():
            setattr(utils, question, answer)


_import_without_either()
