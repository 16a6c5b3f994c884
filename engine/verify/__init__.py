"""Whether an answer confirms its clip's label. Pure functions: texts in, a verdict with its reason out.

stages        the verifiers that judge an answer, one after another
rules         the first stage: the rules below
verdict       verify(): presets, checks of every answer, then the rule of the label's kind
keywords      keyword labels: the words occur together and are asserted
pattern       a keyword label, parsed: required words, particles, prepositions
occurrences   where the words of a label stand together in an answer
choice        choice labels: by letter or by words
number        number labels: within a relative tolerance
timestamp     timestamp labels: within a tolerance in seconds
time_range    time range labels: intersection over union
box           box labels: intersection over union, several formats
sentences     sentence labels: a clause with the same meaning for each, in order if required
sequence      class sequence labels: the classes happen in order
enumeration   reject answers that enumerate many classes
repetition    reject answers that repeat themselves or break off
turns         reject answers that go on as their own user
leakage       reject rationalizations that reveal the hint or only copy it
published     Video-STaR's rules for all kinds, as in its paper and its code
"""
