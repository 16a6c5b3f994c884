"""What a run will take before it starts: questions, hours, storage, requests and money, each with what it was computed from. Pure.

bands        numbers that are known within bounds
assumptions  what is assumed where nothing was measured, and what was measured
hardware     operations and bytes a second of GPUs and CPUs
compute      operations and seconds of pieces of clips and of optimizer steps
cycles       which steps the plan may have: at most, and at least
workload     clips and hours, of a manifest or on paper
observed     what a run has shown so far: seconds, shares, tokens, bytes
paces        seconds of a question and of an optimizer step: this run's own, shipped measurements, or computed
steps        what one step of the plan takes: questions, seconds, bytes, requests
points       measured points, and the lines through them for a hundred million clips
prices       a table of prices, and money
estimate     all of it together, and beside what a run took
"""
