"""Versions of a model on disk: weights, certificate and signature in a folder of their own.

[A] Versions are certified and signed. [ours] A version is a folder of three files:
``weights.safetensors`` of :func:`torch_bridge.save_safetensors`, ``certificate.json``, and
``certificate.sig``, the 64 bytes of an Ed25519 signature over the prefix ``bposit certificate 1``,
a newline, and the bytes of ``certificate.json``. The certificate holds the hash of the weights, so
the signature is theirs too. Nothing is pickled. Needs ``cryptography`` (extra ``rotation``).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ..io import save_safetensors
from .certificate import Certificate, State

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as Key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as PublicKey

__all__ = ["CERTIFICATE", "SIGNATURE", "WEIGHTS", "Store", "publish", "read_certificate"]

WEIGHTS, CERTIFICATE, SIGNATURE = "weights.safetensors", "certificate.json", "certificate.sig"

_PREFIX = b"bposit certificate 1\n"  # no signature of anything else passes for a certificate's
_INCOMING = ".incoming"
_NAME = re.compile(r"\d{8,}-[0-9a-f]{16}")

Name = str | os.PathLike[str]


def publish(folder: Name, state: State, certificate: Certificate, key: Key) -> None:
    """Write a signed version, which appears whole or not at all.

    Parameters
    ----------
    folder : path
        To be made; its parent is there.
    state : Module, or dict of tensors
    certificate : Certificate
        Of this state: see :func:`~torch_bridge.adaptive.certificate.certify`.
    key : Ed25519PrivateKey
        Signs; it is not written.

    Raises :class:`~torch_bridge.adaptive.certificate.CertificateError` where the certificate does
    not hold, FileExistsError, OSError.
    """
    certificate.check(state)
    text = certificate.to_json().encode()

    def fill(made: Path) -> None:
        save_safetensors(state, made / WEIGHTS)
        (made / CERTIFICATE).write_bytes(text)
        (made / SIGNATURE).write_bytes(key.sign(_PREFIX + text))

    target = Path(folder)
    if target.exists():
        raise FileExistsError(f"{target} is there already; a version is never written over")
    made = target.with_name(f".{target.name}.{secrets.token_hex(8)}.new")
    _made_whole(made, fill)
    _renamed(made, target)


def read_certificate(folder: Name, trusted: PublicKey) -> tuple[Certificate, str]:
    """The certificate of a version, and the SHA-256 of its file, hexadecimal.

    The signature is verified before anything else is made of the file. Raises ValueError where it
    is not ``trusted``'s or there is no certificate, OSError.
    """
    from cryptography.exceptions import InvalidSignature

    text = (Path(folder) / CERTIFICATE).read_bytes()
    try:
        trusted.verify((Path(folder) / SIGNATURE).read_bytes(), _PREFIX + text)
    except (InvalidSignature, ValueError):
        raise ValueError("the certificate is not signed by the key that is trusted") from None
    return Certificate.from_json(text), hashlib.sha256(text).hexdigest()


class Store:
    """Where a slot keeps its versions: copies that nobody else changes, by name.

    Parameters
    ----------
    root : path
        A folder of its own; made if it is not there.
    """

    def __init__(self, root: Name) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """The folder of a version. Raises ValueError for what is no name of one."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a version")
        return self.root / name

    def take(self, folder: Path) -> Path:
        """A copy of a version, on disk, that has no name yet."""

        def fill(made: Path) -> None:
            for name in (CERTIFICATE, SIGNATURE, WEIGHTS):
                if (folder / name).exists() and not (folder / name).is_file():
                    raise ValueError(f"{name} is no regular file")  # a device may never end
                shutil.copyfile(folder / name, made / name)

        self.drop()
        _made_whole(self.root / _INCOMING, fill)
        return self.root / _INCOMING

    def name(self, serial: int, certificate: str) -> str:
        """Give what was taken its name, made of serial and the certificate's hash."""
        name = f"{serial:08d}-{certificate[:16]}"
        target = self.path(name)
        if target.exists():  # of an earlier try that was not recorded
            shutil.rmtree(target)
        _renamed(self.root / _INCOMING, target)
        return name

    def drop(self) -> None:
        """Forget what was taken and has no name."""
        shutil.rmtree(self.root / _INCOMING, ignore_errors=True)

    def tidy(self, keep: Collection[str]) -> None:
        """Remove all versions but these."""
        self.drop()
        for path in self.root.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)


def _made_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """A new folder and its files, on disk; none if that fails."""
    folder.mkdir()
    try:
        fill(folder)
        for path in (*folder.iterdir(), folder):
            _sync(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _renamed(made: Path, target: Path) -> None:
    try:
        os.rename(made, target)
        _sync(target.parent)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
