//! The protocol of a connection: a line out, a document in.

use asynchat::{BoxError, Registry, Result, Terminator};

use super::{Consumer, GopherUrl, document::Document};
use crate::client::{Protocol, Talk};

/// One document on its way.
pub struct Request<C> {
    line: Vec<u8>,
    document: Document,
    consumer: C,
}

impl<C: Consumer> Request<C> {
    pub fn new(url: &GopherUrl, consumer: C) -> Self {
        let mut line = url.line();
        line.extend_from_slice(b"\r\n");
        Self {
            line,
            document: Document::new(url.is_text()),
            consumer,
        }
    }
}

impl<C: Consumer> Protocol for Request<C> {
    fn connected(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        talk.push(std::mem::take(&mut self.line));
        talk.read_data(Terminator::None);
        Ok(())
    }

    fn line(&mut self, _: &mut Talk<'_, '_>, _: &[u8]) -> Result {
        Ok(())
    }

    fn data(&mut self, _: &mut Talk<'_, '_>, data: &[u8]) -> Result {
        let consumer = &mut self.consumer;
        self.document.piece(data, &mut |data| consumer.data(data))
    }

    fn end_of_file(&mut self, talk: &mut Talk<'_, '_>) -> Result {
        let consumer = &mut self.consumer;
        self.document.finish(&mut |data| consumer.data(data))?;
        talk.succeed();
        Ok(())
    }

    fn finished(&mut self, registry: &mut Registry, outcome: Result<(), BoxError>) {
        self.consumer.finished(registry, outcome);
    }
}
