"""Where clients keep images: private docker daemons and containerds, and the containers/storage of podman."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .tools import Client, client, eventually


@contextlib.contextmanager
def short_folder(name: str) -> Iterator[Path]:
    """Make a folder with a short path, because those of Unix sockets end at 108 bytes; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"registry-{name}-"))
    try:
        yield folder
    finally:
        _unmount_below(folder)
        shutil.rmtree(folder)


@contextlib.contextmanager
def docker_daemon() -> Iterator[Client]:
    """Run a dockerd with an empty data root, its own socket and containerd, no network; yield the docker CLI for it."""
    with short_folder("docker") as folder:
        socket = folder / "docker.sock"
        options = [
            "--config-file=" + str(folder / "daemon.json"),
            "--host=unix://" + str(socket),
            "--data-root=" + str(folder / "data"),
            "--exec-root=" + str(folder / "exec"),
            "--pidfile=" + str(folder / "docker.pid"),
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
        ]
        (folder / "daemon.json").write_text("{}")
        docker = client("docker", folder).having(DOCKER_HOST=f"unix://{socket}")
        with _daemon(docker, ["dockerd", *options], ["version"], folder / "dockerd.log"):
            yield docker


@contextlib.contextmanager
def containerd_daemon() -> Iterator[Client]:
    """Run a containerd of its own, empty; yield its ctr."""
    with short_folder("containerd") as folder:
        socket = folder / "containerd.sock"
        config = folder / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{socket}"\n'
        )
        ctr = client("ctr", folder, "--address", str(socket))
        with _daemon(ctr, ["containerd", "--config", str(config)], ["version"], folder / "containerd.log"):
            yield ctr


def containers_environment(home: Path) -> dict[str, str]:
    """Write what podman, buildah and skopeo read into home, and return the variables that point them to it.

    Plain HTTP is said here and not by --tls-verify=false, which some of their commands ignore.
    """
    registries = home / ".config/containers/registries.conf"
    registries.parent.mkdir(parents=True, exist_ok=True)
    registries.write_text(
        'unqualified-search-registries = []\n[[registry]]\nlocation = "localhost"\ninsecure = true\n'
    )
    files = {
        "CONTAINERS_STORAGE_CONF": (
            f'[storage]\ndriver = "overlay"\ngraphroot = "{home}/store"\nrunroot = "{home}/run/store"\n'
        ),
        # The limits are low because a root without CAP_SYS_RESOURCE (in a container, in CI) cannot raise them;
        # runc and cgroupfs because they need neither systemd nor an unmixed cgroup hierarchy. No static_dir:
        # what podman starts to clean up after a container would not know of it, and the end not be noticed.
        "CONTAINERS_CONF": (
            '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nlock_type = "file"\n'
            f'tmp_dir = "{home}/run/libpod"\nvolume_path = "{home}/volumes"\n'
            f'[network]\nnetwork_config_dir = "{home}/networks"\n'
        ),
    }
    variables = {"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
    for variable, text in files.items():
        path = home / variable.lower()
        path.write_text(text)
        variables[variable] = str(path)
    return variables


@contextlib.contextmanager
def _daemon(user: Client, command: list[str], question: list[str], log: Path) -> Iterator[None]:
    """Run a daemon while its client can ask it the question."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(user.environment), cwd=user.directory, stdout=output, stderr=subprocess.STDOUT
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        asked = subprocess.run(
            [*user.command, *question], env=dict(user.environment), capture_output=True, check=False
        )
        return asked.returncode == 0

    try:
        eventually(f"{command[0]} answers", answers)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _unmount_below(folder: Path) -> None:
    """Undo what a client left mounted, deepest first; otherwise the folder cannot be removed."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}{os.sep}")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True)
