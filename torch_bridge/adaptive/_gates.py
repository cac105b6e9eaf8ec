"""What an incoming version has to pass before it is compared with the one that serves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .._module import is_converted
from ..io import load_safetensors
from ._weights import text_of
from .certificate import Certificate, CertificateError
from .versions import WEIGHTS, read_certificate

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as PublicKey

__all__ = ["Gates", "Version", "kl_divergence", "log_softmax", "stage"]

_log = logging.getLogger("torch_bridge.adaptive.rotation")


@dataclass(frozen=True, eq=False)
class Version:
    """A version in memory; call it as its model.

    ``name`` is that of its folder in the store, ``digest`` the SHA-256 of its certificate, and
    ``probed`` its log-probabilities at the probes, float64 (N, …, C).
    """

    name: str
    digest: str
    certificate: Certificate
    model: nn.Module
    probed: Tensor

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return self.model(*args, **kwargs)


def kl_divergence(new: Tensor, old: Tensor) -> float:
    """Mean over the rows of KL(new || old) = Σ p_new·(log p_new - log p_old), in nats, float64.

    Parameters
    ----------
    new, old : Tensor, (N, …, C)
        Log-probabilities along the last axis.
    """
    before, after = (x.reshape(-1, x.shape[-1]) for x in (old, new))
    return float(nn.functional.kl_div(before, after, reduction="batchmean", log_target=True))


def log_softmax(answer: Tensor) -> Tensor:
    """Of logits along the last axis, in float64."""
    return torch.log_softmax(answer.double(), -1)


@dataclass(frozen=True)
class Gates:
    """What :class:`~torch_bridge.adaptive.rotation.ModelSlot` was given to judge versions by."""

    make: Callable[[], nn.Module]
    name: str
    trusted: PublicKey
    probes: Tensor
    log_probabilities: Callable[[Any], Tensor]

    def load(self, folder: Path, place: Callable[[Certificate], None] = lambda _: None) -> Version:
        """The version in a folder, if signature, certificate and answers are sound.

        ``place`` raises where the certificate is not one for the place that the version is to take.
        Raises ValueError and whatever the model raises.
        """
        certificate, digest = read_certificate(folder, self.trusted)
        if certificate.model != self.name:
            raise CertificateError(f"it is of model {certificate.model!r}, not {self.name!r}")
        place(certificate)
        stage("verified")
        model = self.make().eval().requires_grad_(False)
        load_safetensors(folder / WEIGHTS, model)
        certificate.check(model)
        _check_format(certificate, model)
        with torch.no_grad():
            probed = self.log_probabilities(model(self.probes))
        if not probed.dim() or not len(probed) or not bool(probed.isfinite().all()):
            raise ValueError("its answers to the probes are not finite (NaR)")
        return Version(folder.name, digest, certificate, model, probed)


def _check_format(certificate: Certificate, model: nn.Module) -> None:
    """Raise where a converted model sums otherwise than in the quire that is certified."""
    stated = certificate.quire and certificate.quire.format
    for name, module in model.named_modules():
        config = module._posit_mode.config if is_converted(module) else None
        if config is None or config.activations is None:
            continue
        spec = config.activations
        if config.accumulate != "quire" or text_of(spec) != stated:
            raise CertificateError(
                f"{name or 'the model'} sums {spec} by {config.accumulate}, which is not the"
                f" certified quire of {stated}"
            )


def stage(name: str) -> None:
    """Tell the log how far a rotation has come."""
    _log.debug("stage: %s", name)
