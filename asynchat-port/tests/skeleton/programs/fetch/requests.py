import asyncore
import string, socket
import StringIO, mimetools, urlparse

class Request(asyncore.dispatcher_with_send):
    # one request, whose answer goes to a consumer

    def __init__(self, uri, consumer):
        asyncore.dispatcher_with_send.__init__(self)
        self.uri = uri
        self.consumer = consumer
        scheme, host, path, params, query, fragment = urlparse.urlparse(uri)
        assert scheme == "http", "only supports HTTP requests"
        self.host = host
        self.request = "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (path, host)
        self.status = None
        self.header = None
        self.data = ""
        self.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        self.connect((host, 80))

    def handle_connect(self):
        self.send(self.request)

    def handle_expt(self):
        self.close()

    def handle_read(self):
        data = self.recv(2048)
        if not self.header:
            self.data = self.data + data
            i = string.find(self.data, "\r\n\r\n")
            if i < 0:
                return # more to come
            fp = StringIO.StringIO(self.data[:i+4])
            self.status = string.split(fp.readline(), " ", 2)
            self.header = mimetools.Message(fp)
            try:
                self.consumer.http_header(self)
            except AttributeError:
                pass
            if self.connected == 0:
                return # the consumer closed it
        self.consumer.feed(data)

    def handle_close(self):
        self.consumer.close()
        self.close()
