//! Cookies (RFC 6265) of a run, and the consumer that sends and takes them. The crate `cookie_store` keeps them; public
//! suffixes are those of the crate `psl`.

use std::{cell::RefCell, fmt, rc::Rc};

use asynchat::{BoxError, Registry, Result};
use cookie_store::{Cookie, CookieDomain, CookieStore, RawCookie};

use super::{
    consumer::{Consumer, Order, Request},
    url::Url,
};

/// Bytes of name and value, as browsers have it, and of the path.
const MAX_COOKIE: usize = 4096;
/// Cookies of one domain, and of all: more than these are overlooked (RFC 6265, 6.1).
const MAX_OF_DOMAIN: usize = 180;
const MAX_COOKIES: usize = 3000;
/// Bytes that are sent at once: servers refuse longer headers.
const MAX_SENT: usize = 8000;

/// Why a cookie is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Malformed,
    TooLong,
    TooMany,
    /// Every site of this domain would get it.
    PublicSuffix,
    /// It says it is secure, and came without TLS.
    NotSecure,
    /// `__Secure-` and `__Host-` promise more than it has.
    Prefix,
    /// For another domain, or past already.
    Other,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is not NAME=VALUE",
            Self::TooLong => "it is longer than 4096 bytes",
            Self::TooMany => "there are too many cookies",
            Self::PublicSuffix => "its domain is shared by many sites",
            Self::NotSecure => "it is secure, and the connection is not",
            Self::Prefix => "its name promises more than it has",
            Self::Other => "it is for another domain, or past",
        })
    }
}

/// The cookies of a run. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Jar(Rc<RefCell<CookieStore>>);

impl Jar {
    /// Keeps a cookie that an answer of this URL sets.
    ///
    /// # Errors
    /// It is not kept, and the answer is as good without it.
    pub fn set(&self, cookie: &str, url: &Url) -> Result<(), Refused> {
        let raw = RawCookie::parse(cookie.to_owned()).map_err(|_| Refused::Malformed)?;
        let is_clean = |text: &str| !text.contains(|c: char| c.is_control() || c == ';');
        // A tab in the path would begin another column of the file in Netscape's format.
        let parts = [raw.name(), raw.value(), raw.path().unwrap_or_default()];
        if raw.name().is_empty() || !parts.into_iter().all(is_clean) {
            return Err(Refused::Malformed);
        }
        if parts.map(str::len).into_iter().sum::<usize>() > MAX_COOKIE {
            return Err(Refused::TooLong);
        }
        let is_secure = raw.secure().unwrap_or(false);
        if is_secure && !url.is_https() {
            return Err(Refused::NotSecure);
        }
        check_prefix(&raw, is_secure)?;
        let raw = with_domain_of(raw, url.host())?;
        let mut store = self.0.borrow_mut();
        // Nobody on the way may replace what only TLS carries.
        let covers = |other: &Cookie<'_>| {
            other.name() == raw.name()
                && other.secure().unwrap_or(false)
                && other.domain.matches(url.as_url())
        };
        if !url.is_https() && store.iter_unexpired().any(covers) {
            return Err(Refused::NotSecure);
        }
        let cookie = Cookie::try_from_raw_cookie(&raw, url.as_url()).map_err(|_| Refused::Other)?;
        let cookie = cookie.into_owned();
        let domain = cookie.domain.as_cow().ok_or(Refused::Other)?.into_owned();
        if !store.contains_any(&domain, &cookie.path, cookie.name())
            && !has_room(&mut store, &domain)
        {
            return Err(Refused::TooMany);
        }
        let stored = store.insert(cookie, url.as_url());
        stored.map(drop).map_err(|_| Refused::Other)
    }

    /// The value of `Cookie` for this URL: the longest paths first (RFC 6265, 5.4).
    pub fn get(&self, url: &Url) -> Option<String> {
        let store = self.0.borrow();
        let mut cookies = store.matches(url.as_url());
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut line = String::new();
        for cookie in cookies {
            let pair = format!("{}={}", cookie.name(), cookie.value());
            if line.len() + pair.len() > MAX_SENT {
                break;
            }
            if !line.is_empty() {
                line.push_str("; ");
            }
            line.push_str(&pair);
        }
        (!line.is_empty()).then_some(line)
    }

    pub(super) fn store(&self) -> std::cell::Ref<'_, CookieStore> {
        self.0.borrow()
    }
}

/// Whether there may be one more cookie of a domain. Those that are past make room.
fn has_room(store: &mut CookieStore, domain: &str) -> bool {
    let has_room = |store: &CookieStore| {
        let of_domain =
            |other: &&Cookie<'_>| other.domain.as_cow().is_some_and(|own| own == domain);
        store.iter_any().filter(of_domain).count() < MAX_OF_DOMAIN
            && store.iter_any().count() < MAX_COOKIES
    };
    if has_room(store) {
        return true;
    }
    let past: Vec<_> = store
        .iter_any()
        .filter(|cookie| cookie.is_expired())
        .filter_map(|cookie| {
            let domain = cookie.domain.as_cow()?.into_owned();
            Some((domain, cookie.path.to_string(), cookie.name().to_owned()))
        })
        .collect();
    for (domain, path, name) in past {
        store.remove(&domain, &path, &name);
    }
    has_room(store)
}

/// RFC 6265bis, 4.1.3.
fn check_prefix(cookie: &RawCookie<'_>, is_secure: bool) -> Result<(), Refused> {
    let name = cookie.name().to_ascii_lowercase();
    let good = if name.starts_with("__host-") {
        is_secure && cookie.domain().is_none() && cookie.path() == Some("/")
    } else {
        is_secure || !name.starts_with("__secure-")
    };
    match good {
        true => Ok(()),
        false => Err(Refused::Prefix),
    }
}

/// A domain that others share is no domain for a cookie, unless it is the host itself (RFC 6265, 5.3, step 5).
fn with_domain_of<'a>(mut cookie: RawCookie<'a>, host: &str) -> Result<RawCookie<'a>, Refused> {
    let Some(domain) = cookie.domain() else {
        return Ok(cookie);
    };
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    if is_public_suffix(&domain) {
        if domain != host {
            return Err(Refused::PublicSuffix);
        }
        cookie.unset_domain();
    }
    Ok(cookie)
}

fn is_public_suffix(domain: &str) -> bool {
    match psl::suffix(domain.as_bytes()) {
        // By the rule for domains that the list does not know, the last label is public.
        Some(suffix) => suffix.as_bytes() == domain.as_bytes(),
        None => true,
    }
}

/// Whether the cookie goes to no other host.
pub(super) fn is_host_only(domain: &CookieDomain) -> bool {
    matches!(domain, CookieDomain::HostOnly(_))
}

pub struct Cookies<C> {
    consumer: C,
    jar: Jar,
}

impl<C> Cookies<C> {
    pub fn new(consumer: C, jar: Jar) -> Self {
        Self { consumer, jar }
    }
}

impl<C: Consumer> Consumer for Cookies<C> {
    fn http_request(&mut self, order: &mut Order) -> Result {
        self.consumer.http_request(order)?;
        if !order.fields.has("cookie")
            && let Some(cookies) = self.jar.get(&order.url)
        {
            order.add("Cookie", cookies);
        }
        Ok(())
    }

    fn http_header(&mut self, request: &mut Request<'_, '_>) -> Result {
        let url = &request.order.url;
        for value in request.head.all("set-cookie") {
            let value = String::from_utf8_lossy(value);
            if let Err(why) = self.jar.set(&value, url) {
                log::debug!("{url}: a cookie is not kept: {why}");
            }
        }
        self.consumer.http_header(request)
    }

    fn feed(&mut self, data: &[u8]) -> Result {
        self.consumer.feed(data)
    }

    fn close(&mut self, outcome: Result<(), BoxError>) {
        self.consumer.close(outcome);
    }

    fn finished(&mut self, registry: &mut Registry) {
        self.consumer.finished(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text.as_bytes()).expect("a URL")
    }

    #[test]
    fn a_cookie_goes_back_where_it_may() {
        const FROM: &str = "https://www.a.example/b/c";
        for (cookie, to, sent) in [
            ("x=y", "https://www.a.example/b/d", true),
            ("x=y", "https://www.a.example/b", true),
            ("x=y", "https://www.a.example/bc", false),
            ("x=y", "https://www.a.example/", false),
            ("x=y; Path=/", "https://www.a.example/", true),
            ("x=y; Path=/", "http://www.a.example/", true),
            ("x=y; Path=/; Secure", "http://www.a.example/", false),
            ("x=y; Path=/", "https://a.example/", false),
            ("x=y; Path=/; Domain=a.example", "https://a.example/", true),
            (
                "x=y; Path=/; Domain=.A.example",
                "https://z.a.example/",
                true,
            ),
            (
                "x=y; Path=/; Domain=a.example",
                "https://za.example/",
                false,
            ),
            ("x=y; Path=/; Domain=b.example", "https://b.example/", false),
            (
                "x=y; Path=/; Domain=z.www.a.example",
                "https://z.www.a.example/",
                false,
            ),
            ("x=y; Path=/; Max-Age=0", "https://www.a.example/", false),
            (
                "x=y; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
                "https://www.a.example/",
                false,
            ),
            ("x=y; Path=/; Max-Age=9", "https://www.a.example/", true),
            (
                "x=y; Path=/; HttpOnly; SameSite=Strict",
                "https://www.a.example/",
                true,
            ),
            ("__Host-x=y; Path=/; Secure", "https://www.a.example/", true),
            (
                "__Secure-x=y; Path=/; Secure",
                "https://www.a.example/",
                true,
            ),
        ] {
            let jar = Jar::default();
            let kept = jar.set(cookie, &url(FROM));
            let got = jar.get(&url(to));
            assert_eq!(got.is_some(), sent, "{cookie} {to}: {kept:?} {got:?}");
        }
    }

    #[test]
    fn what_is_not_kept_has_a_reason() {
        let long = format!("x={}", "y".repeat(MAX_COOKIE));
        let long_path = format!("x=y; Path=/{}", "z".repeat(MAX_COOKIE));
        for (from, cookie, why) in [
            ("https://a.example/", "x", Refused::Malformed),
            ("https://a.example/", "=y", Refused::Malformed),
            ("https://a.example/", "x=y\u{1}", Refused::Malformed),
            (
                "https://a.example/",
                "x=y; Path=/\tFALSE\t0\tevil\tz",
                Refused::Malformed,
            ),
            ("https://a.example/", &long, Refused::TooLong),
            ("https://a.example/", &long_path, Refused::TooLong),
            (
                "https://a.example/",
                "x=y; Domain=example",
                Refused::PublicSuffix,
            ),
            (
                "https://a.co.uk/",
                "x=y; Domain=co.uk",
                Refused::PublicSuffix,
            ),
            (
                "https://a.github.io/",
                "x=y; Domain=github.io",
                Refused::PublicSuffix,
            ),
            (
                "https://a.b.nowhere/",
                "x=y; Domain=nowhere",
                Refused::PublicSuffix,
            ),
            ("http://a.example/", "x=y; Secure", Refused::NotSecure),
            ("https://a.example/", "__Host-x=y; Path=/", Refused::Prefix),
            ("https://a.example/", "__host-x=y; Secure", Refused::Prefix),
            (
                "https://a.example/",
                "__Host-x=y; Secure; Path=/; Domain=a.example",
                Refused::Prefix,
            ),
            ("https://a.example/", "__SECURE-x=y", Refused::Prefix),
            (
                "https://a.example/",
                "x=y; Domain=b.example",
                Refused::Other,
            ),
            ("http://192.0.2.1/", "x=y; Domain=2.1", Refused::Other),
        ] {
            assert_eq!(
                Jar::default().set(cookie, &url(from)),
                Err(why),
                "{from} {cookie:.60}"
            );
        }
        // The host itself may be such a domain, and keeps its cookie for itself.
        let jar = Jar::default();
        jar.set("x=y; Domain=github.io", &url("https://github.io/"))
            .expect("its own");
        assert_eq!(jar.get(&url("https://a.github.io/")), None);
        assert!(jar.get(&url("https://github.io/")).is_some());
    }

    #[test]
    fn a_cookie_of_tls_is_not_replaced_without_it() {
        let jar = Jar::default();
        jar.set("x=good; Secure; Path=/", &url("https://a.example/"))
            .expect("kept");
        let replaced = jar.set("x=evil; Path=/", &url("http://a.example/"));
        assert_eq!(replaced, Err(Refused::NotSecure));
        assert_eq!(
            jar.get(&url("https://a.example/")).as_deref(),
            Some("x=good")
        );
    }

    #[test]
    fn cookies_are_sent_in_order_and_not_too_many() {
        let jar = Jar::default();
        let from = url("http://a.example/b/c");
        for cookie in ["one=1; Path=/", "two=2; Path=/b", "one=3; Path=/b/c"] {
            jar.set(cookie, &from).expect("kept");
        }
        let sent = jar.get(&url("http://a.example/b/c"));
        assert_eq!(sent.as_deref(), Some("one=3; two=2; one=1"));
        let value = "v".repeat(1000);
        for n in 0..MAX_OF_DOMAIN + 10 {
            let _ = jar.set(&format!("{n}={value}"), &from);
        }
        let refused = jar.set("more=1", &from);
        assert_eq!(refused, Err(Refused::TooMany));
        assert!(jar.get(&from).is_some_and(|line| line.len() <= MAX_SENT));
        // One that is there may change, and one that is past makes room.
        jar.set("one=5; Path=/", &from).expect("kept");
        let _ = jar.set("one=; Path=/; Max-Age=0", &from);
        jar.set("more=1", &from).expect("kept");
        assert_eq!(jar.set("again=1", &from), Err(Refused::TooMany));
    }

    #[test]
    fn cookies_that_come_and_go_do_not_pile_up() {
        let jar = Jar::default();
        let from = url("http://a.example/");
        for n in 0..2_000 {
            jar.set(&format!("{n}=1"), &from).expect("kept");
            let _ = jar.set(&format!("{n}=1; Max-Age=0"), &from);
        }
        assert!(jar.store().iter_any().count() <= MAX_OF_DOMAIN);
    }
}
