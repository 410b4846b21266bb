//! Which answer a request gets.

use std::{
    borrow::Cow,
    fs::Metadata,
    io::ErrorKind,
    path::{Path, PathBuf},
    rc::Rc,
};

use asynchat::Registry;

use shared::http::{
    header,
    paths::{Found, Refused, Target, refused},
    request::Request,
};

use super::{
    coding::accepted,
    conditional::{Verdict, judge},
    multipart::Multipart,
    reply::{Body, Extra, Reply},
};
use crate::{files::open::OpenFile, server::Server, site::listing::View, status};

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

/// Lets a request in that gives name and password, if they are asked for; gives the name.
pub(crate) fn admit<'s>(
    server: &'s Server,
    request: &Request<'_>,
) -> Result<Option<&'s str>, NotAdmitted> {
    let Some(users) = &server.users else {
        return Ok(None);
    };
    match users.admit(request.headers) {
        Some(name) => Ok(Some(name)),
        // A browser asks without them.
        None if is_preflight(server, request) => Ok(None),
        None => Err(NotAdmitted),
    }
}

/// There is no name with its password in a request.
pub(crate) struct NotAdmitted;

impl From<NotAdmitted> for Reply {
    fn from(_: NotAdmitted) -> Self {
        let detail = "This server asks for a name and a password.";
        Self::error_with(401, detail, Extra::Challenge)
    }
}

/// Whether a browser asks if a page of another origin may send a request.
fn is_preflight(server: &Server, request: &Request<'_>) -> bool {
    let has = |name| header(request.headers, name).is_some();
    server.options.cors
        && request.method == "OPTIONS"
        && has("origin")
        && has("access-control-request-method")
}

/// Answers a request whose head was found good and whose body has been read.
pub(crate) fn answer(server: &Rc<Server>, registry: &mut Registry, request: &Request<'_>) -> Reply {
    if is_preflight(server, request) {
        return Reply::bare(204, Extra::Preflight);
    }
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
    let name = kept_name(server, request, path);
    if let Some(open) = server.kept_file(&name, registry.now()) {
        return file(server, request, &open);
    }
    let found = Target::parse(path)
        .and_then(|target| server.root.find(&target).map(|found| (target, found)));
    let (target, found) = match found {
        Ok(found) => found,
        Err(Refused::NotFound) => return nothing(server, request),
        Err(why) => return refusal(why),
    };
    let opened = match found {
        // A link's own name says what it is, not the name of the file it leads to.
        Found::File(place, metadata) => {
            let name = String::from_utf8_lossy(target.name());
            open(server, request, &place, &metadata, &name)
        }
        Found::Directory(_) if !target.has_slash() => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            let detail = "The directory has a slash at its end.";
            let url = format!("{}{query}", target.url());
            return Reply::error_with(301, detail, Extra::Location(url));
        }
        Found::Directory(place) => {
            let index = &server.options.index;
            match server.root.find_in(&place, index.as_ref()) {
                Some((place, metadata)) => open(server, request, &place, &metadata, index),
                None if server.options.no_listing => return nothing(server, request),
                None => {
                    return directory(server, registry, &place, &target, query.unwrap_or(""));
                }
            }
        }
    };
    match opened {
        Ok(open) => {
            server.keep_file(registry, &name, &open);
            file(server, request, &open)
        }
        Err(why) => refusal(why),
    }
}

/// The name by which the file of a path is kept. If there are compressed ones, it depends on the client which is sent.
fn kept_name<'p>(server: &Server, request: &Request<'_>, path: &'p str) -> Cow<'p, str> {
    if !server.options.precompressed {
        return path.into();
    }
    let codings: Vec<_> = accepted(request.headers)
        .map(|coding| coding.name)
        .collect();
    format!("{} {path}", codings.join(",")).into()
}

/// The path names nothing.
fn nothing(server: &Server, request: &Request<'_>) -> Reply {
    let options = &server.options;
    let page = |name: &Option<PathBuf>| {
        let name = name.as_deref()?;
        let found = server.root.find_at_top(name)?;
        Some((found, name.to_string_lossy().into_owned()))
    };
    if let Some(((place, metadata), name)) = page(&options.spa) {
        // Not kept: there is no end of paths that name nothing.
        return match open(server, request, &place, &metadata, &name) {
            Ok(open) => file(server, request, &open),
            Err(why) => refusal(why),
        };
    }
    if let Some(((place, _), name)) = page(&options.not_found)
        && let Ok(open) = OpenFile::open(&place, content_type(&name), None, false)
        && let Ok(whole) = open.whole()
    {
        return Reply {
            content_type: open.content_type.into(),
            body: whole.into(),
            ..Reply::bare(404, Extra::None)
        };
    }
    refusal(Refused::NotFound)
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

/// Opens the file that was found, or a compressed one beside it; its type goes by `name`.
fn open(
    server: &Server,
    request: &Request<'_>,
    place: &Path,
    metadata: &Metadata,
    name: &str,
) -> Result<Rc<OpenFile>, Refused> {
    let compressed = match server.options.precompressed {
        true => compressed(server, request, place, metadata),
        false => None,
    };
    let (place, coding) = match &compressed {
        Some((place, coding)) => (&**place, Some(*coding)),
        None => (place, None),
    };
    let content_type = content_type(name);
    let is_kept = !server.options.file_cache.is_zero();
    let open = || {
        OpenFile::open(place, content_type, coding, is_kept)
            .map(Rc::new)
            .map_err(|error| refused(&error, place))
    };
    match open() {
        Err(Refused::Overloaded) if server.forget_files() => open(),
        opened => opened,
    }
}

/// Answers with an open file, or with what the request's conditions and ranges leave of it.
fn file(server: &Server, request: &Request<'_>, open: &OpenFile) -> Reply {
    let validators = open.validators;
    let get = request.method == "GET";
    let body = match judge(request.headers, get, &validators) {
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
        Verdict::Whole => open.whole().map(|cut| (cut.into(), Extra::None)),
        Verdict::Part(span) => open.cut(span).map(|cut| (cut.into(), Extra::Part(span))),
        Verdict::Parts(spans) => {
            Multipart::new(open, &spans).map(|parts| (Body::Parts(parts), Extra::None))
        }
    };
    match body {
        Ok((body, extra)) => Reply {
            status: match (&body, &extra) {
                (Body::Parts(_), _) | (_, Extra::Part(_)) => 206,
                _ => 200,
            },
            content_type: match &body {
                Body::Parts(parts) => parts.content_type().into(),
                _ => open.content_type.into(),
            },
            coding: open.coding,
            file: Some(validators),
            extra,
            body,
            ..Reply::bare(200, Extra::None)
        }
        .with_fields(open, &server.options),
        // It has become shorter since.
        Err(error) if error.kind() == ErrorKind::InvalidInput => refusal(Refused::Failed),
        Err(error) => {
            log::error!("a file that is open: {error}");
            refusal(Refused::Failed)
        }
    }
}

/// The compressed file beside a file that the client likes best. One that is older was made of something else.
fn compressed(
    server: &Server,
    request: &Request<'_>,
    place: &Path,
    metadata: &Metadata,
) -> Option<(PathBuf, &'static str)> {
    let directory = place.parent()?;
    let modified = metadata.modified().ok()?;
    accepted(request.headers).find_map(|coding| {
        let mut name = place.file_name()?.to_owned();
        name.push(coding.suffix);
        let (place, metadata) = server.root.find_in(directory, name.as_ref())?;
        let is_fresh = metadata.modified().is_ok_and(|time| time >= modified);
        is_fresh.then_some((place, coding.name))
    })
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
