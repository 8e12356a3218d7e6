"""An identity provider: real keys, real tokens, real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

Kind = Literal["EdDSA", "ES256", "RS256"]


class SigningKey:
    """A key pair with an id."""

    def __init__(self, kid: str, kind: Kind = "EdDSA", bits: int = 2048) -> None:
        self.kid, self.kind = kid, kind
        if kind == "EdDSA":
            self.private: Any = ed25519.Ed25519PrivateKey.generate()
        elif kind == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = rsa.generate_private_key(65537, bits)

    def public(self) -> dict[str, Any]:
        """The public half as a JWK."""
        algorithm = jwt.get_algorithm_by_name(self.kind)
        document = algorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**document, "kid": self.kid, "use": "sig", "alg": self.kind}


class IdentityProvider:
    """Serves its keys and signs tokens."""

    def __init__(self) -> None:
        self.keys = [SigningKey("first")]
        self.fetch_count = 0
        self.is_down = False
        provider = self

        class Requests(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers a GET."""
        documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
            },
            "/keys": {"keys": [key.public() for key in self.keys]},
        }
        found = documents.get(request.path)
        if request.path == "/keys":
            self.fetch_count += 1
        if self.is_down or found is None:
            request.send_error(503 if self.is_down else 404)
            return
        body = json.dumps(found).encode()
        request.send_response(200)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def token(
        self,
        subject: str = "ada",
        key: SigningKey | None = None,
        headers: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Returns a token: of the newest key, for an hour, unless said otherwise; None removes."""
        key = key or self.keys[-1]
        now = int(time.time())
        content = {
            "iss": self.url,
            "aud": "cairn",
            "sub": subject,
            "iat": now,
            "exp": now + 3600,
            **claims,
        }
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(
            content, key.private, algorithm=key.kind, headers={"kid": key.kid, **(headers or {})}
        )

    def setting(self, **more: Any) -> str:
        """Returns the gateway's setting that trusts it."""
        return json.dumps([{"issuer": self.url, "audience": "cairn", "tenant": "acme", **more}])


@contextmanager
def running_provider() -> Iterator[IdentityProvider]:
    """Runs a provider while the block runs."""
    provider = IdentityProvider()
    thread = threading.Thread(target=provider.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        thread.join()
        provider.server.server_close()
