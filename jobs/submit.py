"""Sends a run to a Ray cluster as one job, follows its log, returns its status. Submitting the same run again continues it."""

import asyncio
import shlex
import sys
import time
from pathlib import Path

from engine.presets import load_config

EXCLUDES = ["/runs/", "/.venv/", "/.git/", "/docs/", "**/__pycache__/", "*.mp4"]
"""Files that are not sent. The cluster reads the videos from the URIs in the manifest."""
POLL_S = 1.0


def submit(config: Path, address: str, settings: list[str], working_dir: Path) -> None:
    if config.is_absolute() or ".." in config.parts:
        raise ValueError(f"{config} is not a path inside {working_dir}; only that folder is sent")
    load_config(working_dir / config, settings)  # refuse a wrong configuration here, not ten minutes later on the cluster
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        client = JobSubmissionClient(address)
    except ConnectionError as error:
        raise ValueError(f"no Ray job server at {address}: {str(error).splitlines()[0]}") from None
    arguments = [quoted for setting in settings for quoted in ("--set", shlex.quote(setting))]
    entrypoint = " ".join(["python -m jobs selftrain", shlex.quote(str(config)), *arguments])
    job = client.submit_job(entrypoint=entrypoint, runtime_env={"working_dir": str(working_dir), "excludes": EXCLUDES})
    print(f"submitted {job}: {entrypoint}", flush=True)

    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            print(lines, end="", flush=True)

    asyncio.run(follow())
    while not (status := client.get_job_status(job)).is_terminal():
        time.sleep(POLL_S)
    if status != JobStatus.SUCCEEDED:
        info = client.get_job_info(job)
        sys.exit(f"{job} ended as {status}: {info.message or 'see its log'}")
    print(f"{job} succeeded")
