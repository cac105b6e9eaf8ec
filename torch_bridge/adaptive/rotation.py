"""Warm rotation: a new version of a model takes over between two requests, and none is lost.

[A] A new version enters the active path without interruption, and passes its certificate check
first. [ours] How: two slots, the version that serves and the one before it, change in one step;
gates that a version passes, in this order: signature, place (same model, tensors and format, a
serial above all that served), certificate, answers to probes (finite, and a divergence from those
of the version that serves within a threshold); and a signed record, which is what decides: a
version serves once it is recorded, so a process killed at any moment finds out from its records
what to serve.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from ._gates import Gates, Version, kl_divergence, log_softmax, stage
from .certificate import Certificate
from .versions import Name, Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as PublicKey

__all__ = ["Answer", "ModelSlot", "Records", "Refused", "Version", "kl_divergence"]

_log = logging.getLogger(__name__)

SERVING = ("activated", "rolled back", "restored")  # events after which their version serves


class Entry(Protocol):
    """One record."""

    @property
    def event(self) -> str: ...
    @property
    def body(self) -> Mapping[str, Any]: ...


class Records(Protocol):
    """Where a slot writes down what it does; ``bposit.recorder.Recorder`` is one."""

    @property
    def records(self) -> Sequence[Entry]:
        """All so far, verified."""

    def append(self, event: str, body: Mapping[str, Any]) -> object:
        """Return when it is on disk; raise, and leave all as it was, where that cannot be."""


class Refused(RuntimeError):
    """A version that may not serve, and why; what served before serves on."""


@dataclass(frozen=True)
class Answer:
    """What a request gets: ``value``, all of it computed by ``version``."""

    value: Any
    version: Version


@dataclass(frozen=True)
class _Slots:
    """Both slots, replaced together by one assignment: a request reads them as they are before or
    after it."""

    active: Version | None = None
    previous: Version | None = None


class ModelSlot:
    """A model whose versions change while it serves.

    Parameters
    ----------
    store : path
        A folder of this slot's own, for the versions that it keeps.
    make : callable
        Returns a new model, converted if its versions are, whatever its weights; it is called for
        each version.
    name : str
        That certificates give the model.
    trusted : Ed25519PublicKey
        Of who signs the versions.
    records : Records
        A ``bposit.recorder.Recorder``.
    probes : Tensor, (N, …)
        Inputs on which an incoming version is compared with the one that serves; N > 0. Copied.
    threshold : float
        The largest divergence, in nats with the default, at which a version may take over.
    log_probabilities : callable
        The model's answer to the probes to a tensor of log-probabilities along the last axis; by
        default the float64 log_softmax of it.
    divergence : callable
        (new, old) of these to a number.

    What the records say served last serves again, from its copy in the store and after its
    signature and certificate are checked anew; if that is damaged the version before it, which is
    recorded ("restored"). ValueError for an empty probe set, probes that are NaN, a threshold that
    is none; :class:`Refused` where the records name versions and none of them can serve.
    """

    def __init__(
        self, store: Name, make: Callable[[], nn.Module], *, name: str, trusted: PublicKey,
        records: Records, probes: Tensor, threshold: float,
        log_probabilities: Callable[[Any], Tensor] = log_softmax,
        divergence: Callable[[Tensor, Tensor], float] = kl_divergence,
    ) -> None:  # fmt: skip
        if not probes.dim() or not len(probes):
            raise ValueError("probes: the set is empty, so nothing can be compared")
        if bool(probes.isnan().any()):
            raise ValueError("probes: there are NaN (NaR) among them")
        if not 0 <= threshold < math.inf:
            raise ValueError(f"threshold={threshold}: a finite number of at least 0 is possible")
        self._gates = Gates(make, name, trusted, probes.detach().clone(), log_probabilities)
        self._store, self._records = Store(store), records
        self._threshold, self._divergence = threshold, divergence
        self._turn = threading.Lock()  # rotations come one after the other; requests never wait
        self._slots = _Slots()
        self._recover()

    # ---- requests
    @property
    def active(self) -> Version | None:
        """The version that serves; a request of several calls takes it once and calls it."""
        return self._slots.active

    @property
    def previous(self) -> Version | None:
        """The version to roll back to."""
        return self._slots.previous

    def predict(self, *args: Any, **kwargs: Any) -> Answer:
        """One request, all of it answered by the version that serves when it begins.

        Raises RuntimeError where none serves yet.
        """
        version = self.active
        if version is None:
            raise RuntimeError("no version serves yet: rotate() one in")
        return Answer(version(*args, **kwargs), version)

    # ---- changes
    def rotate(self, folder: Name) -> Version:
        """Let the version in a folder of :func:`~torch_bridge.adaptive.versions.publish` serve.

        Rotations of several threads take turns. Raises :class:`Refused`, whose cause says more,
        for whatever is wrong: the reason is logged and recorded, and the version that served
        serves on.
        """
        with self._turn:
            try:
                version, kl = self._admit(Path(folder))
                self._serve("activated", version, {"divergence": kl})
            except Exception as error:
                self._store.drop()
                raise self._refused(str(folder), error) from error
            return version

    def rollback(self) -> Version:
        """Let the version before serve again, the same object with the same bits.

        The one that it replaces is then the one before. Raises RuntimeError where there is none,
        :class:`Refused` where its weights are not any more what was certified.
        """
        with self._turn:
            version = self.previous
            if version is None:
                raise RuntimeError("there is no version before this one to roll back to")
            try:
                version.certificate.check(version.model)
                self._serve("rolled back", version, {})
            except Exception as error:
                raise self._refused(version.name, error) from error
            return version

    def _serve(self, event: str, version: Version, more: Mapping[str, Any]) -> None:
        """Record, then swap. What is killed in between serves the new version when it is back."""
        old = self.active
        said = {
            "version": version.name, "serial": version.certificate.serial,
            "certificate": version.digest, "weights": version.certificate.weights,
            "previous": old and old.name,
        }  # fmt: skip
        self._records.append(event, {**said, **more})
        stage("recorded")
        self._slots = _Slots(version, old)
        stage("swapped")
        self._tidy()
        stage("tidied")
        _log.info("%s: %s", event, version.name)

    def _tidy(self) -> None:
        """Keep what may have to serve again. That it fails is no reason not to serve."""
        try:
            self._store.tidy({v.name for v in (self.active, self.previous) if v})
        except OSError as error:
            _log.warning("old versions stay in %s: %s", self._store.root, error)

    def _refused(self, what: str, error: Exception) -> Refused:
        reason = str(error) or repr(error)
        _log.warning("%s is refused: %s", what, reason)
        try:
            self._records.append("refused", {"version": what, "reason": reason[:2000]})
        except Exception as worse:
            _log.error("which could not be recorded: %s", worse)
        return Refused(f"{what} is refused: {reason}")

    # ---- gates
    def _admit(self, folder: Path) -> tuple[Version, float | None]:
        """The version, in memory and with a name in the store, if it passes."""
        taken = self._store.take(folder)
        stage("taken")
        version = self._gates.load(taken, self._check_place)
        stage("loaded")
        kl = None
        if self.active is not None:
            kl = float(self._divergence(version.probed, self.active.probed))
            if not kl <= self._threshold:
                raise ValueError(f"its answers to the probes diverge by {kl:.6g}, more than the"
                                 f" threshold {self._threshold:.6g}")  # fmt: skip
        stage("compared")
        name = self._store.name(version.certificate.serial, version.digest)
        stage("named")
        return replace(version, name=name), kl

    def _check_place(self, certificate: Certificate) -> None:
        highest = max((e.body["serial"] for e in self._served()), default=-1)
        if certificate.serial <= highest:
            raise ValueError(
                f"serial {certificate.serial} is not above {highest}, which has served"
            )
        if self.active is not None:
            certificate.fits(self.active.certificate)

    # ---- restarts
    def _served(self) -> list[Entry]:
        return [e for e in self._records.records if e.event in SERVING]

    def _recover(self) -> None:
        served = self._served()
        if not served:
            self._tidy()
            return
        last = served[-1].body
        digests = {e.body["version"]: e.body["certificate"] for e in served}
        why: list[str] = []
        names = (last["version"], last["previous"])
        active, previous = (self._again(name, digests, why) for name in names)
        if active is not None:
            self._slots = _Slots(active, previous)
            self._tidy()
        elif previous is not None:
            self._serve("restored", previous, {"instead_of": last["version"]})
        else:
            raise Refused(f"no version can serve: {'; '.join(why)}")

    def _again(
        self, name: str | None, digests: Mapping[str, str], why: list[str]
    ) -> Version | None:
        """A version that served, or None, and ``why``."""
        if name is None:
            return None
        try:
            version = self._gates.load(self._store.path(name))
            if version.digest != digests.get(name):
                raise ValueError("its certificate is another than the recorded one")
        except Exception as error:
            why.append(f"{name}: {error}")
            _log.error("%s cannot serve: %s", name, error)
            return None
        return version
