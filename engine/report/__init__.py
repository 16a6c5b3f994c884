"""The report of a run: pure functions from values to text.

evidence  accuracy by label, clips whose answers changed, reasons that are true
page      the HTML page
curve     few-shot curves as SVG
"""
