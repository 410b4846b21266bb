//! nginx, Apache and tinyproxy: uploads, credentials, cookies, ranges, compressed bodies, proxies.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use suites::{
    certificates::{Authority, text},
    others::{Server, free_address, tool},
    program::{Ended, Program, example},
};
use tempfile::TempDir;

use crate::fetch;

/// A folder that a server which gives up being root can read and write.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for inside in ["", "www", "dav", "tmp"] {
        let path = folder.path().join(inside);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    }
    folder
}

fn nginx() -> Option<Server> {
    let mut command = tool("nginx")?;
    let (folder, address) = (folder(), free_address());
    let d = folder.path().display();
    let user = if fs::metadata("/root/.").is_ok_and(|_| fs::read_dir("/root").is_ok()) {
        "user www-data;"
    } else {
        ""
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {d}/tmp/{name};\n"))
        .concat();
    let config = format!(
        "daemon off; {user} worker_processes 1; pid {d}/pid; error_log {d}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log {d}/access.log; default_type text/plain; {temporary}\n\
         server {{ listen {address}; root {d}/www; absolute_redirect off;\n\
           location /dav/ {{ alias {d}/dav/; dav_methods PUT DELETE; client_max_body_size 2m; }}\n\
           location /gz/ {{ alias {d}/www/; gzip on; gzip_min_length 1; gzip_types *; }}\n\
           location = /set {{ add_header Set-Cookie 'a=1; Path=/'; add_header Set-Cookie 'b=2; Path=/; Max-Age=600; HttpOnly'; return 302 /echo; }}\n\
           location = /echo {{ return 200 \"$request_method $http_cookie|$http_x_mine|$http_user_agent|$content_length\\n\"; }}\n\
         }} }}\n"
    );
    fs::write(folder.path().join("conf"), config).unwrap();
    command.arg("-c").arg(folder.path().join("conf"));
    command.arg("-e").arg(folder.path().join("error.log"));
    Some(Server::start_in(folder, &mut command, address))
}

/// The body of an answer that is one.
#[track_caller]
fn body(args: &[&str]) -> String {
    let ended = fetch(&[&["-f", "-o", "-"], args].concat());
    assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.err);
    ended.out()
}

#[test]
fn nginx_takes_files_and_refuses_ones_that_are_too_large() {
    let Some(nginx) = nginx() else { return };
    let url = |target: &str| format!("http://{}{target}", nginx.address);
    for (name, bytes, status) in [
        ("small", 5, 201),
        ("announced", 1_500_000, 201),
        ("large", 40_000_000, 413),
    ] {
        let path = nginx.folder().join(name);
        let content: Vec<_> = (0..bytes).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &content).unwrap();
        let ended = fetch(&["-T", text(&path), &url(&format!("/dav/{name}"))]);
        let line = format!("status => HTTP/1.1 {status} ");
        assert!(
            ended.out().starts_with(&line),
            "{name}: {} {}",
            ended.out(),
            ended.err
        );
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let stored = fs::read(nginx.folder().join("dav").join(name)).ok();
        assert!(stored == (status == 201).then_some(content), "{name}");
    }
    assert_eq!(
        fetch(&["-f", "-X", "DELETE", &url("/dav/small")]).code,
        Some(0)
    );
    assert!(!nginx.folder().join("dav/small").exists());
}

#[test]
fn nginx_sees_fields_data_and_cookies() {
    let Some(nginx) = nginx() else { return };
    let url = |target: &str| format!("http://{}{target}", nginx.address);
    let jar = nginx.folder().join("jar");
    let jar = text(&jar);
    for (args, echo) in [
        (&["-H", "X-Mine: 1", "-H", "User-Agent:"][..], "GET |1||\n"),
        (
            &["-d", "a=b", "-d", "c=d"],
            "POST ||asynchat-http-client|7\n",
        ),
        (&["-X", "OPTIONS"], "OPTIONS ||asynchat-http-client|\n"),
        (&["-b", "x=y; z=1"], "GET x=y; z=1||asynchat-http-client|\n"),
    ] {
        assert_eq!(body(&[args, &[&url("/echo")]].concat()), echo, "{args:?}");
    }
    assert_eq!(body(&[&url("/set")]), "GET ||asynchat-http-client|\n");
    let both = "GET a=1; b=2||asynchat-http-client|\n";
    assert_eq!(body(&["-c", jar, &url("/set")]), both);
    assert_eq!(body(&["-b", jar, &url("/echo")]), both);
    // The file is one for curl too, and curl's is one for us.
    if let Some(mut curl) = tool("curl") {
        curl.args([
            "-s",
            "-b",
            jar,
            "-c",
            jar,
            "-H",
            "User-Agent: asynchat-http-client",
        ]);
        let output = curl.arg(url("/echo")).output().unwrap();
        // It has an order of its own.
        let by_curl = String::from_utf8_lossy(&output.stdout).into_owned();
        for sent in [by_curl, body(&["-b", jar, &url("/echo")])] {
            assert!(sent.contains("a=1") && sent.contains("b=2"), "{sent}");
        }
    }
}

#[test]
fn nginx_s_compressed_bodies_are_unpacked() {
    let Some(nginx) = nginx() else { return };
    let content = "hello ".repeat(100_000);
    fs::write(nginx.folder().join("www/a.txt"), &content).unwrap();
    let url = format!("http://{}/gz/a.txt", nginx.address);
    let ended = fetch(&["--compressed", "-o", "-", &url]);
    assert!(
        ended.out() == content && ended.err.contains("Content-Encoding = gzip"),
        "{}",
        ended.err
    );
    assert!(!fetch(&[&url]).out().contains("gzip"));
    let ended = fetch(&["--compressed", "--max-size", "599999", &url]);
    assert!(
        ended.err.contains("the body is larger than 599999 bytes"),
        "{}",
        ended.err
    );
}

#[test]
fn a_download_goes_on_if_it_is_of_the_same_version() {
    let Some(nginx) = nginx() else { return };
    let content: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    let www = nginx.folder().join("www/a.txt");
    fs::write(&www, &content).unwrap();
    let url = format!("http://{}/a.txt", nginx.address);
    let path = nginx.folder().join("got");
    let validator = nginx.folder().join("got.validator");
    let resume = || {
        let ended = fetch(&["-C", "-", "-o", text(&path), &url]);
        let status = ended.out().split(' ').nth(3).unwrap_or_default().to_owned();
        (ended.code, status, ended.err)
    };
    let (code, status, err) = resume();
    assert_eq!((code, &*status), (Some(0), "200"), "{err}");
    assert!(!validator.exists() && fs::read_to_string(&path).unwrap() == content);
    // What is complete has no rest.
    let (code, status, err) = resume();
    assert_eq!((code, &*status), (Some(0), "416"), "{err}");
    fs::write(&path, &content[..1234]).unwrap();
    let (code, status, err) = resume();
    assert_eq!((code, &*status), (Some(0), "206"), "{err}");
    assert!(fs::read_to_string(&path).unwrap() == content);
    // Another version: all of it, in place of the part.
    fs::write(&path, "old part").unwrap();
    fs::write(&validator, "\"another\"\n").unwrap();
    let (code, status, err) = resume();
    assert_eq!((code, &*status), (Some(0), "200"), "{err}");
    assert!(fs::read_to_string(&path).unwrap() == content && !validator.exists());
    fs::write(&path, format!("{content}more")).unwrap();
    let (code, _, err) = resume();
    assert!(
        code == Some(1) && err.contains("remove it to begin anew"),
        "{err}"
    );
}

const MODULES: [&str; 14] = [
    "mpm_event",
    "authn_core",
    "authz_core",
    "authn_file",
    "authz_user",
    "authz_host",
    "auth_basic",
    "auth_digest",
    "alias",
    "mime",
    "dir",
    "proxy",
    "proxy_http",
    "proxy_connect",
];

/// Apache with Digest for `/digest/` and, on the second address, a proxy that wants Digest too.
fn apache() -> Option<(Server, SocketAddr)> {
    let mut command = tool("apache2")?;
    let modules = Path::new("/usr/lib/apache2/modules");
    if !modules.join("mod_auth_digest.so").exists() {
        suites::skip("Apache has no mod_auth_digest");
        return None;
    }
    let (folder, address, proxy) = (folder(), free_address(), free_address());
    let d = folder.path().display();
    let load: String = MODULES
        .iter()
        .map(|name| {
            format!(
                "LoadModule {name}_module {}/mod_{name}.so\n",
                modules.display()
            )
        })
        .collect();
    // MD5 of "u:r:p".
    fs::write(
        folder.path().join("users"),
        "u:r:44add22b6f3179b751eafd68ee370f7d\n",
    )
    .unwrap();
    fs::write(folder.path().join("www/a.txt"), "secret").unwrap();
    let digest = format!(
        "AuthType Digest\nAuthName r\nAuthDigestProvider file\nAuthUserFile {d}/users\nRequire valid-user\n"
    );
    let config = format!(
        "ServerRoot {d}\nServerName a.example\nPidFile {d}/pid\nDefaultRuntimeDir {d}\nMutex file:{d}\n\
         ErrorLog {d}/error.log\nListen {address}\nListen {proxy}\n{load}User www-data\nGroup www-data\n\
         TypesConfig /dev/null\nDocumentRoot {d}/www\nStartServers 1\nThreadsPerChild 16\n\
         MaxRequestWorkers 16\n<Directory />\nRequire local\n</Directory>\n\
         Alias /digest/ {d}/www/\n<Location /digest/>\nAuthDigestNonceLifetime 1\n{digest}</Location>\n\
         <VirtualHost {proxy}>\nProxyRequests On\nAllowCONNECT 1-65535\n<Proxy *>\n{digest}</Proxy>\n\
         </VirtualHost>\n"
    );
    fs::write(folder.path().join("conf"), config).unwrap();
    command
        .arg("-f")
        .arg(folder.path().join("conf"))
        .arg("-DFOREGROUND");
    Some((Server::start_in(folder, &mut command, address), proxy))
}

/// With the password in the environment.
#[track_caller]
fn fetch_as(password: &str, args: &[&str]) -> Ended {
    let mut command = example("http_client");
    command
        .args(args)
        .env("ASYNCHAT_PASSWORD", password)
        .env("ASYNCHAT_PROXY_PASSWORD", password);
    Program::start(&mut command).ended()
}

#[test]
fn apache_is_answered_by_digest() {
    let Some((apache, _)) = apache() else { return };
    let url = format!("http://{}/digest/a.txt", apache.address);
    for (args, password, status, code) in [
        (&[][..], "p", 401, 1),
        (&["-u", "u"], "p", 200, 0),
        (&["-u", "u", "--basic"], "p", 200, 0),
        (&["-u", "u"], "wrong", 401, 1),
        (&["-u", "other"], "p", 401, 1),
    ] {
        let ended = fetch_as(password, &[args, &["-f", &url]].concat());
        let line = format!("status => HTTP/1.1 {status} ");
        assert!(
            ended.out().starts_with(&line),
            "{args:?}: {} {}",
            ended.out(),
            ended.err
        );
        assert_eq!(ended.code, Some(code), "{}", ended.err);
    }
}

#[test]
fn apache_as_a_proxy_is_answered_by_digest_and_the_server_too() {
    let Some((apache, proxy)) = apache() else {
        return;
    };
    let url = format!("http://{}/digest/a.txt", apache.address);
    let proxy = proxy.to_string();
    let both = [
        "-x",
        &proxy,
        "--proxy-user",
        "u",
        "-u",
        "u",
        "-f",
        "-o",
        "-",
        &url,
    ];
    let ended = fetch_as("p", &both);
    assert_eq!(
        (ended.out().as_str(), ended.code),
        ("secret", Some(0)),
        "{}",
        ended.err
    );
    let ended = fetch_as("p", &["-x", &proxy, &url]);
    assert!(
        ended.out().starts_with("status => HTTP/1.1 407 "),
        "{}",
        ended.out()
    );
}

#[test]
fn a_tunnel_of_apache_s_leads_to_tls() {
    let Some((_apache, proxy)) = apache() else {
        return;
    };
    tunnel(&["-x", &proxy.to_string(), "--proxy-user", "u"], "p");
}

/// Fetches from `http_server` with TLS, through a proxy.
#[track_caller]
fn tunnel(through: &[&str], password: &str) {
    let mut authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let root = tempfile::tempdir().unwrap();
    let content = "x".repeat(1_000_000);
    fs::write(root.path().join("a.txt"), &content).unwrap();
    let (_server, address) = suites::program::serve(
        "http_server",
        &[
            "--port",
            "0",
            "--root",
            text(root.path()),
            "--tls-cert",
            text(&certificate.cert),
            "--tls-key",
            text(&certificate.key),
        ],
    );
    let url = format!("https://{address}/a.txt");
    let authority = authority.file();
    let trust = ["--cacert", text(&authority), "-o", "-", &url];
    let ended = fetch_as(password, &[through, &trust].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out() == content);
    let ended = fetch_as("wrong", &[through, &trust].concat());
    // tinyproxy answers a wrong password with 401, and none with 407.
    let refused = "the proxy refused the tunnel with status 40";
    assert!(
        ended.code == Some(1) && ended.err.contains(refused),
        "{}",
        ended.err
    );
}

#[test]
fn tinyproxy_is_answered_by_basic() {
    let Some(mut command) = tool("tinyproxy") else {
        return;
    };
    let Some(nginx) = nginx() else { return };
    let (folder, address) = (folder(), free_address());
    let config = format!(
        "Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 20\nBasicAuth u p\n",
        address.port()
    );
    fs::write(folder.path().join("conf"), config).unwrap();
    command.arg("-d").arg("-c").arg(folder.path().join("conf"));
    let _tinyproxy = Server::start_in(folder, &mut command, address);
    let proxy = address.to_string();
    let through = ["-x", &proxy, "--proxy-user", "u"];
    let url = format!("http://{}/echo", nginx.address);
    let ended = fetch_as("p", &[&through[..], &["-f", "-o", "-", &url]].concat());
    assert_eq!(
        ended.out(),
        "GET ||asynchat-http-client|\n",
        "{}",
        ended.err
    );
    assert!(ended.err.contains("Via = "), "{}", ended.err);
    let ended = fetch_as("wrong", &[&through[..], &["-f", &url]].concat());
    assert!(
        ended.err.contains("the server answered with status 401"),
        "{}",
        ended.err
    );
    let direct = fetch_as(
        "p",
        &[&through[..], &["--noproxy", "127.0.0.1", &url]].concat(),
    );
    assert!(
        direct.code == Some(0) && !direct.out().contains("Via"),
        "{}",
        direct.out()
    );
    tunnel(&through, "p");
}

/// Checks the answer to a challenge for SHA-256 as RFC 7616 says, with Python's own digests.
const JUDGE: &str = r#"
import hashlib, re
from http.server import BaseHTTPRequestHandler, HTTPServer
h = lambda text: hashlib.sha256(text.encode()).hexdigest()
class Judge(BaseHTTPRequestHandler):
    nonces = 0
    def do_PUT(self):
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', self.headers.get("Authorization", "")))
        ha1, ha2 = h("me:a realm:p"), h("PUT:" + self.path)
        response = ":".join([ha1, said.get("nonce", ""), said.get("nc", ""), said.get("cnonce", ""), "auth", ha2])
        fresh = said.get("nonce") == "n2"
        if h(response) == said.get("response") and fresh and said["algorithm"] == "SHA-256" and said["uri"] == self.path:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()
            print(body.decode(), flush=True)
            return
        Judge.nonces += 1
        self.send_response(401)
        stale = ", stale=true" if Judge.nonces == 2 else ""
        self.send_header("WWW-Authenticate", f'Digest realm="a realm", nonce="n{Judge.nonces}", algorithm=SHA-256, qop="auth"{stale}')
        self.send_header("Content-Length", "0")
        self.end_headers()
server = HTTPServer(("127.0.0.1", 0), Judge)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
fn a_stale_nonce_and_sha_256_are_answered_and_the_body_is_sent_again() {
    let Some(mut python) = tool("python3") else {
        return;
    };
    let judge = Program::start(python.args(["-c", JUDGE]));
    let url = format!("http://127.0.0.1:{}/a?b=%20", judge.line());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "content").unwrap();
    let ended = fetch_as("p", &["-f", "-u", "me", "-T", text(file.path()), &url]);
    assert_eq!(ended.code, Some(0), "{} {}", ended.out(), ended.err);
    assert_eq!(judge.line(), "content");
}
