//! What a script is told of its request (RFC 3875, 4.1). Pure.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use super::place::Place;
use crate::http::{all, header, request::Request};

/// What the variables of one call of a script are made of.
#[derive(Debug)]
pub struct Call<'a> {
    pub request: &'a Request<'a>,
    pub place: &'a Place,
    /// Behind the question mark, still escaped.
    pub query: &'a str,
    /// Bytes of the body; `None` if there is none.
    pub length: Option<u64>,
    /// The path and query that the client asked for.
    pub asked: &'a str,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub is_secure: bool,
    /// Where the files are that other paths name.
    pub documents: &'a Path,
    pub software: &'a str,
    /// Whether scripts are given the names and passwords that clients send.
    pub passes_authorization: bool,
}

/// Names and values, in no order. Values are bytes: a client chose many of them.
pub type Variables = BTreeMap<String, Vec<u8>>;

/// Fields that belong to the connection or are already given otherwise (4.1.18).
const NOT_PASSED: [&str; 13] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "keep-alive",
    // `HTTP_PROXY` names the proxy of many HTTP clients that a script may be (CVE-2016-5385, "httpoxy").
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Makes the variables of one call those of another: what a local redirect leads to is called by GET, or HEAD, without a
/// body (6.2.2).
pub fn redirect(variables: &mut Variables, place: &Place, query: &str, documents: &Path) {
    for name in [
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "PATH_INFO",
        "PATH_TRANSLATED",
    ] {
        variables.remove(name);
    }
    let method = variables.entry("REQUEST_METHOD".into()).or_default();
    if method != b"HEAD" {
        *method = b"GET".to_vec();
    }
    set_place(variables, place, query, documents);
}

fn set_place(variables: &mut Variables, place: &Place, query: &str, documents: &Path) {
    let mut set = |name: &str, value: &[u8]| variables.insert(name.to_owned(), value.to_owned());
    set("QUERY_STRING", query.as_bytes());
    set("SCRIPT_NAME", &place.name);
    set("SCRIPT_FILENAME", place.file.as_os_str().as_encoded_bytes());
    if !place.path_info.is_empty() {
        let documents = documents.as_os_str().as_encoded_bytes();
        let documents = documents.strip_suffix(b"/").unwrap_or(documents);
        set("PATH_INFO", &place.path_info);
        set("PATH_TRANSLATED", &[documents, &place.path_info].concat());
    }
}

impl Call<'_> {
    pub fn variables(&self) -> Variables {
        let mut all = Variables::new();
        self.add_fields(&mut all);
        let mut set = |name: &str, value: &[u8]| all.insert(name.to_owned(), value.to_owned());
        let (client, server) = (
            self.client.ip().to_canonical(),
            self.server.ip().to_canonical(),
        );
        set("GATEWAY_INTERFACE", b"CGI/1.1");
        set("SERVER_SOFTWARE", self.software.as_bytes());
        set(
            "SERVER_PROTOCOL",
            if self.request.minor == 0 {
                b"HTTP/1.0"
            } else {
                b"HTTP/1.1"
            },
        );
        set("SERVER_NAME", &self.server_name());
        set("SERVER_ADDR", server.to_string().as_bytes());
        set("SERVER_PORT", self.server.port().to_string().as_bytes());
        set("REMOTE_ADDR", client.to_string().as_bytes());
        set("REMOTE_PORT", self.client.port().to_string().as_bytes());
        set("REQUEST_METHOD", self.request.method.as_bytes());
        set("REQUEST_URI", self.asked.as_bytes());
        set(
            "DOCUMENT_ROOT",
            self.documents.as_os_str().as_encoded_bytes(),
        );
        if self.is_secure {
            set("HTTPS", b"on");
        }
        if let Some(length) = self.length {
            set("CONTENT_LENGTH", length.to_string().as_bytes());
            if let Some(kind) = header(self.request.headers, "content-type") {
                set("CONTENT_TYPE", kind);
            }
        }
        set_place(&mut all, self.place, self.query, self.documents);
        all
    }

    /// `HTTP_…` of the fields. A name with other characters than letters, digits and hyphens is left out: `X_Y` and `X-Y`
    /// would be one variable, and a proxy in front of the server may have checked the other one.
    fn add_fields(&self, variables: &mut Variables) {
        for field in self.request.headers {
            let is_plain = field
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let is_of_connection = NOT_PASSED
                .iter()
                .any(|name| name.eq_ignore_ascii_case(field.name))
                || crate::http::has_token(self.request.headers, "connection", field.name);
            let is_secret =
                field.name.eq_ignore_ascii_case("authorization") && !self.passes_authorization;
            if !is_plain || is_of_connection || is_secret {
                continue;
            }
            let name = format!("HTTP_{}", field.name.to_ascii_uppercase().replace('-', "_"));
            let value = field.value.trim_ascii();
            let separator: &[u8] = if name == "HTTP_COOKIE" { b"; " } else { b", " };
            variables
                .entry(name)
                .and_modify(|before| {
                    before.extend_from_slice(separator);
                    before.extend_from_slice(value);
                })
                .or_insert_with(|| value.to_owned());
        }
    }

    /// The host that the client asked, without its port: that of the target, which counts if it has one (RFC 9112, 3.2.2),
    /// or of the field. The client's word, as with other servers.
    fn server_name(&self) -> Vec<u8> {
        let target = self.request.target;
        let authority = target
            .split_once("://")
            .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let host = match authority {
            Some(authority) if !target.starts_with('/') => authority.as_bytes(),
            _ => all(self.request.headers, "host").next().unwrap_or_default(),
        };
        let end = match host.starts_with(b"[") {
            true => host.iter().position(|&byte| byte == b']').map(|at| at + 1),
            false => host.iter().position(|&byte| byte == b':'),
        };
        let name = &host[..end.unwrap_or(host.len())];
        if name.is_empty() || name.contains(&b'@') {
            return match self.server.ip().to_canonical() {
                std::net::IpAddr::V6(ip) => format!("[{ip}]").into_bytes(),
                ip @ std::net::IpAddr::V4(_) => ip.to_string().into_bytes(),
            };
        }
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn place(path_info: &str) -> Place {
        let file = PathBuf::from("/srv/cgi/a.sh");
        let metadata = std::fs::metadata(std::env::temp_dir()).expect("a directory");
        Place {
            file,
            metadata,
            name: b"/cgi-bin/a.sh".to_vec(),
            path_info: path_info.into(),
        }
    }

    /// The variables of a request with these lines behind its first, as `NAME=value`.
    fn variables(line: &str, headers: &str, change: impl FnOnce(&mut Call<'_>)) -> Vec<String> {
        variables_at("/x y", line, headers, change)
    }

    fn variables_at(
        path_info: &str,
        line: &str,
        headers: &str,
        change: impl FnOnce(&mut Call<'_>),
    ) -> Vec<String> {
        let head = format!("{line}\r\n{headers}\r\n");
        Request::parse(head.as_bytes(), |request| {
            let request = request.expect("a good request");
            let place = place(path_info);
            let mut call = Call {
                request: &request,
                place: &place,
                query: "q=1+2%20&%3c",
                length: None,
                asked: "/cgi-bin/a.sh/x%20y?q=1+2%20&%3c",
                client: ([192, 0, 2, 7], 40_000).into(),
                server: ([192, 0, 2, 1], 8000).into(),
                is_secure: false,
                documents: Path::new("/srv/www"),
                software: "asynchat-cgi/1",
                passes_authorization: false,
            };
            change(&mut call);
            let text = |(name, value): (String, Vec<u8>)| {
                format!("{name}={}", String::from_utf8_lossy(&value))
            };
            call.variables().into_iter().map(text).collect()
        })
    }

    #[test]
    fn a_request_becomes_the_variables_of_the_rfc() {
        let seen = variables(
            "POST /cgi-bin/a.sh/x%20y?q HTTP/1.1",
            "Host: a.example:81\r\nContent-Type: a/b\r\n",
            |call| {
                call.length = Some(3);
            },
        );
        let expected = [
            "CONTENT_LENGTH=3",
            "CONTENT_TYPE=a/b",
            "DOCUMENT_ROOT=/srv/www",
            "GATEWAY_INTERFACE=CGI/1.1",
            "HTTP_HOST=a.example:81",
            "PATH_INFO=/x y",
            "PATH_TRANSLATED=/srv/www/x y",
            "QUERY_STRING=q=1+2%20&%3c",
            "REMOTE_ADDR=192.0.2.7",
            "REMOTE_PORT=40000",
            "REQUEST_METHOD=POST",
            "REQUEST_URI=/cgi-bin/a.sh/x%20y?q=1+2%20&%3c",
            "SCRIPT_FILENAME=/srv/cgi/a.sh",
            "SCRIPT_NAME=/cgi-bin/a.sh",
            "SERVER_ADDR=192.0.2.1",
            "SERVER_NAME=a.example",
            "SERVER_PORT=8000",
            "SERVER_PROTOCOL=HTTP/1.1",
            "SERVER_SOFTWARE=asynchat-cgi/1",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn without_a_body_or_a_path_behind_it_nothing_is_said_of_them() {
        let seen = variables_at("", "GET / HTTP/1.0", "Content-Type: a/b\r\n", |_| {});
        for name in [
            "CONTENT_LENGTH=",
            "CONTENT_TYPE=",
            "PATH_INFO=",
            "PATH_TRANSLATED=",
            "HTTPS=",
            "HTTP_CONTENT",
        ] {
            assert!(
                !seen.iter().any(|variable| variable.starts_with(name)),
                "{name} in {seen:?}"
            );
        }
        assert!(
            seen.contains(&"SERVER_PROTOCOL=HTTP/1.0".into())
                && seen.contains(&"SERVER_NAME=192.0.2.1".into())
        );
    }

    #[test]
    fn fields_become_variables_unless_they_are_the_connections() {
        let seen = variables(
            "GET / HTTP/1.1",
            "Host: a\r\nX-One: 1\r\nx-one:  2 \r\nCookie: a=1\r\nCookie: b=2\r\nX_One: 3\r\nX.One: 4\r\n",
            |_| {},
        );
        let http: Vec<_> = seen
            .iter()
            .filter(|variable| variable.starts_with("HTTP_"))
            .collect();
        assert_eq!(
            http,
            ["HTTP_COOKIE=a=1; b=2", "HTTP_HOST=a", "HTTP_X_ONE=1, 2"]
        );
        for line in [
            "Proxy: http://192.0.2.9/",
            "PROXY: x",
            "Authorization: Basic dTpw",
            "Proxy-Authorization: Basic dTpw",
            "Connection: keep-alive",
            "Keep-Alive: 1",
            "TE: trailers",
            "Trailer: x",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Transfer-Encoding: chunked",
            "Content-Length: 3",
            "Proxy-Connection: x",
            "Connection: X-Hop\r\nX-Hop: 1",
        ] {
            let seen = variables("GET / HTTP/1.1", &format!("Host: a\r\n{line}\r\n"), |_| {});
            let http: Vec<_> = seen
                .iter()
                .filter(|variable| variable.starts_with("HTTP_"))
                .collect();
            assert_eq!(http, ["HTTP_HOST=a"], "{line}");
        }
    }

    #[test]
    fn a_field_cannot_take_the_place_of_a_variable_of_the_server() {
        let seen = variables(
            "GET / HTTP/1.1",
            "Host: a\r\nS: 1\r\nPath: /x\r\nLd-Preload: y\r\n",
            |_| {},
        );
        for name in ["PATH=", "LD_PRELOAD=", "S="] {
            assert!(
                !seen.iter().any(|variable| variable.starts_with(name)),
                "{name} in {seen:?}"
            );
        }
    }

    #[test]
    fn authorization_is_passed_only_if_asked_for() {
        let seen = variables(
            "GET / HTTP/1.1",
            "Host: a\r\nAuthorization: Basic dTpw\r\n",
            |call| {
                call.passes_authorization = true;
            },
        );
        assert!(seen.contains(&"HTTP_AUTHORIZATION=Basic dTpw".into()));
    }

    #[test]
    fn the_name_of_the_server_is_the_host_that_was_asked() {
        for (line, host, name) in [
            ("GET / HTTP/1.1", "a.example", "a.example"),
            ("GET / HTTP/1.1", "[2001:db8::1]:81", "[2001:db8::1]"),
            ("GET / HTTP/1.1", "", "192.0.2.1"),
            ("GET / HTTP/1.1", ":81", "192.0.2.1"),
            (
                "GET http://b.example:82/x HTTP/1.1",
                "a.example",
                "b.example",
            ),
            ("GET http://u@b.example/ HTTP/1.1", "a.example", "192.0.2.1"),
            (
                "GET /?x=http://b.example/ HTTP/1.1",
                "a.example",
                "a.example",
            ),
        ] {
            let seen = variables(line, &format!("Host: {host}\r\n"), |_| {});
            assert!(
                seen.contains(&format!("SERVER_NAME={name}")),
                "{line} {host}: {seen:?}"
            );
        }
    }

    #[test]
    fn a_redirect_is_called_by_get_without_a_body() {
        for (method, expected) in [("POST", "GET"), ("GET", "GET"), ("HEAD", "HEAD")] {
            let mut variables = Variables::from([
                ("REQUEST_METHOD".to_owned(), method.into()),
                ("CONTENT_LENGTH".to_owned(), b"3".to_vec()),
                ("CONTENT_TYPE".to_owned(), b"a/b".to_vec()),
                ("PATH_INFO".to_owned(), b"/x".to_vec()),
                ("PATH_TRANSLATED".to_owned(), b"/srv/www/x".to_vec()),
                ("HTTP_HOST".to_owned(), b"a".to_vec()),
            ]);
            redirect(&mut variables, &place(""), "a=b", Path::new("/srv/www"));
            let seen: Vec<_> = variables
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                .collect();
            let method = format!("REQUEST_METHOD={expected}");
            let expected = [
                "HTTP_HOST=a",
                "QUERY_STRING=a=b",
                &method,
                "SCRIPT_FILENAME=/srv/cgi/a.sh",
                "SCRIPT_NAME=/cgi-bin/a.sh",
            ];
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn an_ipv4_client_of_a_listener_for_both_is_shown_as_ipv4() {
        let mapped = "[::ffff:192.0.2.7]:1".parse().expect("an address");
        let seen = variables("GET / HTTP/1.1", "Host: a\r\n", |call| call.client = mapped);
        assert!(seen.contains(&"REMOTE_ADDR=192.0.2.7".into()));
    }
}
