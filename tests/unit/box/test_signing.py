"""Signatures: the vectors that the runner tests too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soulbox.box.signing import Call, SigningKey, new_seed

VECTORS = json.loads(
    (Path(__file__).parents[3] / "runner/testdata/wire/signing-vectors.json").read_bytes()
)


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.from_seed(bytes.fromhex(VECTORS["seedHex"]))


def test_key_is_the_vectors(key: SigningKey) -> None:
    assert key.key_id == VECTORS["keyId"]
    assert key.public_entry == VECTORS["publicKeysEnv"]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["target"])
def test_call_is_signed_as_the_vectors_say(case: dict[str, Any], key: SigningKey) -> None:
    path, _, query = case["target"].partition("?")
    call = Call(
        method=case["method"],
        path=path,
        query=query,
        body=case["body"].encode(),
        pod_uid=case["podUid"],
    )
    text = call.signed_text(case["timeMilliseconds"], case["nonce"])
    assert text.decode() == case["message"]
    assert call.headers(key, case["timeMilliseconds"], case["nonce"]) == case["headers"]


def test_every_part_changes_the_signed_text() -> None:
    base: dict[str, Any] = {
        "method": "GET",
        "path": "/a",
        "query": "b=1",
        "body": b"c",
        "pod_uid": "d",
    }
    texts = {Call(**base).signed_text(1, "n")}
    for name in base:
        changed = Call(**base | {name: b"x" if name == "body" else "x"})
        texts.add(changed.signed_text(1, "n"))
    texts.add(Call(**base).signed_text(2, "n"))
    texts.add(Call(**base).signed_text(1, "m"))
    assert len(texts) == 8


def test_private_key_is_in_no_repr() -> None:
    seed = bytes(range(32))
    shown = repr(SigningKey.from_seed(seed))
    assert seed.hex() not in shown
    assert "Ed25519PrivateKey" not in shown


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, not {length}"):
        SigningKey.from_seed(bytes(length))


def test_seeds_differ() -> None:
    assert len({new_seed() for _ in range(8)}) == 8
