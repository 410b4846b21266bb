//! Which answer a request gets.

use std::{
    fs::{File, Metadata},
    io::ErrorKind,
    path::Path,
    time::SystemTime,
};

use asynchat::{FilePart, Registry};

use shared::http::{
    paths::{Found, Refused, Target, refused},
    request::Request,
};

use super::{
    conditional::{Validators, Verdict, judge},
    reply::{Body, Extra, Reply},
};
use crate::{server::Server, site::listing::View, status};

pub(crate) fn accepts(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// The refusal of another method.
pub(crate) fn refuse_method(method: &str) -> Reply {
    match method {
        "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT" => {
            let detail = "This server only reads: GET and HEAD.";
            Reply::error_with(405, detail, Extra::Allow)
        }
        _ => Reply::error(501, "This server does not know the method."),
    }
}

/// Answers a request whose head was found good and whose body has been read.
pub(crate) fn answer(server: &Server, registry: &Registry, request: &Request<'_>) -> Reply {
    if !accepts(request.method) {
        return refuse_method(request.method);
    }
    let Some(target) = request.origin_form() else {
        return refusal(Refused::Malformed);
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*target, None),
    };
    if server.board.is_some() && path == status::PATH {
        return server.status_page(registry);
    }
    let found = Target::parse(path)
        .and_then(|target| server.root.find(&target).map(|found| (target, found)));
    let (target, found) = match found {
        Ok(found) => found,
        Err(why) => return refusal(why),
    };
    match found {
        Found::File(place, metadata) => {
            let name = String::from_utf8_lossy(target.name());
            file(request, &place, &metadata, &name)
        }
        Found::Directory(_) if !target.has_slash() => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            let detail = "The directory has a slash at its end.";
            let url = format!("{}{query}", target.url());
            Reply::error_with(301, detail, Extra::Location(url))
        }
        Found::Directory(place) => match server.root.find_in(&place, &server.index) {
            Some((index, metadata)) => file(request, &index, &metadata, &server.index),
            None => directory(server, registry, &place, &target, query.unwrap_or("")),
        },
    }
}

fn refusal(why: Refused) -> Reply {
    match why {
        Refused::Malformed => Reply::error(400, "The request's target is malformed."),
        Refused::NotFound => Reply::error(404, "There is nothing of this name."),
        Refused::Forbidden => Reply::error(403, "This is not served."),
        Refused::Overloaded => overloaded(),
        Refused::Failed => Reply::error(500, "The file could not be read."),
    }
}

pub(crate) fn overloaded() -> Reply {
    let detail = "The server has too much to do. Try again soon.";
    Reply::error_with(503, detail, Extra::RetryAfter)
}

fn directory(
    server: &Server,
    registry: &Registry,
    place: &Path,
    target: &Target<'_>,
    query: &str,
) -> Reply {
    let shown = target.shown();
    let view = View::of_query(query);
    let mut pages = server.pages.borrow_mut();
    match pages.page(&server.root, place, &shown, view, registry.now()) {
        Ok(page) => Reply {
            is_costly: true,
            ..Reply::page(page, Extra::None)
        },
        Err(error) => refusal(refused(&error, place)),
    }
}

/// A link's `name` says what it is, not the name of the file it leads to.
fn file(request: &Request<'_>, place: &Path, metadata: &Metadata, name: &str) -> Reply {
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
    match File::open(place).and_then(|file| FilePart::new(file, start..start + len)) {
        Ok(part) => Reply {
            status: if matches!(extra, Extra::None) {
                200
            } else {
                206
            },
            content_type: content_type(name),
            file: Some(validators),
            extra,
            body: Body::File(part),
            is_costly: false,
        },
        // It has become shorter since.
        Err(error) if error.kind() == ErrorKind::InvalidInput => refusal(Refused::Failed),
        Err(error) => refusal(refused(&error, place)),
    }
}

/// By the name's extension. Text is said to be UTF-8, which most of it is today.
fn content_type(name: &str) -> &'static str {
    let extension = Path::new(name)
        .extension()
        .and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or("");
    // A video to the list: MPEG's transport streams had the name first.
    if ["ts", "mts", "cts", "tsx"]
        .iter()
        .any(|name| extension.eq_ignore_ascii_case(name))
    {
        return "text/typescript; charset=utf-8";
    }
    match mime_guess::from_ext(extension).first_raw() {
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
    fn content_types_go_by_the_name() {
        for (name, kind) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.HTM", "text/html; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.ts", "text/typescript; charset=utf-8"),
            ("a.d.MTS", "text/typescript; charset=utf-8"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.tar.gz", "application/gzip"),
            ("README", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), kind, "{name}");
        }
    }
}
