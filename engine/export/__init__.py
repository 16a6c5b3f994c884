"""What a run leaves, as other tools load it: kept rows in their formats, and the cards that a hub shows.

export      the driver: writes a folder of kept rows, and goes on with one that was stopped
kept        the rows: examples with the label of their clip and the verdict on their answer, piece by piece
formats     what a row is in each tool's format: pure
folder      the folder while it is written: whose it is, which files are whole, and its name at the end
tables      rows as Parquet and JSON files
tar         rows with their videos as WebDataset shards
data_card   the card of an exported folder
run_card    the card of a run's own folder, by which `datasets` loads its tables
model_card  the card of what a finetune wrote
front       the block of YAML at the top of a card
"""
