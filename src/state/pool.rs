//! The buffers a reactor reads into: one, and more only while one callback reads on behalf of another.

pub(crate) struct ReadBuffers {
    size: usize,
    /// Empty while it is out.
    first: Box<[u8]>,
    others: Vec<Box<[u8]>>,
}

impl ReadBuffers {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            first: Box::default(),
            others: Vec::new(),
        }
    }

    /// A buffer of some earlier use, for `give` afterwards.
    #[inline]
    pub(crate) fn take(&mut self) -> Box<[u8]> {
        let buffer = std::mem::take(&mut self.first);
        if buffer.is_empty() {
            return self.take_other();
        }
        buffer
    }

    #[cold]
    fn take_other(&mut self) -> Box<[u8]> {
        self.others
            .pop()
            .unwrap_or_else(|| vec![0; self.size].into_boxed_slice())
    }

    #[inline]
    pub(crate) fn give(&mut self, buffer: Box<[u8]>) {
        if self.first.is_empty() {
            self.first = buffer;
        } else {
            self.others.push(buffer);
        }
    }
}
