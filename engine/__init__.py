"""Rows, steps, Ray: the loop around a video LLM, which it sees through models/base.py and models/registry.py alone.

A step of the plan is a folder: step.py (what the driver does), the file that Ray runs, and pure functions beside them.

section    what all sections of the configuration have
engines    the sections of vLLM and of servers
config     RunConfig: everything that decides a run
presets    how a configuration is read
rows       every table's columns
labels     what a human said about a clip: one class for each kind
memory     what a long-lived process keeps
flow       stages through Ray Data
connection to a Ray cluster
store      filesystems, files of a run, weights of a model
language   words, negation, numbers and times of a text; no verdicts
run        the loop, the plan, seals and the lease; status, doctor, resources
ingest     the ingest step: manifest or dataset to clips in parts
decode     a video's frames, in a process of their own
verify     does an answer contain its label?
generate   the generate step: answer, verify, rationalize, verify
episodes   in-context episodes
select     the select step: which attempts become examples
train      the train step: finetune the base
evaluate   the evaluate step: accuracy; few_shot: the curve over numbers of shots
report     the page that a run leaves
estimate   what a run will take
extend     a run that continues another one with a changed manifest
"""
