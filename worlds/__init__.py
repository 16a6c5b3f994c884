"""Rendered worlds with known labels, for the demo, the tiny base model and tests. They use engine; engine does not know them.

shapes     coloured shapes that perform ten actions: scenes, poses, pixels, h264 files, clips
narrators  the same shapes, narrated by narrators who have words of their own for verbs and nouns
"""
