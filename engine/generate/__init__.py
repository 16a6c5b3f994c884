"""The generate step: a model answers about each train clip, and explains again where its answer was rejected.

step       what the driver does
attempts   a split's clips through decode, generate and write; the evaluate step uses it too
generator  the GPU actor
spec       what a generator is told
prompts    the prompts
hints      labels and questions as Video-STaR's release writes them
seeds      the seed of each random choice
watch      counts how often a piece was begun
one_model  a step asks one model
reuse      attempts of the run that this one continues, reused by content
lineage    what a run took over from the one that it continues
grounding  does a text follow from its clip's video? It is read after other videos too
scores     groundings of a step, counted, and the threshold that follows from mismatched pairs
samples    a few kept and dropped answers to read, and what is suspicious about them
tokens     what the answers of a server took
judged     what the judge said, what that took, and how often it agrees with the rules
measures   the metrics that follow from pieces, and where the generators' time goes
groups     what each dataset of a mixed manifest yields
ledger     the accounts: every clip is kept, dropped or failed
"""
