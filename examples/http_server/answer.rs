//! Which answer a request gets.

use std::{
    fs::{File, Metadata},
    io::{Seek, SeekFrom},
    path::Path,
    time::SystemTime,
};

use asynchat::Registry;

use crate::{
    conditional::{Validators, Verdict, judge},
    http_common::{escape, request::Request},
    listing::{self, Order},
    paths::{Found, Refused, refused},
    reply::{Body, Extra, Reply},
    server::Server,
    status,
};

/// The refusal of a method other than GET and HEAD.
pub(crate) fn refuse_method(method: &str) -> Option<Reply> {
    match method {
        "GET" | "HEAD" => None,
        "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT" => {
            let detail = "This server only reads: GET and HEAD.";
            Some(Reply::error_with(405, detail, Extra::Allow))
        }
        _ => Some(Reply::error(501, "This server does not know the method.")),
    }
}

/// Answers a request whose head was found good and whose body has been read.
pub(crate) fn answer(server: &Server, registry: &Registry, request: &Request<'_>) -> Reply {
    if let Some(reply) = refuse_method(request.method) {
        return reply;
    }
    let target = origin_form(request.target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if server.history.is_some() && path == status::PATH {
        return server.status_page(registry);
    }
    let found = match server.root.find(path) {
        Ok(found) => found,
        Err(why) => return refusal(why),
    };
    match found {
        Found::File(place, metadata) => file(request, &place, &metadata),
        Found::Directory(_) if !path.ends_with('/') => {
            let query = target.strip_prefix(path).unwrap_or("");
            let detail = "The directory has a slash at its end.";
            Reply::error_with(301, detail, Extra::Location(format!("{path}/{query}")))
        }
        Found::Directory(place) => match server.root.find_in(&place, &server.index) {
            Some((index, metadata)) => file(request, &index, &metadata),
            None => directory(server, &place, path, query),
        },
    }
}

/// The path and query of a target that may name scheme and host too, as clients of proxies write it.
fn origin_form(target: &str) -> &str {
    let scheme = "http://";
    match target.split_at_checked(scheme.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

fn refusal(why: Refused) -> Reply {
    match why {
        Refused::Malformed => Reply::error(400, "The request's target is malformed."),
        Refused::NotFound => Reply::error(404, "There is nothing of this name."),
        Refused::Forbidden => Reply::error(403, "This is not served."),
        Refused::Overloaded => Reply::error_with(
            503,
            "The server has too much to do. Try again soon.",
            Extra::RetryAfter,
        ),
        Refused::Failed => Reply::error(500, "The file could not be read."),
    }
}

fn directory(server: &Server, place: &Path, path: &str, query: &str) -> Reply {
    let shown = escape::decode(path.as_bytes()).unwrap_or_default();
    let shown = String::from_utf8_lossy(&shown);
    match listing::page(&server.root, place, &shown, Order::of_query(query)) {
        Ok(page) => Reply::page(page, Extra::None),
        Err(error) => refusal(refused(&error, place)),
    }
}

fn file(request: &Request<'_>, place: &Path, metadata: &Metadata) -> Reply {
    let validators = Validators::of(metadata, SystemTime::now());
    let get = request.method == "GET";
    let (start, len, extra) = match judge(request.headers, get, &validators) {
        Verdict::NotModified => return Reply::not_modified(validators),
        Verdict::PreconditionFailed => {
            return Reply::error(
                412,
                "The file is not in the state the request is meant for.",
            );
        }
        Verdict::Unsatisfiable => {
            let reply = Reply::error_with(416, "The file does not reach that far.", Extra::NoPart);
            return Reply {
                file: Some(validators),
                ..reply
            };
        }
        Verdict::Whole => (0, validators.len, Extra::None),
        Verdict::Part { start, len } => (start, len, Extra::Part { start, len }),
    };
    let opened = File::open(place).and_then(|mut file| {
        if start > 0 {
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(file)
    });
    match opened {
        Ok(file) => Reply {
            status: if matches!(extra, Extra::None) {
                200
            } else {
                206
            },
            content_type: content_type(place),
            file: Some(validators),
            extra,
            body: Body::File(file, len),
        },
        Err(error) => refusal(refused(&error, place)),
    }
}

/// By the name's extension. Text is said to be UTF-8, which most of it is today.
fn content_type(place: &Path) -> &'static str {
    let extension = place.extension().and_then(|extension| extension.to_str());
    let guess = mime_guess::from_ext(extension.unwrap_or("")).first_raw();
    match guess {
        Some("text/html") => "text/html; charset=utf-8",
        Some("text/plain") => "text/plain; charset=utf-8",
        Some("text/css") => "text/css; charset=utf-8",
        Some("text/javascript" | "application/javascript") => "text/javascript; charset=utf-8",
        Some("text/markdown") => "text/markdown; charset=utf-8",
        Some("text/csv") => "text/csv; charset=utf-8",
        Some("text/x-rust") => "text/plain; charset=utf-8",
        Some(known) => known,
        None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_name_the_host() {
        for (target, origin) in [
            ("/a?b", "/a?b"),
            ("http://host:80/a?b", "/a?b"),
            ("HTTP://host", "/"),
            ("*", "*"),
            ("host:443", "host:443"),
        ] {
            assert_eq!(origin_form(target), origin);
        }
    }

    #[test]
    fn content_types_go_by_the_name() {
        for (name, kind) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.HTM", "text/html; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.tar.gz", "application/gzip"),
            ("README", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(name)), kind, "{name}");
        }
    }
}
