//! What the system says of failures, as the programs pass it on.

use std::io;

/// Of a file that is not there.
pub fn no_such_file() -> String {
    text("No such file", 2)
}

/// Of a folder on the way that is not there.
pub fn no_such_folder() -> String {
    text("No such file", 3)
}

/// Of a port that nobody listens on.
pub fn refused() -> String {
    text("Connection refused", 10061)
}

/// Of a pipe that nobody reads any more.
pub fn broken_pipe() -> String {
    text("Broken pipe", 232)
}

/// The text on Unix, without its number, which is not the same on all; on Windows the text of this number, in its language.
fn text(unix: &str, windows: i32) -> String {
    if cfg!(windows) {
        io::Error::from_raw_os_error(windows).to_string()
    } else {
        unix.into()
    }
}
