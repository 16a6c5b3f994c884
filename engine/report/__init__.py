"""The report of a run: one HTML file that loads nothing (docs/report.md).

build     the page of a run, from what its steps left in the store
reading   what is counted and shown: each step's digest, and the attempts at the clips that are shown
digest    what is kept of a step, so that its pieces are read once
split     the clips of a split: labels, hashes, and the rows that are shown
counts    what the attempts of a step come to: pure
chosen    which clips are shown, where there are more than fit: pure
beliefs   whether to believe the run, in named doubts with figures: pure
tables    the rows of the page's tables: pure
stories   clips with all attempts at them, for the page's browser: pure
spans     where in an answer the verdict was decided: pure
reasons   reasons and kinds of failure in words: pure
strips    what a film strip is, and which clip it is of: pure
frames    makes film strips of the frames that the model watched
charts    accuracies and losses as SVG: pure
page      renders the HTML of assets/: pure
people    what judge and people say about the verifiers, in words: pure
figures   intervals and tests in words: pure
curve     few-shot curves as SVG files: pure
few_shot  episodes, and few-shot curves beside a run: pure
"""
