//! Where a URL is saved, and how it is shown.

use std::path::{Path, PathBuf};

use asynchat::Result;
use percent_encoding::percent_decode_str;
use shared::{saving::Target, text::is_unprintable, windows_name};
use tempfile::TempDir;

/// The file of a URL whose path has no last part.
const INDEX: &str = "index";
/// Bytes of a name, as file systems have it.
const MAX_NAME: usize = 200;
/// What a browser shows itself, beside images, sound and films. The system may give other files to a program that runs
/// them.
const SHOWN: [&str; 6] = [
    "application/json",
    "application/pdf",
    "application/xhtml+xml",
    "text/html",
    "text/plain",
    "text/xml",
];

/// Gives each URL its place.
pub(crate) struct Places {
    output: Option<Target>,
    remote_name: bool,
    open: bool,
    /// Names of -O that are taken, in small letters: two that differ in those alone are one file on Windows and macOS.
    names: Vec<String>,
}

pub(crate) struct Place {
    kind: Kind,
    /// The user chose the name of the file; otherwise it is of the URL.
    is_named: bool,
    /// Of what was fetched, for the name of a file to show: a browser goes by it.
    pub(crate) media_type: Option<String>,
    /// Something complete is there.
    pub(crate) is_complete: bool,
}

enum Kind {
    Target(Target),
    /// A new file for `--open`.
    Shown {
        folder: TempDir,
        name: String,
    },
    Wrong(String),
}

impl Places {
    pub(crate) fn new(output: Option<Target>, remote_name: bool, open: bool) -> Self {
        Self {
            output,
            remote_name,
            open,
            names: Vec::new(),
        }
    }

    pub(crate) fn of(&mut self, url: &str) -> Place {
        let kind = match &self.output {
            Some(target) => Ok(Kind::Target(target.clone())),
            None if self.remote_name => self.by_name(url),
            None if self.open => shown(url),
            None => Ok(Kind::Target(Target::Stdout)),
        };
        Place {
            kind: kind.unwrap_or_else(Kind::Wrong),
            is_named: self.output.is_some(),
            media_type: None,
            is_complete: false,
        }
    }

    fn by_name(&mut self, url: &str) -> Result<Kind, String> {
        let name = name_of(url).ok_or("-O: the URL has no name for a file; -o gives one")?;
        let lowercase = name.to_lowercase();
        if self.names.contains(&lowercase) {
            return Err(format!("-O: another URL is saved as {name}"));
        }
        self.names.push(lowercase);
        Ok(Kind::Target(Target::File(name.into())))
    }
}

fn shown(url: &str) -> Result<Kind, String> {
    let folder = tempfile::Builder::new().prefix("fetch-").tempdir();
    let folder = folder.map_err(|error| format!("a folder for --open: {error}"))?;
    let name = name_of(url).unwrap_or_else(|| INDEX.into());
    Ok(Kind::Shown { folder, name })
}

/// The last part of a URL's path, if it is a name that any file may have.
fn name_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    if url.cannot_be_a_base() {
        return None;
    }
    let last = url.path_segments()?.next_back()?;
    // Of an ftp URL.
    let last = last.split(";type=").next()?;
    let name = percent_decode_str(last).decode_utf8().ok()?.into_owned();
    let is_bad = |c: char| is_unprintable(c) || "/\\:*?\"<>|".contains(c);
    let is_good = !name.contains(is_bad) && !name.starts_with('.') && name.len() <= MAX_NAME;
    let is_good = is_good && windows_name::is_usable_here(name.as_ref());
    (is_good && !name.is_empty()).then_some(name)
}

impl Place {
    /// # Errors
    /// There is none, and why.
    pub(crate) fn target(&self) -> Result<Target> {
        match &self.kind {
            Kind::Target(target) => Ok(target.clone()),
            Kind::Shown { folder, name } => {
                let name = with_extension(name, self.media_type.as_deref());
                Ok(Target::File(folder.path().join(name)))
            }
            Kind::Wrong(why) => Err(why.clone().into()),
        }
    }

    /// Shows what was fetched in the browser, from a file that stays.
    ///
    /// # Errors
    /// There is no browser, or the file is none that it shows.
    pub(crate) fn show(&self) -> Result {
        let Target::File(path) = self.target()? else {
            return Ok(());
        };
        if !self.is_complete {
            return Ok(());
        }
        let path = absolute(&path)?;
        if !self.is_named && !is_shown(&path) {
            let path = path.display();
            return Err(format!("--open: no page, text or image, but saved: {path}").into());
        }
        let url = url::Url::from_file_path(&path);
        let url = url.map_err(|()| format!("{}: not a path for a browser", path.display()))?;
        webbrowser::open(url.as_str()).map_err(|error| format!("--open: {error}"))?;
        crate::tell(&format!("shown: {}", path.display()));
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let (Kind::Shown { folder, .. }, true) = (&mut self.kind, self.is_complete) {
            // The browser reads it when it comes to it.
            folder.disable_cleanup(true);
        }
    }
}

fn is_shown(path: &Path) -> bool {
    mime_guess::from_path(path).first().is_some_and(|guess| {
        matches!(guess.type_().as_str(), "audio" | "image" | "video")
            || SHOWN.contains(&guess.essence_str())
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// A name that a browser takes for this type: it sees no header beside a file.
fn with_extension(name: &str, media_type: Option<&str>) -> String {
    let Some(media_type) = media_type.and_then(|text| text.split(';').next()) else {
        // Gopher and FTP have no types.
        return match mime_guess::from_path(name).is_empty() {
            true => format!("{name}.txt"),
            false => name.into(),
        };
    };
    let media_type = media_type.trim().to_ascii_lowercase();
    let fits = mime_guess::from_path(name)
        .iter()
        .any(|guess| guess.essence_str() == media_type);
    let extension = match media_type.as_str() {
        _ if fits => return name.into(),
        "text/html" => "html",
        "text/plain" => "txt",
        "application/xhtml+xml" => "xhtml",
        "application/pdf" => "pdf",
        "application/json" => "json",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/gif" => "gif",
        "image/svg+xml" => "svg",
        "image/webp" => "webp",
        _ => return name.into(),
    };
    format!("{name}.{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_part_of_the_path_and_leads_nowhere_else() {
        for (url, name) in [
            ("http://a/b/c.txt?d#e", Some("c.txt")),
            ("ftp://a/b%20c;type=a", Some("b c")),
            ("file:///a/b", Some("b")),
            ("http://a/", None),
            ("http://a", None),
            ("http://a/..", None),
            ("http://a/%2e%2e", None),
            ("http://a/..%2fb", None),
            ("http://a/.bashrc", None),
            ("http://a/b%00", None),
            ("http://a/b%0a", None),
            ("http://a/c:%5cb", None),
            ("http://a/b::$DATA", None),
            ("http://a/aux.c", (!cfg!(windows)).then_some("aux.c")),
            ("http://a/b.", (!cfg!(windows)).then_some("b.")),
            ("data:,x", None),
            ("nonsense", None),
        ] {
            assert_eq!(name_of(url).as_deref(), name, "{url}");
        }
    }

    #[test]
    fn a_name_is_given_once_whatever_the_case_of_its_letters() {
        let mut places = Places::new(None, true, false);
        for (url, is_free) in [
            ("http://a/X.txt", true),
            ("http://b/x.txt", false),
            ("http://a/X.TXT", false),
            ("http://a/x.text", true),
            ("http://a/%C3%9C", true),
            ("http://a/%C3%BC", false),
        ] {
            assert_eq!(places.of(url).target().is_ok(), is_free, "{url}");
        }
    }

    #[test]
    fn a_file_for_the_browser_has_the_extension_of_its_type() {
        for (name, media_type, expected) in [
            ("index", Some("text/html; charset=utf-8"), "index.html"),
            ("a.htm", Some("text/html"), "a.htm"),
            ("a.txt", Some("text/html"), "a.txt.html"),
            ("a.exe", Some("application/x-unknown"), "a.exe"),
            ("a", None, "a.txt"),
            ("a.desktop", None, "a.desktop.txt"),
            ("a.jar", None, "a.jar"),
        ] {
            assert_eq!(with_extension(name, media_type), expected);
        }
    }

    #[test]
    fn what_the_system_might_run_is_not_for_the_browser() {
        for (name, shown) in [
            ("a.html", true),
            ("a.txt", true),
            ("a.PNG", true),
            ("a.pdf", true),
            ("a.jar", false),
            ("a.exe", false),
            ("a.sh", false),
            ("a.js", false),
            ("a.desktop", false),
            ("a.html.lnk", false),
            ("a", false),
        ] {
            assert_eq!(is_shown(Path::new(name)), shown, "{name}");
        }
    }
}
