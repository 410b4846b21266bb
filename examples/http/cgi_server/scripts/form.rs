//! A script for `cgi_server`: shows a form, and what was sent with it, in either encoding of HTML's forms. A file is read
//! to its end and counted, not kept.

use std::{
    env,
    io::{self, Read, Write},
    process::ExitCode,
};

use asynchat::Bytes;
use clap::Parser;
use futures_util::stream;
use multer::{Constraints, Multipart, SizeLimit};
use shared::{cli, http::escape::html};

/// A script for cgi_server: shows a form, and what was sent with it
///
/// A web server calls it without arguments, and with the variables of CGI.
#[derive(Debug, Parser)]
#[command(name = "cgi_form")]
struct Args {}

/// Fields of a form.
const FIELDS: usize = 100;
/// Bytes of a form without files, and of each text in one with files.
const TEXT: u64 = 64 * 1024;
/// Bytes of a form with files.
const WHOLE: u64 = 1024 * 1024 * 1024;

/// What was sent under a name.
enum Value {
    Text(String),
    File {
        name: String,
        kind: String,
        bytes: u64,
    },
}

/// A status, and a sentence for the client.
struct Refusal(&'static str, String);

fn main() -> ExitCode {
    if env::var_os("GATEWAY_INTERFACE").is_none() {
        return cli::main(|_: Args| Err("a script for a web server: see cgi_server --help".into()));
    }
    let (status, page) = match answer() {
        Ok(page) => ("200 OK", page),
        Err(Refusal(status, why)) => (status, format!("<p>{}\n", html(&why))),
    };
    let page = format!("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>form</title>\n{page}");
    let head = format!(
        "Status: {status}\nContent-Type: text/html; charset=utf-8\nContent-Length: {}\n\n",
        page.len()
    );
    let mut output = io::stdout();
    let written = output
        .write_all(head.as_bytes())
        .and_then(|()| output.write_all(page.as_bytes()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer() -> Result<String, Refusal> {
    let method = variable("REQUEST_METHOD");
    let mut fields = decode(variable("QUERY_STRING").as_bytes())?;
    match method.as_str() {
        "GET" | "HEAD" => {}
        "POST" => fields.extend(posted()?),
        _ => {
            return Err(Refusal(
                "405 Method Not Allowed",
                "A form is sent by GET or POST.".into(),
            ));
        }
    }
    match fields.is_empty() {
        true => Ok(form(&variable("SCRIPT_NAME"))),
        false => Ok(fields.iter().map(row).collect()),
    }
}

fn posted() -> Result<Vec<(String, Value)>, Refusal> {
    let length: u64 = variable("CONTENT_LENGTH").parse().unwrap_or(0);
    let kind = variable("CONTENT_TYPE");
    if let Ok(boundary) = multer::parse_boundary(&kind) {
        return pollster::block_on(multipart(boundary, length));
    }
    let media_type = kind.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal(
            "415 Unsupported Media Type",
            format!("This is no form: {kind:?}"),
        ));
    }
    if length > TEXT {
        return Err(too_large(TEXT));
    }
    let mut body = Vec::new();
    let read = io::stdin().take(length).read_to_end(&mut body);
    read.map_err(|error| Refusal("400 Bad Request", error.to_string()))?;
    decode(&body)
}

fn decode(text: &[u8]) -> Result<Vec<(String, Value)>, Refusal> {
    let pairs = form_urlencoded::parse(text).take(FIELDS + 1);
    let fields: Vec<_> = pairs
        .map(|(name, value)| (name.into_owned(), Value::Text(value.into_owned())))
        .collect();
    match fields.len() > FIELDS {
        true => Err(too_many()),
        false => Ok(fields),
    }
}

async fn multipart(boundary: String, length: u64) -> Result<Vec<(String, Value)>, Refusal> {
    let mut input = io::stdin().take(length);
    let pieces = std::iter::from_fn(move || {
        let mut piece = vec![0; 64 * 1024];
        match input.read(&mut piece) {
            Ok(0) => None,
            Ok(n) => {
                piece.truncate(n);
                Some(Ok(Bytes::from(piece)))
            }
            Err(error) => Some(Err(error)),
        }
    });
    let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(WHOLE));
    let mut parts = Multipart::with_constraints(stream::iter(pieces), boundary, limits);
    let mut fields = Vec::new();
    while let Some(mut part) = parts
        .next_field()
        .await
        .map_err(|error| malformed(&error))?
    {
        if fields.len() == FIELDS {
            return Err(too_many());
        }
        let name = part.name().unwrap_or_default().to_owned();
        let file = part.file_name().map(str::to_owned);
        let kind = part
            .content_type()
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut text = Vec::new();
        let mut bytes = 0;
        while let Some(piece) = part.chunk().await.map_err(|error| malformed(&error))? {
            bytes += piece.len() as u64;
            if file.is_none() {
                if bytes > TEXT {
                    return Err(too_large(TEXT));
                }
                text.extend_from_slice(&piece);
            }
        }
        let value = match file {
            Some(name) => Value::File { name, kind, bytes },
            None => Value::Text(String::from_utf8_lossy(&text).into_owned()),
        };
        fields.push((name, value));
    }
    Ok(fields)
}

fn malformed(error: &multer::Error) -> Refusal {
    match error {
        multer::Error::StreamSizeExceeded { limit } => too_large(*limit),
        error => Refusal("400 Bad Request", error.to_string()),
    }
}

fn too_large(limit: u64) -> Refusal {
    Refusal(
        "413 Content Too Large",
        format!("More than {limit} bytes were sent."),
    )
}

fn too_many() -> Refusal {
    Refusal(
        "413 Content Too Large",
        format!("More than {FIELDS} fields were sent."),
    )
}

fn row((name, value): &(String, Value)) -> String {
    let value = match value {
        Value::Text(text) => text.clone(),
        Value::File { name, kind, bytes } => format!("{name} ({kind}): {bytes} bytes"),
    };
    format!("<p><b>{}</b>: {}\n", html(name), html(&value))
}

fn form(script: &str) -> String {
    let script = html(script);
    format!(
        "<form action=\"{script}\" method=\"post\">\n<p><input name=\"text\"> <button>Send</button>\n</form>\n\
         <form action=\"{script}\" method=\"post\" enctype=\"multipart/form-data\">\n\
         <p><input name=\"text\"> <input name=\"file\" type=\"file\"> <button>Send</button>\n</form>\n"
    )
}

fn variable(name: &str) -> String {
    env::var_os(name)
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
