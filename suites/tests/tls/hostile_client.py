#!/usr/bin/env python3
"""Clients of TLS that mean harm, by tlslite-ng: hostile_client.py [--lenient] [--many N] PORT [ATTACK...]

Each attack has a connection of its own to a server of HTTPS on loopback. Its line says how that ended: `served` (a request
sent behind the attack was answered), `alert N`, `clean` (close_notify), `cut` (FIN without it), `reset`, `silent` (nothing
for 15 seconds), `goes on` (with a download). Status 1 if an end is not one of those that the attack allows; with --lenient only silence is a failure. A flood has N
records (2,000).
"""

import argparse
import os
import socket
import sys
import time

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.errors import TLSAbruptCloseError, TLSError, TLSLocalAlert, TLSRemoteAlert
from tlslite.messages import Message

DEADLINE = 15
MANY = 2000
GET = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"hello, world"

ALERT, CCS, HANDSHAKE, DATA, HEARTBEAT = 21, 20, 22, 23, 24
WARNING, FATAL = 1, 2
CLOSE_NOTIFY, UNEXPECTED, BAD_MAC, OVERFLOW, HANDSHAKE_FAILURE = 0, 10, 20, 22, 40
ILLEGAL, DECODE, DECRYPT, VERSION, INTERNAL = 47, 50, 51, 70, 80
CANCELED, NO_RENEGOTIATION, NO_PROTOCOL = 90, 100, 120


def alerts(*numbers):
    return {f"alert {number}" for number in numbers}


# What ends a connection in which a message came that has no place there. rustls says nothing about some of them.
REFUSED = alerts(UNEXPECTED, DECODE, ILLEGAL) | {"cut"}
ENDED = {"clean", "cut", "reset"}

ATTACKS = []


def attack(allowed, versions=(2, 3), name=None):
    """Registers a function for each version of TLS."""

    def register(function):
        for version in versions:
            label = f"{name or function.__name__} 1.{version}"
            ATTACKS.append((label, version, function, allowed))
        return function

    return register


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = TLSConnection(self.socket)
        self.received = b""
        self.count = 0

    def shake(self, version, **settings):
        chosen = HandshakeSettings()
        chosen.minVersion = chosen.maxVersion = (3, version + 1)
        arguments = {}
        for key, value in settings.items():
            if key in ("alpn", "serverName", "session"):
                arguments[key] = value
            else:
                setattr(chosen, key, value)
        self.tls.handshakeClientCert(settings=chosen, **arguments)
        return self

    def record(self, kind, data):
        """One record of this kind, encrypted, however long; it leaves with `flush`."""
        self.tls.sock.buffer_writes = True
        for _ in self.tls._recordLayer.sendRecord(Message(kind, bytearray(data))):
            pass

    def flush(self):
        try:
            self.tls.sock.flush()
        except OSError:
            # The server has ended it; what it said is read next.
            pass
        self.tls.sock.buffer_writes = False

    def send(self, kind, data):
        self.record(kind, data)
        self.flush()

    def get(self):
        self.send(DATA, GET)

    def raw(self, data):
        """Past the encryption."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def end(self):
        """Reads until the request is answered or the connection ends."""
        try:
            while True:
                data = self.tls.read(max=16384, min=1)
                if not data:
                    return "clean"
                self.received = self.received[-4096:] + bytes(data)
                self.count += len(data)
                if self.count > 1 << 20:
                    return "goes on"
                if self.received.endswith(BODY):
                    return "served"
        except TLSRemoteAlert as error:
            return f"alert {error.description}"
        except TLSAbruptCloseError:
            return "cut"
        except TLSLocalAlert as error:
            return f"mine {error.description}"
        except (TimeoutError, socket.timeout):
            return "silent"
        except ConnectionError:
            return "reset"


def handshake_message(kind, body, length=None):
    return bytes([kind]) + (len(body) if length is None else length).to_bytes(3, "big") + body


# -- alerts


@attack({"served"} | REFUSED, name="3 warnings")
def few_warnings(client):
    for _ in range(3):
        client.record(ALERT, [WARNING, CANCELED])
    client.get()


@attack(REFUSED | ENDED, name="many warnings")
def many_warnings(client):
    for _ in range(MANY):
        client.record(ALERT, [WARNING, CANCELED])
    client.get()


@attack(ENDED, name="a fatal alert, then a request")
def fatal(client):
    client.send(ALERT, [FATAL, INTERNAL])
    client.get()


# A server that sends may read only later.
@attack(ENDED | {"goes on"}, name="a fatal alert in the middle of a download")
def fatal_in_a_download(client):
    client.send(DATA, GET.replace(b"hello.txt", b"big"))
    client.tls.read(max=16384, min=1000)
    client.send(ALERT, [FATAL, INTERNAL])


@attack(REFUSED | {"served"}, name="an alert of 1 byte")
def short_alert(client):
    client.send(ALERT, [WARNING])
    client.get()


@attack(REFUSED, name="an empty alert")
def empty_alert(client):
    client.send(ALERT, [])
    client.get()


@attack(REFUSED | ENDED, name="two alerts in a record")
def two_alerts(client):
    client.send(ALERT, [WARNING, CANCELED, FATAL, INTERNAL])
    client.get()


@attack({"clean"}, name="close_notify, then a request")
def data_behind_the_end(client):
    client.send(ALERT, [WARNING, CLOSE_NOTIFY])
    client.get()


@attack({"clean"}, name="close_notify over and over")
def ends(client):
    for _ in range(MANY):
        client.record(ALERT, [WARNING, CLOSE_NOTIFY])
    client.flush()


@attack(alerts(BAD_MAC, UNEXPECTED, DECODE) | ENDED, name="an alert in clear")
def clear_alert(client):
    client.raw(bytes([ALERT, 3, 3, 0, 2, WARNING, CANCELED]))
    client.get()


# -- records


@attack(alerts(OVERFLOW), name="a record of 16 KiB + 1")
def oversized(client):
    client.send(DATA, GET + bytes(16385 - len(GET)))


@attack(alerts(OVERFLOW, DECODE), name="a record of 64,000")
def far_oversized(client):
    client.send(DATA, GET + bytes(64000 - len(GET)))


@attack({"served"} | REFUSED, name="many empty records")
def empty_records(client):
    for _ in range(MANY):
        client.record(DATA, b"")
    client.get()


@attack({"served"}, name="1 byte a record")
def small_records(client):
    for byte in GET:
        client.record(DATA, [byte])
    client.flush()


@attack({"served"}, versions=[3], name="16,000 bytes of padding")
def padding(client):
    client.tls._recordLayer.padding_cb = lambda length, kind, most: most
    client.get()


@attack(REFUSED, versions=[3], name="a record of nothing but padding")
def only_padding(client):
    client.send(0, bytes(100))


@attack(REFUSED, name="an unknown kind of record")
def unknown_kind(client):
    client.send(99, b"abc")


@attack(REFUSED, name="a heartbeat")
def heartbeat(client):
    client.send(HEARTBEAT, b"\x01\x40\x00")


@attack(REFUSED, name="a change of cipher")
def change(client):
    client.send(CCS, b"\x01")
    client.get()


@attack(alerts(BAD_MAC), name="a flipped bit")
def flipped(client):
    client.record(DATA, GET)
    sent = client.tls.sock._write_queue
    last = bytearray(sent.pop())
    last[-1] ^= 1
    sent.append(bytes(last))
    client.flush()


@attack(alerts(BAD_MAC), name="a record once more")
def replayed(client):
    client.record(DATA, GET[:10])
    sent = client.tls.sock._write_queue
    sent.extend(list(sent))
    client.flush()


# -- messages of the handshake


@attack(alerts(NO_RENEGOTIATION) | {"served"} | REFUSED, versions=[2], name="a renegotiation")
def renegotiation(client):
    client.send(HANDSHAKE, handshake_message(1, hello_body()))
    client.get()


@attack(REFUSED | ENDED | alerts(NO_RENEGOTIATION), versions=[2], name="many renegotiations")
def renegotiations(client):
    for _ in range(MANY):
        client.record(HANDSHAKE, handshake_message(1, hello_body()))
    client.get()


def hello_body():
    suites = bytes.fromhex("c02bc02f1301")
    extensions = bytes.fromhex("000a00040002001700" "0d0004000204030017000000ff01000100")[:-5]
    body = b"\x03\x03" + os.urandom(32) + b"\x00" + len(suites).to_bytes(2, "big") + suites + b"\x01\x00"
    return body + len(extensions).to_bytes(2, "big") + extensions


@attack(REFUSED, versions=[3], name="a second ClientHello")
def second_hello(client):
    client.send(HANDSHAKE, handshake_message(1, hello_body()))


@attack(REFUSED | alerts(NO_RENEGOTIATION) | {"served"}, name="a HelloRequest")
def hello_request(client):
    client.send(HANDSHAKE, handshake_message(0, b""))
    client.get()


@attack(REFUSED, versions=[3], name="a ticket from a client")
def ticket(client):
    client.send(HANDSHAKE, handshake_message(4, bytes(8) + b"\x01a\x00\x01b\x00\x00"))


@attack(REFUSED, versions=[3], name="a CertificateRequest from a client")
def certificate_request(client):
    client.send(HANDSHAKE, handshake_message(13, b"\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x04\x03"))


@attack(REFUSED, versions=[3], name="a second Finished")
def finished(client):
    client.send(HANDSHAKE, handshake_message(20, bytes(32)))


@attack(REFUSED, versions=[3], name="an EndOfEarlyData")
def end_of_early_data(client):
    client.send(HANDSHAKE, handshake_message(5, b""))


@attack(REFUSED, name="an unknown message")
def unknown_message(client):
    client.send(HANDSHAKE, handshake_message(99, b"abc"))


@attack(REFUSED | ENDED, name="a message of 16 MiB")
def endless_message(client):
    client.record(HANDSHAKE, handshake_message(11, b"", 0xFFFFFF))
    for _ in range(24):
        client.record(HANDSHAKE, bytes(16384))
    client.flush()


@attack(REFUSED | {"served"}, name="many empty handshake records")
def empty_handshake(client):
    for _ in range(MANY):
        client.record(HANDSHAKE, b"")
    client.get()


# -- KeyUpdate


def update(client, kind):
    for _ in client.tls.send_keyupdate_request(kind):
        pass


@attack({"served"}, versions=[3], name="a KeyUpdate of each kind")
def updates(client):
    update(client, 0)
    update(client, 1)
    update(client, 0)
    client.get()


@attack({"served"} | REFUSED | ENDED, versions=[3], name="many KeyUpdates")
def flood_of_updates(client):
    client.tls.sock.buffer_writes = True
    for _ in range(MANY):
        update(client, 0)
    client.flush()
    client.get()


@attack({"served"}, versions=[3], name="a KeyUpdate behind each byte")
def updates_and_a_request(client):
    client.tls.sock.buffer_writes = True
    for byte in GET:
        client.record(DATA, [byte])
        update(client, 0)
    client.flush()


@attack(alerts(DECODE, ILLEGAL), versions=[3], name="a KeyUpdate of an unknown kind")
def unknown_update(client):
    client.send(HANDSHAKE, handshake_message(24, b"\x07"))


@attack(REFUSED, versions=[3], name="a KeyUpdate and more in one record")
def update_inside_a_record(client):
    client.send(HANDSHAKE, handshake_message(24, b"\x00") * 2)


@attack(REFUSED, versions=[3], name="half a KeyUpdate, then data")
def half_update(client):
    client.send(HANDSHAKE, handshake_message(24, b"\x00")[:3])
    client.get()


# -- handshakes that must not succeed


def handshake_attack(allowed, versions=(2, 3), name=None, **settings):
    """A whole handshake with these settings; allowed are its ends."""

    def shakes(client, version):
        try:
            client.shake(version, **settings)
        except TLSRemoteAlert as error:
            return f"alert {error.description}"
        except TLSAbruptCloseError:
            return "cut"
        except TLSLocalAlert as error:
            return f"mine {error.description}"
        except ConnectionError:
            return "reset"
        client.get()
        return client.end()

    for version in versions:
        ATTACKS.append((f"{name} 1.{version}", version, shakes, allowed))


handshake_attack(alerts(VERSION, HANDSHAKE_FAILURE), versions=[0, 1], name="an old protocol")
handshake_attack(alerts(HANDSHAKE_FAILURE), versions=[2], name="only RSA key exchange", keyExchangeNames=["rsa"])
handshake_attack(
    alerts(HANDSHAKE_FAILURE), versions=[2], name="only CBC", cipherNames=["aes128", "aes256"], macNames=["sha"]
)
handshake_attack(alerts(NO_PROTOCOL), name="only h2", alpn=[bytearray(b"h2")])
handshake_attack({"served"}, name="http/1.1 as the third", alpn=[bytearray(b"h2"), bytearray(b"x"), bytearray(b"http/1.1")])
handshake_attack({"served"} | alerts(NO_PROTOCOL), name="255 bytes of protocol", alpn=[bytearray(b"h" * 255), bytearray(b"http/1.1")])


def run(port, name, version, function, allowed, lenient):
    began = time.monotonic()
    client = Client(port)
    try:
        if function.__name__ == "shakes":
            end = function(client, version)
        else:
            client.shake(version)
            function(client)
            end = client.end()
    except (TimeoutError, socket.timeout):
        end = "silent"
    finally:
        client.socket.close()
    right = end in allowed or (lenient and end != "silent")
    took = time.monotonic() - began
    print(f"{'  ' if right else '! '}{name}: {end}" + ("" if right else f", not {sorted(allowed)}") + f" ({took:.2f} s)")
    return right


def main():
    global MANY
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lenient", action="store_true")
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("port", type=int)
    parser.add_argument("attack", nargs="*")
    options = parser.parse_args()
    MANY, port, wanted, lenient = options.many, options.port, options.attack, options.lenient
    right = True
    for name, version, function, allowed in ATTACKS:
        if not wanted or any(part in name for part in wanted):
            right &= run(port, name, version, function, allowed, lenient)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
