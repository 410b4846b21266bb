//! Which proxy a request goes through: plain requests in absolute form, TLS through a tunnel (RFC 9110, 9.3.6).

use std::{env, net::IpAddr, rc::Rc};

use percent_encoding::percent_decode_str;

use super::{challenge::Credentials, url::Url};

/// A proxy that is spoken to without TLS.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// As it connects: an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
    pub credentials: Option<Credentials>,
}

impl Proxy {
    /// Reads `http://HOST:PORT` or `HOST:PORT`. Without a port it is 1080, as with curl.
    ///
    /// # Errors
    /// Another kind of proxy, or no address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let spelled = match text.split_once("://") {
            Some(_) => text.to_owned(),
            None => format!("http://{text}"),
        };
        let url = url::Url::parse(&spelled).map_err(|error| error.to_string())?;
        if url.scheme() != "http" {
            return Err(format!("proxies are http, not {}", url.scheme()));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or("a proxy is HOST:PORT")?.to_owned();
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = (!url.username().is_empty()).then(|| {
            let password = url.password().unwrap_or_default();
            Credentials::new(plain(url.username()), plain(password), false)
        });
        // The crate leaves out the port that is the scheme's.
        let as_other = || {
            let (_, behind) = spelled.split_once(':')?;
            url::Url::parse(&format!("https:{behind}")).ok()?.port()
        };
        let port = url.port().or_else(as_other).unwrap_or(1080);
        Ok(Self {
            host,
            port,
            credentials,
        })
    }
}

/// The proxies of a run.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Rc<Proxy>>,
    https: Option<Rc<Proxy>>,
    direct: Vec<String>,
    /// Nobody asked for a proxy to this machine.
    loopback_is_direct: bool,
}

impl Proxies {
    /// One for all URLs but those whose host is in the list.
    pub fn all(proxy: Proxy, direct: Option<&str>) -> Self {
        let proxy = Some(Rc::new(proxy));
        Self {
            http: proxy.clone(),
            https: proxy,
            direct: list(direct.unwrap_or_default()),
            loopback_is_direct: false,
        }
    }

    /// Those that the environment names, as for curl: `http_proxy`, `https_proxy` or `HTTPS_PROXY`, `all_proxy` or
    /// `ALL_PROXY`, `no_proxy` or `NO_PROXY`. A CGI script's `HTTP_PROXY` is a field of its client's. Nothing on this
    /// machine is reached through them.
    ///
    /// # Errors
    /// A variable that names no proxy.
    pub fn from_environment(direct: Option<&str>) -> Result<Self, String> {
        Self::of_variables(|name| env::var(name).ok(), direct)
    }

    fn of_variables(
        variable: impl Fn(&str) -> Option<String>,
        direct: Option<&str>,
    ) -> Result<Self, String> {
        let first = |names: &[&'static str]| {
            let values = names.iter().map(|&name| (name, variable(name)));
            let mut set = values.filter_map(|(name, value)| Some((name, value?)));
            set.find(|(_, value)| !value.is_empty())
        };
        let proxy = |names: &[&'static str]| match first(names) {
            None => Ok(None),
            Some((name, value)) => match Proxy::parse(&value) {
                Ok(proxy) => Ok(Some(Rc::new(proxy))),
                Err(why) => Err(format!("{name} in the environment: {why}")),
            },
        };
        let variables = first(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value);
        Ok(Self {
            http: proxy(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
            https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            direct: list(direct.or(variables.as_deref()).unwrap_or_default()),
            loopback_is_direct: true,
        })
    }

    /// The proxy for a URL.
    pub(super) fn of(&self, url: &Url) -> Option<&Rc<Proxy>> {
        let proxy = match url.is_https() {
            true => self.https.as_ref()?,
            false => self.http.as_ref()?,
        };
        let host = url.host().trim_matches(['[', ']']);
        let is_direct = self.loopback_is_direct && is_loopback(host)
            || self
                .direct
                .iter()
                .any(|rule| covers(rule, host, url.port()));
        (!is_direct).then_some(proxy)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn list(text: &str) -> Vec<String> {
    let names = text.split([',', ' ']).filter(|name| !name.is_empty());
    names.map(str::to_ascii_lowercase).collect()
}

/// Whether a rule is for a host: `*`, the host itself, or a domain that it is in. A rule may have a port.
fn covers(rule: &str, host: &str, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    let (name, of_port) = match rule.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
            (name, digits.parse::<u16>().ok())
        }
        _ => (rule, Some(port)),
    };
    if of_port != Some(port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']);
    let name = name
        .strip_prefix("*.")
        .unwrap_or(name)
        .trim_start_matches('.');
    if name.parse::<IpAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return name == host;
    }
    match host.strip_suffix(name) {
        Some(rest) => !name.is_empty() && (rest.is_empty() || rest.ends_with('.')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_a_host_and_a_port() {
        for (text, expected) in [
            ("http://a:3128", Ok(("a", 3128))),
            ("a:3128", Ok(("a", 3128))),
            ("http://a:80/", Ok(("a", 80))),
            ("a", Ok(("a", 1080))),
            ("[::1]:8080", Ok(("[::1]", 8080))),
            ("https://a:443", Err("proxies are http, not https")),
            ("socks5://a:443", Err("proxies are http, not socks5")),
            ("a:99999", Err("invalid port number")),
            // As the crate reads it, slashes or not.
            ("http:a\u{e9}@b://c", Ok(("b", 1080))),
            ("http:a:80", Err("invalid port number")),
            ("http://a:080?x", Ok(("a", 80))),
            ("http://a:443", Ok(("a", 443))),
            ("", Err("empty host")),
        ] {
            let parsed = Proxy::parse(text);
            let parsed = parsed
                .as_ref()
                .map(|proxy| (proxy.host.as_str(), proxy.port));
            assert_eq!(parsed.map_err(String::as_str), expected, "{text:?}");
        }
        let proxy = Proxy::parse("http://me:a%40b@c:1").expect("a proxy");
        assert!(proxy.credentials.is_some());
    }

    #[test]
    fn hosts_without_a_proxy_are_named_by_domain_and_port() {
        for (rules, url, is_direct) in [
            ("", "http://a/", false),
            ("*", "http://a/", true),
            ("a.example", "http://a.example/", true),
            ("a.example", "http://b.a.example/", true),
            (".a.example", "http://b.a.example/", true),
            ("*.a.example", "http://b.a.example/", true),
            ("a.example", "http://ba.example/", false),
            ("x, A.example", "http://a.example/", true),
            ("a.example:8080", "http://a.example:8080/", true),
            ("a.example:8080", "http://a.example/", false),
            ("192.0.2.1", "http://192.0.2.1/", true),
            ("2.1", "http://192.0.2.1/", false),
            ("[::1]", "http://[::1]:99/", true),
            ("::1", "https://[::1]/", true),
            ("[::1]:98", "http://[::1]:99/", false),
        ] {
            let proxy = Proxy::parse("proxy:1").expect("a proxy");
            let proxies = Proxies::all(proxy, Some(rules));
            let url = Url::parse(url.as_bytes()).expect("a URL");
            assert_eq!(proxies.of(&url).is_none(), is_direct, "{rules:?} {url}");
        }
    }

    #[test]
    fn the_environment_is_read_as_curl_reads_it_but_for_this_machine() {
        type Variables = &'static [(&'static str, &'static str)];
        let cases: [(Variables, &str, Option<&str>); 10] = [
            (&[("http_proxy", "p:1")], "http://a/", Some("p")),
            (&[("HTTP_PROXY", "p:1")], "http://a/", None),
            (&[("HTTPS_PROXY", "p:1")], "https://a/", Some("p")),
            (&[("http_proxy", "p:1")], "https://a/", None),
            (
                &[("all_proxy", "p:1"), ("http_proxy", "q:1")],
                "http://a/",
                Some("q"),
            ),
            (
                &[("all_proxy", "p:1"), ("http_proxy", "")],
                "http://a/",
                Some("p"),
            ),
            (
                &[("all_proxy", "p:1"), ("no_proxy", "a")],
                "http://a/",
                None,
            ),
            (&[("all_proxy", "p:1")], "http://127.0.0.1/", None),
            (&[("all_proxy", "p:1")], "http://[::1]/", None),
            (&[("all_proxy", "p:1")], "http://localhost:80/", None),
        ];
        for (variables, url, host) in cases {
            let variable = |name: &str| {
                let mut same = variables.iter().filter(|(other, _)| *other == name);
                same.next().map(|(_, value)| (*value).to_owned())
            };
            let proxies = Proxies::of_variables(variable, None).expect("proxies");
            let url = Url::parse(url.as_bytes()).expect("a URL");
            let found = proxies.of(&url).map(|proxy| proxy.host.as_str());
            assert_eq!(found, host, "{variables:?} {url}");
        }
        let wrong = Proxies::of_variables(|_| Some("socks5://p".into()), None);
        let error = wrong.expect_err("no proxy");
        assert_eq!(
            error,
            "http_proxy in the environment: proxies are http, not socks5"
        );
    }
}
