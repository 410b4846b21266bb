//! Files of cookies in Netscape's format, as curl, wget and browsers' exports have them: seven fields with tabs between.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cookie_store::CookieExpiration;

use super::{
    cookies::{Jar, is_host_only},
    url::Url,
};

const HEADER: &str =
    "# Netscape HTTP Cookie File\n# Written by a program; edit at your own risk.\n\n";
/// What stands before the domain of a cookie that scripts may not see.
const HTTP_ONLY: &str = "#HttpOnly_";
/// The last second that an HTTP date can show.
const LAST: u64 = 253_402_300_799;

impl Jar {
    /// Takes the cookies of a file. Those that are past, or that no server may set, are left out.
    ///
    /// # Errors
    /// The first line that is no cookie, with its number.
    pub fn read_netscape(&self, text: &str) -> Result<(), String> {
        for (number, line) in text.lines().enumerate() {
            let (line, http_only) = match line.strip_prefix(HTTP_ONLY) {
                Some(rest) => (rest, "; HttpOnly"),
                None => (line, ""),
            };
            if line.trim().is_empty() || (line.starts_with('#') && http_only.is_empty()) {
                continue;
            }
            let wrong = || format!("line {} is no cookie in Netscape's format", number + 1);
            let (cookie, url) = parse(line, http_only).ok_or_else(wrong)?;
            if let Err(why) = self.set(&cookie, &url) {
                log::debug!("line {}: the cookie is not kept: {why}", number + 1);
            }
        }
        Ok(())
    }

    /// The file with all cookies, those of the run alone with time 0.
    pub fn write_netscape(&self) -> String {
        let mut text = HEADER.to_owned();
        let store = self.store();
        let lines = store.iter_unexpired().filter_map(|cookie| {
            let host_only = is_host_only(&cookie.domain);
            let domain = cookie.domain.as_cow()?;
            let flag = |yes: bool| if yes { "TRUE" } else { "FALSE" };
            let time = match &cookie.expires {
                CookieExpiration::AtUtc(time) => time.unix_timestamp().max(1),
                CookieExpiration::SessionEnd => 0,
            };
            Some(format!(
                "{}{}{domain}\t{}\t{}\t{}\t{time}\t{}\t{}\n",
                if cookie.http_only().unwrap_or(false) {
                    HTTP_ONLY
                } else {
                    ""
                },
                if host_only { "" } else { "." },
                flag(!host_only),
                &*cookie.path,
                flag(cookie.secure().unwrap_or(false)),
                cookie.name(),
                cookie.value(),
            ))
        });
        text.extend(lines);
        text
    }
}

/// The header that would set the cookie, and a URL that could.
fn parse(line: &str, http_only: &str) -> Option<(String, Url)> {
    let fields: Vec<_> = line.split('\t').collect();
    // curl writes a cookie without a value without its field.
    let [domain, all, path, secure, time, name, ref value @ ..] = fields[..] else {
        return None;
    };
    let value = match value {
        [] => "",
        [value] => value,
        _ => return None,
    };
    let flag = |text: &str| match text {
        "TRUE" => Some(true),
        "FALSE" => Some(false),
        _ => None,
    };
    let (all, secure, time) = (flag(all)?, flag(secure)?, time.parse::<u64>().ok()?);
    let host = domain.strip_prefix('.').unwrap_or(domain);
    let plain = |text: &str| !text.contains([';', '\r', '\n']);
    if ![host, path, name, value].into_iter().all(plain)
        || name.contains('=')
        || !path.starts_with('/')
    {
        return None;
    }
    let scheme = if secure { "https" } else { "http" };
    let url = Url::parse(format!("{scheme}://{host}/").as_bytes()).ok()?;
    if url.target() != "/" || url.host() != host.to_ascii_lowercase() {
        return None;
    }
    let mut cookie = format!("{name}={value}; Path={path}{http_only}");
    if secure {
        cookie.push_str("; Secure");
    }
    if all {
        cookie.push_str(&format!("; Domain={host}"));
    }
    if time > 0 {
        let time: SystemTime = UNIX_EPOCH + Duration::from_secs(time.min(LAST));
        cookie.push_str(&format!("; Expires={}", httpdate::fmt_http_date(time)));
    }
    Some((cookie, url))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As curl 7.88 wrote it.
    const FILE: &str = "# Netscape HTTP Cookie File\n\
        # https://curl.se/docs/http-cookies.html\n\
        \n\
        #HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tone\tfirst\n\
        .a.example\tTRUE\t/b\tTRUE\t4102444800\ttwo\tsecond=2 \"x\"\n\
        www.a.example\tFALSE\t/\tFALSE\t1000000000\tthree\tpast\n\
        www.a.example\tFALSE\t/\tFALSE\t0\tfour\t\n";

    fn get(jar: &Jar, url: &str) -> Option<String> {
        jar.get(&Url::parse(url.as_bytes()).expect("a URL"))
    }

    #[test]
    fn a_file_is_read_and_written_again() {
        let jar = Jar::default();
        jar.read_netscape(FILE).expect("cookies");
        let written = jar.write_netscape();
        let again = Jar::default();
        again.read_netscape(&written).expect("cookies");
        assert_eq!(again.write_netscape(), written);
        for jar in [jar, again] {
            assert_eq!(get(&jar, "http://127.0.0.1/").as_deref(), Some("one=first"));
            let two = get(&jar, "https://x.a.example/b/c");
            assert_eq!(two.as_deref(), Some("two=second=2 \"x\""));
            assert_eq!(get(&jar, "http://x.a.example/b/c"), None);
            assert_eq!(get(&jar, "http://www.a.example/").as_deref(), Some("four="));
        }
        assert!(
            written.contains("\n.a.example\tTRUE\t/b\tTRUE\t4102444800\ttwo\t"),
            "{written}"
        );
        assert!(
            written.contains("\n#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tone\tfirst\n"),
            "{written}"
        );
    }

    #[test]
    fn what_is_no_cookie_is_named_by_its_line() {
        for line in [
            "a\tb",
            "a.example\tTRUE\t/\tFALSE\tsoon\tx\ty",
            "a.example\tyes\t/\tFALSE\t0\tx\ty",
            "a.example\tTRUE\t/\tFALSE\t0\tx\ty\tz",
            "a.example\tTRUE\t/; Domain=b\tFALSE\t0\tx\ty",
            "a.example\tTRUE\t/\tFALSE\t0\tx=\ty",
            "a.example/b\tTRUE\t/\tFALSE\t0\tx\ty",
            "a b\tTRUE\t/\tFALSE\t0\tx\ty",
            "<html>",
        ] {
            let error = Jar::default().read_netscape(&format!("# x\n{line}\n"));
            assert_eq!(
                error,
                Err("line 2 is no cookie in Netscape's format".into()),
                "{line:?}"
            );
        }
    }
}
