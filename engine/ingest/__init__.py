"""A manifest of labelled videos -> the run's clips, with the split fixed.

step          the ingest step: check the manifest, write the clips in parts
manifest      a manifest's rows -> clips, each checked; errors name the place and the remedy
own           the rows of a manifest of our own, and the fingerprint of its files
tables        rows of files of any kind, packed or not, and of folders of part files, as a stream
delimited     CSV and TSV: quotes, delimiters, lines
json_rows     JSON and JSONL: arrays, objects with rows inside, an object a line; NaN
parquet_rows  Parquet, in the values that CSV and JSON have
folders       the files in a folder; which of them are videos
names         the videos below a folder, by what annotations call them
classes       class folders, whose names are labels, told from splits, takes and what archives leave
cells         one cell as a text or as seconds; which cells are empty
label_cells   the columns label and aliases -> a label
splits        names of splits, and the share that is held out
card          the data card: clips, videos and labels counted; what a person should know about the splits
conflicts     rows that conflict: a clip_id twice, a video in both splits, two labels of one window
copies        one video under two names, of which one would be trained on and the other held out
listing       which videos are missing, by the listings of their folders
skipped       what was left out, counted
hashes        64-bit hashes in arrays, by which millions of clips are counted
clips         the clips of a run, in parts of one split each
talks         conversations -> training examples; a folder of VideoChat2-IT's sets
pieces        the clips that travel, are generated and are written together
adapters      datasets as they are published -> rows with a manifest's columns, one file a format
"""
