"""A container registry: OCI Distribution 1.1 and the Docker HTTP API v2."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("registry")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0+checkout"
