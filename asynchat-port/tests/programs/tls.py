import asynchat
import asyncore
import ssl


class Session(asynchat.async_chat):
    def __init__(self, sock, context):
        sock = ssl.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
        asynchat.async_chat.__init__(self, sock)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLSv1)
        self.context.load_cert_chain('cert.pem')
        self.context.set_alpn_protocols(['x'])
        self.context.sni_callback = None

    def cmd_starttls(self):
        self.del_channel()
        self.set_socket(self.context.wrap_socket(self.socket, do_handshake_on_connect=False))
        self.socket.do_handshake()

    def handle_read_event(self):
        try:
            self.socket.unwrap()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            return
        except ssl.SSLEOFError:
            self.close()
        self.socket.getpeercert()
        asynchat.async_chat.handle_read_event(self)


class Secure(asynchat.async_chat):
    def cmd_auth(self):
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self):
        pass

    def handle_failed_ssl_handshake(self):
        pass

    def handle_ssl_shutdown(self):
        self._do_ssl_shutdown()


context = ssl.create_default_context()
