"""A provider of sign-ins that says whatever a test wants it to, over a transport of its own."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from shared.clock import Clock

ISSUER = "https://login.example.org/plant"
CLIENT, SECRET = "splitsight", "between the two of us"


def new_key(name: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig", "alg": "ES256"})


@dataclass
class WilfulProvider:
    """It holds its callers to PKCE, its own secret and one use of each code.

    claims   laid over what is true; None takes one out
    told     what the userinfo address says
    signs    with this key, whatever keys it shows
    away     it can't be reached
    """

    clock: Clock
    claims: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    discovery: dict[str, Any] = field(default_factory=dict)
    signs: ECKey | RSAKey | OctKey = field(default_factory=lambda: new_key("one"))
    shows: list[ECKey] | None = None
    alg: str = "ES256"
    token: str = ""
    away: bool = False
    bulk: bytes = b""
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def consent(self, address: str) -> dict[str, str]:
        """Somebody agrees at the address that they were sent to; the query they come back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        if self.away:
            raise httpx.ConnectError("nobody is there", request=request)
        if self.bulk:
            return httpx.Response(200, content=self.bulk)
        if path == "/plant/.well-known/openid-configuration":
            return httpx.Response(200, json=self._discovery())
        if path == "/keys":
            shown = [self.signs] if self.shows is None else self.shows
            return httpx.Response(200, json=KeySet(list(shown)).as_dict(private=False))
        if path == "/token":
            return self._redeem(request)
        if path == "/userinfo" and request.headers["authorization"] == "Bearer an access token":
            return httpx.Response(200, json=self.told)
        return httpx.Response(404, json={"error": "not_found"})

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example.org/authorize",
            "token_endpoint": "https://login.example.org/token",
            "jwks_uri": "https://login.example.org/keys",
            "userinfo_endpoint": "https://login.example.org/userinfo",
            "end_session_endpoint": "https://login.example.org/out",
            **self.discovery,
        }

    def _redeem(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        asked = self._codes.pop(form["code"], None)
        basic = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '+')}".encode()).decode()
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or request.headers.get("authorization") != f"Basic {basic}"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(self.clock.utc())
        claims = {
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": "person-1",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "preferred_username": "Ada.Lovelace@example.org",
            "groups": ["quality", "staff"],
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.alg, "kid": self.signs.kid}
        token = self.token or jwt.encode(header, claims, self.signs, algorithms=[self.alg])
        answer = {"access_token": "an access token", "token_type": "Bearer", "id_token": token}
        return httpx.Response(200, content=json.dumps(answer))
