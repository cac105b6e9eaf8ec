"""Serve a digit classifier in bposit16 over HTTP, while versions of it rotate.

    python examples/serve_rotating.py train site      # versions 1, 2, … and keys, in ./site
    python examples/serve_rotating.py serve site      # http://127.0.0.1:8000
    curl -X POST 127.0.0.1:8000/predict -d '{"x": [[0, 0, 5, …]]}'        # 64 pixels, 0 to 16
    TOKEN="Authorization: Bearer $(cat site/keys/token)"
    curl -X POST 127.0.0.1:8000/rotate -d '{"version": "2"}' -H "$TOKEN"  # or /rollback
    bposit records verify site/records --key site/keys/writer.pub.pem --head site/kept/head

Whoever publishes versions holds keys/publisher.pem, and the server keys/writer.pem: in earnest they
are two machines, and the head is kept on a third. Needs bposit[rotation]; train also scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import torch
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from torch import Tensor, nn

import torch_bridge as tb
from bposit.recorder import Recorder
from bposit.records import read_public_key
from torch_bridge.adaptive.certificate import certify
from torch_bridge.adaptive.rotation import ModelSlot, Version
from torch_bridge.adaptive.versions import publish

NAME, PIXELS = "digits", 64
MOST, LONGEST = 256, 1 << 20  # images and bytes of a request


def make() -> nn.Module:
    """The model that all versions have weights for."""
    model = nn.Sequential(nn.Linear(PIXELS, 32), nn.ReLU(), nn.Linear(32, 10))
    tb.convert_(model, "bposit16")
    return model


# ---- publishing
def train(site: Path, versions: int) -> None:
    """Train in posits; the weights after each pass over the data become a version."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = torch.tensor(data.data / 16), torch.tensor(data.target)
    key = new_keys(site)
    tb.save_safetensors({"probes": x[:64]}, site / "probes.safetensors")
    torch.manual_seed(0)
    model = make()
    optimizer = tb.optim.PositSGD(model.parameters(), lr=0.5, spec="bposit16", update="residue")
    for serial in range(1, versions + 1):
        for rows in torch.randperm(1500).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            right = float((model(x[1500:]).argmax(1) == y[1500:]).double().mean())
        stated = certify(model, model=NAME, serial=serial)
        publish(site / "incoming" / str(serial), model, stated, key)
        print(f"version {serial}: {right:.1%} of 297 other images right")


def new_keys(site: Path) -> Ed25519PrivateKey:
    """Keys of publisher and writer, and the token of the operator; the publisher's is returned."""
    for folder in ("incoming", "keys", "kept"):
        (site / folder).mkdir(parents=True)
    pem = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name in ("publisher", "writer"):
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        private_file(site / "keys" / f"{name}.pem", key.private_bytes(*pem))
        (site / "keys" / f"{name}.pub.pem").write_bytes(public)
    private_file(site / "keys" / "token", secrets.token_urlsafe().encode())
    return read_key(site, "publisher")


def private_file(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def read_key(site: Path, name: str) -> Ed25519PrivateKey:
    """A private key of :func:`new_keys`."""
    key = load_pem_private_key((site / "keys" / f"{name}.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


# ---- serving
def open_slot(site: Path, records: Recorder, threshold: float) -> ModelSlot:
    """The slot, as its records say that it was left; new ones begin with the first version."""
    slot = ModelSlot(
        site / "store", make, name=NAME, records=records, threshold=threshold,
        trusted=read_public_key(site / "keys" / "publisher.pub.pem"),
        probes=tb.load_safetensors(site / "probes.safetensors")["probes"],
    )  # fmt: skip
    if slot.active is None:
        slot.rotate(site / "incoming" / "1")
    return slot


def application(slot: ModelSlot, incoming: Path, token: str) -> Starlette:
    """The ASGI application; models run in threads, so that requests do not wait for each other."""

    def about(version: Version) -> dict[str, object]:
        return {"version": version.name, "serial": version.certificate.serial}

    async def predict(request: Request) -> JSONResponse:
        answer = await run_in_threadpool(slot.predict, images(await body(request)))
        classes = answer.value.argmax(1).tolist()
        logits = answer.value.tolist()
        return JSONResponse({**about(answer.version), "digits": classes, "logits": logits})

    async def version(_: Request) -> JSONResponse:
        both = {"active": slot.active, "previous": slot.previous}
        return JSONResponse({name: found and about(found) for name, found in both.items()})

    async def rotate(request: Request) -> JSONResponse:
        name = (await body(request)).get("version")
        if not isinstance(name, str) or not name.isalnum():
            raise HTTPException(400, '"version" must be the name of a folder of versions')
        return await change(request, lambda: slot.rotate(incoming / name))

    async def rollback(request: Request) -> JSONResponse:
        return await change(request, slot.rollback)

    async def change(request: Request, do: Callable[[], Version]) -> JSONResponse:
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "this is for the operator", {"www-authenticate": "Bearer"})
        try:
            return JSONResponse(about(await run_in_threadpool(do)))
        except RuntimeError as error:  # Refused, or nothing to roll back to
            raise HTTPException(409, str(error)) from None

    return Starlette(routes=[
        Route("/predict", predict, methods=["POST"]), Route("/version", version),
        Route("/rotate", rotate, methods=["POST"]), Route("/rollback", rollback, methods=["POST"]),
    ])  # fmt: skip


async def body(request: Request) -> dict[str, object]:
    """The JSON object that was sent."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LONGEST:
            raise HTTPException(413, f"at most {LONGEST} bytes are possible")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "expected a JSON object")
    return found


def images(sent: dict[str, object]) -> Tensor:
    """Its images, scaled as in training."""
    try:
        x = torch.tensor(sent.get("x"), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        x = torch.empty(0)
    if x.dim() != 2 or not 0 < len(x) <= MOST or x.shape[1] != PIXELS or not x.isfinite().all():
        raise HTTPException(400, f'"x" must be 1 to {MOST} rows of {PIXELS} numbers')
    return x / 16


def serve(site: Path, port: int, threshold: float) -> None:
    """Until it is interrupted."""
    (site / "kept").mkdir(exist_ok=True)
    token = (site / "keys" / "token").read_text()
    with Recorder(site / "records", read_key(site, "writer"), site / "kept" / "head") as records:
        slot = open_slot(site, records, threshold)
        uvicorn.run(application(slot, site / "incoming", token), host="127.0.0.1", port=port)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (("train", "publish versions, with new keys"), ("serve", "serve them")):
        commands.add_parser(name, help=about).add_argument("site", type=Path)
    trains, serves = commands.choices["train"], commands.choices["serve"]
    trains.add_argument("--versions", type=int, default=3, help="how many (3)")
    serves.add_argument("--port", type=int, default=8000)
    serves.add_argument("--threshold", type=float, default=1.0, help="on KL, nats (1)")
    given = parser.parse_args()
    if given.command == "train":
        train(given.site, given.versions)
    else:
        serve(given.site, given.port, given.threshold)


if __name__ == "__main__":
    main()
