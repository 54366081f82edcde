"""Content Credentials in a picture that say whether it may be used for training."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from c2pa import Builder, C2paSignerInfo, C2paSigningAlg, Signer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from downloads_fixtures import PATIENT, data_rows, encoded, frame, network, photo
from hypothesis import given, settings
from hypothesis import strategies as st
from webserver import answer, serving

from transforms.downloads import fetch_partition
from transforms.downloads.credentials import training_signals

URL = "http://pictures.test/signed"
ACTIONS = {
    "label": "c2pa.actions.v2",
    "data": {
        "actions": [
            {
                "action": "c2pa.created",
                "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
            }
        ]
    },
}


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, is_ca: bool
) -> x509.Certificate:
    subject, issuer = (
        x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, text)]) for text in (name, "Root")
    )
    now = datetime.now(UTC)
    usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(is_ca, None), True).add_extension(usage, True)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
    builder = builder.add_extension(authority, False)
    if not is_ca:
        purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, False)
    return builder.sign(by, hashes.SHA256())


@pytest.fixture(scope="module")
def signer() -> Signer:
    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = [certificate("Camera", own, root, False), certificate("Root", root, root, True)]
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Signer.from_info(C2paSignerInfo(C2paSigningAlg.ES256, pem, private, None))


def signed(signer: Signer, kind: str, label: str | None, **uses: str) -> bytes:
    """A picture that C2PA's own library signed, with a training assertion that has these uses."""
    prefix = str(label).partition(".")[0]
    entries = {f"{prefix}.{entry}": {"use": use} for entry, use in uses.items()}
    assertion = [{"label": label, "data": {"entries": entries}}] if label else []
    mime = f"image/{kind.lower()}"
    made = {
        "claim_generator_info": [{"name": "test", "version": "1"}],
        "format": mime,
        "assertions": [ACTIONS, *assertion],
    }
    out = io.BytesIO()
    Builder(json.dumps(made)).sign(signer, mime, io.BytesIO(encoded(photo(), kind)), out)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("label", ["c2pa.training-mining", "cawg.training-mining"])
def test_what_it_says_is_read(kind: str, label: str, signer: Signer) -> None:
    data = signed(signer, kind, label, ai_generative_training="notAllowed", data_mining="allowed")
    assert sorted(training_signals(data, kind)) == [
        "c2pa: ai_generative_training: notallowed",
        "c2pa: data_mining: allowed",
    ]


def test_most_pictures_say_nothing(signer: Signer) -> None:
    assert training_signals(encoded(photo()), "JPEG") == []
    assert training_signals(signed(signer, "JPEG", None), "JPEG") == []
    assert training_signals(encoded(photo(), "GIF"), "GIF") == []


@pytest.mark.parametrize("entry", ["ai_training", "ai_generative_training", "data_mining"])
def test_do_not_train_is_an_opt_out(entry: str, signer: Signer) -> None:
    data = signed(signer, "JPEG", "cawg.training-mining", **{entry: "notAllowed"})
    rules = replace(PATIENT, max_bytes=1_000_000)
    for honour, status in ((True, "opt_out"), (False, "success")):
        with serving({"/signed": answer(data)}) as server:
            out = fetch_partition(frame([URL]), replace(rules, honour_opt_outs=honour), network(server))
        (row,) = data_rows(out)
        assert row["status"] == status
        assert list(row["opt_out"]) == [f"c2pa: {entry}: notallowed"]
        assert (row["image"] is None) == honour


def test_other_uses_are_stored_and_pass(signer: Signer) -> None:
    data = signed(
        signer, "JPEG", "c2pa.training-mining", ai_training="constrained", ai_inference="notAllowed"
    )
    with serving({"/signed": answer(data)}) as server:
        out = fetch_partition(frame([URL]), replace(PATIENT, max_bytes=1_000_000), network(server))
    (row,) = data_rows(out)
    assert row["status"] == "success"
    assert set(row["opt_out"]) == {"c2pa: ai_training: constrained", "c2pa: ai_inference: notallowed"}


@pytest.fixture(scope="module")
def refusing(signer: Signer) -> bytes:
    return signed(signer, "JPEG", "c2pa.training-mining", ai_training="notAllowed")


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_damage_is_no_accident(refusing: bytes, data: st.DataObject) -> None:
    """A manifest that was cut or changed is unreadable, or says something; it raises nothing."""
    start, end = refusing.index(b"jumb"), refusing.index(b"training-mining") + 200
    at = data.draw(st.integers(start, end))
    noise = data.draw(st.binary(min_size=1, max_size=20))
    for damaged in (refusing[:at] + noise + refusing[at + len(noise) :], refusing[:at]):
        assert all(signal.startswith("c2pa: ") for signal in training_signals(damaged, "JPEG"))
