"""The commands of `starloop`, their options and examples, by panel of --help. A job is imported only when it runs.

app      the application, its panels, and the options that several commands have
complete what a shell completes: runs and clips
start    before a run: demo, doctor, plan, config
data     what a run is made from: ingest, episodes, verify
loop     the loop and its steps: selftrain, generate, train, evaluate, extend
look     looking at runs: status, runs, inspect, compare, lineage, failures, audit, gc
models   models and adapters: ask, alpha-sweep, benchmark, convert, export, few-shot, icl, make-base
cluster  runs on a Ray cluster: submit, attach, logs, stop, list
"""
