"""A passkey in software: answers what the pages ask a browser's, without a browser."""

import hashlib

from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

ORIGIN, HOST = "http://testserver", "testserver"


class SoftPasskey:
    """One key of one person; `alone`: it signs in by itself."""

    def __init__(self, user, alone=True):
        self.user, self.alone = user, alone
        self.id = hashlib.sha256(user.username.encode()).digest()
        self.private = ec.generate_private_key(ec.SECP256R1())

    def register(self, challenge=""):
        """What a browser gives for an added passkey (a dict)."""
        public = ES256.from_cryptography_key(self.private.public_key())
        attested = AttestedCredentialData.create(bytes(16), self.id, public)
        flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV | AuthenticatorData.FLAG.AT
        attestation = AttestationObject.create("none", self._data(flags, bytes(attested)), {})
        return self._answer(
            "webauthn.create",
            challenge,
            attestationObject=websafe_encode(bytes(attestation)),
        )

    def sign(self, challenge, verified=True):
        """What a browser gives for a sign-in; `verified`: by fingerprint, face or PIN."""
        flags = AuthenticatorData.FLAG.UP
        data = self._data(flags | AuthenticatorData.FLAG.UV if verified else flags)
        client = self._client("webauthn.get", challenge)
        signed = bytes(data) + hashlib.sha256(client).digest()
        return self._answer(
            "webauthn.get",
            challenge,
            authenticatorData=websafe_encode(bytes(data)),
            signature=websafe_encode(self.private.sign(signed, ec.ECDSA(hashes.SHA256()))),
            userHandle=websafe_encode(user_pk_to_url_str(self.user).encode()),
        )

    def store(self):
        """Add it to the user's without a page."""
        return Authenticator.objects.create(
            user=self.user,
            type=Authenticator.Type.WEBAUTHN,
            data={"name": "Soft key", "credential": self.register()},
        )

    def _data(self, flags, attested=b""):
        return AuthenticatorData.create(hashlib.sha256(HOST.encode()).digest(), flags, 0, attested)

    def _client(self, kind, challenge):
        return CollectedClientData.create(type=kind, challenge=challenge, origin=ORIGIN)

    def _answer(self, kind, challenge, **response):
        return {
            "type": "public-key",
            "id": websafe_encode(self.id),
            "rawId": websafe_encode(self.id),
            "response": {
                "clientDataJSON": websafe_encode(self._client(kind, challenge)),
                **response,
            },
            "clientExtensionResults": {"credProps": {"rk": self.alone}},
        }
