"""What the ranks report to the driver goes through one actor, in a file that imports no torch: its process starts in a second."""

import ray

from engine.train.job import StepRecord


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Meter:
    """Actor between the ranks and the driver: records of steps, lines for the log, and an error that a restart cannot mend."""

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
        """The records of the steps after this one, and the notes after so many."""
        return [record for record in self._records if record.step > step], self._notes[num_notes:], self._fatal
