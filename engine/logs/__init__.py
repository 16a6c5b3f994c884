"""Log records: where each comes from, how it is written as a line, and how those of other machines reach the driver.

origin   run, step, pool and piece of whatever is being done
lines    a record as a line of text, or as a JSON object in one line
kept     a log in memory, within bounds
workers  what Ray's processes log: to their own log files, and from there to the driver
"""
