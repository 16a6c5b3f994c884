"""One file for each command: `starloop JOB` and `python -m jobs JOB` are the same.

cli          how a command begins, is interrupted, and ends with an error
commands     the commands, their options and examples; a job is imported only when it runs
exits        exit statuses, and what they mean
folders      the folder that a command writes into, made before the work begins
view         progress and tables on a terminal, plain lines elsewhere
json_log     the log of a command as JSON lines
demo         renders a labelled world and runs the loop on it
ingest       checks a manifest or a dataset's annotations and writes clips
config       prints every key of the configuration, or the values of one
preview      says what a command would do: --dry-run
selftrain    runs the loop; generate, train and evaluate are the same loop, stopped earlier
extend       continues a finished run with a changed manifest
report       the report of a run, finished or not, as one HTML file
runs         lists the runs below a URI, and deletes what nobody needs of finished ones
status       shows what a run has done, lists its failures, and tries them again
doctor       checks a configuration and its surroundings before a run
plan         says what a run will take before it starts, and afterwards beside what it took
estimates    an estimate as tables and words
verify       tries label rules on cases
convert      turns checkpoints into other layouts: convert, export
inspect      prints all that ever happened to a clip
compare      prints what differs between two runs
lineage      prints what an example was made from, and which models were trained on it
export_data  takes kept rows away in the format of another tool
audit        answers for people to read, and what their words make of the verifiers
ask          asks a model one question about one video
alpha_sweep  evaluates one adapter at many LoRA alphas
benchmark    evaluates a model, or a run's promoted model, on evaluation sets
lmms_eval_plugin our checkpoints for lmms-eval's tasks
episodes     makes in-context episodes from a manifest and reports their properties
few_shot     draws a model's curve over numbers of shots
icl          renders a narrated world, trains on its episodes, and draws the curve
submit       sends a run to a Ray cluster; attaches to its job, prints its log, stops it, lists jobs
job_server   a Ray cluster's job server: finds a run's jobs, follows one through dropped connections
make_base    makes the shipped tiny base model
"""
