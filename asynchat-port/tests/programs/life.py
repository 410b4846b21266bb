import asynchat
import asyncore
import socket
import time


class Listener(asyncore.dispatcher):
    def __init__(self, port):
        asyncore.dispatcher.__init__(self)
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.set_reuse_addr()
        self.bind(('', port))
        self.listen(5)
        self.sessions = []
        self.count = {}

    def handle_accept(self):
        try:
            conn, addr = self.accept()
        except TypeError:
            return
        if self.count[addr[0]] >= 10:
            conn.send('421 full')
            conn.close()
            return
        self.sessions.append(Session(conn, self))

    def handle_error(self):
        asyncore.dispatcher.handle_error(self)

    def handle_expt(self):
        self.log_info('urgent')

    def log(self, message):
        print(message)


class Session(asynchat.async_chat):
    def __init__(self, sock, server):
        asynchat.async_chat.__init__(self, sock)
        self.server = server
        self.addr

    def handle_connect(self):
        pass

    def handle_close(self):
        self.server.sessions.remove(self)
        self.close()

    def close(self):
        self.server.log_info('gone')
        asynchat.async_chat.close(self)

    def quit(self):
        self.socket.shutdown(2)
        self.handle_close()


class Client(asyncore.dispatcher_with_send):
    def __init__(self, host):
        asyncore.dispatcher_with_send.__init__(self)
        self.host = host
        self.dial()

    def dial(self):
        for family, kind, _, _, address in socket.getaddrinfo(self.host, 80):
            self.create_socket(family, kind)
            try:
                self.connect(address)
            except socket.error:
                pass

    def handle_close(self):
        time.sleep(1)
        self.dial()

    def active(self):
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.bind(('localhost', 20))
        self.connect(('127.0.0.1', 21))

    def give(self, worker):
        self.del_channel()
        worker.take(self.socket)

    def pause(self):
        self.del_channel()

    def resume(self):
        self.add_channel()

    def handle_read(self):
        self.partner = Client(self.host)


class Waiting(asyncore.dispatcher):
    def take(self, conn):
        self.set_socket(conn)
        self.connected = True

    def inherit(self):
        self.set_socket(socket.fromfd(3, socket.AF_INET, socket.SOCK_STREAM))
        self.accepting = True
        self.connecting, self.closing, self._fileno, self._map, self.family_and_type, self.debug


class Datagrams(asyncore.dispatcher):
    ignore_log_types = frozenset()

    def __init__(self):
        asyncore.dispatcher.__init__(self)
        self.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def handle_read(self):
        data, peer = self.socket.recvfrom(512)
        self.socket.sendto(data, peer)
        self.socket.sendmsg([data])
        self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED)
        self.socket.recv(4, socket.MSG_PEEK)


class Taking(asyncore.dispatcher):
    def handle_accepted(self, sock, addr):
        handler = Handler(sock)
        handler.close()
        sock.close()
        self.start(target=self.later)
        self.socket.shutdown()
        return self.connected and asyncore.socket_map and True

    def later(self):
        time.sleep(1)
