# Classes of packages: the methods that they call, and what their subclasses need not have.
import time
from smtpd import SMTPChannel, SMTPServer as Server
from pyftpdlib.handlers import FTPHandler


class Mail(Server):
    def process_message(self, peer, sender, recipients, data):
        time.sleep(1)

    def process(self):
        time.sleep(1)


class Below(Mail):
    def process_message(self, *args):
        time.sleep(1)


class Channel(SMTPChannel):
    def smtp_MAIL(self, arg):
        time.sleep(1)

    def on_mail(self):
        time.sleep(1)


class Files(FTPHandler):
    def on_login(self, username):
        time.sleep(1)
