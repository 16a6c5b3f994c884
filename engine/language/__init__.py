"""English text without verdicts: words, numbers, times and what a text asserts. Ingest, verify, select and episodes share it.

words         the words of a text in any script, and which of them are forms of the same word
vocabulary    lists of English words by their role in a sentence
answer        one generated text, parsed: words, sentences, referents of "it", the stated conclusion
reference     what "it" and "them" refer to
cues          phrases that announce the answer, correct what stands before them, name the action, or quote
mood          which sentences are questions, or are taken back by a later one
negation      which words of a sentence are asserted, denied or left open
negators      words that deny
hedges        words that deny or leave open what follows: instead of, may, unless
scope         how far a negator or hedge reaches
unreal        words that govern an action which does not happen: wants to, forgot to, should, a sign reads
supposition   words that govern what is only supposed, wished for, imitated, or was believed earlier
revocation    clauses that take back all statements before them
retraction    phrases beside a statement that take it back, or offer an alternative to it
structure/    what a raw text states: tags, boxes, JSON, tables, ticks and shares, read before its prose
numerals      the numerals of a text and their values: digits, words, fractions, k, Chinese numerals
numbers       the numbers in a text, each with its role
counts        which of the numbers is the answer to the question
units         what a number with one unit is in another
times         moments of a clip that a text states
ranges        time ranges of a clip that a text states
relevance     which of several positions in a text is nearest to the words of the question
order         the chronological order of events: before, after, first, last
parse         a dependency parse of English sentences, where the configuration names a parser
similarity    how similar two sentences are: ROUGE-L recall, or the cosine of a sentence model
entailment    how far parts of a text entail a sentence, by a model for natural language inference
spans         the span of a text that answers a question, by a model for extractive question answering
narration     Ego4D narrations as plain sentences
"""
