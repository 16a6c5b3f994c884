"""Rows, steps, Ray: the loop around a video LLM, which it sees through models/base.py alone.

config     RunConfig: everything that decides a run
rows       every table's columns
store      a run folder on any fsspec URI, and its seals
plan       which step comes next: a pure function of the configuration and the seals
steps      what each step does
loop       the reconciler: read the seals, do the next step, seal it
flow       stages through Ray Data
summary    the run's facts from its seals
data       manifest, pieces, frames (which), decode (how), decoder (the stage), shapes (a labelled world)
generate   prompts, generator (the GPU actor), ledger (its accounts)
verify     text, keywords, leakage, verdict
train      mixture, deepspeed_config, worker, trainer
evaluate   accuracy
report     evidence (what to show), page (how)
"""
