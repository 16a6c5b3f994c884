"""Finetuning, in ranks that share the work.

step        what the driver does
meter      the actor that carries reports from the ranks to the driver
trainer     Ray Train around the ranks; what they report; what ends the step
worker      what every rank runs: optimizer steps
feed        a rank's micro-batches, decoded beside it
batches     examples and episodes as samples of turns
pulse       what is said of an optimizer step that takes long
mixture     the order of the rows, and each rank's share of it
schedule    the learning rate
decay       the parameters that weight decay shrinks
tables      the select step's tables, memory-mapped
checkpoint  where a finetune continues, and the adapter at its end
job         values that travel between driver and ranks
processes   ranks without Ray, for rehearsals and tests
backends/   what spreads a model over ranks: a file each
"""
