"""What people say about answers: a random sample for them to read, their words back, and what these make of the verifiers.

audit      the sample of a run's generate step, the reviews that a run holds, and the figures that follow
strata     a seeded random sample of kept and dropped answers: pure
sheet      the file that people edit: CSV or JSONL, written and read again
reviews    reviews in the run's folder, and verdicts overridden by them
figures    precision and recall of the verifiers with intervals, and agreement of two raters: pure
"""
