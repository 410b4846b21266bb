import http.client, sys, urllib.error, urllib.parse, urllib.request

host = sys.argv[1]
connection = http.client.HTTPConnection(host, timeout=20)
for _ in range(100):
    connection.request("GET", "/quote.txt")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read().endswith(b"\n")
connection.request("HEAD", "/")
answer = connection.getresponse()
assert answer.read() == b"" and int(answer.headers["Content-Length"]) > 100
# A body in chunks.
form = urllib.parse.urlencode({"quote": "by Python: \u00e9 & <b>"}).encode()
headers = {"Content-Type": "application/x-www-form-urlencoded"}
connection.request("POST", "/", iter([form[:5], form[5:]]), headers, encode_chunked=True)
answer = connection.getresponse()
assert answer.status == 303, answer.status
answer.read()
# Follows to the page.
answer = urllib.request.urlopen(f"http://{host}/", form)
assert answer.status == 200 and b"Today's quote" in answer.read()
for method, status in [("BREW", 501), ("DELETE", 501)]:
    connection.request(method, "/")
    answer = connection.getresponse()
    assert answer.status == status, answer.status
    answer.read()
try:
    urllib.request.urlopen(f"http://{host}/nothing")
    raise AssertionError("a page that is not there")
except urllib.error.HTTPError as error:
    assert error.code == 404 and b"Error code: 404" in error.read()
print("done")
