//! Names that Windows takes for something other than a file of that name (MSDN, "Naming Files, Paths, and Namespaces"). A
//! name that comes from a peer must be none of them.

use std::{ffi::OsStr, path::Path};

/// Whether a peer's name may be that of a file or folder on this system. Elsewhere than on Windows any may.
pub fn is_usable_here(name: &OsStr) -> bool {
    !cfg!(windows) || name.to_str().is_some_and(is_plain)
}

/// Whether this system takes the last part of the user's path for a device, as `NUL` on Windows. It has no metadata there.
pub fn is_device_here(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    cfg!(windows) && name.is_some_and(is_device_itself)
}

/// Whether Windows takes the name for that of a file: no path, drive, alternate stream, wildcard, device or short name, and
/// no end that it would cut off.
pub fn is_plain(name: &str) -> bool {
    let is_special = |c: char| c.is_ascii_control() && c != '\x7f' || "<>:\"/\\|?*".contains(c);
    !name.is_empty()
        && !name.contains(is_special)
        && !name.ends_with(['.', ' '])
        && !is_device(name)
        && !is_short(name)
}

/// Whether some Windows, of any age, takes the name for that of a device: older ones do with any extension, or behind spaces.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_matches(' ').to_ascii_uppercase();
    is_device_itself(&stem) || matches!(stem.as_str(), "CLOCK$" | "COM0" | "LPT0")
}

/// Whether every Windows takes the name for that of a device.
fn is_device_itself(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_port = |digit: &str| {
        let mut chars = digit.chars();
        matches!(
            (chars.next(), chars.next()),
            (Some('1'..='9' | '¹' | '²' | '³'), None)
        )
    };
    match name.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        name => ["COM", "LPT"]
            .iter()
            .filter_map(|kind| name.strip_prefix(kind))
            .any(is_port),
    }
}

/// The form of the second name that a file has, so that it is not reached by another name than its own: `PROGRA~1` on NTFS
/// and FAT, letters behind the tilde on Samba (`mangling method`) and Wine.
fn is_short(name: &str) -> bool {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let length = |part: &str| part.chars().count();
    let is_marked = stem
        .split_once('~')
        .is_some_and(|(_, mark)| !mark.is_empty());
    is_marked && length(stem) <= 8 && length(extension) <= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_if_windows_opens_the_file_of_that_name() {
        for (why, names) in [
            (
                "a path",
                &[
                    "",
                    ".",
                    "..",
                    "...",
                    "..\\x",
                    "\\x",
                    "a\\b",
                    "a/b",
                    "\\\\server\\share",
                ][..],
            ),
            ("a drive", &["C:", "C:x", "C:\\x", "c:"]),
            (
                "another namespace",
                &["\\\\?\\C:\\x", "\\\\.\\NUL", "\\??\\x"],
            ),
            (
                "a stream",
                &[
                    "name::$DATA",
                    "name:stream",
                    "name:stream:$DATA",
                    ":stream",
                    "a.txt::$data",
                ],
            ),
            ("a wildcard", &["*", "a?", "<", "a>b", "\""]),
            (
                "a pipe sign or a control character",
                &["a|b", "a\0", "a\tb", "\x1f", "a\n"],
            ),
            (
                "an end that is cut off",
                &[
                    "a.",
                    "a ",
                    "a. .",
                    ".htaccess.",
                    ".htaccess ",
                    "a.txt. ",
                    " ",
                ],
            ),
            (
                "a device",
                &[
                    "NUL", "nul", "Con", "PRN", "AUX", "COM1", "com9", "LPT1", "lpt0", "CLOCK$",
                ],
            ),
            ("a device's console", &["CONIN$", "conout$", "CONIN$.txt"]),
            (
                "a device with an extension",
                &[
                    "NUL.txt", "aux.html", "com1.a.b", "nul .txt", "nul.", "nul..x",
                ],
            ),
            ("a device behind a space", &[" NUL", " con.txt"]),
            (
                "a port with a superscript digit",
                &["COM¹", "com²", "LPT³.txt"],
            ),
            (
                "a short name",
                &[
                    "PROGRA~1",
                    "progra~1",
                    "HTACCE~1",
                    "A~1.HTM",
                    "~1",
                    "TE021F~1.TXT",
                    "A~123456",
                    "a~b",
                    "~a",
                    "HIDD~XQ4",
                    "ABCDE~XY.TXT",
                ],
            ),
        ] {
            for name in names {
                assert!(!is_plain(name), "{name:?} is {why}");
            }
        }
        for name in [
            "a",
            "a b",
            " a",
            "a.b.c",
            ".htaccess",
            "..a",
            "a..b",
            "~",
            "a~",
            "a~1.html",
            "longstem~1",
            "a~1.tar.gz",
            "nulls",
            "null.txt",
            "a.nul",
            "com",
            "com10",
            "COM1x",
            "lpt",
            "console",
            "conin",
            "aux-1",
            "a'b",
            "ü",
            "文",
            "COM⁴",
            "a;b",
            "a,b",
            "%41",
            "$DATA",
            "$MFT",
            "\x7f",
        ] {
            assert!(is_plain(name), "{name:?} is plain");
        }
    }

    #[test]
    fn a_device_of_the_user_has_its_name_alone() {
        for name in [
            "CON", "prn", "Aux", "nul", "COM1", "com9", "COM¹", "lpt1", "LPT9", "lpt³", "CONIN$",
            "conout$",
        ] {
            assert!(is_device_itself(name), "{name:?} is a device");
        }
        for name in [
            "", "com", "com0", "com0.txt", "LPT0", "com10", "COM⁴", "lpt", "clock$", " nul",
            "nul ", " nul.x", "nul.", "NUL.txt", "com1.a", "con:", "conin", "console", "nulls",
        ] {
            assert!(!is_device_itself(name), "{name:?} is a file");
        }
    }

    #[test]
    fn names_are_judged_where_they_matter() {
        assert_eq!(is_usable_here("NUL.txt".as_ref()), !cfg!(windows));
        assert!(is_usable_here("a.txt".as_ref()));
        assert_eq!(is_device_here(Path::new("a/NUL")), cfg!(windows));
        assert!(!is_device_here(Path::new("NUL/a")));
        assert!(!is_device_here(Path::new("com0.txt")));
    }
}
