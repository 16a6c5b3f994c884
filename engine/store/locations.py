"""Where an object lies: its URI taken apart, and one key for all spellings of it.

A URI is a protocol and the rest: it is never parsed as one of fsspec's chains, whose links are separated by `::`, and a name may
hold any character.
"""

import os
import re
import stat
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from yarl import URL

PROTOCOLS = frozenset("file local memory http https s3 s3a gs gcs az abfs abfss".split())
LOCAL = frozenset({"file", "local"})
WEB = frozenset({"http", "https"})
OBJECT_STORES = PROTOCOLS - LOCAL - WEB - {"memory"}
SAME_AS = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "http": "https"}
"""Protocols by which the same object is found: these are one in an object's key."""
PORTS = {"http": 80, "https": 443}
SIGNED_BY = {
    "signature": frozenset("awsaccesskeyid signature expires googleaccessid key-pair-id policy".split()),
    "sig": frozenset(
        "sig sv ss srt sr st se sp sip spr si skoid sktid skt ske sks skv saoid suoid scid sdd ses rscc rscd rsce rscl rsct".split()
    ),
}
"""Parameters that say who may read the object and for how long, not which object, by the one without which they mean something
else: of S3, Google and CloudFront, and of Azure's shared access signatures."""
ALWAYS = re.compile(r"x-(amz|goog)-|versionid$")
"""Parameters of which this is known by their names alone, and which version of the object is meant."""
PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")
MASK = "***"
LOGIN = re.compile(r"(?<=://)(?:[^/@\s:]*:[^/@\s]*|(?<!az://)(?<!abfs://)(?<!abfss://)[^/@\s]+)@")
"""A user, with or without a password; in Azure's URIs a name before @ is a container."""
QUERY = re.compile(r"(?<!file)(?<!local)(://[^?\s]+)\?[^\s\"']+")
"""A query may hold a signature; in the path of a file a question mark is a character."""


def protocol_of(uri: str) -> str:
    """
    >>> protocol_of("s3://b/Show::Ep1.mp4"), protocol_of("a::b.mp4"), protocol_of("data:b.mp4")
    ('s3', 'file', 'file')
    """
    protocol, separator, _ = uri.partition("://")
    return protocol if separator else "file"


def local_path(uri: str) -> str | None:
    """The absolute path that a URI of this machine names; None for another one.

    >>> local_path("file:///v/a.mp4"), local_path("file://localhost/v/a.mp4"), local_path("/v/file:a::b.mp4"), local_path("s3://b/a")
    ('/v/a.mp4', '/v/a.mp4', '/v/file:a::b.mp4', None)

    `%20` in a file:// URI is a space where there is no file of the literal name: Path.as_uri() writes it so.
    """
    protocol, separator, rest = uri.partition("://")
    if not separator:
        return os.path.join(os.getcwd(), "" if uri == "." else os.path.expanduser(uri).removeprefix("./"))
    if protocol not in LOCAL:
        return None
    path = os.path.join(os.getcwd(), rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)
    return _decoded(path) if "%" in path else path


def _decoded(path: str) -> str:
    """The path with its percent signs decoded, if that exists and the path as it is does not."""
    decoded = unquote(path, errors="surrogateescape")
    is_decoded = "\0" not in decoded and not os.path.lexists(path) and os.path.lexists(decoded)
    return decoded if is_decoded else path


def place_of(uri: str) -> str:
    """Whose health an object depends on: the bucket or the server, or for a path its folder.

    >>> place_of("s3://b/v/a.mp4"), place_of("https://h:81/a.mp4?x=1"), place_of("/v/a.mp4")
    ('s3://b', 'https://h:81', '/v')
    """
    if (path := local_path(uri)) is not None:
        return os.path.dirname(path)
    protocol, _, rest = uri.partition("://")
    return f"{protocol}://{re.split('[/?#]', rest, maxsplit=1)[0]}"


def refuse_odd(uri: str) -> None:
    """Raises ValueError for a URI that names no object: unknown protocol, bucket alone, one URI inside another, NUL."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{uri!r} is not Unicode text; correct it") from None
    if "\0" in uri:
        raise ValueError(f"{uri!r} holds a NUL; remove it")
    refuse_password(uri)
    protocol, separator, rest = uri.partition("://")
    if not separator:
        return
    if protocol not in PROTOCOLS or "://" in rest:
        raise ValueError(f"{uri!r} is not a path or one of s3://, gs://, az://; copy the object to one of these")
    if protocol in OBJECT_STORES and not rest.partition("/")[2]:
        raise ValueError(f"{uri!r} names a bucket and no object in it")


def refuse_password(uri: str) -> None:
    """Raises ValueError for a URI with a user's password before its host."""
    if PASSWORD.search(uri):
        raise ValueError(f"{PASSWORD.sub('://...@', uri)} holds a password; give it to the workers' environment")


def masked(text: str) -> str:
    """The text without the logins and the queries of its URIs, for displays, cards and trackers.

    >>> masked("s3://b/a.mp4"), masked("of https://me:pass@host/a.csv?sig=abc")
    ('s3://b/a.mp4', 'of https://***@host/a.csv?***')
    >>> masked("abfss://films@account.dfs.core.windows.net/a.mp4"), masked("/v/what?.mp4"), masked("file:///v/what?.mp4")
    ('abfss://films@account.dfs.core.windows.net/a.mp4', '/v/what?.mp4', 'file:///v/what?.mp4')
    """
    return QUERY.sub(rf"\1?{MASK}", LOGIN.sub(f"{MASK}@", text))


def masked_values(value: Any) -> Any:
    """A value of JSON in which each text is masked.

    >>> masked_values({"data": {"sets": ["https://h/a?sig=abc", 3]}})
    {'data': {'sets': ['https://h/a?***', 3]}}
    """
    if isinstance(value, dict):
        return {key: masked_values(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [masked_values(of) for of in value]
    return masked(value) if isinstance(value, str) else value


def unsigned(uri: str) -> str:
    """A URI of the web without login and without the parameters that say who may read the object; others as they are.

    >>> unsigned("https://me:pass@h/a.mp4?X-Amz-Signature=f3&id=2"), unsigned("s3://b/a?.mp4"), unsigned("/v/a.mp4")
    ('https://h/a.mp4?id=2', 's3://b/a?.mp4', '/v/a.mp4')
    """
    protocol = protocol_of(uri).lower()
    return _web_key(uri, protocol, protocol) if protocol in WEB else uri


def is_signed(uri: str) -> bool:
    """Whether a URI of the web has a login, or parameters that say who may read the object.

    >>> is_signed("https://h/a?X-Amz-Signature=f3"), is_signed("https://me@h/a b.mp4"), is_signed("https://h/a b?id=2")
    (True, True, False)
    """
    if protocol_of(uri).lower() not in WEB:
        return False
    queries = (parse_qsl(of.partition("#")[0].partition("?")[2], keep_blank_values=True) for of in (uri, unsigned(uri)))
    return bool(LOGIN.search(uri)) or len({len(query) for query in queries}) > 1


def object_key(uri: str) -> str:
    """The same text for all names of one object: its canonical location, or for a file of several names its device and inode."""
    path = canonical(uri)
    return path if local_path(uri) is None else _file_key(path)


@lru_cache(maxsize=1024)
def _file_key(path: str) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return path
    return f"inode {status.st_dev}:{status.st_ino}" if status.st_nlink > 1 and stat.S_ISREG(status.st_mode) else path


def name_below(uri: str, folder: str) -> str:
    """The same text for all spellings of one object, and, for an object below the folder, the same wherever the folder lies.

    >>> name_below("file:///v/../v/a/b.mp4", "/v"), name_below("a/./b.mp4", ""), name_below("s3://b/v/a.mp4", "s3a://b/v/")
    ('a/b.mp4', 'a/b.mp4', 'a.mp4')
    >>> name_below("/elsewhere/a.mp4", "/v")
    '/elsewhere/a.mp4'
    """
    return canonical(uri).removeprefix(f"{canonical(folder).rstrip('/')}/")


def canonical(uri: str) -> str:
    """Where an object lies, in one spelling: without aliases of protocols, `./` and symbolic links of paths, signatures.

    The path of a URL is the one that aiohttp requests, which takes `./` and `../` out and encodes what has to be.

    >>> canonical("s3a://b/v//a.mp4"), canonical("HTTP://H:80/a.mp4?X-Amz-Date=1&id=2#t")
    ('s3://b/v//a.mp4', 'https://h/a.mp4?id=2')
    >>> canonical("abfss://films@account.dfs.core.windows.net/a.mp4"), canonical("az://films/a.mp4")
    ('az://films/a.mp4', 'az://films/a.mp4')

    >>> canonical("https://h/v/./x/../a%7E b.mp4")
    'https://h/v/a~%20b.mp4'

    In an object store names are bytes, so `//` and `./` are part of them.
    """
    path = local_path(uri)  # before anything is remembered: a relative name means another file in another folder
    return _canonical_object(uri) if path is None else _canonical_file(path)


@lru_cache(maxsize=1024)
def _canonical_file(path: str) -> str:
    folder, name = os.path.split(os.path.normpath(path))
    full = os.path.join(_real_folder(folder), name)
    return os.path.realpath(full) if os.path.islink(full) else full


@lru_cache(maxsize=1024)
def _canonical_object(uri: str) -> str:
    protocol, _, rest = uri.partition("://")
    protocol = protocol.lower()
    same = SAME_AS.get(protocol, protocol)
    if protocol in WEB:
        return _web_key(uri, protocol, same)
    bucket, _, name = rest.partition("/")
    path, has_version, _ = name.rpartition("?versionId=")
    return f"{same}://{bucket.partition('@')[0] if same == 'az' else bucket}/{path if has_version else name}"


def _web_key(uri: str, protocol: str, same: str) -> str:
    try:
        url = URL(uri)
    except ValueError:  # a port that is no number
        return uri
    port = f":{url.port}" if url.port not in (None, PORTS[protocol]) else ""
    pairs = parse_qsl(url.raw_query_string, keep_blank_values=True)
    names = {name.lower() for name, _ in pairs}
    signing = frozenset[str]().union(*(SIGNED_BY[name] for name in SIGNED_BY.keys() & names))
    query = urlencode([(name, value) for name, value in pairs if name.lower() not in signing and not ALWAYS.match(name.lower())])
    return f"{same}://{url.host_subcomponent or ''}{port}{url.raw_path}{f'?{query}' if query else ''}"


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


PLACEHOLDER = "BUCKET"
"""What shipped configurations have in place of a name of one's own."""


def has_placeholder(uri: str) -> bool:
    return PLACEHOLDER in uri.partition("://")[2].split("/")


def refuse_placeholder(key: str, uri: str, remedy: str = "") -> None:
    """Raises ValueError for a URI of a shipped configuration that nobody has filled in. `remedy`: another one than the key.

    >>> refuse_placeholder("data.manifest", "s3://BUCKET/manifest.parquet")
    Traceback (most recent call last):
    ValueError: data.manifest is 's3://BUCKET/manifest.parquet', and BUCKET is a placeholder; name your own, --set data.manifest=...
    >>> refuse_placeholder("data.manifest", "s3://bucket/manifest.parquet")
    """
    if has_placeholder(uri):
        raise ValueError(f"{key} is {uri!r}, and {PLACEHOLDER} is a placeholder; name your own, --set {key}=...{remedy}")
