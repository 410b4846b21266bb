import asyncore
import socket, time

TIME1970 = 2208988800L

class TimeRequest(asyncore.dispatcher):
    # client

    def __init__(self, host, port=37):
        asyncore.dispatcher.__init__(self)
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.connect((host, port))

    def writable(self):
        return 0 # there is nothing to say

    def handle_connect(self):
        pass

    def handle_expt(self):
        self.close()

    def handle_read(self):
        s = self.recv(4)
        self.adjust_time(int(s))
        self.handle_close()

    def handle_close(self):
        self.close()

    def adjust_time(self, delta):
        print "time difference is", delta

class TimeChannel(asyncore.dispatcher):

    def handle_write(self):
        t = int(time.time()) + TIME1970
        t = chr(t>>24&255) + chr(t>>16&255) + chr(t>>8&255) + chr(t&255)
        self.send(t)
        self.close()

class TimeServer(asyncore.dispatcher):

    def __init__(self, port=37):
        self.port = port
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.bind(("", 8037))
        self.listen(5)

    def handle_accept(self):
        channel, addr = self.accept()
        TimeChannel(channel)

class TimeDatagrams(asyncore.dispatcher):

    def __init__(self):
        asyncore.dispatcher.__init__(self)
        self.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind(("", 8037))

server = TimeServer(8037)
request = TimeRequest("localhost", 8037)
asyncore.loop()
