"""A small certificate authority and what it signs.

One CA signs everything: whoever holds its key is the cluster's administrator anyway.

The one module of the cluster that needs the virtual environment, so nothing imports it before
`up` needs it: `down` and `status` run with any Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hack.cluster.config import FIRST_SERVICE_ADDRESS, NODE_ADDRESS
from hack.cluster.pki import PKI, write_private

VALID = timedelta(days=365)
_API_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate: `user` and `group` are what Kubernetes reads as name and group.

    Attributes:
        names: DNS names; with `addresses` they make it a server's certificate.
    """

    name: str
    user: str
    group: str = ""
    names: Sequence[str] = ()
    addresses: Sequence[str] = ()


def identities(node_name: str) -> tuple[Identity, ...]:
    """Every certificate of the cluster but the CA's."""
    local = ("127.0.0.1", NODE_ADDRESS)
    masters = "system:masters"
    return (
        Identity(
            name="apiserver", user="kube-apiserver",
            names=_API_NAMES, addresses=(*local, FIRST_SERVICE_ADDRESS),
        ),
        Identity(name="etcd", user="etcd", names=("localhost",), addresses=local),
        Identity(name="etcd-client", user="kube-apiserver-etcd-client"),
        Identity(name="kubelet-server", user=node_name, names=("localhost",), addresses=local),
        Identity(name="apiserver-kubelet-client", user="kube-apiserver", group=masters),
        Identity(name="admin", user="soulbox-admin", group=masters),
        Identity(name="controller-manager", user="system:kube-controller-manager"),
        Identity(name="scheduler", user="system:kube-scheduler"),
        Identity(name="proxy", user="system:kube-proxy"),
        Identity(name="kubelet", user=f"system:node:{node_name}", group="system:nodes"),
    )  # fmt: skip


def ensure(node_name: str, folder: Path = PKI) -> None:
    """Make what is missing: the CA, each certificate and the service-account key pair."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    folder.mkdir(exist_ok=True, mode=0o700)
    authority = Authority.kept_in(folder)
    for identity in identities(node_name):
        if not (folder / f"{identity.name}.crt").exists():
            authority.issue(identity, folder)
    if not (folder / "sa.pub").exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _write_pair(folder, "sa", key, public, suffix="pub")


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def kept_in(cls, folder: Path) -> Authority:
        """The one in the folder, made now if there is none."""
        if not (folder / "ca.crt").exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("soulbox-local-ca")
            made = (
                _unsigned(name, key.public_key(), issuer=name, issuer_key=key.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                .add_extension(_usage(of_ca=True), critical=True)
                .sign(key, hashes.SHA256())
            )
            _write_pair(folder, "ca", key, made.public_bytes(Encoding.PEM))
        kept = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        assert isinstance(kept, ec.EllipticCurvePrivateKey)
        return cls(x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes()), kept)

    def issue(self, identity: Identity, folder: Path) -> None:
        """A new key and its certificate, as files of the identity's name."""
        key = ec.generate_private_key(ec.SECP256R1())
        unsigned = (
            _unsigned(
                _name(identity.user, identity.group),
                key.public_key(),
                issuer=self.certificate.subject,
                issuer_key=self.key.public_key(),
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(of_ca=False), critical=True)
        )
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.names:
            # etcd's server is its own client for the health probe of its gRPC gateway.
            purposes.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
            names = [x509.DNSName(name) for name in identity.names]
            addresses = [x509.IPAddress(IPv4Address(one)) for one in identity.addresses]
            unsigned = unsigned.add_extension(
                x509.SubjectAlternativeName([*names, *addresses]), critical=False
            )
        made = unsigned.add_extension(x509.ExtendedKeyUsage(purposes), critical=False).sign(
            self.key, hashes.SHA256()
        )
        _write_pair(folder, identity.name, key, made.public_bytes(Encoding.PEM))


def _name(user: str, group: str = "") -> x509.Name:
    words = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*words, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _unsigned(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    *,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _usage(*, of_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not of_ca,
        key_cert_sign=of_ca,
        crl_sign=of_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(
    folder: Path,
    name: str,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    public: bytes,
    *,
    suffix: str = "crt",
) -> None:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(folder / f"{name}.key", private.decode())
    # Last: `ensure` looks for it, so a pair that was half made is made again.
    write_private(folder / f"{name}.{suffix}", public.decode())
