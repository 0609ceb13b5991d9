"""A provider of sign-ins, asked over HTTPS: its addresses, its keys, and whom it vouches for.

Authorization code with PKCE (RFC 7636), OpenID Connect Core 1.0. Nothing is kept between the two
halves of a sign-in but a secret in the browser's own cookie: state, nonce and verifier come of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cloud.accounts.oidc_person import Claims, claim_of
from cloud.configuration.oidc import OidcSettings
from shared.clock import Clock
from shared.errors import AccountError
from shared.log import get_logger
from shared.loopback import is_loopback

log = get_logger("access")

BACK = "/sign-in/oidc/back"
TIMEOUT = httpx.Timeout(5.0, connect=3.0)
LONGEST_S = 10.0
MOST_BYTES = 1 << 20
FRESH_S = 3600.0
# A token with a key that we don't know makes us look again, but not as often as strangers like.
AGAIN_S = 30.0
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "Ed25519"]
"""Signed with a key that only the provider has; never `none`, never a secret that we have too."""


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """What one browser's way to the provider and back hangs together by.

    secret   random; it is in the browser's cookie and nowhere else
    """

    secret: str

    @classmethod
    def new(cls) -> SignInAttempt:
        return cls(secrets.token_urlsafe(32))

    @property
    def state(self) -> str:
        return self._of("state")

    @property
    def nonce(self) -> str:
        return self._of("nonce")

    @property
    def verifier(self) -> str:
        return self._of("verifier")

    @property
    def challenge(self) -> str:
        return _url64(hashlib.sha256(self.verifier.encode()).digest())

    def began(self, state: str) -> bool:
        """Whether an answer of the provider belongs to it."""
        return hmac.compare_digest(self.state.encode(), state.encode())

    def _of(self, what: str) -> str:
        return _url64(hmac.digest(self.secret.encode(), what.encode(), "sha256"))


class OidcProvider:
    """One provider. Safe to share between threads; each call may take LONGEST_S a request.

    Raises AccountError where it can't be reached, or says what it must not.
    """

    def __init__(
        self, settings: OidcSettings, clock: Clock, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.settings = settings
        self._clock = clock
        trust: ssl.SSLContext | bool = True
        if settings.ca is not None:
            trust = ssl.create_default_context(cafile=str(settings.ca))
        self._http = httpx.Client(timeout=TIMEOUT, verify=trust, transport=transport)
        self._lock = threading.Lock()
        self._found: dict[str, Any] = {}
        self._found_at = float("-inf")
        self._keys: KeySet | None = None
        self._keys_at = float("-inf")

    def close(self) -> None:
        """No connection is held any longer. May be called twice."""
        self._http.close()

    @property
    def back(self) -> str:
        """Where the provider sends people back to."""
        return self.settings.url.rstrip("/") + BACK

    def way_there(self, attempt: SignInAttempt) -> str:
        """The address at the provider that a browser is sent to."""
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.back,
            "scope": " ".join(dict.fromkeys(("openid", *self.settings.scopes))),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return _with(self._addresses()["authorization_endpoint"], asked)

    def way_out(self) -> str:
        """Where people sign out of the provider too; empty where none is known. Asks nobody."""
        address = str(self._found.get("end_session_endpoint", ""))
        if not address.startswith(("https://", "http://")):
            return ""
        return _with(address, {"client_id": self.settings.client_id})

    def vouched(self, code: str, attempt: SignInAttempt) -> Claims:
        """What the provider says of who came back with a code; checked."""
        said = self._redeem(code, attempt)
        token = said.get("id_token")
        if not isinstance(token, str):
            raise self._wrong("it sent no id_token")
        claims = self._checked(token, attempt.nonce)
        wanted = (self.settings.role_claim, self.settings.name_claim)
        access = said.get("access_token")
        if any(claim_of(claims, one) is None for one in wanted) and isinstance(access, str):
            claims = {**self._more(access, str(claims["sub"])), **claims}
        return claims

    def _redeem(self, code: str, attempt: SignInAttempt) -> dict[str, Any]:
        settings, addresses = self.settings, self._addresses()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.back,
            "code_verifier": attempt.verifier,
        }
        auth: httpx.Auth | None = None
        if settings.client_secret is None:
            form["client_id"] = settings.client_id
        else:
            secret = settings.client_secret.get_secret_value()
            ways = addresses.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
            if "client_secret_basic" in ways:
                auth = httpx.BasicAuth(_formed(settings.client_id), _formed(secret))
            else:
                form |= {"client_id": settings.client_id, "client_secret": secret}
        return self._asked(
            "POST", addresses["token_endpoint"], data=form, auth=auth, refused="it took no code"
        )

    def _checked(self, token: str, nonce: str) -> Claims:
        settings = self.settings
        try:
            decoded = self._decoded(token)
            jwt.JWTClaimsRegistry(
                now=int(self._clock.utc()),
                leeway=int(settings.skew_s),
                iss={"essential": True, "value": settings.issuer},
                aud={"essential": True, "value": settings.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(decoded.claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise self._wrong(f"its id_token does not hold ({error})") from error
        claims = decoded.claims
        for_many = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if ("azp" in claims or for_many) and claims.get("azp") != settings.client_id:
            raise self._wrong("its id_token is for another program")
        return claims

    def _decoded(self, token: str) -> jwt.Token:
        try:
            return jwt.decode(token, self._key_set(), algorithms=ALGORITHMS)
        except (JoseError, ValueError) as error:
            # Its keys may have changed since we looked.
            renewed = self._key_set(older_than_s=AGAIN_S)
            try:
                return jwt.decode(token, renewed, algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                raise error from None

    def _more(self, access_token: str, subject: str) -> Claims:
        """What is not in the token but told on request. Empty where nothing is."""
        address = self._addresses().get("userinfo_endpoint")
        if not isinstance(address, str):
            return {}
        bearer = {"authorization": f"Bearer {access_token}"}
        told = self._asked("GET", address, headers=bearer, refused="it tells nothing of you")
        if told.get("sub") != subject:
            raise self._wrong("it tells of somebody else")
        return told

    def _addresses(self) -> dict[str, Any]:
        with self._lock:
            if self._clock.monotonic() - self._found_at < FRESH_S:
                return self._found
            where = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
            try:
                found = self._asked("GET", where, refused="it says nothing of itself")
            except AccountError:
                if self._found:
                    return self._found
                raise
            if found.get("issuer") != self.settings.issuer:
                raise self._wrong(f"it calls itself {str(found.get('issuer'))[:100]!r}")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not _is_secret(found.get(name)):
                    raise self._wrong(f"its {name} is no https address")
            self._found, self._found_at = found, self._clock.monotonic()
            return found

    def _key_set(self, older_than_s: float = FRESH_S) -> KeySet:
        address = self._addresses()["jwks_uri"]
        with self._lock:
            if self._keys is None or self._clock.monotonic() - self._keys_at >= older_than_s:
                raw = self._asked("GET", address, refused="it shows no keys")
                try:
                    self._keys = KeySet.import_key_set(raw)  # type: ignore[arg-type]
                except (JoseError, ValueError, TypeError, KeyError) as error:
                    raise self._wrong(f"its keys can't be read ({error})") from error
                self._keys_at = self._clock.monotonic()
            return self._keys

    def _asked(self, method: str, address: str, *, refused: str, **more: Any) -> dict[str, Any]:
        """The JSON object that it answers with, no larger and no slower than is decent."""
        give_up, body = self._clock.monotonic() + LONGEST_S, bytearray()
        try:
            with self._http.stream(method, address, **more) as answer:
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > MOST_BYTES or self._clock.monotonic() > give_up:
                        raise self._wrong("its answer does not end")
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("provider_away", issuer=self.settings.issuer, error=str(error))
            raise AccountError(
                f"{self.settings.shown} can't be reached", fix="sign in with a password, or later"
            ) from error
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if status != 200 or not isinstance(said, dict):
            why = said.get("error") if isinstance(said, dict) else ""
            log.warning("provider_refused", address=address, status=status, error=str(why)[:100])
            raise self._wrong(f"{refused} (it answered {status})")
        return said

    def _wrong(self, why: str) -> AccountError:
        log.warning("sign_in_elsewhere_refused", issuer=self.settings.issuer, reason=why)
        return AccountError(
            f"the sign-in of {self.settings.shown} can't be used: {why}",
            fix="try again, or sign in with a password; the cloud's log says more",
        )


def _with(address: str, query: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"


def _is_secret(address: object) -> bool:
    parts = urlsplit(address if isinstance(address, str) else "")
    host = parts.hostname or ""
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )


def _formed(text: str) -> str:
    """As RFC 6749 2.3.1 wants names and secrets within HTTP Basic."""
    return urlencode({"": text})[1:]


def _url64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
