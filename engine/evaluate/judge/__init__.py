"""The judge of evaluation sets: how it is asked, what its replies mean, and that nothing is asked twice.

protocols  what is asked in each protocol, and what a reply means
asker      asks many questions at once, and keeps the replies in the run's folder
"""
