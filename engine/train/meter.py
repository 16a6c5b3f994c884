"""The actor through which the ranks report to the driver, in a file that imports no torch: its process starts in a second."""

import ray

from engine.train.job import StepRecord


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Meter:
    """Actor between the ranks and the driver: records of steps, lines for the log, and an error that a restart cannot mend.

    It is on the driver's node. If its process dies, it comes back empty: ranks that meet the error again report it again.
    """

    def __init__(self) -> None:
        self._records: list[StepRecord] = []
        self._notes: list[str] = []
        self._fatal: Exception | None = None

    def record(self, record: StepRecord) -> None:
        """Restarted ranks repeat the steps since the last checkpoint, with the same result: the first record of a step counts."""
        if not self._records or record.step > self._records[-1].step:
            self._records.append(record)

    def note(self, line: str) -> None:
        self._notes.append(line)

    def give_up(self, error: Exception) -> None:
        self._fatal = self._fatal or error

    def is_fatal(self) -> bool:
        return self._fatal is not None

    def since(self, step: int, num_notes: int) -> tuple[list[StepRecord], list[str], Exception | None]:
        """The records of the steps after this one, the notes after so many, and the error that a restart cannot mend.

        An actor that has come back has fewer notes than the driver has read: then all of them are new.
        """
        notes = self._notes[num_notes:] if num_notes <= len(self._notes) else self._notes
        return [record for record in self._records if record.step > step], notes, self._fatal
