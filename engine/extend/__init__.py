"""A run that continues another one with a changed manifest.

known    the clips of the run before, as hashes: what a new manifest's clips are compared with, and the splits that stay
compare  reads the new manifest, counts what it changes, and writes the clips that the new run begins with
begin    which run is continued, under which configuration, and whether there is anything to do
"""
