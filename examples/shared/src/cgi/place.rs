//! From the path of a request to a script, and to the part of the path that is the script's own business (RFC 3875, 3.3).

use std::{
    fmt,
    fs::Metadata,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::http::paths::{Refused, Root, Target};

/// Where scripts are: below one directory, and below one path of URLs.
#[derive(Debug)]
pub struct Scripts {
    root: Root,
    prefix: Vec<Vec<u8>>,
}

/// The path of URLs below which scripts are, such as `/cgi-bin/`.
#[derive(Clone, Debug)]
pub struct Prefix {
    text: String,
    names: Vec<Vec<u8>>,
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let target = Target::parse(text).map_err(|_| format!("{text:?} is no path of a URL"))?;
        let names: Vec<_> = target.names().iter().map(|name| name.to_vec()).collect();
        match names.is_empty() || names.iter().any(|name| name.contains(&b'/')) {
            true => Err("scripts need a path of their own, such as /cgi-bin/".into()),
            false => Ok(Self {
                text: text.into(),
                names,
            }),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// A script that a path names.
#[derive(Debug)]
pub struct Place {
    pub file: PathBuf,
    pub metadata: Metadata,
    /// The path of the URL up to the script: `SCRIPT_NAME`.
    pub name: Vec<u8>,
    /// The path behind it: `PATH_INFO`; empty if there is none.
    pub path_info: Vec<u8>,
}

impl Scripts {
    pub fn new(root: Root, prefix: &Prefix) -> Self {
        let prefix = prefix.names.clone();
        Self { root, prefix }
    }

    /// Whether a place that was found otherwise is among the scripts.
    pub fn contain(&self, place: &Path) -> bool {
        self.root.contains(place)
    }

    /// Finds the script; `None` if the path is not below that of scripts.
    pub fn find(&self, target: &Target<'_>) -> Option<Result<Place, Refused>> {
        let (prefix, names) = target.names().split_at_checked(self.prefix.len())?;
        let is_below = prefix
            .iter()
            .zip(&self.prefix)
            .all(|(name, of_prefix)| **name == **of_prefix);
        is_below.then(|| {
            // A slash inside a name would be one more name to the script (4.1.5).
            if names
                .iter()
                .any(|name| name.contains(&b'/') || name.contains(&0))
            {
                return Err(Refused::NotFound);
            }
            let (file, metadata, used) = self.root.find_first_file(names)?;
            let (of_script, of_info) = target.names().split_at(self.prefix.len() + used);
            let mut path_info = joined(of_info);
            if target.has_slash() {
                path_info.push(b'/');
            }
            Ok(Place {
                file,
                metadata,
                name: joined(of_script),
                path_info,
            })
        })
    }
}

fn joined(names: &[impl AsRef<[u8]>]) -> Vec<u8> {
    names
        .iter()
        .flat_map(|name| [&b"/"[..], name.as_ref()])
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn scripts(prefix: &str) -> (tempfile::TempDir, Scripts) {
        let top = tempfile::tempdir().expect("a directory");
        let root = top.path().join("scripts");
        fs::create_dir_all(root.join("sub")).expect("a directory");
        for file in ["scripts/a", "scripts/sub/b", "scripts/.hidden", "outside"] {
            fs::write(top.path().join(file), "").expect("a file");
        }
        let root = Root::new(&root, false).expect("a root");
        let prefix = prefix.parse().expect("a prefix");
        (top, Scripts::new(root, &prefix))
    }

    #[test]
    fn a_path_is_a_script_and_what_follows_it() {
        let (_top, scripts) = scripts("/cgi-bin/");
        for (path, name, path_info) in [
            ("/cgi-bin/a", "/cgi-bin/a", ""),
            ("/cgi-bin/a/", "/cgi-bin/a", "/"),
            ("/cgi-bin/a/x/y%20z", "/cgi-bin/a", "/x/y z"),
            ("/cgi-bin/a/x/", "/cgi-bin/a", "/x/"),
            ("/cgi-bin//a//x", "/cgi-bin/a", "/x"),
            ("/%63gi-bin/%61/%78", "/cgi-bin/a", "/x"),
            ("/cgi-bin/sub/b/x", "/cgi-bin/sub/b", "/x"),
            ("/cgi-bin/a/x/../y", "/cgi-bin/a", "/y"),
            ("/cgi-bin/a/../sub/b", "/cgi-bin/sub/b", ""),
            ("/x/../cgi-bin/a", "/cgi-bin/a", ""),
            ("/cgi-bin/a/%E9", "/cgi-bin/a", "/\u{fffd}"),
        ] {
            let target = Target::parse(path).expect(path);
            let place = scripts.find(&target).expect(path).expect(path);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(
                (text(&place.name), text(&place.path_info)),
                (name.into(), path_info.into()),
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_no_script_is_refused() {
        let (_top, scripts) = scripts("/cgi-bin");
        for (path, why) in [
            ("/cgi-bin", Refused::Forbidden),
            ("/cgi-bin/", Refused::Forbidden),
            ("/cgi-bin/sub", Refused::Forbidden),
            ("/cgi-bin/sub/", Refused::Forbidden),
            ("/cgi-bin/absent", Refused::NotFound),
            ("/cgi-bin/.hidden", Refused::NotFound),
            ("/cgi-bin/sub%2fb", Refused::NotFound),
            ("/cgi-bin/a/x%2Fy", Refused::NotFound),
            ("/cgi-bin/a/x%00", Refused::NotFound),
            ("/cgi-bin/..%2foutside", Refused::NotFound),
            ("/cgi-bin/%2e%2e%2foutside", Refused::NotFound),
        ] {
            let target = Target::parse(path).expect(path);
            let found = scripts.find(&target).expect(path);
            assert_eq!(found.expect_err(path), why, "{path}");
        }
        for path in [
            "/",
            "/a",
            "/cgi-bin/../a",
            "/cgi-binary/a",
            "/cgi/a",
            "/CGI-BIN/a",
        ] {
            assert!(
                scripts.find(&Target::parse(path).expect(path)).is_none(),
                "{path}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_directory_and_a_pipe_are_refused() {
        let (top, scripts) = scripts("/cgi-bin");
        let link = top.path().join("scripts/link");
        std::os::unix::fs::symlink("../outside", link).expect("a link");
        std::os::unix::net::UnixListener::bind(top.path().join("scripts/socket"))
            .expect("a socket");
        for path in ["/cgi-bin/link", "/cgi-bin/socket"] {
            let found = scripts.find(&Target::parse(path).expect(path)).expect(path);
            assert_eq!(found.expect_err(path), Refused::Forbidden, "{path}");
        }
    }

    #[test]
    fn scripts_have_a_path_of_their_own() {
        for bad in ["", "/", "cgi-bin", "/..", "/%zz", "/a%2fb"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad:?}");
        }
    }
}
