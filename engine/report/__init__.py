"""The report of a run.

build     reads what the run's steps left in the store
evidence  accuracy by label, clips whose answers changed, answers with their clip's description: pure
page      the HTML page: pure
curve     few-shot curves as SVG: pure
"""
