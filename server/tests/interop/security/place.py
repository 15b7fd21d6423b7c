"""A broker with users, and what they come by: authorities and certificates, an issuer of tokens, a server that has its keys.

The server is one process's thread on loopback: `http://` for whoever wants a token, `https://` for the broker that wants the
keys by which tokens are verified (JWKS).
"""

import base64
import http.server
import json
import pathlib
import shlex
import ssl
import subprocess
import threading
import time

ISSUER, AUDIENCE = "https://issuer.example", "strandline"
MECHANISM = "SCRAM-SHA-512"
PASSWORD = "wonder land"
# What the broker believes of a user until it proves it again, where a listener asks for that.
LIFETIME_MS = 4000
STANDARD = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stderr=subprocess.DEVNULL)


class Keys:
    """Two authorities, and what they have signed: `NAME.key` (PKCS#8), `NAME.pem`, and both in `NAME.both.pem`."""

    def __init__(self, directory):
        self.directory = directory
        for authority in ("ours", "theirs"):
            openssl("req", "-x509", *self.new(authority), "-days", 2, "-subj", f"/CN={authority}", "-out", self / f"{authority}.pem")
        for name, authority, common_name in (("broker", "ours", "broker"), ("alice", "ours", "truck-alice"), ("bob", "ours", "truck-bob"),
                                             ("unnamed", "ours", "car-1"), ("stranger", "theirs", "truck-alice")):
            self.sign(name, authority, common_name)

    def __truediv__(self, name):
        return self.directory / name

    def new(self, name):
        return ["-newkey", "rsa:2048", "-nodes", "-keyout", self / f"{name}.key"]

    def sign(self, name, authority, common_name):
        openssl("req", *self.new(name), "-subj", f"/O=Example, Inc./CN={common_name}", "-out", self / f"{name}.csr")
        (self / "extensions").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", self / f"{name}.csr", "-CA", self / f"{authority}.pem", "-CAkey", self / f"{authority}.key",
                "-CAcreateserial", "-days", 2, "-extfile", self / "extensions", "-out", self / f"{name}.pem")
        (self / f"{name}.both.pem").write_text((self / f"{name}.key").read_text() + (self / f"{name}.pem").read_text())


class Issuer:
    """Signs tokens with a key of RSA; `keys` is the file in which it publishes it."""

    def __init__(self, directory, name):
        self.key, self.keys = directory / f"{name}.key", directory / f"{name}.json"
        openssl("genrsa", "-out", self.key, "2048")
        done = subprocess.run(["openssl", "rsa", "-in", self.key, "-noout", "-modulus"], check=True, capture_output=True, text=True)
        modulus = bytes.fromhex(done.stdout.strip().removeprefix("Modulus="))
        key = {"kty": "RSA", "kid": "one", "use": "sig", "n": self.text(modulus), "e": "AQAB"}
        self.keys.write_text(json.dumps({"keys": [key]}))

    @staticmethod
    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def token(self, user, seconds):
        now = int(time.time())
        # One that is over has begun before. It lasts no shorter than it is told, so that clients ask for the next one in time.
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now + min(0, seconds), "exp": now + 1 + seconds}
        signed = ".".join(self.text(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "one"}, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=signed.encode(), capture_output=True,
                                   check=True).stdout
        return f"{signed}.{self.text(signature)}"


class Servers:
    """`tokens/NAME/USER/SECONDS` gives a token that NAME has signed, whatever method asks; `keys` gives those of `issuers[0]`."""

    def __init__(self, keys, issuers):
        known = dict(zip(("issuer", "stranger"), issuers))
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(this):
                self.asked.append(this.path)
                match this.path.strip("/").split("/"):
                    case ["tokens", name, user, seconds]:
                        token = known[name].token(user, int(seconds))
                        told = json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": int(seconds)})
                    case ["keys"]:
                        told = issuers[0].keys.read_text()
                    case _:
                        return this.send_error(404)
                this.send_response(200)
                this.send_header("Content-Type", "application/json")
                this.send_header("Content-Length", str(len(told)))
                this.end_headers()
                this.wfile.write(told.encode())

            def do_POST(this):
                this.rfile.read(int(this.headers.get("Content-Length", 0)))
                this.do_GET()

            def log_message(this, *_):
                pass

        self.plain, self.secured = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys / "broker.both.pem")
        self.secured.socket = context.wrap_socket(self.secured.socket, server_side=True, do_handshake_on_connect=False)
        for server in (self.plain, self.secured):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def token_url(self, user, seconds=600, name="issuer"):
        return f"http://127.0.0.1:{self.plain.server_address[1]}/tokens/{name}/{user}/{seconds}"

    @property
    def keys_url(self):
        return f"https://localhost:{self.secured.server_address[1]}/keys"

    def close(self):
        for server in (self.plain, self.secured):
            server.shutdown()


class Ports:
    """One for each way to come; LOCAL is the harness's own `{port}`."""

    def __init__(self, free_port):
        self.users, self.certificates, self.tokens, self.tokens_https, self.renewed, self.controller = (free_port() for _ in range(6))


def settings(keys, issuer, servers, ports):
    """LOCAL asks for nothing and is for the super user; the others are for those who prove who they are."""
    bearer = "oauthbearer.sasl.oauthbearer"
    return {
        "listeners": ",".join(("LOCAL://127.0.0.1:{port}", f"USERS://localhost:{ports.users}", f"CERTIFICATES://localhost:{ports.certificates}",
                               f"TOKENS://localhost:{ports.tokens}", f"FETCHED://localhost:{ports.tokens_https}",
                               f"RENEWED://localhost:{ports.renewed}")),
        "listener.security.protocol.map": "LOCAL:PLAINTEXT,USERS:SASL_SSL,CERTIFICATES:SSL,TOKENS:SASL_SSL,FETCHED:SASL_SSL,RENEWED:SASL_SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": keys / "broker.both.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": keys / "ours.pem",
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": r"RULE:^CN=truck-([a-z]+),O=.*$/$1/",
        "sasl.enabled.mechanisms": MECHANISM,
        "listener.name.tokens.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.fetched.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.renewed.sasl.enabled.mechanisms": f"{MECHANISM},OAUTHBEARER",
        "listener.name.renewed.connections.max.reauth.ms": LIFETIME_MS,
        f"listener.name.tokens.{bearer}.jwks.endpoint.url": f"file://{issuer.keys}",
        f"listener.name.renewed.{bearer}.jwks.endpoint.url": f"file://{issuer.keys}",
        f"listener.name.fetched.{bearer}.jwks.endpoint.url": servers.keys_url,
        "sasl.oauthbearer.expected.issuer": ISSUER,
        "sasl.oauthbearer.expected.audience": AUDIENCE,
        "sasl.oauthbearer.clock.skew.seconds": 0,
        "authorizer.class.name": STANDARD,
        "super.users": "User:ANONYMOUS;User:root",
        "group.initial.rebalance.delay.ms": 0,
        # Topics are made by who prepares the place: whoever may not write learns nothing of what is not there.
        "auto.create.topics.enable": "false",
    }


def start_command(strandline, keys, *place):
    options = " ".join(f"-o {shlex.quote(f'{name}={value}')}" for name, value in settings(keys, *place).items())
    # The authority of the server with the keys is one that the system does not know.
    trusted = f"SSL_CERT_FILE={shlex.quote(str(keys / 'ours.pem'))}"
    return f"env {trusted} {shlex.quote(str(strandline))} serve --data-dir {{data}} --metrics-listen 127.0.0.1:0 {options}"


def kafka_command(script, keys, issuer, servers, ports):
    """Apache Kafka in the same place, with what it wants to be told beside that."""
    said = settings(keys, issuer, servers, ports)
    said["listeners"] += f",CONTROLLER://127.0.0.1:{ports.controller}"
    said["listener.security.protocol.map"] += ",CONTROLLER:PLAINTEXT"
    said |= {"advertised.listeners": said["listeners"].rsplit(",", 1)[0], "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
             "inter.broker.listener.name": "LOCAL", "authorizer.class.name": STANDARD}
    modules = "org.apache.kafka.common.security"
    for listener in ("users", "renewed"):
        said[f"listener.name.{listener}.scram-sha-512.sasl.jaas.config"] = f"{modules}.scram.ScramLoginModule required;"
    for listener in ("tokens", "fetched", "renewed"):
        prefix = f"listener.name.{listener}.oauthbearer.sasl"
        said[f"{prefix}.jaas.config"] = f"{modules}.oauthbearer.OAuthBearerLoginModule required;"
        said[f"{prefix}.server.callback.handler.class"] = f"{modules}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        # Whom it trusts for `https://` is its JVM's: the keys come out of the file.
        said[f"{prefix}.oauthbearer.jwks.endpoint.url"] = f"file://{issuer.keys}"
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{issuer.keys}"
    # A file of properties takes backslashes for its own.
    overrides = " ".join("--override " + shlex.quote(f"{name}={value}".replace("\\", "\\\\")) for name, value in said.items())
    return f"env {shlex.quote(f'KAFKA_HEAP_OPTS=-Xmx1G {allowed}')} {shlex.quote(str(script))} run --port {{port}} --data {{data}} {overrides}"


def properties(keys, user=None, password=PASSWORD, certificate=None):
    """A client's file in Kafka's names, by SCRAM or by certificate."""
    lines = ["ssl.truststore.type=PEM", f"ssl.truststore.location={keys / 'ours.pem'}"]
    if user is not None:
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        lines += ["security.protocol=SASL_SSL", f"sasl.mechanism={MECHANISM}",
                  f'sasl.jaas.config={module} required username="{user}" password="{password}";']
    else:
        lines += ["security.protocol=SSL", "ssl.keystore.type=PEM", f"ssl.keystore.location={keys / f'{certificate}.both.pem'}"]
    return "".join(f"{line}\n" for line in lines)
