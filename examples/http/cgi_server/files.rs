//! The files beside the scripts.

use std::{fs::File, path::Path, time::SystemTime};

use asynchat::{FilePart, Result};
use shared::{
    cgi::place::Scripts,
    http::{
        date::{self, DateText},
        paths::{Found, Refused, Root, Target},
        service::{Answer, Exchange},
    },
};

use crate::refusal::refuse;

const INDEX: &str = "index.html";

pub(crate) struct Files {
    root: Root,
}

impl Files {
    pub(crate) fn new(root: Root) -> Self {
        Self { root }
    }

    pub(crate) fn answer(
        &self,
        exchange: &mut Exchange<'_, '_>,
        target: &Target<'_>,
        method: &str,
        if_modified_since: Option<&[u8]>,
        scripts: &Scripts,
    ) -> Result {
        if !matches!(method, "GET" | "HEAD") {
            let answer = Answer::new(405).with("Allow", "GET, HEAD")?;
            return exchange.error_with(answer, "This is a file, not a script.");
        }
        let place = match self.root.find(target) {
            Ok(Found::File(place, _)) => Ok(place),
            Ok(Found::Directory(_)) if !target.has_slash() => {
                let answer = Answer::new(301).with("Location", target.url())?;
                return exchange.error_with(answer, "");
            }
            Ok(Found::Directory(place)) => {
                let index = self.root.find_in(&place, Path::new(INDEX));
                index.map(|(place, _)| place).ok_or(Refused::Forbidden)
            }
            Err(refused) => Err(refused),
        };
        match place {
            // Under another name than that of scripts it would be their text.
            Ok(place) if scripts.contain(&place) => refuse(exchange, Refused::Forbidden),
            Ok(place) => send(exchange, &place, if_modified_since),
            Err(refused) => refuse(exchange, refused),
        }
    }
}

fn send(exchange: &mut Exchange<'_, '_>, place: &Path, if_modified_since: Option<&[u8]>) -> Result {
    let opened = File::open(place)
        .and_then(|file| Ok((file.metadata()?.modified()?, FilePart::new(file, ..)?)));
    let (modified, part) = match opened {
        Ok(opened) => opened,
        Err(error) => return refuse(exchange, shared::http::paths::refused(&error, place)),
    };
    // A Last-Modified must not be later than Date.
    let modified = date::whole_seconds(modified.min(SystemTime::now()));
    let mut answer = Answer::new(200);
    answer.add("Last-Modified", DateText::default().http(modified))?;
    if if_modified_since
        .and_then(date::parse)
        .is_some_and(|since| modified <= since)
    {
        let answer = Answer::new(304);
        exchange.begin(&answer)?;
        return exchange.end();
    }
    answer.add("Content-Type", content_type(place))?;
    answer.add("X-Content-Type-Options", "nosniff")?;
    exchange.begin(&answer.length(part.len()))?;
    exchange.end_with_file(part)
}

fn content_type(place: &Path) -> String {
    let kind = mime_guess::from_path(place).first_raw();
    match kind.unwrap_or("application/octet-stream") {
        text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        other => other.into(),
    }
}
