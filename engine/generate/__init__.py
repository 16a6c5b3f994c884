"""The generate step: a model answers about each train clip, and explains again where its answer was rejected.

step       what the driver does
attempts   a split's clips through decode, generate and write; the evaluate step uses it too
generator  the GPU actor
spec       what a generator is told
prompts    the prompts
seeds      the seed of each random choice
watch      counts how often a piece was begun
one_model  a step asks one model
reuse      attempts of the run that this one continues, reused by content
lineage    what a run took over from the one that it continues
samples    a few kept and dropped answers to read, and what is suspicious about them
tokens     what the answers of a server took
ledger     the accounts: every clip is kept, dropped or failed
"""
