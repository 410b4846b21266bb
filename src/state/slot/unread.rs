//! The bytes of a channel that were read and given back, or not used.

use crate::state::{slot::Slot, unread::Unread};

impl Slot {
    /// Reads what was given back, if anything was. While a handshake is on, it is the filter's, or waits for the end of the
    /// handshake.
    pub(crate) fn read_unread(&mut self, buf: &mut [u8]) -> Option<usize> {
        if self.is_shaking() {
            return None;
        }
        let unread = self.unread.as_mut()?;
        let n = unread.bytes().len().min(buf.len());
        buf[..n].copy_from_slice(&unread.bytes()[..n]);
        unread.consume(n);
        self.unread.take_if(|unread| unread.is_empty());
        Some(n)
    }

    /// Has bytes read again, before all others.
    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.drops_input() {
            return;
        }
        match &mut self.unread {
            Some(unread) => unread.give_back(bytes),
            None => self.unread = Some(Box::new(Unread::new(bytes))),
        }
    }

    /// Whether what was read and not used is nobody's.
    fn drops_input(&self) -> bool {
        self.flags.is_closing() && !self.is_shaking()
    }

    /// Keeps what was read and not used, behind what was given back meanwhile.
    pub(crate) fn keep_rest(&mut self, rest: &[u8]) {
        if rest.is_empty() || self.drops_input() {
            return;
        }
        match &mut self.unread {
            Some(unread) => unread.append(rest),
            None => self.unread = Some(Box::new(Unread::new(rest))),
        }
    }

    /// The same with what [`Registry::fill`] took out: it goes back whole.
    pub(crate) fn keep_unread(&mut self, mut rest: Box<Unread>) {
        if rest.is_empty() || self.drops_input() {
            return;
        }
        if let Some(first) = self.unread.take() {
            rest.give_back(first.bytes());
        }
        self.unread = Some(rest);
    }
}
