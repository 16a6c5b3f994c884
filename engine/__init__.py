"""Rows, steps, Ray: the loop around a video LLM, which it sees through models/base.py alone.

config     RunConfig: everything that decides a run
rows       every table's columns
labels     what a human said about a clip: one class a kind
storage    objects behind any fsspec URI: what is waited for, byte ranges of one version
store      a run folder: whole files, created if absent
seals      the record whose presence means that a step is complete
lease      one driver a run
weights    a checkpoint on any URI, fetched once per machine; a made one published
budget     tokens of the context and bytes of each GPU, before one is asked for
plan       which step comes next: a pure function of the configuration and the seals
work       what a step is given and gives back
steps      ingest, train; generation: generate, evaluate; selection: select, episodes among what it selects
loop       the reconciler: read the seals, do the next step, seal it
sweep      one adapter at many LoRA alphas
few_shot   one model's curve over numbers of shots
status     what a run has done, what failed in it, and trying that again
doctor     what would go wrong, before it costs anything
flow       stages through Ray Data
summary    the run's facts from its seals
data       manifest, tables, adapters/ (one a dataset's format), card (what it holds), clips (in parts), pieces, frames (which),
           decode (how), child and isolation (where), decoder (the stage), shapes (a labelled world), narrators (a narrated one)
generate   prompts, generator (the GPU actor), watch (pieces that take it down), ledger (its accounts)
verify     verdict (what is asked of it); a file a kind: keywords, choice, number, timestamp, time_range, box, sentences, sequence;
           text, words, vocabulary, stance (is it meant?), numbers, times, ranges, order, relevance, enumeration, similarity;
           leakage, loops; published (the paper's and the code's rules)
episodes   in-context episodes: splits, sampler, narration, build, properties, export
train      mixture (how often, in which order), batches (what), duplicates, deepspeed_config, worker, trainer
evaluate   accuracy; few_shot (what is asked), narrator (the actor that answers)
report     evidence (what to show), page (how), curve
"""
