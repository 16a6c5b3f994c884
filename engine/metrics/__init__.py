"""Metrics of a run: one table of names, from which Prometheus' rules, Grafana's dashboard and docs/metrics.md are written.

table     names, kinds, units, labels and meanings
board     the values of this process
emit      what the driver reports, to its board and to Ray
endpoint  the board as text, for a machine without Prometheus
clock     when a generator works: kept in its own process
idle      what the generators of a step waited for
queries   functions that write Prometheus' queries over the table's metrics
alerts    rules: when somebody has to look
panels    the dashboard
page      docs/metrics.md
files     cluster/monitoring and docs/metrics.md, from the above
"""
