//! Dovecot with a mailbox of its own, for clients of IMAP and POP3: any user, password `p`, in clear and with TLS.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use crate::{
    certificates::{Certificate, text},
    maildir::messages,
    others::{Server, free_address, tool, unpacked},
};

const PASSWORD: &str = "p";
/// Who owns the mail: the user `nobody`.
const OWNER: u32 = 65534;
/// Where Debian has the programs.
const PROGRAMS: &str = "/usr/lib/dovecot";

pub struct Dovecot {
    server: Server,
    pub imap: SocketAddr,
    pub imaps: SocketAddr,
    pub pop3: SocketAddr,
    pub pop3s: SocketAddr,
    mail: PathBuf,
}

impl Dovecot {
    /// `None`, and a line that says so, where it is not installed or the tests do not run as root.
    pub fn start(certificate: &Certificate) -> Option<Self> {
        let mut command = tool("dovecot")?;
        let pop3 = unpacked("dovecot-pop3d")?;
        if !rustix::process::geteuid().is_root() {
            crate::skip("dovecot is started by root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let inside = |name: &str| {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        // It wants all its programs in one folder.
        let programs = inside("libexec");
        for entry in fs::read_dir(PROGRAMS).unwrap() {
            let entry = entry.unwrap();
            symlink(entry.path(), programs.join(entry.file_name())).unwrap();
        }
        for name in ["pop3", "pop3-login"] {
            let _ = fs::remove_file(programs.join(name));
            symlink(
                pop3.path(PROGRAMS.trim_start_matches('/')).join(name),
                programs.join(name),
            )
            .unwrap();
        }
        let mail = inside("mail");
        for name in ["", "cur", "new", "tmp"] {
            let folder = mail.join(name);
            fs::create_dir_all(&folder).unwrap();
            chown(&folder, Some(OWNER), Some(OWNER)).unwrap();
        }
        // It reads them later, and again.
        let copy = |from: &Path, name: &str| {
            let file = folder.path().join(name);
            fs::copy(from, &file).unwrap();
            file
        };
        let cert = copy(&certificate.cert, "cert.pem");
        let key = copy(&certificate.key, "key.pem");
        let [imap, imaps, pop3, pop3s] = std::array::from_fn(|_| free_address());
        let listener = |name: &str, address: SocketAddr, ssl: &str| {
            format!(
                "inet_listener {name} {{\n port = {}\n ssl = {ssl}\n }}\n",
                address.port()
            )
        };
        let configuration = format!(
            "base_dir = {run}\nstate_dir = {state}\nlibexec_dir = {programs}\ninstance_name = {name}\n\
             log_path = {log}\nprotocols = imap pop3\nlisten = 127.0.0.1\n\
             ssl = yes\nssl_cert = <{cert}\nssl_key = <{key}\n\
             disable_plaintext_auth = no\nauth_mechanisms = plain login apop\n\
             passdb {{\n driver = static\n args = password={PASSWORD}\n }}\n\
             userdb {{\n driver = static\n args = uid={OWNER} gid={OWNER} home={mail}\n }}\n\
             mail_location = maildir:{mail}\nfirst_valid_uid = 1\nfirst_valid_gid = 0\n\
             mail_max_userip_connections = 500\n\
             service imap-login {{\n {imap}{imaps} }}\nservice pop3-login {{\n {pop3}{pop3s} }}\n\
             protocol pop3 {{\n pop3_uidl_format = %08Xu%08Xv\n }}\n",
            run = text(&inside("run")),
            state = text(&inside("state")),
            programs = text(&programs),
            name = imap.port(),
            log = text(&folder.path().join("log")),
            cert = text(&cert),
            key = text(&key),
            mail = text(&mail),
            imap = listener("imap", imap, "no"),
            imaps = listener("imaps", imaps, "yes"),
            pop3 = listener("pop3", pop3, "no"),
            pop3s = listener("pop3s", pop3s, "yes"),
        );
        let file = folder.path().join("dovecot.conf");
        fs::write(&file, configuration).unwrap();
        command.args(["-F", "-c", text(&file)]);
        let server = Server::start_in(folder, &mut command, pop3s);
        Some(Self {
            server,
            imap,
            imaps,
            pop3,
            pop3s,
            mail,
        })
    }

    /// Puts a message into INBOX. Names are in the order of messages.
    pub fn deliver(&self, name: &str, message: impl AsRef<[u8]>) {
        let part = self.mail.join("tmp").join(name);
        fs::write(&part, message).unwrap();
        chown(&part, Some(OWNER), Some(OWNER)).unwrap();
        fs::rename(part, self.mail.join("new").join(name)).unwrap();
    }

    /// The messages of INBOX, in the order of their names.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        messages(&self.mail)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.server.folder().join("log")).unwrap_or_default()
    }
}

/// What went wrong is in its log.
impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
    }
}
