# The style of Python 1.5: string functions, print statements, no object.
import asyncore, asynchat
import socket, string

PORT = 8000
END = "\r\n\r\n"

class Channel(asynchat.async_chat):

    def __init__(self, server, sock, addr):
        asynchat.async_chat.__init__(self, sock)
        self.server = server
        self.set_terminator("\r\n")
        self.request = None
        self.data = ""
        self.failed = 0

    def collect_incoming_data(self, data):
        self.data = self.data + data

    def found_terminator(self):
        if not self.request:
            self.request = string.split(self.data, None, 2)
            if len(self.request) <> 3:
                self.failed = 1
            else:
                self.push("HTTP/1.0 200 OK\r\n")
                self.push("\r\n")
            self.set_terminator(END)
        else:
            self.push(self.data)
            self.close_when_done()

class Server(asyncore.dispatcher):

    def __init__(self, port):
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.bind(("", PORT))
        self.listen(5)

    def handle_accept(self):
        conn, addr = self.accept()
        Channel(self, conn, addr)

print "serving at port", PORT
Server(PORT)
asyncore.loop()
