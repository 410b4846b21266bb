//! Data of forms, as a body: in one line (`application/x-www-form-urlencoded`), or in parts (`multipart/form-data`,
//! RFC 7578).

use std::{
    hash::{BuildHasher, RandomState},
    io::Read,
    path::{Path, PathBuf},
};

use super::upload::Upload;

/// Bytes of data that are kept in memory; `--data-binary @FILE`, `-F` and `-T` send files of any size.
pub const MAX_DATA: u64 = 16 * 1024 * 1024;
const URLENCODED: &str = "application/x-www-form-urlencoded";

/// Where data is taken from: the argument itself, `@FILE`, or `@-`, which is standard input, as `-` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Given(String),
    File(PathBuf),
    Stdin,
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        match text.strip_prefix('@') {
            _ if text == "-" => Self::Stdin,
            Some("-") => Self::Stdin,
            Some(path) => Self::File(path.into()),
            None => Self::Given(text),
        }
    }
}

/// Of `-d`: all in one line, joined by `&`. Line ends and NULs of files are left out, as curl does.
///
/// # Errors
/// What the system says, with the name of the file; more than [`MAX_DATA`].
pub fn urlencoded(all: &[Data]) -> Result<Upload, String> {
    let mut line = Vec::new();
    for (n, data) in all.iter().enumerate() {
        if n > 0 {
            line.push(b'&');
        }
        match data {
            Data::Given(text) => line.extend_from_slice(text.as_bytes()),
            _ => {
                let bytes = read(data)?;
                line.extend(bytes.into_iter().filter(|byte| !b"\r\n\0".contains(byte)));
            }
        }
        if line.len() as u64 > MAX_DATA {
            return Err(format!("-d: more than {MAX_DATA} bytes"));
        }
    }
    let mut upload = Upload::new(Some(URLENCODED.into()));
    upload.push(line);
    Ok(upload)
}

/// Of `--data-binary`: as it is. A file is not read before it is sent.
///
/// # Errors
/// Those of [`urlencoded`].
pub fn binary(data: &Data) -> Result<Upload, String> {
    let mut upload = Upload::new(Some(URLENCODED.into()));
    match data {
        Data::Given(text) => upload.push(text.clone()),
        Data::File(path) => upload.push_file(path)?,
        Data::Stdin => upload.push(read(data)?),
    }
    Ok(upload)
}

fn read(data: &Data) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (name, outcome) = match data {
        Data::Given(text) => return Ok(text.clone().into_bytes()),
        Data::File(path) => {
            let read = std::fs::File::open(path)
                .and_then(|file| file.take(MAX_DATA + 1).read_to_end(&mut bytes));
            (path.display().to_string(), read)
        }
        Data::Stdin => {
            let read = std::io::stdin().take(MAX_DATA + 1).read_to_end(&mut bytes);
            ("standard input".into(), read)
        }
    };
    match outcome {
        Err(error) => Err(format!("{name}: {error}")),
        Ok(_) if bytes.len() as u64 > MAX_DATA => {
            Err(format!("{name}: more than {MAX_DATA} bytes of data"))
        }
        Ok(_) => Ok(bytes),
    }
}

/// A part of a form: `NAME=VALUE`, or `NAME=@FILE`, with `;type=…` and `;filename=…` behind the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    name: String,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Value(String),
    File {
        path: PathBuf,
        filename: String,
        media_type: String,
    },
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("a part is NAME=VALUE or NAME=@FILE")?;
        let content = match value.strip_prefix('@') {
            None => Content::Value(value.into()),
            Some(file) => file_content(file)?,
        };
        Ok(Self {
            name: name.into(),
            content,
        })
    }
}

fn file_content(text: &str) -> Result<Content, String> {
    let mut options = text.split(';');
    let path = Path::new(options.next().unwrap_or_default());
    let name = path.file_name().ok_or("a part's @FILE has no name")?;
    let mut filename = name.to_string_lossy().into_owned();
    let mut media_type = mime_guess::from_path(path)
        .first_or_octet_stream()
        .to_string();
    for option in options {
        match option.split_once('=') {
            Some(("type", value)) if super::response::is_text(value.as_bytes()) => {
                media_type = value.into();
            }
            Some(("filename", value)) => filename = value.into(),
            _ => return Err("behind @FILE come ;type=TYPE and ;filename=NAME".into()),
        }
    }
    Ok(Content::File {
        path: path.into(),
        filename,
        media_type,
    })
}

/// Of `-F`: files are sent from where they are.
///
/// # Errors
/// Those of [`Upload::push_file`].
pub fn multipart(parts: &[Part]) -> Result<Upload, String> {
    // Nobody else knows it, so no file has it in it.
    let random = || RandomState::new().hash_one(0);
    let boundary = format!("asynchat-{:016x}{:016x}", random(), random());
    let mut upload = Upload::new(Some(format!("multipart/form-data; boundary={boundary}")));
    for Part { name, content } in parts {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"",
            quoted(name)
        );
        match content {
            Content::Value(value) => upload.push(format!("{head}\r\n\r\n{value}\r\n")),
            Content::File {
                path,
                filename,
                media_type,
            } => {
                let filename = quoted(filename);
                upload.push(format!(
                    "{head}; filename=\"{filename}\"\r\nContent-Type: {media_type}\r\n\r\n"
                ));
                upload.push_file(path)?;
                upload.push("\r\n");
            }
        }
    }
    upload.push(format!("--{boundary}--\r\n"));
    Ok(upload)
}

/// As HTML says: a name cannot end its quotes or its line.
fn quoted(name: &str) -> String {
    name.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_given_or_named() {
        for (text, data) in [
            ("a=b", Data::Given("a=b".into())),
            ("", Data::Given(String::new())),
            ("@f", Data::File("f".into())),
            ("@-", Data::Stdin),
            ("-", Data::Stdin),
        ] {
            assert_eq!(Data::from(text.to_owned()), data);
        }
    }

    #[test]
    fn a_part_is_a_value_or_a_file_with_options() {
        let file = |filename: &str, media_type: &str| Content::File {
            path: "d/f.txt".into(),
            filename: filename.into(),
            media_type: media_type.into(),
        };
        for (text, name, content) in [
            ("a=b", "a", Content::Value("b".into())),
            ("a=b=c;type=x", "a", Content::Value("b=c;type=x".into())),
            ("=", "", Content::Value(String::new())),
            ("a=@d/f.txt", "a", file("f.txt", "text/plain")),
            ("a=@d/f.txt;type=x/y;filename=g\"", "a", file("g\"", "x/y")),
        ] {
            let name = name.into();
            assert_eq!(text.parse(), Ok(Part { name, content }), "{text}");
        }
        for text in ["a", "a=@", "a=@f;x", "a=@f;type=a\r\nb: c"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"\r\nb: c"), "a%22%0D%0Ab: c");
    }
}
