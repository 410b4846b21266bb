//! URLs and `Location` headers: what comes out is fit for a request line, means itself when it is read again, and is what
//! RFC 3986 says, by the letter of its algorithm.

use shared::http::url::Url;

/// A URL, a line end, and what a `Location` header of its answer says. The line end may be missing.
pub fn fuzz(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == b'\n');
    let (base, location) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b""));
    let Ok(base) = Url::parse(base) else {
        // What is no URL may still be a fine reference.
        let base = Url::parse(b"http://a:8000/b/c/d;p?q").expect("a URL");
        return check_joined(&base, data);
    };
    check(&base);
    check_joined(&base, location);
}

fn check_joined(base: &Url, location: &[u8]) {
    let text = base.to_string();
    assert_eq!(base.join(b"").as_ref(), Ok(base));
    let Ok(joined) = base.join(location) else {
        return;
    };
    check(&joined);
    if let Some(expected) = by_the_letter(&text, location) {
        assert_eq!(
            joined.to_string(),
            expected,
            "{text} and {}",
            location.escape_ascii()
        );
    }
}

fn check(url: &Url) {
    let (target, authority, text) = (url.target(), url.authority(), url.to_string());
    assert!(target.starts_with('/'), "{target}");
    for part in [target, authority.as_str()] {
        assert!(part.bytes().all(|byte| byte.is_ascii_graphic()), "{part:?}");
        assert!(!part.contains('#'), "{part:?}");
    }
    assert!(!authority.is_empty() && !authority.contains(['/', '?', '@']));
    let path = target.split('?').next().expect("a path");
    assert!(
        !path.split('/').any(|segment| matches!(segment, "." | "..")),
        "{target}"
    );
    assert_eq!(Url::parse(text.as_bytes()).as_ref(), Ok(url), "read again");
    assert_eq!(url.join(text.as_bytes()).as_ref(), Ok(url), "as a location");
    // A target that begins with two slashes reads as a host.
    if !target.starts_with("//") {
        assert_eq!(url.join(target.as_bytes()).as_ref(), Ok(url), "as a path");
    }
}

/// RFC 3986, 5.2.2 and 5.2.4, for references without a scheme or a host that consist of harmless characters.
fn by_the_letter(base: &str, location: &[u8]) -> Option<String> {
    let reference = std::str::from_utf8(location).ok()?;
    let harmless =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/?#%=&;,+!$'()*@".contains(&byte);
    if reference.starts_with("//") || !reference.bytes().all(harmless) {
        return None;
    }
    let reference = reference.split('#').next()?;
    let authority_end = "http://".len() + base.strip_prefix("http://")?.find('/')?;
    let (start, base_target) = base.split_at(authority_end);
    let (base_path, base_query) = cut_query(base_target);
    let (path, query) = cut_query(reference);
    let target = if path.is_empty() {
        format!("{base_path}{}", query.or(base_query).unwrap_or_default())
    } else if path.starts_with('/') {
        format!("{}{}", remove_dot_segments(path), query.unwrap_or_default())
    } else {
        let merged = format!("{}{path}", &base_path[..=base_path.rfind('/')?]);
        format!(
            "{}{}",
            remove_dot_segments(&merged),
            query.unwrap_or_default()
        )
    };
    Some(format!("{start}{target}"))
}

/// Path, and query with its question mark, if there is one.
fn cut_query(text: &str) -> (&str, Option<&str>) {
    match text.find('?') {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    }
}

/// The loop of RFC 3986, 5.2.4, for a path that begins with a slash.
fn remove_dot_segments(path: &str) -> String {
    let mut input = path.to_owned();
    let mut output = String::new();
    while !input.is_empty() {
        if input.starts_with("/./") || input == "/." {
            input = format!("/{}", input.get(3..).unwrap_or_default());
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or_default());
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
            output.push_str(&input[..end]);
            input.drain(..end);
        }
    }
    output
}
