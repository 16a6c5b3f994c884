"""Does an answer contain its clip's label? Pure: texts in, a verdict with its reason out.

verdict       what is asked of it: presets, hints, cut-off and looping answers; then the rule of the label's kind
keywords, choice, number, timestamp, time_range, box, sentences, sequence      strict's rules, a file a kind
published     all kinds as Video-STaR's paper and code have them
text          an answer: words in their places, sentences, what "it" stands for, where it says what its answer is
words         what a word is, in any script, and which are forms of one
vocabulary    word lists
stance        is a word asserted, denied or left open?
numbers, times, ranges     what a text names
relevance     which of several is about what was asked
order         before, after, first, last
enumeration   answers that list many classes
similarity    how alike two sentences are
leakage       rationalizations that give their hint away, or only copy it
loops         answers that go round and round, or break off
"""
