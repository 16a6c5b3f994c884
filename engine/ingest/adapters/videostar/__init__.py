"""Video-STaR's labels: the kinds of questions that its release builds from five datasets, and the file that it builds.

annotations  the release's own file, star_annotations/train.json: questions, labels by type, and who verifies them
starb        STAR: seven kinds for each question of STAR_train.json
finediving   FineDiving: five for each dive
something    Something-Something v2: two for each video
moma         MOMA-LRG: sequences, what is before and after, places, comparisons, relations
egoexo4d     Ego-Exo4D: what happens at a moment, and when it happens
questions    our wordings of each kind, and those of a copy of the release
release      wordings out of the release's templates.py, which is read and not run
parts        boxes, shares, choices and sentences, as all of them write them
"""
