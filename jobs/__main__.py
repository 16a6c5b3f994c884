"""python -m jobs JOB"""

from jobs.cli import main

main()
