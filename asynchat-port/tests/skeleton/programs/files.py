import asyncore, asynchat
import os, socket, string, sys

class FileProducer:
    # reads the file piece by piece

    def __init__(self, file):
        self.file = file

    def more(self):
        if self.file:
            data = self.file.read(2048)
            if data:
                return data
            self.file = None
        return ""

class Channel(asynchat.async_chat):

    def __init__(self, server, sock, addr):
        asynchat.async_chat.__init__(self, sock)
        self.server = server
        self.set_terminator("\r\n\r\n")
        self.header = None
        self.data = ""

    def collect_incoming_data(self, data):
        self.data = self.data + data
        if len(self.data) > 16384:
            self.close()

    def found_terminator(self):
        if not self.header:
            self.header = string.split(self.data, "\r\n")
            self.server.handle_request(self, self.header)
            self.close_when_done()
        else:
            pass # a body is ignored

    def push_status(self, status, explanation="OK"):
        self.push("HTTP/1.0 %d %s\r\n" % (status, explanation))

class Server(asyncore.dispatcher):

    def __init__(self, port=None, request=None):
        asyncore.dispatcher.__init__(self)
        if not port:
            port = 80
        self.port = port
        if request:
            self.handle_request = request
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.bind(("", port))
        self.listen(5)

    def handle_accept(self):
        try:
            conn, addr = self.accept()
        except socket.error, (number, text):
            print text
            return
        Channel(self, conn, addr)

    def handle_request(self, channel, header):
        try:
            file = open(`header[0]`, "r")
        except IOError:
            channel.push_status(404, "Not found")
            channel.push("\r\n")
        else:
            channel.push_status(200)
            channel.push("\r\n")
            channel.push_with_producer(FileProducer(file))

def main():
    server = Server(8000)
    print "serving at port", server.port
    asyncore.loop()

if __name__ == "__main__":
    main()
