//! Heads on their way through: what belongs to one connection is taken out, and the way is written down (RFC 9110, 7.6).

use std::{
    fmt::{self, Display},
    hash::{BuildHasher, RandomState},
    io::Write,
    net::IpAddr,
};

use clap::Args;

use super::target::Target;
use crate::http::{Header, decimal, header, is_token, list, request::Request, response::Head};

/// Names in the fields Connection of one head: each is compared with all fields.
pub(super) const MAX_CONNECTION_OPTIONS: usize = 32;

/// Fields of one connection, whether Connection names them or not.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// How heads are changed.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Fields")]
pub struct Rewriting {
    /// Name in the field Via, by which the proxy knows its own requests [default: one with a random end]
    #[arg(long = "via", value_name = "NAME", value_parser = token)]
    pub pseudonym: Option<String>,
    /// Field that is taken out of requests, as Cookie; may be repeated
    #[arg(long = "strip-request", value_name = "NAME", value_parser = token)]
    pub strip_request: Vec<String>,
    /// Field that is taken out of answers, as Set-Cookie; may be repeated
    #[arg(long = "strip-response", value_name = "NAME", value_parser = token)]
    pub strip_response: Vec<String>,
    /// Tell servers the address of the client, in X-Forwarded-For
    #[arg(long)]
    pub x_forwarded_for: bool,
    /// The same in Forwarded (RFC 7239)
    #[arg(long)]
    pub forwarded: bool,
}

fn token(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(is_token) {
        true => Ok(text.into()),
        false => Err("not the name of a field, which has letters, digits and hyphens".into()),
    }
}

/// A name that no other proxy has.
pub(super) fn pseudonym() -> String {
    format!(
        "asynchat-proxy-{:08x}",
        RandomState::new().hash_one(0) >> 32
    )
}

/// The body of a message, as its head is to announce it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    Nothing,
    Length(u64),
    Chunked,
}

/// Why a head is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    ConnectionOptions,
    MaxForwards,
    /// The request has been here before.
    Loop,
    /// Two readers could see two different ends of the answer.
    Ambiguous,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionOptions => "Connection names too many fields",
            Self::MaxForwards => "Max-Forwards is no number",
            Self::Loop => "it has been here before",
            Self::Ambiguous => "it says in two ways where it ends",
        })
    }
}

/// What Connection names.
struct Named<'a>(Vec<&'a [u8]>);

impl<'a> Named<'a> {
    fn new(options: impl Iterator<Item = &'a [u8]>) -> Result<Self, Unfit> {
        let named: Vec<_> = options.take(MAX_CONNECTION_OPTIONS + 1).collect();
        match named.len() > MAX_CONNECTION_OPTIONS {
            true => Err(Unfit::ConnectionOptions),
            false => Ok(Self(named)),
        }
    }

    /// Whether the field goes on to the next connection.
    fn spare(&self, name: &str, strip: &[String]) -> bool {
        !HOP_BY_HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name))
            && !self
                .0
                .iter()
                .any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
            && !strip.iter().any(|strip| strip.eq_ignore_ascii_case(name))
    }
}

/// What comes of Max-Forwards (RFC 9110, 7.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forwards {
    /// The field is not there, or not for this method.
    Unlimited,
    /// This proxy is the last that gets the request.
    Last,
    Left(u64),
}

impl Forwards {
    pub(super) fn of(request: &Request<'_>) -> Result<Self, Unfit> {
        if !matches!(request.method, "TRACE" | "OPTIONS") {
            return Ok(Self::Unlimited);
        }
        match header(request.headers, "max-forwards").map(decimal) {
            None => Ok(Self::Unlimited),
            Some(None) => Err(Unfit::MaxForwards),
            Some(Some(0)) => Ok(Self::Last),
            Some(Some(left)) => Ok(Self::Left(left - 1)),
        }
    }
}

/// Whether a request has passed the proxy of this name already.
pub(super) fn is_loop(headers: &[Header<'_>], pseudonym: &str) -> bool {
    list(headers, "via").any(|hop| {
        let mut words = hop
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        words
            .nth(1)
            .is_some_and(|by| by.eq_ignore_ascii_case(pseudonym.as_bytes()))
    })
}

/// Writes the head of a request for the server. Host is the target's, whatever the client says (RFC 9112, 3.2.2).
pub(super) fn write_request(
    out: &mut Vec<u8>,
    rules: &Rewriting,
    request: &Request<'_>,
    target: &Target<'_>,
    body: Announced,
    client: Option<IpAddr>,
) -> Result<(), Unfit> {
    let named = Named::new(list(request.headers, "connection"))?;
    let forwards = Forwards::of(request)?;
    put(
        out,
        format_args!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            request.method, target.path, target.authority
        ),
    );
    for field in request.headers {
        let name = field.name;
        let is_replaced = ["host", "content-length"]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
            || matches!(forwards, Forwards::Left(_)) && name.eq_ignore_ascii_case("max-forwards");
        if !is_replaced && named.spare(name, &rules.strip_request) {
            write_field(out, name, field.value);
        }
    }
    announce(out, body);
    if let Forwards::Left(left) = forwards {
        put(out, format_args!("Max-Forwards: {left}\r\n"));
    }
    if let Some(client) = client {
        if rules.x_forwarded_for {
            put(out, format_args!("X-Forwarded-For: {client}\r\n"));
        }
        if rules.forwarded {
            match client {
                IpAddr::V4(client) => put(out, format_args!("Forwarded: for={client}\r\n")),
                IpAddr::V6(client) => put(out, format_args!("Forwarded: for=\"[{client}]\"\r\n")),
            }
        }
    }
    write_via(out, rules, request.minor);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Judges an answer that a client could read differently from this proxy.
pub(super) fn check_answer(head: &Head) -> Result<(), Unfit> {
    let coded = head.get("transfer-encoding").is_some();
    if coded && (head.version == 0 || head.get("content-length").is_some()) {
        return Err(Unfit::Ambiguous);
    }
    // Of an answer without a body too, because the field is passed on.
    length_said(head).map(drop)
}

/// The Content-Length of an answer, whether it has a body or not. Some senders repeat it; as long as they agree there is no
/// doubt.
fn length_said(head: &Head) -> Result<Option<u64>, Unfit> {
    let mut said = None;
    for value in elements(head, "content-length") {
        let length = decimal(value).ok_or(Unfit::Ambiguous)?;
        if said.replace(length).is_some_and(|other| other != length) {
            return Err(Unfit::Ambiguous);
        }
    }
    match said.is_none() && head.get("content-length").is_some() {
        true => Err(Unfit::Ambiguous),
        false => Ok(said),
    }
}

/// Writes the head of an answer, or of an interim one, for the client.
pub(super) fn write_answer(
    out: &mut Vec<u8>,
    rules: &Rewriting,
    head: &Head,
    body: Announced,
    persistence: &str,
) -> Result<(), Unfit> {
    let named = Named::new(connection_options(head))?;
    put(
        out,
        format_args!("HTTP/1.1 {} {}\r\n", head.status, head.reason),
    );
    for (name, value) in &head.fields {
        if !name.eq_ignore_ascii_case("content-length") && named.spare(name, &rules.strip_response)
        {
            write_field(out, name, value);
        }
    }
    announce(out, body);
    write_via(out, rules, head.version);
    out.extend_from_slice(persistence.as_bytes());
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn connection_options(head: &Head) -> impl Iterator<Item = &[u8]> {
    elements(head, "connection")
}

/// The elements of a comma-separated field, over all its lines.
fn elements<'a>(head: &'a Head, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let fields = head.fields.iter();
    fields
        .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
        .flat_map(|(_, value)| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether the server keeps the connection behind an answer whose end it says.
pub(super) fn keeps_alive(head: &Head) -> bool {
    let has = |option: &str| {
        connection_options(head).any(|one| one.eq_ignore_ascii_case(option.as_bytes()))
    };
    !has("close") && (head.version > 0 || has("keep-alive"))
}

/// The length that an answer without a body gives, which is that of the body a GET would have got.
pub(super) fn length_without_body(head: &Head) -> Announced {
    match length_said(head) {
        // One with 204 has none (RFC 9110, 8.6).
        Ok(Some(length)) if head.status != 204 && !head.is_interim() => Announced::Length(length),
        _ => Announced::Nothing,
    }
}

/// Writes back a request as TRACE has it (RFC 9110, 9.3.8): without what is secret.
pub(super) fn write_trace(out: &mut Vec<u8>, request: &Request<'_>) {
    put(
        out,
        format_args!(
            "{} {} HTTP/1.{}\r\n",
            request.method, request.target, request.minor
        ),
    );
    for field in request.headers {
        let is_secret = ["authorization", "proxy-authorization", "cookie"];
        if !is_secret
            .iter()
            .any(|secret| secret.eq_ignore_ascii_case(field.name))
        {
            write_field(out, field.name, field.value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn announce(out: &mut Vec<u8>, body: Announced) {
    match body {
        Announced::Nothing => {}
        Announced::Length(length) => put(out, format_args!("Content-Length: {length}\r\n")),
        Announced::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn write_via(out: &mut Vec<u8>, rules: &Rewriting, minor: u8) {
    let name = rules.pseudonym.as_deref().unwrap_or("asynchat-proxy");
    put(out, format_args!("Via: 1.{minor} {name}\r\n"));
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn put(out: &mut Vec<u8>, text: impl Display) {
    // A `Vec` takes everything.
    let _ = write!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rewriting {
        Rewriting {
            pseudonym: Some("p".into()),
            strip_request: vec!["Cookie".into()],
            strip_response: vec!["Set-Cookie".into()],
            ..Rewriting::default()
        }
    }

    fn rewritten(head: &str, rules: &Rewriting, body: Announced) -> Result<String, Unfit> {
        Request::parse(head.as_bytes(), |request| {
            let request = request.expect("a request");
            let target = Target::absolute(request.method, request.target).expect("a target");
            let mut out = Vec::new();
            let client = "192.0.2.1".parse().ok();
            write_request(&mut out, rules, &request, &target, body, client)?;
            Ok(String::from_utf8(out).expect("UTF-8"))
        })
    }

    #[test]
    fn a_request_loses_what_is_of_one_connection_and_gains_via() {
        let head = "GET http://a:81/x HTTP/1.0\r\nHost: b\r\nConnection: x-one, close\r\nconnection: X-Two\r\n\
                    X-One: 1\r\nx-two: 2\r\nX-Three: 3\r\nKeep-Alive: 3\r\nProxy-Connection: close\r\n\
                    Proxy-Authorization: Basic x\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\
                    COOKIE: secret\r\nVia: 1.0 other\r\nContent-Length: 007\r\nAuthorization: kept\r\n\r\n";
        assert_eq!(
            rewritten(head, &rules(), Announced::Length(7)).as_deref(),
            Ok(
                "GET /x HTTP/1.1\r\nHost: a:81\r\nX-Three: 3\r\nVia: 1.0 other\r\nAuthorization: kept\r\n\
                Content-Length: 7\r\nVia: 1.0 p\r\n\r\n"
            )
        );
        // A client cannot take out what the proxy itself writes.
        let head = "POST http://a/ HTTP/1.1\r\nHost: a\r\nConnection: host, content-length, via, x-forwarded-for\r\n\
                    X-Forwarded-For: forged\r\nTransfer-Encoding: chunked\r\n\r\n";
        let told = Rewriting {
            x_forwarded_for: true,
            forwarded: true,
            ..rules()
        };
        assert_eq!(
            rewritten(head, &told, Announced::Chunked).as_deref(),
            Ok(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 192.0.2.1\r\n\
                Forwarded: for=192.0.2.1\r\nVia: 1.1 p\r\n\r\n"
            )
        );
    }

    #[test]
    fn forwards_are_counted_for_trace_and_options_alone() {
        for (method, value, left) in [
            ("TRACE", "3", Ok(Some("Max-Forwards: 2\r\n"))),
            ("OPTIONS", "1", Ok(Some("Max-Forwards: 0\r\n"))),
            ("GET", "3", Ok(Some("Max-Forwards: 3\r\n"))),
            ("TRACE", "-1", Err(Unfit::MaxForwards)),
        ] {
            let head =
                format!("{method} http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
            let rewritten = rewritten(&head, &rules(), Announced::Nothing);
            match (rewritten, left) {
                (Ok(head), Ok(Some(left))) => assert!(head.contains(left), "{head}"),
                (other, left) => assert_eq!(other.err(), left.err()),
            }
        }
    }

    #[test]
    fn a_loop_is_seen_by_name() {
        for (via, is_back) in [
            ("1.1 p", true),
            ("1.0 a, 1.1 P (a comment)", true),
            ("HTTP/1.1 p", true),
            ("1.1 pp", false),
            ("p", false),
            ("1.1 a (1.1 p)", false),
            ("", false),
        ] {
            let headers = [Header {
                name: "Via",
                value: via.as_bytes(),
            }];
            assert_eq!(is_loop(&headers, "p"), is_back, "{via}");
        }
    }

    #[test]
    fn a_crowd_of_connection_options_is_refused() {
        let head = |n: usize| {
            format!(
                "GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n",
                "x,".repeat(n)
            )
        };
        let most = rewritten(&head(MAX_CONNECTION_OPTIONS), &rules(), Announced::Nothing);
        assert!(most.is_ok());
        let more = rewritten(
            &head(MAX_CONNECTION_OPTIONS + 1),
            &rules(),
            Announced::Nothing,
        );
        assert_eq!(more, Err(Unfit::ConnectionOptions));
    }

    #[test]
    fn an_answer_is_rewritten_too() {
        let head = Head::parse(
            b"HTTP/1.1 200 Fine\r\nConnection: X-Hop\r\nX-Hop: 1\r\nset-cookie: x\r\nA : b\r\n c\r\nUpgrade: h2c\r\n\
              Proxy-Authenticate: Basic\r\nContent-Length: 3\r\nContent-Length: 3\r\nVia: 1.1 o\r\n",
        )
        .expect("a head");
        assert_eq!(check_answer(&head), Ok(()));
        let mut out = Vec::new();
        write_answer(
            &mut out,
            &rules(),
            &head,
            Announced::Length(3),
            "Connection: close\r\n",
        )
        .expect("fit");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "HTTP/1.1 200 Fine\r\nA: b c\r\nVia: 1.1 o\r\nContent-Length: 3\r\nVia: 1.1 p\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn an_answer_with_two_ends_is_unfit() {
        for (head, fit) in [
            (
                "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                false,
            ),
            ("HTTP/1.0 200 X\r\nTransfer-Encoding: chunked\r\n", false),
            ("HTTP/1.1 304 X\r\nContent-Length: x\r\n", false),
            ("HTTP/1.1 204 X\r\nContent-Length: 1, 2\r\n", false),
            ("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n", true),
            ("HTTP/1.1 304 X\r\nContent-Length: 3\r\n", true),
            ("HTTP/1.0 200 X\r\n", true),
        ] {
            let parsed = Head::parse(head.as_bytes()).expect(head);
            assert_eq!(check_answer(&parsed).is_ok(), fit, "{head}");
        }
    }

    #[test]
    fn the_field_names_of_options_are_tokens() {
        assert!(token("X-Y").is_ok());
        for bad in ["", "a b", "a:", "a\r\nb"] {
            assert!(token(bad).is_err(), "{bad:?}");
        }
    }
}
