"""Kinds of storage trouble: what an exception of any filesystem means, and what to do about it, in one line."""

import errno
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Trouble = Literal["missing", "denied", "full", "replaced", "refused", "exhausted", "unavailable"]
REMEDY: dict[Trouble, str] = {
    "missing": "check the path, and in an object store the bucket",
    "denied": "check permissions, and for an object store credentials and the clock of this machine",
    "full": "free space or quota, or choose another place; what is written stays",
    "replaced": "leave inputs alone while a run reads them",
    "refused": "storage answers, and calling again does not help: check the name, and in [storage] endpoint, region and options",
    "exhausted": "this machine is out of memory or open files (ulimit -n): give it more, then run the same command again",
    "unavailable": "check endpoint and network, then run the same command again: it goes on where it was",
}
"""refused: an answer that would be the same tomorrow, such as a 400. exhausted: nothing about storage, but about this machine.
unavailable: an answer that may pass, or none."""
ARCHIVED = frozenset({"InvalidObjectState", "BlobArchived"})
"""The codes of S3 and of Azure for an object that lies in an archive."""
RESTORE_FIRST = "the object is archived: restore it to a storage class that can be read"
PASSING_CODES = frozenset(
    "SlowDown RequestTimeout Throttling ThrottlingException KMS.ThrottlingException RequestLimitExceeded InternalError "
    "OperationAborted ServiceUnavailable XAmzContentSHA256Mismatch".split()
)
"""Codes of S3 for what passes, some of which come with status 400."""
DENIED_CODES = frozenset(
    "ExpiredToken ExpiredTokenException RequestExpired InvalidToken InvalidClientTokenId TokenRefreshRequired "
    "UnrecognizedClientException AuthenticationFailed InvalidAuthenticationInfo".split()
)
"""Codes of S3 and of Azure for credentials that have expired or are none, some of which come with status 400."""
DENIED_STATUSES = frozenset({401, 402, 403, 407, 451})
PASSING_STATUSES = frozenset({408, 409, 423, 425, 429})
PERMANENT_STATUSES = frozenset({501, 505, 508, 510})
"""Statuses from 500 up that are not about the server's health."""
MISSING = {errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMSGSIZE}
"""EMSGSIZE: s3fs raises it for EntityTooLarge, by which a store reports that a quota is used up."""
FULL_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "os error 28",
    "os error 122",
    "file write failed",
    "unexpected pos ",
)
"""What errors without a number say: of safetensors, and of torch.save, whose writer finds fewer bytes in its file than it wrote."""
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
LINUX_ONLY = ("EREMOTEIO", "ECOMM", "ENONET", "ENOLINK")
PASSING = {
    errno.EAGAIN, errno.EBUSY, errno.EIO, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE,
    errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENOTCONN, errno.ESHUTDOWN,
    errno.ESTALE, errno.EINTR, errno.EPROTO, *(getattr(errno, name, errno.EIO) for name in LINUX_ONLY),
}  # fmt: skip
"""ENOTCONN: what every call on a mount of gcsfuse, s3fs-fuse or sshfs gives once its process has ended."""
WAITED_FOR = ("unavailable", "exhausted")
NO_CREDENTIALS = frozenset(
    "NoCredentialsError PartialCredentialsError CredentialRetrievalError ProfileNotFound TokenRetrievalError SSOTokenLoadError "
    "UnauthorizedSSOTokenError RefreshError DefaultCredentialsError ClientAuthenticationError CredentialUnavailableError".split()
)
"""Names of exceptions of botocore, of Google's and of Azure's clients."""
PASSING_NAMES = frozenset(
    "HTTPClientError EndpointConnectionError ConnectTimeoutError ReadTimeoutError ConnectionClosedError ProxyConnectionError "
    "IncompleteRead IncompleteReadError ResponseParserError ResponseStreamingError ServiceRequestError ServiceResponseError "
    "ContentLengthError TransferEncodingError".split()
)
"""Names of exceptions of botocore, of Azure's client and of aiohttp, so that no package is imported where it is not used."""
PASSING_PACKAGES = ("aiohttp.", "requests.", "urllib3.")
PERMANENT_NAMES = frozenset(
    "InvalidURL InvalidUrlClientError InvalidUrlRedirectClientError NonHttpUrlClientError NonHttpUrlRedirectClientError "
    "TooManyRedirects MissingSchema InvalidSchema ParamValidationError".split()
)
"""Names of exceptions of these packages, and of botocore, that are about the address, not about its server."""
WORDS = {
    "TooManyRedirects": "it is redirected again and again",
    "ContentLengthError": "fewer bytes came than the server had announced",
    "TransferEncodingError": "the answer broke off",
    "ContentEncodingError": "the answer cannot be decompressed",
    "HttpProcessingError": "the answer is no HTTP",
    "ClientPayloadError": "the answer broke off",
    "ServerDisconnectedError": "the server closed the connection without an answer",
}
"""What exceptions of aiohttp mean whose own text says it badly ("0", "400, message:"), by the name of a class of theirs."""
SILENT_WORDS = {
    "TimeoutError": "no answer in time",
    "ConnectionRefusedError": "the connection was refused",
    "ConnectionError": "the connection broke",
    "ClientConnectionError": "the connection broke",
    "ClientError": "the request failed",
    "FileNotFoundError": "there is no such file",
    "NotADirectoryError": "a part of its path is no folder",
    "IsADirectoryError": "it is a folder",
    "PermissionError": "access is denied",
    "EOFError": "it ends too early",
    "MemoryError": "this machine is out of memory",
}
"""The same for exceptions without a text."""
OUR_OWN = ("builtins", "engine", "models", "jobs")
"""Packages of exceptions that no filesystem raises: they are mistakes of ours, unless an object is being read."""


class StorageError(OSError):
    """A call to storage that failed: one line with the remedy."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble

    def __reduce__(self) -> tuple[Any, ...]:
        return StorageError, (self.trouble, str(self))


def storage_error(what: str, error: Exception) -> StorageError:
    """The error of any filesystem as one line: StorageError("full", "cannot write a: No space left on device; free space ...")."""
    if isinstance(error, StorageError):
        return error
    trouble = trouble_of(error) or "refused"
    remedy = RESTORE_FIRST if _store_code(error) in ARCHIVED else REMEDY[trouble]
    return StorageError(trouble, f"{what}: {reason_of(error)}; {remedy}")


def trouble_of(error: BaseException) -> Trouble | None:
    """The kind of trouble that an exception of any filesystem stands for; None if it is not about storage.

    >>> trouble_of(PermissionError("no")), trouble_of(OSError(errno.ENOSPC, "full")), trouble_of(ConnectionResetError())
    ('denied', 'full', 'unavailable')
    """
    if isinstance(error, StorageError):
        return error.trouble
    name, code = type(error).__name__, error.errno if isinstance(error, OSError) else None
    if name == "FileExpired":
        return "replaced"
    if code in EXHAUSTED or _is_from_exhaustion(error):
        return "exhausted"
    if code in FULL:
        return "full"
    if _store_code(error) in PASSING_CODES or name in PASSING_NAMES:
        return "unavailable"
    if name in PERMANENT_NAMES:
        return "refused"
    if _store_code(error) in DENIED_CODES:
        return "denied"
    if status := _http_status(error):
        return _trouble_of_status(status, _store_code(error))
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError) or code in MISSING:
        return "missing"
    if isinstance(error, PermissionError) or name in NO_CREDENTIALS or code == errno.EROFS:
        return "denied"
    if isinstance(error, ConnectionError | TimeoutError) or code in PASSING or type(error).__module__.startswith(PASSING_PACKAGES):
        return "unavailable"
    if any(words in str(error).lower() for words in FULL_WORDS):
        return "full"
    return "refused" if isinstance(error, OSError) or type(error).__module__.partition(".")[0] not in OUR_OWN else None


def _is_from_exhaustion(error: BaseException) -> bool:
    """Whether a client of an object store or of the web, which has errors of its own, could open no socket on this machine."""
    causes = (error.__cause__, error.__context__)
    return any(isinstance(cause, OSError) and cause.errno in EXHAUSTED for cause in causes)


def _trouble_of_status(status: int, code: str) -> Trouble:
    if status == 412 or code == "PreconditionFailed":
        return "replaced"
    if status in (404, 410):
        return "missing"
    if status in DENIED_STATUSES:
        return "refused" if code in ARCHIVED else "denied"
    if status in (413, 507):
        return "full"
    if code in ARCHIVED:
        return "refused"
    passes = status in PASSING_STATUSES or (status >= 500 and status not in PERMANENT_STATUSES)
    return "unavailable" if passes else "refused"


def is_taken(error: BaseException) -> bool:
    """Whether create-if-absent failed because the path is taken. s3fs raises FileExistsError only if the response says why."""
    return isinstance(error, FileExistsError) or _store_code(error) == "PreconditionFailed" or _http_status(error) == 412


def _response(error: BaseException) -> dict[str, Any]:
    """The response of S3, which botocore's error has, and s3fs' OSError as its cause; else {}."""
    responses = (getattr(cause, "response", None) for cause in (error, error.__cause__))
    return next((response for response in responses if isinstance(response, dict)), {})


def _store_code(error: BaseException) -> str:
    """The store's own error code; "" if there is none."""
    return str(_response(error).get("Error", {}).get("Code", "") or getattr(error, "error_code", None) or "")


def _http_status(error: BaseException) -> int:
    """The response's status: `code` of gcsfs' errors, `status_code` of Azure's, `status` of aiohttp's; 0 if there is none."""
    values = [getattr(error, name, None) for name in ("status_code", "code", "status")]
    values.append(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return next((value for value in values if isinstance(value, int) and 300 <= value < 600), 0)


def reason_of(error: BaseException) -> str:
    """What an exception says, in one line; with its type where that is no error of storage.

    >>> reason_of(ConnectionRefusedError()), reason_of(OSError(5, "Input/output error")), reason_of(KeyError("x"))
    ('the connection was refused', 'Input/output error', "KeyError: 'x'")
    """
    if words := _words_for((error.__cause__, error), WORDS):
        return words
    if isinstance(status := getattr(error, "status", None), int):  # aiohttp's text would repeat the URL
        return f"HTTP status {status} {_first_line(getattr(error, 'message', ''))}".rstrip()
    line = _first_line(getattr(error, "strerror", None) or error).rstrip(".")
    if not line:
        return _reason_of_silent(error)
    is_of_storage = isinstance(error, OSError) or type(error).__module__.startswith(PASSING_PACKAGES)
    return line if is_of_storage else f"{type(error).__name__}: {line}"


def _reason_of_silent(error: BaseException) -> str:
    """For an exception without a text: what its cause says, as of fsspec's FSTimeoutError, else what its type means."""
    if error.__cause__ is not None and str(error.__cause__):
        return reason_of(error.__cause__)
    return _words_for((error,), SILENT_WORDS) or f"{type(error).__name__}, which says no more"


def _words_for(errors: Iterable[BaseException | None], words: Mapping[str, str]) -> str:
    """The words for the first class of `words` to which one of the errors belongs; "" if there is none."""
    names = [{kind.__name__ for kind in type(error).__mro__} for error in errors]
    return next((words[name] for own in names for name in words if name in own), "")


def _first_line(text: object) -> str:
    return next(iter(str(text).splitlines()), "").strip().rstrip(":")
