"""The cluster's certificates, judged by a TLS library as the servers and clients use them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from hack.cluster import certificates

NODE = "a-machine"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "pki"
    certificates.ensure(NODE, folder)
    return folder


def talk(folder: Path, server: str, client: str, hostname: str) -> dict[str, str]:
    """The client's subject as the server sees it, once both have proved who they are."""
    ca = folder / "ca.crt"
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_verify_locations(ca)
    served.verify_mode = ssl.CERT_REQUIRED
    served.verify_flags |= ssl.VERIFY_X509_STRICT
    served.load_cert_chain(folder / f"{server}.crt", folder / f"{server}.key")
    asking = ssl.create_default_context(cafile=str(ca))
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    asking.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        asking.wrap_bio(to_client, to_server, server_hostname=hostname),
        served.wrap_bio(to_server, to_client, server_side=True),
    ]
    unfinished = list(ends)
    for _ in range(6):
        for end in list(unfinished):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            unfinished.remove(end)
    assert not unfinished
    subject = ends[1].getpeercert()["subject"]  # type: ignore[index]
    return {name: value for ((name, value),) in subject}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("server", "client", "hostname", "want"),
    [
        ("apiserver", "admin", "kubernetes.default.svc",
         {"organizationName": "system:masters", "commonName": "soulbox-admin"}),
        ("apiserver", "kubelet", "10.96.0.1",
         {"organizationName": "system:nodes", "commonName": f"system:node:{NODE}"}),
        ("apiserver", "scheduler", "127.0.0.1", {"commonName": "system:kube-scheduler"}),
        ("etcd", "etcd-client", "localhost", {"commonName": "kube-apiserver-etcd-client"}),
        # The health probe of its gRPC gateway.
        ("etcd", "etcd", "127.0.0.1", {"commonName": "etcd"}),
        ("kubelet-server", "apiserver-kubelet-client", "198.18.0.1",
         {"organizationName": "system:masters", "commonName": "kube-apiserver"}),
    ],
)  # fmt: skip
def test_server_and_client_prove_who_they_are(
    made: Path, server: str, client: str, hostname: str, want: dict[str, str]
) -> None:
    assert talk(made, server, client, hostname) == want


def test_a_client_is_no_server_and_a_server_has_no_other_name(made: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        talk(made, "admin", "kubelet", "localhost")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'example\.com'"):
        talk(made, "apiserver", "admin", "example.com")


def test_the_public_key_of_service_accounts_is_of_the_private_one(made: Path) -> None:
    private = load_pem_private_key((made / "sa.key").read_bytes(), password=None)
    public = load_pem_public_key((made / "sa.pub").read_bytes())
    assert private.public_key() == public


def test_keys_are_the_owners_alone(made: Path) -> None:
    keys = list(made.glob("*.key"))
    assert len(keys) == len(certificates.identities(NODE)) + 2
    assert not [key.name for key in keys if key.stat().st_mode & 0o077]
    assert made.stat().st_mode & 0o077 == 0


def test_what_is_there_stays_and_a_pair_that_was_half_made_is_made_again(made: Path) -> None:
    before = {file.name: file.read_bytes() for file in made.iterdir()}
    (made / "proxy.crt").unlink()
    certificates.ensure(NODE, made)
    after = {file.name: file.read_bytes() for file in made.iterdir()}
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"proxy.crt", "proxy.key"}
    proxy = x509.load_pem_x509_certificate(after["proxy.crt"])
    assert (
        load_pem_private_key(after["proxy.key"], password=None).public_key() == proxy.public_key()
    )
