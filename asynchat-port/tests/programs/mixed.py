import asynchat
import asyncore
import unittest


class Mixin:
    def found_terminator(self):
        self.push('x')


class Session(Mixin, asynchat.async_chat):
    channel_class = None

    def cmd_ask(self):
        self.server.ask(self)
        self.push('200 ok')
        self.partner = Forwarder(self)

    def collect_incoming_data(self, data):
        self.cmd_ask()


class Forwarder(asyncore.dispatcher):
    def __init__(self, client):
        super().__init__()
        self.client = client

    def handle_write(self):
        self.client.push('x')
        super(Forwarder, self).handle_write()

    def handle_close(self):
        self.client.close()
        self.close()


class Server(asyncore.dispatcher):
    channel_class = Session
    sessions = {}

    def handle_accepted(self, sock, addr):
        session = self.channel_class(sock)
        self.sessions[addr] = session
        session.server = self

    def ask(self, asker):
        for address, session in list(self.sessions.items()):
            session.push('?')
        self.sessions[1].set_terminator('x')


class Lender(asyncore.dispatcher):
    def handle_read(self):
        self.push = None

    def handle_write(self):
        self.out.push('x')


class ServerTest(unittest.TestCase):
    def test(self):
        server = Server()
        server.close()


def given(channel):
    channel.push_with_producer(None)
    channel.push('x')
