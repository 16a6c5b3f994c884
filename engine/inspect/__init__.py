"""What a reader asks about runs: one clip's story, two runs side by side, where an example comes from. Nothing is written.

columns   one column of a large table, and the row groups that may hold a value, by ranges of bytes
find      where a clip lies in a run, by its id; and ids that are like one that is not there
clip      all that ever happened to a clip
selected  what a select and a train step made of a clip, and why
compare   what differs between two runs: configuration, yields, held-out answers
changes   what differs in their clips
lineage   what an example was made from, and which models were trained on it
"""
