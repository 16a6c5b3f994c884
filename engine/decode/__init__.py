"""A clip or a window of a video -> the frames that a model watches, each with its second. Bad videos become Failures.

stage      what Ray runs: a row of clips in, the same row with frames and failures; videos_of reads them back
decoder    the parent's side: reads the bytes, keeps the clock, checks what the child sends
process    the life of one decoding process: start, exchange bytes, cause of death
protocol   the messages between parent and child
child      the decoding process itself: no credentials, no files, no network
request    what the child is asked for, and how it says that a video is unusable
read       frames of an opened video, by PyAV or decord
seek       frames of a window out of a container with an index
media      container checks: allowed formats, truncation, kinds of failure
resize     pictures to the size that the model watches
frames     which moments, which size: pure functions
"""
