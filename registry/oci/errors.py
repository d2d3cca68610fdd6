"""One class per thing a client can be told; which HTTP status each becomes is decided in `api/errors.py`."""

from __future__ import annotations

from typing import ClassVar


def in_one_line(error: BaseException) -> str:
    """The class and the words of an error; of one that a database's driver is behind, those of the driver.

    SQLAlchemy's own words have the statement and its values in them.
    """
    error = getattr(error, "orig", None) or error
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class RegistryError(Exception):
    """Something a client is told: `code` is one of the specification's (spec.md, Error Codes), `detail` any JSON."""

    code: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, detail: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    @property
    def cause(self) -> str:
        """What was behind it, for the log alone: the error's class and its words, on one line; empty for nothing."""
        return "" if self.__cause__ is None else in_one_line(self.__cause__)

    def entries(self) -> list[tuple[str, object]]:
        """Message and detail, once for each thing that is wrong."""
        return [(self.message, self.detail)]


class NameInvalid(RegistryError):
    """The repository name is not one that the specification allows."""

    code = "NAME_INVALID"


class ReferenceInvalid(RegistryError):
    """The reference is neither a tag nor a digest."""

    code = "NAME_INVALID"


class NameUnknown(RegistryError):
    """Nothing was ever pushed to this repository."""

    code = "NAME_UNKNOWN"

    def __init__(self, repository: str) -> None:
        super().__init__(
            f"repository {repository} does not exist; it comes into being with the first push to it",
            {"name": repository},
        )


class DigestInvalid(RegistryError):
    """The digest does not follow the grammar, or names an algorithm that this registry cannot compute."""

    code = "DIGEST_INVALID"


class DigestMismatch(RegistryError):
    """The bytes hash to something else than the client said."""

    code = "DIGEST_INVALID"

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(
            f"the content hashes to {actual}, not to {expected}; nothing was stored, send it again",
            {"expected": expected, "actual": actual},
        )


class SizeInvalid(RegistryError):
    """The number of bytes differs from the number announced."""

    code = "SIZE_INVALID"


class BlobUnknown(RegistryError):
    """No such blob in this repository."""

    code = "BLOB_UNKNOWN"

    def __init__(self, digest: str) -> None:
        super().__init__(f"blob {digest} is not in this repository", {"digest": digest})


class BlobReferenced(RegistryError):
    """The blob cannot be deleted: manifests of the repository still name it."""

    code = "UNSUPPORTED"

    def __init__(self, digest: str, manifests: list[str]) -> None:
        super().__init__(
            f"blob {digest} is still named by manifests of this repository; delete those first",
            {"digest": digest, "manifests": manifests},
        )


class BlobUploadUnknown(RegistryError):
    """No such upload for this repository and this user."""

    code = "BLOB_UPLOAD_UNKNOWN"

    def __init__(self, upload: str) -> None:
        super().__init__(
            "this upload does not exist: it was finished, cancelled, left idle for too long, or belongs to another"
            " repository or user; start a new one with POST",
            {"upload": upload},
        )


class BlobUploadInvalid(RegistryError):
    """The request does not make sense for an upload."""

    code = "BLOB_UPLOAD_INVALID"


class UploadOutOfOrder(RegistryError):
    """The chunk does not start where the upload ends; `size` is the number of bytes that are there."""

    code = "BLOB_UPLOAD_INVALID"

    def __init__(self, size: int, message: str | None = None) -> None:
        super().__init__(
            message or f"the upload holds {size} bytes, so the next chunk must start at {size}",
            {"size": size},
        )
        self.size = size


class UploadBusy(UploadOutOfOrder):
    """Another request is writing to this upload at this moment."""

    def __init__(self, size: int) -> None:
        super().__init__(
            size,
            "another request is writing to this upload; wait for it, ask where the upload stands with GET, go on there",
        )


class ManifestInvalid(RegistryError):
    """The manifest does not follow its media type's specification."""

    code = "MANIFEST_INVALID"


class ManifestTooLarge(RegistryError):
    """The manifest has more bytes than this registry takes."""

    code = "MANIFEST_INVALID"

    def __init__(self, size_bytes_max: int) -> None:
        super().__init__(
            f"a manifest may have at most {size_bytes_max} bytes; put large data into blobs and name them",
            {"size_bytes_max": size_bytes_max},
        )


class ManifestUnknown(RegistryError):
    """No such manifest in this repository."""

    code = "MANIFEST_UNKNOWN"

    def __init__(self, repository: str, reference: str) -> None:
        super().__init__(
            f"{repository} has no manifest {reference}", {"name": repository, "reference": reference}
        )


class ManifestBlobUnknown(RegistryError):
    """A manifest names blobs or manifests that are not in the repository; one error entry for each."""

    code = "MANIFEST_BLOB_UNKNOWN"

    def __init__(self, digests: list[str]) -> None:
        super().__init__("the manifest names content that is not in this repository; push it first")
        self.digests = digests

    def entries(self) -> list[tuple[str, object]]:
        """One for each digest."""
        return [(self.message, {"digest": digest}) for digest in self.digests]


class ManifestSizesWrong(RegistryError):
    """A manifest gives content another size than it has; `wrong` holds digest, size given and size in bytes."""

    code = "MANIFEST_INVALID"

    def __init__(self, wrong: list[tuple[str, int, int]]) -> None:
        super().__init__("the manifest names content with another size than it has")
        self.wrong = wrong

    def entries(self) -> list[tuple[str, object]]:
        """One for each digest."""
        return [
            (
                f"the manifest says that {digest} has {given} bytes, and it has {actual}; correct its descriptor",
                {"digest": digest, "given": given, "actual": actual},
            )
            for digest, given, actual in self.wrong
        ]


class DeletionDisabled(RegistryError):
    """This registry was configured to delete nothing."""

    code = "UNSUPPORTED"

    def __init__(self) -> None:
        super().__init__("deletion is switched off in this registry (deletion.enabled)")


class Unsupported(RegistryError):
    """The request asks for something that this registry does not do."""

    code = "UNSUPPORTED"


class RouteUnknown(RegistryError):
    """Nothing is at this path."""

    code = "UNSUPPORTED"


class MethodUnsupported(RegistryError):
    """The path exists, but does not take this method; `allowed` are those that it takes."""

    code = "UNSUPPORTED"

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(f"{method} cannot be done here, only {', '.join(allowed)}", {"allowed": allowed})
        self.allowed = allowed


class TooManyTags(RegistryError):
    """More tags in one push than this registry takes."""

    code = "UNSUPPORTED"


class RangeNotSatisfiable(RegistryError):
    """The range starts behind the end of the blob, which has `size` bytes (RFC 9110, 14.4)."""

    code = "BLOB_UPLOAD_INVALID"

    def __init__(self, size: int) -> None:
        super().__init__(f"the blob has {size} bytes; the range lies outside of it", {"size": size})
        self.size = size


class Unauthorized(RegistryError):
    """Who is asking must say who they are."""

    code = "UNAUTHORIZED"


class Denied(RegistryError):
    """Who is asking is known, and may not."""

    code = "DENIED"


class RequestTimeout(RegistryError):
    """The client stopped sending its body."""

    code = "BLOB_UPLOAD_INVALID"


class StorageFull(RegistryError):
    """No room is left for what the client sends."""

    code = "UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the registry has no storage space left; tell its operator")


class Unavailable(RegistryError):
    """Something that the registry stands on does not answer at the moment."""

    code = "UNAVAILABLE"
