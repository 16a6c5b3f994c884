"""Where a run's state lives: files on a local disk or in an object store, and the folders of model weights.

filesystems  fsspec options, kinds of storage trouble, calling again where trouble passes, byte ranges of one version of an object
files        Store: the files of one run, published whole, or created if absent; FileRecord: size and sha256 of a file
drafts       a local file while it is written, and how it gets its own name
parallel     many calls at once, results in order, a bounded number of them in memory
weights      a checkpoint folder on any URI, fetched once per machine; publishing one
"""
