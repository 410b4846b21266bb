//! The request on the wire: its head, and how far it has been sent.

use std::{fmt::Write, rc::Rc};

use super::{challenge::Asker, consumer::Order, proxy::Proxy};

/// The name of the client, also to robots.txt.
pub const USER_AGENT: &str = "asynchat-http-client";

/// How a server is reached.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Direct,
    /// The proxy is asked for the URL.
    Forward(Rc<Proxy>),
    /// The proxy is asked for a connection, and TLS is spoken on it.
    Tunnel(Rc<Proxy>),
}

impl Way {
    pub(super) fn of(order: &Order) -> Self {
        match order.agent.proxies.of(&order.url) {
            None => Self::Direct,
            Some(proxy) if order.url.is_https() => Self::Tunnel(Rc::clone(proxy)),
            Some(proxy) => Self::Forward(Rc::clone(proxy)),
        }
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        match self {
            Self::Direct => None,
            Self::Forward(proxy) | Self::Tunnel(proxy) => Some(proxy),
        }
    }
}

/// How much of the request the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The server is asked whether it wants the body.
    Asked,
    /// The body is on its way.
    Partly,
    Wholly,
}

/// The head of a request that goes this way.
///
/// # Errors
/// The proxy's challenge cannot be answered.
pub(super) fn head(order: &Order, way: &Way) -> Result<String, String> {
    let (url, method) = (&order.url, order.method.as_str());
    let target = match way {
        Way::Forward(_) => url.absolute(),
        _ => url.target(),
    };
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    let mut field = |name: &str, value: &str| {
        // A `String` takes everything.
        let _ = write!(head, "{name}: {value}\r\n");
    };
    let body_type = order.body.as_ref().and_then(|body| body.content_type());
    let own = [
        ("Host", Some(url.authority())),
        ("User-Agent", Some(USER_AGENT)),
        ("Accept", Some("*/*")),
        ("Accept-Encoding", Some("identity")),
        ("Content-Type", body_type),
    ];
    for (name, value) in own {
        // A request has its host whatever is asked (RFC 9112, 3.2).
        let removed = order.fields.removes(name) && name != "Host";
        if let Some(value) = value
            && !order.fields.has(name)
            && !removed
            && !order.has_added(name)
        {
            field(name, value);
        }
    }
    for (name, value) in order.fields.iter() {
        if !name.eq_ignore_ascii_case("expect") && !order.has_added(name) {
            field(name, value);
        }
    }
    for (name, value) in &order.added {
        field(name, value);
    }
    if let Way::Forward(proxy) = way
        && let Some(proof) = proof(proxy, method, target)?
    {
        field(Asker::Proxy.field(), &proof);
    }
    if let Some(body) = &order.body {
        field("Content-Length", &body.len().to_string());
        if order.expects_continue() {
            field("Expect", "100-continue");
        }
    } else if matches!(method, "POST" | "PUT" | "PATCH") {
        field("Content-Length", "0");
    }
    field("Connection", "close");
    head.push_str("\r\n");
    Ok(head)
}

/// The head that asks a proxy for a tunnel: with none of the fields that are for the server.
///
/// # Errors
/// The proxy's challenge cannot be answered.
pub(super) fn tunnel(order: &Order, proxy: &Proxy) -> Result<String, String> {
    let target = format!("{}:{}", order.url.host(), order.url.port());
    let mut head =
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n");
    if let Some(proof) = proof(proxy, "CONNECT", &target)? {
        let _ = write!(head, "{}: {proof}\r\n", Asker::Proxy.field());
    }
    head.push_str("\r\n");
    Ok(head)
}

fn proof(proxy: &Proxy, method: &str, target: &str) -> Result<Option<String>, String> {
    match &proxy.credentials {
        Some(credentials) => credentials.prove(method, target),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            consumer::{Agent, Method},
            upload::Upload,
            url::Url,
        },
        *,
    };

    fn order(edits: &[&str]) -> Order {
        let url = Url::parse(b"http://a.example:8080/b?c").expect("a URL");
        let edits = edits.iter().map(|line| line.parse());
        let fields = edits.collect::<Result<_, _>>().expect("fields");
        Order {
            fields,
            ..Order::get(url, &Rc::new(Agent::default()))
        }
    }

    fn lines(order: &Order, way: &Way) -> Vec<String> {
        let head = head(order, way).expect("a head");
        assert!(head.ends_with("\r\n\r\n"));
        head.trim_end().split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn fields_of_the_user_replace_add_and_remove() {
        let mut order = order(&["host: other", "Accept:", "X-A: 1", "X-A: 2", "Host:"]);
        order.add("Cookie", "a=b".into());
        let expected = [
            "GET /b?c HTTP/1.1",
            "User-Agent: asynchat-http-client",
            "Accept-Encoding: identity",
            "host: other",
            "X-A: 1",
            "X-A: 2",
            "Cookie: a=b",
            "Connection: close",
        ];
        assert_eq!(lines(&order, &Way::Direct), expected);
    }

    #[test]
    fn a_body_has_its_length_and_a_large_one_is_announced() {
        for (bytes, edits, announced) in [
            (1, &[][..], false),
            (1024 * 1024 + 1, &[][..], true),
            (1024 * 1024 + 1, &["Expect:"], false),
            (1, &["Expect: 100-continue"], true),
        ] {
            let mut body = Upload::new(Some("text/x".into()));
            body.push(vec![0; bytes]);
            let order = Order {
                method: Method::PUT,
                body: Some(body),
                ..order(edits)
            };
            let lines = lines(&order, &Way::Direct);
            assert!(
                lines.contains(&format!("Content-Length: {bytes}")),
                "{lines:?}"
            );
            assert!(
                lines.contains(&"Content-Type: text/x".to_owned()),
                "{lines:?}"
            );
            let expects = lines.contains(&"Expect: 100-continue".to_owned());
            assert_eq!(expects, announced, "{bytes} {edits:?}");
        }
    }

    #[test]
    fn a_method_that_has_a_body_says_if_there_is_none() {
        for (method, length) in [
            ("POST", true),
            ("PUT", true),
            ("DELETE", false),
            ("GET", false),
        ] {
            let order = Order {
                method: method.parse().expect("a method"),
                ..order(&[])
            };
            let lines = lines(&order, &Way::Direct);
            assert_eq!(
                lines.contains(&"Content-Length: 0".to_owned()),
                length,
                "{method}"
            );
        }
    }

    #[test]
    fn a_proxy_is_asked_for_the_whole_url_or_for_a_tunnel_without_the_servers_fields() {
        let proxy = Rc::new(Proxy::parse("http://me:secret@p:1").expect("a proxy"));
        let order = order(&["Authorization: x", "Cookie: y"]);
        let lines = lines(&order, &Way::Forward(Rc::clone(&proxy)));
        assert_eq!(lines[0], "GET http://a.example:8080/b?c HTTP/1.1");
        assert_eq!(lines[1], "Host: a.example:8080");
        let tunnel = tunnel(&order, &proxy).expect("a head");
        assert_eq!(
            tunnel,
            "CONNECT a.example:8080 HTTP/1.1\r\nHost: a.example:8080\r\n\
             User-Agent: asynchat-http-client\r\n\r\n"
        );
    }
}
