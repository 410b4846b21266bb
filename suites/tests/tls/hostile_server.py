#!/usr/bin/env python3
"""A server of HTTPS that means harm, by tlslite-ng: hostile_server.py [--many N] VERSION CERT KEY

It speaks TLS 1.VERSION on a free port of loopback, which it prints. The path of a request is the name of the attack that
its connection gets; a flood has N records (2,000). It serves one connection after the other until it is ended.
"""

import argparse
import socket

from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
from tlslite.messages import Message

MANY = 2000
CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
WARNING, FATAL = 1, 2
CLOSE_NOTIFY, INTERNAL, CANCELED = 0, 80, 90

BODY = b"hello, world"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nhello, world\r\n0\r\n\r\n"


class Peer:
    def __init__(self, stream, version, chain, key):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.settimeout(20)
        self.socket = stream
        self.tls = TLSConnection(stream)
        settings = HandshakeSettings()
        settings.minVersion = settings.maxVersion = (3, version + 1)
        self.tls.handshakeServer(certChain=chain, privateKey=key, settings=settings, alpn=[bytearray(b"http/1.1")])

    def path(self):
        request = b""
        while b"\r\n\r\n" not in request:
            part = self.tls.read(max=4096, min=1)
            if not part:
                return ""
            request += bytes(part)
        return request.split()[1].decode().strip("/")

    def record(self, kind, data):
        self.tls.sock.buffer_writes = True
        for _ in self.tls._recordLayer.sendRecord(Message(kind, bytearray(data))):
            pass

    def flush(self):
        self.tls.sock.flush()
        self.tls.sock.buffer_writes = False

    def send(self, kind, data):
        self.record(kind, data)
        self.flush()

    def message(self, kind, body, length=None):
        length = len(body) if length is None else length
        self.record(HANDSHAKE, bytes([kind]) + length.to_bytes(3, "big") + body)

    def answer(self):
        self.send(DATA, HEAD + BODY)

    def end(self):
        self.send(ALERT, [WARNING, CLOSE_NOTIFY])


def good(peer):
    peer.answer()
    peer.end()


def counted_and_cut(peer):
    peer.answer()


def chunked_and_cut(peer):
    peer.send(DATA, CHUNKED)


def to_the_end(peer):
    peer.send(DATA, TO_THE_END + BODY)
    peer.end()


def to_the_end_and_cut(peer):
    peer.send(DATA, TO_THE_END + BODY)


def half_and_cut(peer):
    peer.send(DATA, HEAD + BODY[:5])


def half_and_end(peer):
    peer.send(DATA, HEAD + BODY[:5])
    peer.end()


def half_a_record(peer):
    peer.record(DATA, HEAD + BODY)
    sent = peer.tls.sock._write_queue
    last = sent.pop()
    sent.append(last[:-7])
    peer.flush()


def one_byte_records(peer):
    for byte in HEAD + BODY:
        peer.record(DATA, [byte])
    peer.flush()
    peer.end()


def fatal_alert(peer):
    peer.send(DATA, HEAD + BODY[:5])
    peer.send(ALERT, [FATAL, INTERNAL])


def warnings(peer):
    for _ in range(MANY):
        peer.record(ALERT, [WARNING, CANCELED])
    peer.answer()


def empty_records(peer):
    for _ in range(MANY):
        peer.record(DATA, b"")
    peer.answer()


def oversized(peer):
    peer.send(DATA, HEAD + BODY + bytes(16385))


def flipped(peer):
    peer.record(DATA, HEAD + BODY)
    sent = peer.tls.sock._write_queue
    last = bytearray(sent.pop())
    last[-1] ^= 1
    sent.append(bytes(last))
    peer.flush()


def in_clear(peer):
    peer.socket.sendall(HEAD + BODY)


def change_of_cipher(peer):
    peer.send(CCS, b"\x01")
    peer.answer()


def garbage_behind(peer):
    peer.answer()
    peer.socket.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))


def data_behind_the_end(peer):
    peer.send(DATA, HEAD + BODY[:5])
    peer.end()
    peer.send(DATA, BODY[5:])


def hello_requests(peer):
    for _ in range(MANY):
        peer.message(0, b"")
    peer.flush()
    peer.answer()


def certificate_request(peer):
    peer.message(13, b"\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x04\x03")
    peer.answer()


def tickets(peer):
    body = (3600).to_bytes(4, "big") + bytes(4) + b"\x01a" + b"\x00\x20" + bytes(32) + b"\x00\x00"
    for number in range(MANY):
        peer.message(4, body.replace(b"\x01a", bytes([1, number % 256])))
    peer.answer()
    peer.end()


def endless_message(peer):
    peer.message(4, b"", 0xFFFFFF)
    for _ in range(24):
        peer.record(HANDSHAKE, bytes(16384))
    peer.flush()
    peer.answer()


def key_updates(peer):
    peer.tls.sock.buffer_writes = True
    for _ in range(MANY):
        update(peer, 1)
    peer.flush()
    peer.answer()
    peer.end()


def few_key_updates(peer):
    for part in (HEAD, BODY[:6], BODY[6:]):
        update(peer, 0)
        update(peer, 1)
        peer.send(DATA, part)
    peer.end()


def update(peer, kind):
    """As the client's side of tlslite does it: for a server the other secret changes."""
    from tlslite.messages import KeyUpdate

    tls = peer.tls
    for _ in tls._sendMsg(KeyUpdate().create(kind)):
        pass
    session = tls.session
    session.cl_app_secret, session.sr_app_secret = tls._recordLayer.calcTLS1_3KeyUpdate_reciever(
        session.cipherSuite, session.cl_app_secret, session.sr_app_secret
    )


ATTACKS = {name: function for name, function in list(globals().items()) if callable(function)}


def main():
    global MANY
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("version", type=int)
    parser.add_argument("cert")
    parser.add_argument("key")
    options = parser.parse_args()
    MANY = options.many
    chain = X509CertChain()
    chain.parsePemList(open(options.cert).read())
    key = parsePEMKey(open(options.key).read(), private=True)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        stream, _ = listener.accept()
        try:
            peer = Peer(stream, options.version, chain, key)
            name = peer.path()
            if name in ATTACKS:
                ATTACKS[name](peer)
            stream.shutdown(socket.SHUT_WR)
            # Until the client ends too, so that no reset overtakes what was sent.
            while stream.recv(65536):
                pass
        except Exception as error:  # noqa: BLE001: one client's failure is not the next one's
            print(f"{error!r}", flush=True)
        finally:
            stream.close()


if __name__ == "__main__":
    main()
