//! Straight code: what BaseHTTPServer's handler would be here.

use std::io::{Read, Write};

use asynchat::Result;
use shared::http::{
    escape::html,
    request_handler::{HttpRequest, RequestHandler},
    service::Answer,
};

use crate::quotes::{MAX_FORM, MAX_QUOTE, Quotes, Refused};

const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) struct QuoteHandler {
    pub(crate) quotes: Quotes,
    pub(crate) read_only: bool,
}

impl RequestHandler for QuoteHandler {
    fn do_GET(&self, request: &mut HttpRequest) -> Result {
        let path = request.path().split('?').next().unwrap_or_default();
        let (content_type, body) = match path {
            "/" => ("text/html; charset=utf-8", self.page()),
            "/quote.txt" => (
                "text/plain; charset=utf-8",
                format!("{}\n", self.quotes.any()),
            ),
            _ => return request.send_error(404, "File not found"),
        };
        request.send_response(200);
        request.send_header("Content-Type", content_type)?;
        request.send_header("Content-Length", &body.len().to_string())?;
        request.send_header("Cache-Control", "no-store")?;
        request.send_header("X-Content-Type-Options", "nosniff")?;
        request.end_headers()?;
        Ok(request.wfile().write_all(body.as_bytes())?)
    }

    /// The body that is written is not sent.
    fn do_HEAD(&self, request: &mut HttpRequest) -> Result {
        self.do_GET(request)
    }

    fn do_POST(&self, request: &mut HttpRequest) -> Result {
        if request.path() != "/" {
            return request.send_error(404, "File not found");
        }
        if self.read_only {
            let answer = Answer::new(405).with("Allow", "GET, HEAD")?;
            return request.send_error_with(answer, "This server takes no quotes.");
        }
        if !is_form(request.header("content-type").unwrap_or_default()) {
            return request.send_error(415, &format!("A quote comes as {FORM}."));
        }
        let mut form = Vec::new();
        // The service refuses more.
        request.rfile().take(MAX_FORM).read_to_end(&mut form)?;
        let mut fields = form_urlencoded::parse(&form);
        let quote = fields.find(|(name, _)| name == "quote");
        let (_, quote) = quote.unwrap_or_default();
        match self.quotes.add(&quote) {
            Ok(()) => {
                request.send_response(303);
                request.send_header("Location", "/")?;
                request.send_header("Content-Length", "0")?;
                request.end_headers()
            }
            Err(Refused::Empty) => request.send_error(400, "The field quote is empty"),
            Err(Refused::TooLong) => {
                let explain = format!("A quote has at most {MAX_QUOTE} characters");
                request.send_error(413, &explain)
            }
            Err(Refused::TooMany) => {
                request.send_error(403, "There are as many quotes as the server keeps")
            }
        }
    }
}

impl QuoteHandler {
    fn page(&self) -> String {
        let quote = self.quotes.any();
        let form = match self.read_only {
            true => "",
            false => {
                "<form method=\"post\" action=\"/\"><p><textarea name=\"quote\" maxlength=\"1000\" required></textarea> \
                 <button>Add</button></p></form>\n"
            }
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Quote</title>\
             <link rel=\"icon\" href=\"data:,\"></head>\n<body>\n\
             <p>Today's quote:</p>\n<blockquote style=\"white-space:pre-wrap\">{}</blockquote>\n{form}</body>\n</html>\n",
            html(&quote)
        )
    }
}

/// Whether this is the type of a form, with or without parameters.
fn is_form(content_type: &[u8]) -> bool {
    let kind = content_type.split(|&byte| byte == b';').next();
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(FORM.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_known_by_its_type() {
        for (content_type, is) in [
            (FORM, true),
            ("Application/X-WWW-Form-Urlencoded ; charset=utf-8", true),
            ("multipart/form-data; boundary=x", false),
            ("", false),
        ] {
            assert_eq!(is_form(content_type.as_bytes()), is, "{content_type}");
        }
    }
}
