"""What a Ray cluster has, and what a step asks of it.

demand      what a step asks for, and which labels a node must have
inventory   nodes, processes, jobs and the autoscaler, as values
look        takes the inventory of the connected cluster
shortage    which demand has no place, why, and in which words
probe       asks every node for its packages, their versions and CUDA
placement   how many generators, and where decode may run
"""
