"""One file for each command: `starloop JOB` and `python -m jobs JOB` are the same.

cli          the commands and their options; a job is imported only when it runs
exits        exit statuses, and what they mean
folders      the folder that a command writes into, made before the work begins
view         progress and tables on a terminal, plain lines elsewhere
demo         renders a labelled world and runs the loop on it
ingest       checks a manifest or a dataset's annotations and writes clips
selftrain    runs the loop; generate, train and evaluate are the same loop, stopped earlier
extend       continues a finished run with a changed manifest
runs         lists the runs below a URI, and deletes what nobody needs of finished ones
status       shows what a run has done, lists its failures, and tries them again
doctor       checks a configuration and its surroundings before a run
plan         says what a run will take before it starts, and afterwards beside what it took
estimates    an estimate as tables and words
verify       tries label rules on cases
convert      turns checkpoints into other layouts: convert, export
alpha_sweep  evaluates one adapter at many LoRA alphas
episodes     makes in-context episodes from a manifest and reports their properties
few_shot     draws a model's curve over numbers of shots
icl          renders a narrated world, trains on its episodes, and draws the curve
submit       sends a run to a Ray cluster; attaches to its job, prints its log, stops it, lists jobs
job_server   a Ray cluster's job server: finds a run's jobs, follows one through dropped connections
make_base    makes the shipped tiny base model
"""
