#!/usr/bin/env python3
"""The peer on CPython's own asyncore and asynchat, which Python 3.12 dropped: runs on 3.11 and older.

usage: asyncore_server.py MODE PORT [ROOT]
"""

import os
import resource
import signal
import socket
import sys
import time
import urllib.parse
import warnings
from email.utils import formatdate

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        import asynchat
        import asyncore
    except ImportError:
        sys.exit("asyncore and asynchat need Python 3.11 or older")

READ_SIZE = 65536
BLOCK = memoryview(bytes(j % 251 for j in range(512 * 1024)))
EPOCH_1900 = 2208988800
ROOT = None


class HttpDate:
    """The Date header's value, formatted once per second."""

    second = -1
    text = b""

    @classmethod
    def now(cls):
        second = int(time.time())
        if second != cls.second:
            cls.second = second
            cls.text = formatdate(second, usegmt=True).encode()
        return cls.text


class Quiet:
    """A peer that vanishes is no event worth a traceback; anything else still is."""

    def handle_error(self):
        if isinstance(sys.exc_info()[1], OSError):
            self.close()
        else:
            super().handle_error()

    def log_info(self, message, type="info"):
        if type == "error":
            print(message, file=sys.stderr)


class Echo(Quiet, asyncore.dispatcher):
    """Sends at once what it reads, and reads nothing while output is held up."""

    out = b""

    def readable(self):
        return not self.out

    def writable(self):
        return bool(self.out)

    def handle_read(self):
        data = self.recv(READ_SIZE)
        if data:
            sent = self.send(data)
            if sent < len(data):
                self.out = memoryview(data)[sent:]

    def handle_write(self):
        self.out = self.out[self.send(self.out) :]

    def handle_close(self):
        self.close()


class Chat(Quiet, asynchat.async_chat):
    """async_chat that stops reading while it owes its peer a lot."""

    ac_in_buffer_size = READ_SIZE
    ac_out_buffer_size = READ_SIZE
    most_entries = 4096

    def __init__(self, sock):
        super().__init__(sock)
        self.collected = []
        self.ended = False

    def readable(self):
        return len(self.producer_fifo) < self.most_entries and not self.ended

    def collect_incoming_data(self, data):
        self.collected.append(data)

    def take(self):
        data = b"".join(self.collected)
        self.collected.clear()
        return data

    def handle_close(self):
        # The half-closed peer still gets what is queued.
        if self.producer_fifo and not self.ended:
            self.ended = True
            self.close_when_done()
        else:
            self.close()


class Lines(Chat):
    def __init__(self, sock):
        super().__init__(sock)
        self.set_terminator(b"\r\n")

    def found_terminator(self):
        self.push(self.take() + b"\r\n")


class Sink(Chat):
    def __init__(self, sock):
        super().__init__(sock)
        self.set_terminator(None)

    def collect_incoming_data(self, data):
        pass


class BlockProducer:
    def __init__(self, left):
        self.left = left

    def more(self):
        data = BLOCK[: self.left]
        self.left -= len(data)
        return data


class Source(Chat):
    ac_out_buffer_size = len(BLOCK)

    def __init__(self, sock):
        super().__init__(sock)
        self.set_terminator(b"\r\n")

    def found_terminator(self):
        word, _, count = self.take().partition(b" ")
        if word != b"GIVE" or not count.isdigit():
            self.close()
            return
        self.push_with_producer(BlockProducer(int(count)))


class Http(Chat):
    def __init__(self, sock):
        super().__init__(sock)
        self.set_terminator(b"\r\n\r\n")

    def found_terminator(self):
        request = self.take()
        closing = self.wants_close(request)
        self.answer(request, b"Connection: close\r\n" if closing else b"")
        if closing:
            self.set_terminator(None)
            self.collect_incoming_data = lambda data: None
            self.close_when_done()

    @staticmethod
    def wants_close(request):
        lower = request.lower()
        at = lower.find(b"\r\nconnection:")
        return at >= 0 and b"close" in lower[at + 2 :].split(b"\r\n", 1)[0]

    def answer(self, request, extra):
        self.push(
            b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n%b\r\nHello, world!"
            % (HttpDate.now(), extra)
        )


class FileProducer:
    def __init__(self, file, left):
        self.file = file
        self.left = left

    def more(self):
        if self.left <= 0:
            self.file.close()
            return b""
        data = self.file.read(min(self.left, READ_SIZE))
        if not data:
            raise OSError("the file shrank while it was being sent")
        self.left -= len(data)
        return data


class Files(Http):
    def answer(self, request, extra):
        target = request.split(b" ", 2)[1:2]
        file = open_below_root(target[0]) if target else None
        if file is None:
            self.push(b"HTTP/1.1 404 Not Found\r\nDate: %b\r\nContent-Length: 0\r\n%b\r\n" % (HttpDate.now(), extra))
            return
        size = os.fstat(file.fileno()).st_size
        self.push(b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: %d\r\n%b\r\n" % (HttpDate.now(), size, extra))
        self.push_with_producer(FileProducer(file, size))


def open_below_root(target):
    path = urllib.parse.unquote_to_bytes(target.partition(b"?")[0])
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if b".." in parts or b"\0" in path:
        return None
    try:
        return open(os.path.join(ROOT, *parts), "rb", buffering=0)
    except OSError:
        return None


class Time(Quiet, asyncore.dispatcher):
    def __init__(self, sock):
        super().__init__(sock)
        self.send(((int(time.time()) + EPOCH_1900) & 0xFFFFFFFF).to_bytes(4, "big"))
        self.close()


class Listener(Quiet, asyncore.dispatcher):
    def __init__(self, handler, port):
        super().__init__()
        self.handler = handler
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.set_reuse_addr()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bind(("127.0.0.1", port))
        self.listen(4096)

    def writable(self):
        return False

    def handle_accepted(self, sock, addr):
        self.handler(sock)

    def handle_error(self):
        # One connection that could not be had must not close the listener.
        print(sys.exc_info()[1], file=sys.stderr)


MODES = {
    "echo": Echo,
    "lines": Lines,
    "sink": Sink,
    "source": Source,
    "time": Time,
    "http": Http,
    "files": Files,
}


def main(argv):
    global ROOT
    if len(argv) not in (3, 4):
        print("usage: asyncore_server.py MODE PORT [ROOT]", file=sys.stderr)
        return 2
    handler = MODES.get(argv[1])
    if handler is None:
        print("mode not supported", file=sys.stderr)
        return 2
    ROOT = os.fsencode(argv[3] if len(argv) == 4 else ".")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Listener(handler, int(argv[2]))
    print("ready", flush=True)
    # poll(2): select(2) ends at descriptor 1,023.
    asyncore.loop(use_poll=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
