"""The run: what to do next, doing it, and the record of what is done. A run's state is in its store, never in Ray or the driver.

loop       the reconciler: read the seals, do the next step, seal it
plan       which step is next, as a pure function of configuration and seals
promotion  when a cycle counts as better than the best one before it
steps      which function does a step of each kind
work       what every step is given and what it returns; reading seals, indexes and pieces
seals      the record whose presence means that a step is complete
lease      one driver per run
summary    the run's facts, from its seals
refresh    summary.json and cards, written again where they differ; and the report
reports    report.html, written where it would say something else; that of a large run by a process of its own
preview    what the next command would do
status     what is done, what comes next, and which files are damaged
damage     files that are not what their step wrote, by their sizes or by their contents
failures   what failed, and trying it again
catalog    the runs below a URI
children   which runs continue a run
collect    what of finished runs nobody needs any more, by rule
collected  what gc has deleted of a sealed step
doctor     preflight checks
caveats    what a configuration gives up, or pays for in vain
resources  what a run needs of CPUs, GPUs and their memory
costs      GPU time of a clip, by the operations of the model's matrices
sweep      one adapter evaluated at many LoRA alphas
benchmark  a model on evaluation sets, without a loop
question   one question about one video, to a run's promoted model or to another one, without Ray
rehearsal  three training steps of a configuration on a shrunk model
measures   the metrics that follow from a step's progress and from its seal
trackers   who receives a run's figures, beside the terminal
opentelemetry  the tracker of that name: spans and metrics
logs       what a command leaves about itself in the run's folder
command_line  the command line of the process, without secrets
place      what of the cluster a step may use, and that the step before has let go of it
waiting    what a step lacks, from its begin to its end, and for how long at most
elsewhere  what a model on another machine is asked, and whether it answers
engines    whether the generators' engine is there, in the Python that they run in
checks     what is checked before a run is claimed, and when it is opened again
"""
