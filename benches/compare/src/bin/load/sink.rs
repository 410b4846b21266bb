//! `sink`: the server takes everything and says nothing, until the half-close, which it answers by the end of the stream.

use crate::{args::Options, content, engine::Exchange, failure::Failure};

pub(crate) struct Sink {
    bytes: Vec<u8>,
    size: usize,
}

impl Sink {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            bytes: content::file(options.size * options.window),
            size: options.size,
        }
    }
}

impl Exchange for Sink {
    /// Messages in the window.
    type Cursor = usize;

    fn cursor(&self, _: usize) -> usize {
        0
    }

    #[inline]
    fn begin(&self, window: &mut usize, count: usize) {
        *window = count;
    }

    #[inline]
    fn request<'a>(&'a self, window: &usize) -> &'a [u8] {
        &self.bytes[..window * self.size]
    }

    fn answer(&mut self, _: &mut usize, got: &[u8]) -> Result<(), Failure> {
        Err(Failure::Surplus { bytes: got.len() })
    }

    #[inline]
    fn answered(&self, _: &usize) -> bool {
        true
    }

    fn half_closes(&self) -> bool {
        true
    }
}
