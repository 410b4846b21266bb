//! Messages (RFC 5322, RFC 2045 to 2049) made readable: who, when and about what, the text, and a line for each other part.
//!
//! Header fields, encoded words, charsets and transfer encodings are read by the crate `mail-parser`. The parts are split here,
//! because that crate has no limit for them: a message of nested messages overflows its stack, and one of 360 KiB with
//! boundaries that never come takes it ten seconds.

mod entity;
mod excerpt;
mod line_ends;
mod show;

pub use excerpt::Excerpt;
pub use line_ends::LineEnds;
pub use show::{MAX_DEPTH, MAX_PARTS, show, summary};
