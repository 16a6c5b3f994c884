"""A manifest of labelled videos -> the run's clips, with the split fixed.

step       the ingest step: check the manifest, write the clips in parts
manifest   a manifest's rows -> clips, each checked; errors name the place and the remedy
tables     rows of CSV, TSV, JSONL and Parquet files, as a stream
card       the data card: clips, videos and labels counted; which videos are missing
copies     one video under two names, of which one is trained on and the other held out
clips      the clips of a run, in parts of one split each
pieces     the clips that travel, are generated and are written together
adapters   datasets as they are published -> rows with a manifest's columns, one file a format
"""
