"""What went wrong between us and a bucket, as a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake.paths import RemotePath

DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403"}
WRONG_KEYS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "InvalidClientTokenId",
    "TokenRefreshRequired",
}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
MISSING = {"NoSuchKey", "NotFound", "404", "NoSuchVersion"}
REGION = {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "Redirect"}
CHANGED = {"PreconditionFailed", "412"}
FULL = {"XMinioStorageFull", "507", "InsufficientStorage", "QuotaExceeded", "EntityTooLarge"}

WHERE = "the AWS client looks for them in the environment, in ~/.aws and at the machine's role"


class LakeError(SporeYoloError):
    """The data lake cannot be read or written."""


class NotThere(LakeError):
    """There is no such object."""


class Denied(LakeError):
    """The credentials do not allow it, or are wrong."""


class Changed(LakeError):
    """The object is not the one that was listed a moment ago."""


class ConnectionLost(LakeError):
    """The connection broke while bytes were on their way; trying again can help."""


@contextmanager
def translated(address: RemotePath, endpoint: Callable[[], str | None], doing: str) -> Iterator[None]:
    """Turns what the client raises into a :class:`LakeError`; errors of the disk pass as they are.

    Args:
        address: What was worked on.
        endpoint: Says where requests go; ``None``: to AWS.
        doing: What was done, such as ``read``.
    """
    try:
        yield
    except SporeYoloError:
        raise
    except Exception as error:
        translation = _translate(error, address, endpoint(), doing)
        if translation is None:
            raise
        raise translation from None


def _translate(error: Exception, address: RemotePath, endpoint: str | None, doing: str) -> LakeError | None:
    import aiohttp
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,  # noqa: A004  # botocore's own
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        ResponseStreamingError,
    )
    from botocore.parsers import ResponseParserError

    answer = error if isinstance(error, ClientError) else error.__cause__
    if isinstance(answer, ClientError):
        return _of_answer(answer, address, doing)
    if isinstance(error, NoCredentialsError):
        return LakeError(f"{address}: no credentials for S3; {WHERE} (docs/lake.md)")
    if isinstance(error, PartialCredentialsError | ProfileNotFound):
        return LakeError(f"{address}: the credentials for S3 are not whole: {error}; {WHERE} (docs/lake.md)")
    server = _server(endpoint)
    lost = (ResponseStreamingError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ResponseParserError)
    if isinstance(error, (*lost, TimeoutError, ConnectionResetError, BrokenPipeError)):
        return ConnectionLost(f"{address}: the connection to {server} broke")
    if isinstance(error, HTTPClientError | ConnectionError | aiohttp.ClientError):
        return LakeError(
            f"{address}: {server} cannot be reached ({_short(error)}); check the network and AWS_ENDPOINT_URL, then run"
            " the command again"
        )
    if isinstance(error, BotoCoreError | ValueError):
        return LakeError(f"{address}: the AWS client refused to {doing} it: {error}")
    return None


def _of_answer(error: object, address: RemotePath, doing: str) -> LakeError:
    response = getattr(error, "response", {})
    about = response.get("Error", {})
    code, said = str(about.get("Code", "")), str(about.get("Message", "")).strip()
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchBucket":
        return NotThere(
            f"s3://{address.bucket}: no such bucket; check its name, and that AWS_ENDPOINT_URL is the right one"
        )
    if code in WRONG_KEYS:
        return LakeError(f"{address}: S3 does not accept the credentials ({code}: {said}); {WHERE}")
    if code in EXPIRED:
        return LakeError(f"{address}: the credentials have expired ({code}); get new ones, then run the command again")
    if code in DENIED or status == 403:
        return Denied(
            f"{address}: no permission to {doing} it ({code}: {said}); the credentials are wrong, or the bucket does"
            " not allow it: docs/lake.md lists what it must allow"
        )
    if code in MISSING or (status == 404 and code not in REGION):
        return NotThere(f"{address}: no such object")
    if code in CHANGED:
        return Changed(f"{address}: changed while it was read")
    if code in REGION:
        return LakeError(f"{address}: the bucket lies in another region ({code}: {said}); set AWS_REGION to its own")
    if code in FULL:
        return LakeError(f"{address}: the bucket's storage is full ({code}: {said}); what was pushed is kept")
    return LakeError(
        f"{address}: S3 could not {doing} it ({code or status}: {said or 'no reason given'}); try again later"
    )


def _server(endpoint: str | None) -> str:
    """Where requests go, without a name and password that may stand in front of it."""
    if not endpoint:
        return "S3"
    parts = urlsplit(endpoint)
    return f"S3 at {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _short(error: Exception) -> str:
    """What kind of error it was; botocore's own text repeats whole URLs."""
    known = {
        "EndpointConnectionError": "no connection",
        "ConnectTimeoutError": "no answer in time",
        "ReadTimeoutError": "no answer in time",
        "ConnectionClosedError": "the connection was closed without an answer",
        "SSLError": "no trusted certificate",
        "ProxyConnectionError": "the proxy does not answer",
    }
    return known.get(type(error).__name__, type(error).__name__)
