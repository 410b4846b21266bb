//! What can be pushed.

use bytes::Bytes;

/// Bytes for the outgoing queue: the argument of [`Channel::push`](crate::Channel::push).
///
/// Everything that converts into [`Bytes`] has it: `Vec<u8>`, `String`, `Box<[u8]>`, `Bytes`, and text and bytes that are
/// `&'static`. For a type of your own implement `From` for [`Bytes`].
///
/// A borrowed slice has it not, because the queue outlives the borrow. `write_all` of [`std::io::Write`] copies it:
///
/// ```
/// use asynchat::{Channel, Dispatcher, Result};
/// use std::io::Write;
///
/// struct Banner {
///     text: Vec<u8>,
/// }
/// impl Dispatcher for Banner {
///     fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
///         channel.push("* ");
///         Ok(channel.write_all(&self.text)?)
///     }
/// }
/// # #[cfg(feature = "testing")]
/// asynchat::testing::Harness::new(Banner { text: b"ready\r\n".to_vec() }).play("S: * ready");
/// ```
///
/// The compiler leads there:
///
/// ```compile_fail,E0277
/// # use asynchat::Channel;
/// # struct Banner { text: Vec<u8> }
/// # impl Banner {
/// fn greet(&self, channel: &mut Channel<'_>) {
///     channel.push(&self.text); // `&Vec<u8>` is borrowed, and the queue outlives the borrow
/// }
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is borrowed, and the queue outlives the borrow",
    label = "does not convert into `Bytes`",
    note = "`channel.write_all(&data)?` of `std::io::Write` copies a borrowed slice into the queue"
)]
pub trait IntoBytes {
    /// The bytes.
    fn into_bytes(self) -> Bytes;
}

// Otherwise the compiler tells of the missing `From`, not of the way to go.
#[diagnostic::do_not_recommend]
impl<T: Into<Bytes>> IntoBytes for T {
    fn into_bytes(self) -> Bytes {
        self.into()
    }
}
