"""A finetune, its workers spread over the nodes of one label: python tests/spread.py ADDRESS MANIFEST RUN WORKERS ZERO EPOCHS

Prints one line of JSON: the losses. It is a program of its own, because it runs on one of the hosts.
"""

import json
import logging
import sys

import pyarrow as pa

from builders import a_train_job
from engine.config import Cluster, Data, Train
from engine.connection import connect
from engine.generate.prompts import PUBLISHED
from engine.ingest.manifest import read_manifest
from engine.rows import EXAMPLES
from engine.select.choose import from_template
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.train.trainer import Follow, finetune

log = logging.getLogger(__name__)
POOL = "starloop/pool"


def main(address: str, manifest: str, run: str, workers: int, zero_stage: int, epochs: int) -> None:
    clips = [clip for clip in read_manifest(Data(manifest=manifest), Storage()) if clip.split == "train"]
    store = Store(run)
    rows = [example.to_row() for example in from_template(clips[:8], "The answer is {label}.", PUBLISHED)]
    store.write_table("examples.parquet", pa.Table.from_pylist(rows, schema=EXAMPLES))
    train = Train(
        batch_rows=4, micro_batch_rows=4 // workers, epochs=epochs, lr=1e-3, lora_rank=4, lora_dropout=0.0, num_workers=workers,
        zero_stage=zero_stage,
    )  # fmt: skip
    job = a_train_job(store, train, decode_selector={POOL: "decode"})
    env = {"GLOO_SOCKET_IFNAME": "eth0"}
    cluster = Cluster(train_selector={POOL: "train"}, train_placement="SPREAD", train_env=env)
    logging.basicConfig(level=logging.INFO)
    with connect(address):
        print(json.dumps(finetune(job, cluster, Follow(lambda record: log.info("step %d", record.step)), 120).losses))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
