//! `source`: `GIVE n` is answered by so many bytes of the block, over and over.

use crate::{
    args::Options,
    content::{BLOCK, block_byte},
    engine::Exchange,
    failure::{Failure, compare},
};

pub(crate) struct Source {
    requests: Vec<u8>,
    request: usize,
    size: usize,
    block: Vec<u8>,
}

pub(crate) struct Place {
    count: usize,
    /// Answers outstanding.
    left: usize,
    /// How much of the present answer has come.
    at: usize,
}

impl Source {
    pub(crate) fn new(options: &Options) -> Self {
        let request = format!("GIVE {}\r\n", options.size);
        Self {
            requests: request.as_bytes().repeat(options.window),
            request: request.len(),
            size: options.size,
            block: (0..BLOCK).map(block_byte).collect(),
        }
    }
}

impl Exchange for Source {
    type Cursor = Place;

    fn cursor(&self, _: usize) -> Place {
        Place {
            count: 0,
            left: 0,
            at: 0,
        }
    }

    #[inline]
    fn begin(&self, place: &mut Place, count: usize) {
        place.count = count;
        place.left = count;
    }

    #[inline]
    fn request<'a>(&'a self, place: &Place) -> &'a [u8] {
        &self.requests[..place.count * self.request]
    }

    fn answer(&mut self, place: &mut Place, mut got: &[u8]) -> Result<(), Failure> {
        while !got.is_empty() {
            if place.left == 0 {
                return Err(Failure::Surplus { bytes: got.len() });
            }
            let block = &self.block[place.at % BLOCK..];
            let usable = block.len().min(self.size - place.at);
            let (now, rest) = got.split_at(got.len().min(usable));
            compare(now, &block[..now.len()], "an answer", place.at)?;
            place.at += now.len();
            if place.at == self.size {
                place.at = 0;
                place.left -= 1;
            }
            got = rest;
        }
        Ok(())
    }

    #[inline]
    fn answered(&self, place: &Place) -> bool {
        place.left == 0
    }
}
