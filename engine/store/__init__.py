"""Where a run's state lives: files on a local disk or in an object store, and the folders of model weights.

troubles     kinds of storage trouble: what an exception of any filesystem means, and its remedy
locations    URIs taken apart, and one key for all spellings of an object
filesystems  Storage: fsspec options, calling again where trouble passes, one version of an object opened
sources      a file of this machine, or one that fsspec opens, read by ranges
web          an object behind a web server, by ranges or whole
pace         how long reading one object may take: a patience, and longer with each byte that comes
awaited      which calls have not come back after a few seconds, said in a line
outage       storage that is away, told from one object that is not given
files        Store: the files of one run, published whole, or created if absent; FileRecord: size and sha256 of a file
documents    JSON without NaN
drafts       a local file while it is written, and how it gets its own name
parallel     many calls at once, results in order, a bounded number of them in memory
weights      a checkpoint folder on any URI, fetched once per machine; publishing one
"""
