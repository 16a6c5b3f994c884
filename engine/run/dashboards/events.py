"""TensorBoard's event files: records of protobufs, each with its length and two checksums (TFRecord).

The messages are declared here, of the fields that are used, for protobuf's own runtime: packages that bring TensorBoard's messages
import torch, which a driver that only generates does without.
"""

import struct
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

POLYNOMIAL = 0x82F63B78
"""Of CRC-32C (Castagnoli), reflected."""
MASK = 0xA282EAD8
"""By which a record's checksums are masked: those of data that hold checksums would be too regular."""
VERSION = "brain.Event:2"
STRING = 7
"""DT_STRING of tensors."""


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """The data as a record."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def records(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The end and the data of each whole record; what a killed process left behind the last one is left out.

    >>> [data for _, data in records(record(b"a") + record(b"bc")[:-1])]
    [b'a']
    """
    start = 0
    while start + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        end = start + 12 + length + 4
        data = content[start + 12 : end - 4]
        if end > len(content) or content[end - 4 : end] != _masked(data):
            return
        yield end, data
        start = end


def _event() -> Any:
    """The class of Event, with the summaries of scalars and texts: fields and numbers as in tensorboard/compat/proto."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="starloop_events.proto", package="starloop")

    def message(name: str, *fields: tuple[str, int, int, bool, str]) -> None:
        declared = file.message_type.add(name=name)
        for field, number, kind, repeated, of in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            declared.field.add(name=field, number=number, type=kind, label=label, type_name=f".starloop.{of}" if of else None)

    message("PluginData", ("plugin_name", 1, kinds.TYPE_STRING, False, ""))
    message("Metadata", ("plugin_data", 1, kinds.TYPE_MESSAGE, False, "PluginData"))
    message("Dim", ("size", 1, kinds.TYPE_INT64, False, ""))
    message("Shape", ("dim", 2, kinds.TYPE_MESSAGE, True, "Dim"))
    message(
        "Tensor",
        ("dtype", 1, kinds.TYPE_INT32, False, ""),
        ("tensor_shape", 2, kinds.TYPE_MESSAGE, False, "Shape"),
        ("string_val", 8, kinds.TYPE_BYTES, True, ""),
    )
    message(
        "Value",
        ("tag", 1, kinds.TYPE_STRING, False, ""),
        ("simple_value", 2, kinds.TYPE_FLOAT, False, ""),
        ("tensor", 8, kinds.TYPE_MESSAGE, False, "Tensor"),
        ("metadata", 9, kinds.TYPE_MESSAGE, False, "Metadata"),
    )
    message("Summary", ("value", 1, kinds.TYPE_MESSAGE, True, "Value"))
    message(
        "Event",
        ("wall_time", 1, kinds.TYPE_DOUBLE, False, ""),
        ("step", 2, kinds.TYPE_INT64, False, ""),
        ("file_version", 3, kinds.TYPE_STRING, False, ""),
        ("summary", 5, kinds.TYPE_MESSAGE, False, "Summary"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("starloop.Event"))


Event = _event()


def scalar(tag: str, step: int, value: float, wall_time: float) -> bytes:
    """An event with one number, as a record."""
    event = Event(wall_time=wall_time, step=step)
    event.summary.value.add(tag=tag, simple_value=value)
    return record(event.SerializeToString())


def text(tag: str, step: int, markdown: str, wall_time: float) -> bytes:
    """An event with a text, as a record."""
    event = Event(wall_time=wall_time, step=step)
    value = event.summary.value.add(tag=f"{tag}/text_summary")
    value.metadata.plugin_data.plugin_name = "text"
    value.tensor.dtype = STRING
    value.tensor.tensor_shape.dim.add(size=1)
    value.tensor.string_val.append(markdown.encode())
    return record(event.SerializeToString())


def header(wall_time: float) -> bytes:
    """The first record of a file."""
    return record(Event(wall_time=wall_time, file_version=VERSION).SerializeToString())


def latest_steps(content: bytes) -> tuple[int, dict[str, int]]:
    """Where the last whole record of a file ends, and the last step of each tag in it."""
    whole, latest = 0, dict[str, int]()
    for end, data in records(content):
        event, whole = Event.FromString(data), end
        latest |= {value.tag: event.step for value in event.summary.value}
    return whole, latest
