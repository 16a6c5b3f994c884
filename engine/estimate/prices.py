"""A table of prices, in TOML, and what an estimate costs by it. Nothing is shipped: list prices differ and change."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from engine.estimate.hardware import Gpu
from engine.section import Section

NO_TABLE = "no price is known: --prices FILE; jobs/prices.toml is a template"


class GpuEntry(Section):
    """[gpus.NAME]: a GPU that Starloop does not know."""

    tflops: float = Field(gt=0)
    """Peak in bfloat16, without sparsity."""
    tb_per_s: float = Field(gt=0)
    """Peak memory bandwidth."""
    memory_gib: float = Field(gt=0)


class Prices(Section):
    """A table of prices. What it leaves out has no price: then the estimate says so."""

    currency: str = ""
    date: str = ""
    """Of the prices."""
    source: str = ""
    """Where they are from."""
    gpu_hour: dict[str, float] = Field(default={})
    """Price of an hour of one GPU, by its name."""
    gb_month: float | None = Field(default=None, ge=0)
    """Of 10^9 bytes that are kept for a month."""
    put_1000: float | None = Field(default=None, ge=0)
    """Of 1,000 requests that write."""
    get_1000: float | None = Field(default=None, ge=0)
    """Of 1,000 requests that read."""
    list_1000: float | None = Field(default=None, ge=0)
    """Of 1,000 requests that list; default: put_1000, as S3 has it."""
    read_gb: float | None = Field(default=None, ge=0)
    """Of 10^9 bytes that are read, where storage and cluster are in different places."""
    gpus: dict[str, GpuEntry] = Field(default={})

    def known_gpus(self) -> dict[str, Gpu]:
        return {
            name: Gpu(
                name=name,
                flops=entry.tflops * 1e12,
                bytes_per_s=entry.tb_per_s * 1e12,
                memory_gib=entry.memory_gib,
                source="the table of --prices",
            )
            for name, entry in self.gpus.items()
        }

    def of_gpu(self, name: str) -> float | None:
        """None where the table has no GPUs. Raises ValueError where it has other GPUs only."""
        if not self.gpu_hour:
            return None
        if name not in self.gpu_hour:
            known = ", ".join(self.gpu_hour)
            raise ValueError(
                f"the table of --prices has no GPU {name!r} in [gpu_hour], only {known}; add it, or choose another --gpu"
            )
        return self.gpu_hour[name]


def read_prices(path: Path) -> Prices:
    """Raises ValueError in one line for a file that is not a table of prices."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"--prices {path}: no such file; jobs/prices.toml is a template") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"--prices {path} is not a table of prices in TOML: {error}") from None
    try:
        prices = Prices.model_validate(values)
    except ValidationError as error:
        raise ValueError(
            f"--prices {path}: {_one_line(min(error.errors(), key=lambda each: each['type'] != 'extra_forbidden'))}"
        ) from None
    if wrong := [name for name, price in prices.gpu_hour.items() if price < 0]:
        raise ValueError(f"--prices {path}: gpu_hour.{wrong[0]} = {prices.gpu_hour[wrong[0]]:g} is below 0")
    return prices


def _one_line(error: Any) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return f"{key} = {error['input']!r}: {error['msg']}" if error["type"] != "missing" else f"{key} is missing"
    section = GpuEntry if error["loc"][0] == "gpus" else Prices
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
    return f"no key {key!r}; " + (f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}")
