//! Who asks, and by which way: credentials, cookies, proxies.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use asynchat::Result;
use clap::Args;
use shared::{
    client::{Login, password_of},
    http::{
        ALPN,
        authenticating::Authenticating,
        challenge::Credentials,
        consumer::{Agent, Consumer},
        cookies::{Cookies, Jar},
        proxy::{Proxies, Proxy},
        url::Url,
    },
    saving::Target,
    tls::client::{Lazy, Trust},
};

/// The environment variable that may have the password for the proxy.
const VARIABLE: &str = "ASYNCHAT_PROXY_PASSWORD";
/// Bytes of a file of cookies.
const MAX_COOKIES: u64 = 8 * 1024 * 1024;

#[derive(Args, Debug)]
#[command(next_help_heading = "Identity")]
pub(crate) struct Identity {
    #[command(flatten)]
    login: Login,
    /// Send name and password at once; otherwise they wait for the server to ask, and stay secret if it asks for Digest
    #[arg(long, requires = "user")]
    basic: bool,
    /// Send these cookies, 'NAME=VALUE; NAME=VALUE', or those of a file in Netscape's format, and keep those that servers
    /// set for the run
    #[arg(short = 'b', long, value_name = "DATA|FILE")]
    cookie: Vec<String>,
    /// Write all cookies to this file at the end, in Netscape's format; - is standard output
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) cookie_jar: Option<Target>,
    /// Go through this proxy, HOST:PORT; otherwise through those that http_proxy, https_proxy and all_proxy in the
    /// environment name
    #[arg(short = 'x', long, value_name = "PROXY")]
    proxy: Option<String>,
    /// Log in to the proxy with this name; the password is the first line of --proxy-password-file, or in the environment
    /// variable ASYNCHAT_PROXY_PASSWORD, or asked for on the terminal
    #[arg(long, value_name = "NAME", requires = "proxy")]
    proxy_user: Option<String>,
    /// File whose first line is the password for the proxy; - is standard input
    #[arg(long, value_name = "FILE", requires = "proxy_user")]
    proxy_password_file: Option<PathBuf>,
    /// Hosts and domains that are reached without a proxy, as a.example,b.example:8080; * is all
    #[arg(long, value_name = "LIST")]
    noproxy: Option<String>,
}

/// The same at work.
pub(crate) struct Session {
    pub(crate) agent: Rc<Agent>,
    login: Option<(String, String)>,
    basic: bool,
    /// If there are to be cookies.
    jar: Option<Jar>,
    cookie_jar: Option<Target>,
}

impl Identity {
    /// `urls`: those that cookies of the command line are for.
    pub(crate) fn session(
        &self,
        timeout: Duration,
        urls: &[Url],
        trust: &Trust,
    ) -> Result<Session, String> {
        let agent = Agent {
            tls: Rc::new(Lazy::new(trust.clone(), &[ALPN])),
            proxies: self.proxies()?,
            timeout,
        };
        let jar = (!self.cookie.is_empty() || self.cookie_jar.is_some()).then(Jar::default);
        if let Some(jar) = &jar {
            for cookie in &self.cookie {
                fill(jar, cookie, urls, self.cookie_jar.as_ref())?;
            }
        }
        Ok(Session {
            agent: Rc::new(agent),
            login: self.login.credentials()?,
            basic: self.basic,
            jar,
            cookie_jar: self.cookie_jar.clone(),
        })
    }

    fn proxies(&self) -> Result<Proxies, String> {
        let direct = self.noproxy.as_deref();
        let Some(text) = &self.proxy else {
            return Proxies::from_environment(direct);
        };
        let mut proxy = Proxy::parse(text).map_err(|why| format!("-x: {why}"))?;
        if proxy.credentials.is_some() {
            return Err("-x: name and password are given with --proxy-user".into());
        }
        if let Some(user) = &self.proxy_user {
            let password = password_of(user, self.proxy_password_file.as_deref(), VARIABLE)?;
            proxy.credentials = Some(Credentials::new(user.clone(), password, false));
        }
        Ok(Proxies::all(proxy, direct))
    }
}

/// As curl does: with an equals sign it is no file. The file that is written at the end need not be there before the
/// first run.
fn fill(jar: &Jar, cookie: &str, urls: &[Url], cookie_jar: Option<&Target>) -> Result<(), String> {
    if !cookie.contains('=') {
        let mut text = String::new();
        let read = match cookie {
            "" => Ok(0),
            path if is_new(Path::new(path), cookie_jar) => Ok(0),
            "-" => std::io::stdin()
                .take(MAX_COOKIES + 1)
                .read_to_string(&mut text),
            path => File::open(path)
                .and_then(|file| file.take(MAX_COOKIES + 1).read_to_string(&mut text)),
        };
        read.map_err(|error| format!("{cookie}: {error}"))?;
        if text.len() as u64 > MAX_COOKIES {
            return Err(format!(
                "{cookie}: more than {MAX_COOKIES} bytes of cookies"
            ));
        }
        return jar
            .read_netscape(&text)
            .map_err(|why| format!("{cookie}: {why}"));
    }
    for pair in cookie
        .split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        for url in urls {
            jar.set(&format!("{pair}; Path=/"), url)
                .map_err(|why| format!("-b: {pair:?} is no cookie for {url}: {why}"))?;
        }
    }
    Ok(())
}

fn is_new(path: &Path, cookie_jar: Option<&Target>) -> bool {
    matches!(cookie_jar, Some(Target::File(jar)) if jar == path) && !path.exists()
}

/// The consumer that proves who asks to the server of this URL, if somebody does.
pub(crate) fn authenticating(
    consumer: Box<dyn Consumer>,
    credentials: Option<Credentials>,
    url: &Url,
) -> Box<dyn Consumer> {
    match credentials {
        None => consumer,
        Some(credentials) => Box::new(Authenticating::new(consumer, credentials, url.clone())),
    }
}

impl Session {
    /// For one server: what it asks for is for none else.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let (user, password) = self.login.as_ref()?;
        Some(Credentials::new(user.clone(), password.clone(), self.basic))
    }

    pub(crate) fn with_cookies(&self, consumer: Box<dyn Consumer>) -> Box<dyn Consumer> {
        match &self.jar {
            None => consumer,
            Some(jar) => Box::new(Cookies::new(consumer, jar.clone())),
        }
    }

    /// At the end of the run.
    pub(crate) fn save_cookies(&self) -> Result {
        if let (Some(jar), Some(target)) = (&self.jar, &self.cookie_jar) {
            let mut sink = target.open()?;
            sink.write_all(jar.write_netscape().as_bytes())?;
            sink.finish(true)?;
        }
        Ok(())
    }
}
