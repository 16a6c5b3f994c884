"""One file per thing you can run: `starloop JOB` and `python -m jobs JOB` are the same thing.

cli        the commands and their options; imports a job only when it is run
view       progress and tables on a terminal, plain lines elsewhere
demo       a labelled world, then the loop on it
ingest     check a manifest and write it as clips
selftrain  the loop; generate, train and evaluate are the same loop stopped earlier
status     what a run has done, and its failures: list, try again
doctor     what would go wrong
convert    checkpoints into other layouts: convert, export
alpha_sweep  one adapter at many LoRA alphas
episodes   in-context episodes of a manifest, and what they are like
few_shot   a model's curve over numbers of shots
icl        a narrated world, a model trained on its episodes, and the curve
submit     send a run to a Ray cluster and follow it
make_base  make the shipped tiny base model
"""
