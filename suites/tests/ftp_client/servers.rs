//! The servers: each shows a folder with `pub/README`, `pub/blob` and a place for files that come.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use suites::{
    certificates::{Certificate, text},
    others::{self, Server, free_address, run, tool, unpacked},
    program::{Ended, Program, example},
};
use tempfile::TempDir;

/// How a server is reached.
pub(crate) enum Secure {
    No,
    /// After AUTH TLS. `reuse`: a data connection has to resume the session of the control connection.
    Explicit {
        reuse: bool,
    },
    Implicit,
}

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    server: Server,
    pub(crate) args: Vec<String>,
}

pub(crate) const README: &str = "line1\nline2\n";

/// Not one period of it is a power of two long.
pub(crate) fn blob() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

impl Peer {
    /// What it serves.
    pub(crate) fn root(&self) -> PathBuf {
        self.server.folder().join("root")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// `ftp_client` in a folder, with options and with a command.
    #[track_caller]
    pub(crate) fn client(&self, here: &Path, options: &[&str], command: &[&str]) -> Ended {
        let mut client = example("ftp_client");
        client
            .current_dir(here)
            .env("ASYNCHAT_PASSWORD", "secret")
            .args([
                "--timeout",
                "20",
                "--port",
                &self.address().port().to_string(),
            ])
            .args(&self.args)
            .args(options)
            .arg("localhost")
            .args(command);
        Program::start(&mut client).ended()
    }

    #[track_caller]
    pub(crate) fn succeeds(&self, here: &Path, options: &[&str], command: &[&str]) -> String {
        let ended = self.client(here, options, command);
        let name = self.name;
        assert_eq!(
            (ended.code, ended.err.as_str()),
            (Some(0), ""),
            "{name} {options:?} {command:?}: {}",
            self.log()
        );
        ended.out()
    }
}

/// A folder that any user can enter, with what is served.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let public = folder.path().join("root/pub");
    fs::create_dir_all(&public).unwrap();
    fs::write(public.join("README"), README).unwrap();
    fs::write(public.join("blob"), blob()).unwrap();
    for (path, mode) in [(folder.path(), 0o755), (&public, 0o777)] {
        others::set_mode(path, mode);
    }
    folder
}

/// The unpacked ones change to another user.
fn is_root() -> bool {
    let root = others::is_root();
    if !root {
        suites::skip("only root can start this FTP server");
    }
    root
}

pub(crate) fn vsftpd(secure: &Secure, certificate: Option<&Certificate>) -> Option<Peer> {
    let vsftpd = unpacked("vsftpd").filter(|_| is_root())?;
    let folder = folder();
    let at = folder.path().display();
    let address = free_address();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let mut config = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={}\nbackground=NO\nseccomp_sandbox=NO\n\
         anonymous_enable=YES\nftp_username=daemon\nanon_root={at}/root\nno_anon_password=NO\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\n\
         ascii_upload_enable=YES\nascii_download_enable=YES\nsecure_chroot_dir={at}/empty\n\
         log_ftp_protocol=YES\nxferlog_enable=YES\nvsftpd_log_file={at}/log\nconnect_from_port_20=NO\n",
        address.port()
    );
    if let Some(certificate) = certificate {
        let reuse = match secure {
            Secure::Explicit { reuse: false } => "NO",
            _ => "YES",
        };
        config += &format!(
            "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_data_ssl=YES\nforce_anon_logins_ssl=YES\nssl_ciphers=HIGH\n\
             rsa_cert_file={}\nrsa_private_key_file={}\nrequire_ssl_reuse={reuse}\n",
            text(&certificate.cert),
            text(&certificate.key)
        );
    }
    if let Secure::Implicit = secure {
        config += "implicit_ssl=YES\n";
    }
    let file = folder.path().join("vsftpd.conf");
    fs::write(&file, config).unwrap();
    let mut command = vsftpd.command("usr/sbin/vsftpd");
    command.arg(&file);
    Some(Peer {
        name: "vsftpd",
        server: Server::start_in(folder, &mut command, address),
        args: secured(secure),
    })
}

pub(crate) fn pure_ftpd(secure: &Secure, certificate: Option<&Certificate>) -> Option<Peer> {
    let pure = unpacked("pure-ftpd").filter(|_| is_root())?;
    let hash = hash()?;
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let root = at("root").display().to_string();
    // As www-data, by the numbers that it has in Debian. pure-pw's own hash takes seconds.
    fs::write(
        at("users"),
        format!("joe:{hash}:33:33::{root}/./::::::::::::\n"),
    )
    .unwrap();
    let mut pure_pw = pure.command("usr/bin/pure-pw");
    let made = run(
        pure_pw.arg("mkdb").arg(at("db")).arg("-f").arg(at("users")),
        b"",
    );
    assert_eq!(made.code, Some(0), "{}", made.all);
    let address = free_address();
    let mut command = pure.command("usr/sbin/pure-ftpd");
    command
        .args(["-S", &format!("127.0.0.1,{}", address.port())])
        .args(["-l", &format!("puredb:{}", at("db").display())])
        .args([
            "-P",
            "127.0.0.1",
            "-E",
            "-H",
            "-u",
            "1",
            "-c",
            "50",
            "-C",
            "50",
            "-g",
        ])
        .arg(at("pid"));
    if let Some(certificate) = certificate {
        let both = [&certificate.cert, &certificate.key].map(|file| fs::read(file).unwrap());
        fs::write(at("both.pem"), both.concat()).unwrap();
        command.args(["-Y", "3", "-2"]).arg(at("both.pem"));
    }
    let mut args = secured(secure);
    args.extend(["--user", "joe"].map(String::from));
    Some(Peer {
        name: "pure-ftpd",
        server: Server::start_in(folder, &mut command, address),
        args,
    })
}

pub(crate) fn proftpd(secure: &Secure, certificate: Option<&Certificate>) -> Option<Peer> {
    let proftpd = unpacked("proftpd-core").filter(|_| is_root())?;
    let hash = hash()?;
    let folder = folder();
    let at = folder.path().display();
    let address = free_address();
    let users = folder.path().join("users");
    fs::write(&users, format!("joe:{hash}:33:33::{at}/root:/bin/sh\n")).unwrap();
    fs::write(folder.path().join("groups"), "www-data:x:33:joe\n").unwrap();
    for name in ["users", "groups"] {
        others::set_mode(&folder.path().join(name), 0o640);
    }
    let mut config = format!(
        "ServerName peer\nServerType standalone\nDefaultServer on\nPort {}\nDefaultAddress 127.0.0.1\n\
         SocketBindTight on\nUseIPv6 off\nUser www-data\nGroup www-data\nAuthUserFile {at}/users\n\
         AuthGroupFile {at}/groups\nAuthOrder mod_auth_file.c\nRequireValidShell off\nDefaultRoot ~\n\
         AllowOverwrite on\nAllowStoreRestart on\nAllowRetrieveRestart on\nUseReverseDNS off\nWtmpLog off\n\
         TransferLog none\nSystemLog {at}/log\nPidFile {at}/pid\nScoreboardFile {at}/score\nDelayEngine off\n",
        address.port()
    );
    if let Some(certificate) = certificate {
        let modules = proftpd.path("usr/lib/proftpd");
        config = format!(
            "ModulePath {}\nLoadModule mod_tls.c\n{config}TLSEngine on\nTLSRequired on\nTLSRSACertificateFile {}\n\
             TLSRSACertificateKeyFile {}\nTLSLog {at}/tls\n",
            modules.display(),
            text(&certificate.cert),
            text(&certificate.key)
        );
    }
    let file = folder.path().join("proftpd.conf");
    fs::write(&file, config).unwrap();
    let libraries = ["usr/lib", "usr/lib/x86_64-linux-gnu"].map(|folder| proftpd.path(folder));
    let libraries = std::env::join_paths(libraries).unwrap();
    let mut command = proftpd.command("usr/sbin/proftpd");
    command
        .env("LD_LIBRARY_PATH", libraries)
        .args(["-n", "-q", "-c"])
        .arg(&file);
    let mut args = secured(secure);
    args.extend(["--user", "joe"].map(String::from));
    Some(Peer {
        name: "proftpd",
        server: Server::start_in(folder, &mut command, address),
        args,
    })
}

const PYFTPDLIB: &str = "
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
FTPHandler.authorizer = DummyAuthorizer()
FTPHandler.authorizer.add_user('joe', 'secret', sys.argv[2], perm='elradfmwMT')
FTPHandler.auth_failed_timeout = 0
FTPServer(('127.0.0.1', int(sys.argv[1])), FTPHandler).serve_forever()
";

pub(crate) fn pyftpdlib() -> Option<Peer> {
    let mut python = others::python_with("pyftpdlib")?;
    let folder = folder();
    let address = free_address();
    python
        .args(["-W", "ignore", "-c", PYFTPDLIB, &address.port().to_string()])
        .arg(folder.path().join("root"));
    Some(Peer {
        name: "pyftpdlib",
        server: Server::start_in(folder, &mut python, address),
        args: ["--user", "joe"].map(String::from).into(),
    })
}

/// Of the password.
fn hash() -> Option<String> {
    let mut openssl = tool("openssl")?;
    let made = run(
        openssl.args(["passwd", "-6", "-salt", "abcdefgh", "secret"]),
        b"",
    );
    Some(made.all.trim().to_owned())
}

fn secured(secure: &Secure) -> Vec<String> {
    match secure {
        Secure::No => vec![],
        Secure::Explicit { .. } => vec!["--starttls".into()],
        Secure::Implicit => vec!["--tls".into()],
    }
}

pub(crate) fn all() -> impl Iterator<Item = Peer> {
    let no = Secure::No;
    let peers = [
        vsftpd(&no, None),
        pure_ftpd(&no, None),
        proftpd(&no, None),
        pyftpdlib(),
    ];
    peers.into_iter().flatten()
}

/// A client's place.
pub(crate) fn here() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("big.bin"), blob()).unwrap();
    fs::write(folder.path().join("notes.txt"), README).unwrap();
    folder
}
