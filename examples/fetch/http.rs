//! `http` and `https`.

use asynchat::{BoxError, Result};
use shared::http::consumer::{Consumer, Request};

use crate::download::Download;

/// An answer that reports an error is an error, as for `urllib`.
pub(crate) struct Answer(pub(crate) Download);

impl Consumer for Answer {
    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let head = request.head;
        if !(200..300).contains(&head.status) {
            let (status, reason) = (head.status, &head.reason);
            return Err(format!("the server answered with status {status} {reason}").into());
        }
        let media_type = head.get("content-type");
        let media_type = media_type.map(|value| String::from_utf8_lossy(value).into_owned());
        self.0.begin(request.length, media_type)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.0.take(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.0.end(outcome);
    }
}
