"""What a raw text states: its structure is read by parsers before its sentences are read as prose.

Every function takes a text and gives one of the same length, with blanks in place of what is not stated: offsets stay valid.

stated    all of the below, one after another
markup    tags of reasoning and answer, \\boxed{}, text that is struck out
fields    JSON: answers, reasons, rejected candidates, class probabilities
marks     candidates with a yes or no, a tick or a share: tables, lists, "diving: 92 %, swimming: 8 %"
"""
