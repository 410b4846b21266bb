# Nothing here is found: names that only look like those of the two modules.
import events
import logging
import socket
import ssl
import sys
import threading
import time
from events import dispatcher
from other import loop, socket_map
from other.asyncore import pool


class Loop(dispatcher):
    connected = False

    def handle_read(self):
        time.sleep(1)
        self.push('x')
        self.close()

    def readable(self):
        return True


class Stack(list):
    def push(self, item):
        self.append(item)

    def close(self):
        self.connected = False
        self.addr = None

    def log(self, message):
        self.stack.push(message)


class Handler(logging.Handler):
    def handle_error(self):
        self.close()

    def more(self, this):
        return this


def run(asyncore, connection):
    asyncore.loop()
    stack = Stack()
    stack.push(1)
    stack.close()
    with open('x') as file:
        file.close()
        file.read()
    connection.send('x')
    connection.recv(4)
    connection.connect(('localhost', 80))
    sock = socket.socket()
    sock.listen(5)
    sock.accept()
    sock.setsockopt(1, 2, 3)
    threading.Thread(target=stack.close).start()
    time.sleep(1)
    loop()
    socket_map.clear()
    pool.dispatcher()
    events.dispatcher()
    ssl.create_default_context
    sys.stdout.write("asyncore.loop()")
    'asyncore.dispatcher'.encode()
    context = ssl.create_default_context()
    context.load_cert_chain('x')
    context.wrap_socket(sock, suppress_ragged_eofs=True).do_handshake()
    sock.getpeercert()


class Lexer:
    def more(self):
        self.kind = self.MORE
        time.sleep(1)
