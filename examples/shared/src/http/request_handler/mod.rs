//! Requests of HTTP served by straight code, as Python's `BaseHTTPServer` has it: `do_GET` and its like, `send_response`,
//! `send_header`, `end_headers`, `send_error`, `rfile` and `wfile`.
//!
//! The [`service`](super::service) reads and writes on the loop; a [`RequestHandler`] runs on the threads of a
//! [`Pool`](crate::handlers::Pool). A long body is read from the client as the handler reads it.

mod request;
mod threaded;

use asynchat::Result;

pub use self::{request::HttpRequest, threaded::Threaded};

/// Serves requests by their method. It runs on many threads at once. A method that is not written is answered with 501.
///
/// An error is an answer 500 if none has begun; otherwise the answer is cut. So is a panic.
#[allow(non_snake_case, reason = "the names of BaseHTTPServer")]
pub trait RequestHandler: Send + Sync + 'static {
    /// # Errors
    /// See the trait.
    fn do_GET(&self, request: &mut HttpRequest) -> Result {
        request.send_unsupported()
    }

    /// # Errors
    /// See the trait.
    fn do_HEAD(&self, request: &mut HttpRequest) -> Result {
        request.send_unsupported()
    }

    /// # Errors
    /// See the trait.
    fn do_POST(&self, request: &mut HttpRequest) -> Result {
        request.send_unsupported()
    }

    /// # Errors
    /// See the trait.
    fn do_PUT(&self, request: &mut HttpRequest) -> Result {
        request.send_unsupported()
    }

    /// # Errors
    /// See the trait.
    fn do_DELETE(&self, request: &mut HttpRequest) -> Result {
        request.send_unsupported()
    }

    /// # Errors
    /// See the trait.
    fn do_OPTIONS(&self, request: &mut HttpRequest) -> Result {
        request.send_unsupported()
    }

    /// Calls the method above that the request names; for further methods.
    ///
    /// # Errors
    /// See the trait.
    fn handle(&self, request: &mut HttpRequest) -> Result {
        match request.command() {
            "GET" => self.do_GET(request),
            "HEAD" => self.do_HEAD(request),
            "POST" => self.do_POST(request),
            "PUT" => self.do_PUT(request),
            "DELETE" => self.do_DELETE(request),
            "OPTIONS" => self.do_OPTIONS(request),
            _ => request.send_unsupported(),
        }
    }
}
