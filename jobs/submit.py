"""Sends a run to a Ray cluster as one job, and follows it; attaches to it again, stops it, and lists the jobs of runs.

The same run submitted again continues it, as a new job; while its job is running, it is only followed.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rich.table import Table

from engine.presets import load_config
from engine.store.documents import to_json
from engine.store.files import digest
from jobs.json_log import is_json, say
from jobs.view import a_console

NOT_SENT = (
    "mp4 m4v mov mkv webm avi ts mts m2ts mpg mpeg m2v vob flv f4v wmv asf ogv ogg mxf 3gp dv gif jpg jpeg png webp bmp wav mp3 "
    "flac safetensors bin pt pth ckpt gguf onnx"
).split()  # fmt: skip
"""Suffixes of media and weights."""
EXCLUDES = [
    "/runs/", "/.venv/", "/.git/", "/docs/", "/tests/", "**/__pycache__/",
    *("*." + "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in suffix) for suffix in NOT_SENT),
    "!/models/tiny/weights/*",
]  # fmt: skip
"""Files that are not sent: media, weights but the tiny base's. The cluster reads what the configuration names by URI."""
LARGEST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is sent where: Submission(config=Path("run.toml"), address="http://...", settings=[], working_dir=Path("."))"""

    config: Path
    address: str
    settings: list[str]
    working_dir: Path
    wait: bool = True
    is_dry: bool = False


def submit(submission: Submission) -> None:
    """Submit the run, or find its job that is under way, and follow it; exits with the job's status."""
    config, working_dir = submission.config, submission.working_dir
    if config.is_absolute() or ".." in config.parts:
        raise ValueError(f"{config} is not a path inside {working_dir}; only that folder is sent")
    settings = load_config(working_dir / config, submission.settings)  # a wrong configuration is refused here, and not there
    _refuse_relative(settings.run.uri)
    from engine.connection import RUN
    from jobs.job_server import CONFIGURATION, JobServer, job_id, run_name

    server, run = JobServer(submission.address), settings.run.uri
    arguments = [quoted for setting in submission.settings for quoted in ("--set", shlex.quote(setting))]
    arguments += ["--log-format json"] if is_json() else []
    entrypoint = " ".join(["python -m jobs selftrain", shlex.quote(str(config)), *arguments])
    metadata = {RUN: run_name(run), CONFIGURATION: digest(settings.model_dump(mode="json"))}
    earlier = server.jobs(run)
    under_way = next((job for job in earlier if not job.status.is_terminal()), None)
    if under_way is not None:
        job = under_way.submission_id
        if under_way.metadata.get(CONFIGURATION) != metadata[CONFIGURATION]:
            raise ValueError(
                f"{job} is at work on {run} with another configuration ({under_way.entrypoint}); "
                f"let it end, or stop it: starloop stop {job} --address {server.address}"
            )
        say(f"{job} is at work on {run} already")
        if submission.is_dry:
            return
    else:
        size = package_bytes(working_dir)
        environment = {"working_dir": str(working_dir), "excludes": EXCLUDES}
        job = job_id(run, [job.submission_id for job in earlier])
        if submission.is_dry:
            say(f"nothing is sent by --dry-run; without it: {job} ({size / 1e6:.1f} MB of files): {entrypoint}")
            return
        server.call(
            lambda: server.client.submit_job(entrypoint=entrypoint, runtime_env=environment, metadata=metadata, submission_id=job)
        )
        say(f"submitted {job} ({size / 1e6:.1f} MB of files): {entrypoint}")
    if submission.wait:
        server.follow(job)
    say(server.left_alone(job))


def _refuse_relative(uri: str) -> None:
    """Raises ValueError for a folder that would lie in the job's copy of this one, which each change of a file makes anew."""
    if "://" not in uri and not PurePosixPath(uri).is_absolute():
        raise ValueError(
            f"run.uri = {uri!r} is relative: the job would write into Ray's own copy of this folder, and lose it; set run.uri to "
            "an object store, or to an absolute path that every node sees"
        )


def attach(run_or_job: str, address: str) -> None:
    """Follow the latest job of a run, or the job of that id; exits with the job's status."""
    from jobs.job_server import JobServer

    server = JobServer(address)
    server.follow(server.find(run_or_job).submission_id)


def logs(run_or_job: str, address: str) -> None:
    """Print a job's log as it is now."""
    from jobs.job_server import JobServer

    server = JobServer(address)
    job = server.find(run_or_job).submission_id
    print(server.call(lambda: server.client.get_job_logs(job)), end="")


def stop(run_or_job: str, address: str) -> None:
    """Stop a job. What its run has written stays, and the run can be continued. A job that has ended is as it should be."""
    from jobs.job_server import JobServer, stopped

    server = JobServer(address)
    job = server.find(run_or_job)
    if job.status.is_terminal():
        print(f"nothing to stop: {job.submission_id} has ended already, as {job.status}")
        return
    server.call(lambda: server.client.stop_job(job.submission_id))
    print(stopped(job.submission_id, job.metadata))


def list_jobs(run: str, address: str, as_json: bool) -> None:
    """Print the jobs of a run, or of every run, the latest first."""
    from engine.connection import RUN
    from jobs.job_server import JobServer, started

    jobs = JobServer(address).jobs(run)
    if as_json:
        for job in jobs:
            row = {"job": job.submission_id, "run": job.metadata[RUN], "status": str(job.status.value), "started": started(job)}
            print(to_json(row).decode())
        return
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("job", "run", "status", "started"):
        table.add_column(column, overflow="fold")
    for job in jobs:
        table.add_row(job.submission_id, job.metadata[RUN], str(job.status.value), started(job))
    a_console().print(table if jobs else f"no job of {run or 'a run'} at {address}")


def package_bytes(working_dir: Path) -> int:
    """The bytes of all files that are sent. Raises ValueError naming the largest if they are more than the job server takes."""
    from ray._private.ray_constants import DASHBOARD_CLIENT_MAX_SIZE
    from ray._private.runtime_env.packaging import _dir_travel, _get_excludes

    sizes: dict[Path, int] = {}

    def add(path: Path) -> None:
        if path.is_file():
            sizes[path] = path.stat().st_size

    folder = working_dir.absolute()
    if not folder.is_dir():
        raise ValueError(f"--working-dir {working_dir} is not a folder")
    _dir_travel(folder, [_get_excludes(folder, EXCLUDES)], add, include_gitignore=True)
    size = sum(sizes.values())
    if size > DASHBOARD_CLIENT_MAX_SIZE:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:LARGEST_SHOWN]
        named = ", ".join(f"{path.relative_to(folder)} {sizes[path] / 1e6:.0f} MB" for path in largest)
        raise ValueError(
            f"{working_dir} has {size / 1e6:.0f} MB to send, and a job server takes {DASHBOARD_CLIENT_MAX_SIZE / 1e6:.0f} MB; "
            f"the largest: {named}; name them in .gitignore or .rayignore, or give --working-dir another folder"
        )
    return size
