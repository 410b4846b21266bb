import requests
import asyncore

class Consumer:
    size = 0

    def feed(self, data):
        self.size = self.size + len(data)

    def close(self):
        print self.size, "bytes"

class Redirecting(Consumer):

    def __init__(self, consumer):
        self.consumer = consumer

    def http_header(self, request):
        if request.status[1] in ("301", "302"):
            request.close()
            requests.Request(request.header["location"], self)

for uri in ("http://localhost/", "http://localhost/index.html"):
    request = requests.Request(uri, Redirecting(Consumer()))

asyncore.loop()
