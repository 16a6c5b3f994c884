"""A clip or a window of a video -> the frames that a model watches, each with its second. Bad videos become Failures.

stage      what Ray runs: a row of clips in, the same row with frames and failures; videos_of reads them back
decoder    the parent's side: reads the bytes, keeps the clock, checks what the child sends
frame_folder  a folder of numbered pictures as a video
process    the life of one decoding process: start, exchange bytes, cause of death
protocol   the messages between parent and child
child      the decoding process itself: no credentials, no files, no network
confine    what the kernel forbids that process
request    what the child is asked for, and how it says that a video is unusable
read       frames of an opened video, by PyAV or decord
timeline   when a stream with an index shows its frames: clock, first and last frame, moments
seek       frames of a window out of a container with an index
stand_ins  which keyframes are shown in place of the frames of moments, within a tolerance: a pure function
keyframes  these keyframes out of a container with an index, each decoded alone
by_index   when the frames of given numbers are shown, by the container's index or its packets
in_order   frames of a window out of any other container, from its start
with_decord  frames of a window by decord
clock      seconds from the file's start, through joins and without time stamps
contents   what a file is that is no video, by its first bytes: a Git LFS pointer, a web page, a TIFF
media      container checks: allowed formats and codecs, the stream that is watched, kinds of failure
cut        whether a file ends before its container says
jpeg       the segments of a JPEG file's first picture
pixels     the bounds on what is decoded for a clip
crop       the random part of a picture that a finetune may watch: a pure function
resize     pictures to the size and the orientation in which the model watches them
frames     which moments, which size: pure functions
signature  what a clip's frames look like, in a kilobyte
"""
