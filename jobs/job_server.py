"""A Ray cluster's job server: finds the jobs of a run, follows one of them through dropped connections, and says why it cannot."""

import asyncio
import contextlib
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn, TypeVar

import requests
from aiohttp import ClientError
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from engine.connection import RUN, refuse_missing_token
from jobs.exits import Exit
from jobs.json_log import say

T = TypeVar("T")
CONFIGURATION = "starloop_configuration"
"""Key of a job's metadata, beside RUN, which is the run's URI: a digest of its configuration."""
CONNECT_S, FIRST_ANSWER_S, ANSWER_S = 4.0, 5.0, 60.0
POLL_S, POLL_LOG_S = 2.0, 15.0
LOOK_S, LOST_S = 10.0, 120.0
"""A log that says nothing for so long: see whether its job has ended, of which Ray's stream does not always tell; and connect anew,
which sends the log once more, since the connection may be lost without a word."""
TAILS = 3
"""Connections in a row that may break without one new line; after that the whole log is fetched now and then."""
PATIENCE_S = 180.0
"""How long a job server may be away while its job is followed."""


class Away(Exception):
    """The job server has not answered for PATIENCE_S."""


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's client, whose requests wait without end, with a bound on each."""

    answer_s = FIRST_ANSWER_S

    def _do_request(self, method: str, endpoint: str, **arguments: Any) -> requests.Response:
        response: requests.Response = super()._do_request(method, endpoint, timeout=(CONNECT_S, self.answer_s), **arguments)
        return response


class JobServer:
    """JobServer("http://127.0.0.1:8265"). Raises ValueError in one line, within ten seconds, if no job server answers there."""

    def __init__(self, address: str) -> None:
        self.address = checked_address(address)
        refuse_missing_token()
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address  # Ray lets RAY_ADDRESS outrank the address that it is given
        with self._errors_named():
            self.client = _Client(self.address)
        self.client.answer_s = ANSWER_S

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise ValueError(f"{self.address}: {_token_line(str(error))}") from None
        except (requests.RequestException, ConnectionError, KeyError) as error:
            raise ValueError(
                f"no Ray job server answers at {self.address} ({_first_line(error)}); check the address, and that the head is up"
            ) from None
        except RuntimeError as error:
            if "Jobs API is not supported" in str(error):  # Ray's words for whatever answers otherwise than its job server
                raise ValueError(
                    f"what answers at {self.address} is no Ray job server; check the port, which is 8265 by default"
                ) from None
            raise ValueError(f"{self.address}: {_first_line(error)}") from None

    def call(self, request: Callable[[], T]) -> T:
        """What a request to the server returns. Raises ValueError in one line."""
        with self._errors_named():
            return request()

    def jobs(self, run: str = "") -> list[JobDetails]:
        """The jobs that were submitted for a run, or for any run, the latest first."""
        jobs = [job for job in self.call(self.client.list_jobs) if RUN in (job.metadata or {})]
        chosen = [job for job in jobs if run == "" or run_name(run) == job.metadata[RUN]]
        return sorted(chosen, key=lambda job: job.start_time or 0, reverse=True)

    def find(self, run_or_job: str) -> JobDetails:
        """The latest job of a run, or the job of that id. Raises ValueError if there is none."""
        jobs = self.jobs()
        for job in jobs:
            if run_or_job == job.submission_id or run_name(run_or_job) == job.metadata[RUN]:
                return job
        known = "; ".join(f"{job.submission_id} of {job.metadata[RUN]}" for job in jobs[:5]) or "no job of a run at all"
        raise ValueError(f"{self.address} has no job of {run_or_job}; it has {known}")

    def follow(self, job: str) -> NoReturn:
        """Print the job's log until it ends, and exit with its status. A signal ends the following, and not the job."""
        try:
            info = self._follow(job)
        except (KeyboardInterrupt, SystemExit) as stop:
            say(self.left_alone(job), sys.stderr)
            sys.exit(Exit.INTERRUPTED if isinstance(stop, KeyboardInterrupt) else stop.code)
        except Away as error:
            say(f"{self.address} has not answered for {PATIENCE_S:.0f} s ({error}); {self.left_alone(job)}", sys.stderr)
            sys.exit(Exit.UNKNOWN)
        if info.status == "SUCCEEDED":
            say(f"{job} succeeded")
            sys.exit(Exit.DONE)
        say(f"{job} ended as {info.status}: {_first_line(info.message or 'see its log')}", sys.stderr)
        sys.exit(info.driver_exit_code or Exit.FAILED)

    def left_alone(self, job: str) -> str:
        """What becomes of a job that is followed no longer, and how to follow or stop it."""
        return (
            f"{job} runs on; starloop attach {job} --address {self.address} follows it, "
            f"starloop stop {job} --address {self.address} stops it"
        )

    def _follow(self, job: str) -> JobDetails:
        """Print the log until the job has ended: by its stream, and where that breaks again and again, whole now and then."""
        printed, broken = 0, 0
        while not (info := self._patiently(lambda: self.client.get_job_info(job))).status.is_terminal():
            if broken < TAILS:
                before = printed
                printed = asyncio.run(self._tail(job, printed))
                broken = 0 if printed > before else broken + 1
                time.sleep(POLL_S)
            else:
                printed = self._print_rest(job, printed)
                time.sleep(POLL_LOG_S)
        self._print_rest(job, printed)
        return info

    def _print_rest(self, job: str, printed: int) -> int:
        """Print what the log has after its first `printed` characters, and return how many there are; a log may be gone."""
        try:
            text = self.client.get_job_logs(job)
        except (requests.RequestException, ConnectionError, RuntimeError) as error:
            say(f"the log of {job} cannot be read ({_first_line(error)})", sys.stderr)
            return printed
        print(text[printed:], end="", flush=True)
        return max(printed, len(text))

    async def _tail(self, job: str, printed: int) -> int:
        """Print what the log's stream sends after its first `printed` characters, which it sends again; returns the new number."""
        received = 0
        stream = self.client.tail_job_logs(job)
        with contextlib.suppress(ClientError, RuntimeError, OSError, StopAsyncIteration):
            while (text := await self._next(job, stream)) is not None:
                sys.stdout.write(text[max(0, printed - received) :])
                sys.stdout.flush()
                received += len(text)
                printed = max(printed, received)
        with contextlib.suppress(ClientError, RuntimeError, OSError):
            await stream.aclose()
        return printed

    async def _next(self, job: str, stream: AsyncIterator[str]) -> str | None:
        """The stream's next text; None where the job has ended without a word, or nothing comes for LOST_S."""
        began, waiting = time.monotonic(), asyncio.ensure_future(anext(stream))
        try:
            while not (await asyncio.wait([waiting], timeout=LOOK_S))[0]:
                if time.monotonic() - began > LOST_S or await asyncio.to_thread(self._has_ended, job):
                    return None
            return waiting.result()
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])

    def _has_ended(self, job: str) -> bool:
        """False where the server does not answer."""
        try:
            return bool(self.client.get_job_info(job).status.is_terminal())
        except (requests.RequestException, ConnectionError, RuntimeError):
            return False

    def _patiently(self, request: Callable[[], T]) -> T:
        """What a request returns, asked again while the server is away. Raises Away, ValueError where it knows no such job."""
        deadline, is_named = time.monotonic() + PATIENCE_S, False
        while True:
            try:
                return request()
            except AuthenticationError as error:
                raise ValueError(f"{self.address}: {_token_line(str(error))}") from None
            except (requests.RequestException, ConnectionError, RuntimeError) as error:
                if "status code 404" in str(error):
                    raise ValueError(f"{self.address} no longer knows this job; was the head started anew?") from None
                if time.monotonic() > deadline:
                    raise Away(_first_line(error)) from None
                if not is_named:
                    say(f"{self.address} does not answer ({_first_line(error)}); asking again", sys.stderr)
                is_named = True
            time.sleep(POLL_S)


def checked_address(address: str) -> str:
    """The address without a slash at its end. Raises ValueError where it is no address of a job server.

    >>> checked_address("http://127.0.0.1:8265/")
    'http://127.0.0.1:8265'
    """
    scheme, separator, rest = address.partition("://")
    if not address.strip():
        raise ValueError("--address is empty; name the job server, such as http://127.0.0.1:8265")
    if not separator:
        raise ValueError(f"--address {address} has no scheme; did you mean http://{address}?")
    if scheme == "ray":
        host = rest.partition(":")[0]
        raise ValueError(f"--address {address} is an address for Ray Client; the job server is at http://{host}:8265 by default")
    if scheme not in ("http", "https") or not rest.strip("/"):
        raise ValueError(f"--address {address} is not the address of a job server, such as http://127.0.0.1:8265")
    return address.rstrip("/")


def run_name(run: str) -> str:
    """
    >>> run_name("s3://bucket/runs/a/"), run_name("./runs/a")
    ('s3://bucket/runs/a', 'runs/a')
    """
    return run.rstrip("/") if "://" in run else os.path.normpath(run)


def job_id(run: str, earlier: Sequence[str]) -> str:
    """The submission id of a run's next job. It follows from the run's URI, and from the ids of its earlier jobs.

    >>> job_id("s3://bucket/runs/a", []), job_id("s3://bucket/runs/a/", ["starloop-de961c6972-3", "starloop-de961c6972-2"])
    ('starloop-de961c6972-1', 'starloop-de961c6972-4')
    """
    numbers = [int(name.rpartition("-")[2]) for name in earlier if name.rpartition("-")[2].isdigit()]
    return f"starloop-{hashlib.sha256(run_name(run).encode()).hexdigest()[:10]}-{max(numbers, default=0) + 1}"


def stopped(job: str, metadata: Mapping[str, str]) -> str:
    """What becomes of a job that is stopped. KubeRay deletes the clusters of jobs that succeed or fail, and of no others.

    >>> stopped("starloop-de961c6972-1", {RUN: "s3://bucket/runs/a", CONFIGURATION: "6f"})
    'starloop-de961c6972-1 is told to stop; submit the same run again to continue it'
    >>> stopped("starloop-x7k2p", {RUN: "s3://bucket/runs/a"}).partition("; ")[2]
    'a RayJob that began it keeps its cluster until kubectl delete rayjob; kubectl apply then continues the run'
    """
    line = f"{job} is told to stop; "
    if CONFIGURATION in metadata:
        return f"{line}submit the same run again to continue it"
    return f"{line}a RayJob that began it keeps its cluster until kubectl delete rayjob; kubectl apply then continues the run"


def started(job: JobDetails) -> str:
    """When a job started, in local time: '2026-11-26 03:20:11'."""
    return datetime.fromtimestamp(job.start_time / 1000).strftime("%Y-%m-%d %H:%M:%S") if job.start_time else "not yet"


def _first_line(error: object) -> str:
    """The first line of an error; of a failed request, the reason inside."""
    text = str(error).strip().splitlines()
    line = text[0] if text else type(error).__name__
    return f"{line[:200]}..." if len(line) > 200 else line


def _token_line(message: str) -> str:
    """What to do about a refusal: Ray's own text has a page on it."""
    if message.startswith("Authentication required"):
        return "the job server wants a token, and none was sent; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
    return "the job server refuses this token; correct RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
