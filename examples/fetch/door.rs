//! From the scheme of a URL to the way it is fetched.

use std::{rc::Rc, time::Instant};

use asynchat::{Registry, Result};
use data_url::DataUrl;
use shared::{
    client::{Contact, ContactOptions},
    ftp::{self, Mode},
    gopher::{self, GopherUrl},
    http::{
        ALPN,
        async_http::AsyncHttp,
        consumer::{Agent, Deadline, Order},
        proxy::Proxies,
        redirecting::{RedirectingConsumer, Redirects},
        url::Url,
    },
    tls::client::Lazy,
};

use crate::{
    download::{Download, Failures},
    file,
    http::Answer,
};

const SCHEMES: &str = "http, https, ftp, ftps, gopher, gophers, file and data";

/// The means of all URLs.
pub(crate) struct Door {
    agent: Rc<Agent>,
    contact: Contact,
    redirects: Redirects,
    deadline: Option<Deadline>,
    max_size: Option<u64>,
}

impl Door {
    /// # Errors
    /// A proxy in the environment that is none.
    pub(crate) fn new(
        contact: Contact,
        options: &ContactOptions,
        redirects: Redirects,
        max_size: Option<u64>,
        now: Instant,
    ) -> Result<Self> {
        Ok(Self {
            agent: Rc::new(Agent {
                tls: Rc::new(Lazy::new(options.trust.clone(), &[ALPN])),
                timeout: options.timeout,
                proxies: Proxies::from_environment(None)?,
            }),
            contact,
            redirects,
            deadline: options
                .max_time
                .and_then(|limit| Deadline::after(now, limit)),
            max_size,
        })
    }

    /// Begins. The download learns the outcome.
    pub(crate) fn enter(
        &self,
        registry: &mut Registry,
        text: &str,
        (name, failures): (&str, &Failures),
        mut download: Download,
    ) {
        let url = match url::Url::parse(text) {
            Ok(url) => url,
            Err(url::ParseError::RelativeUrlWithoutBase) => {
                return download.end(Err(format!("no scheme: there are {SCHEMES}").into()));
            }
            Err(error) => return download.end(Err(error.into())),
        };
        match url.scheme() {
            "http" | "https" => self.http(registry, text, download),
            // A download that is not begun is dropped, without the error.
            "ftp" | "ftps" => {
                if let Err(error) = self.ftp(registry, &url, download) {
                    failures.set(name, &error);
                }
            }
            "gopher" | "gophers" => {
                if let Err(error) = self.gopher(registry, text, download) {
                    failures.set(name, &error);
                }
            }
            "file" => file::fetch(registry, &url, self.deadline, download),
            "data" => data(text, download),
            other => {
                let error = format!("{other}: no such scheme here: there are {SCHEMES}");
                download.end(Err(error.into()));
            }
        }
    }

    fn http(&self, registry: &mut Registry, text: &str, mut download: Download) {
        let url = match Url::parse(text.as_bytes()) {
            Ok(url) => url,
            Err(error) => return download.end(Err(error.into())),
        };
        let order = Order {
            deadline: self.deadline,
            max_size: self.max_size,
            ..Order::get(url, &self.agent)
        };
        let answer = Answer(download);
        let consumer = RedirectingConsumer::new(answer, self.redirects, |url| {
            crate::tell(&format!("redirecting to {url} ..."));
            Ok(())
        });
        AsyncHttp::start(registry, order, consumer);
    }

    fn ftp(&self, registry: &mut Registry, url: &url::Url, download: Download) -> Result {
        let place = ftp::Place::of_url(url)?;
        let consumer = Box::new(download);
        ftp::fetch(registry, &self.contact, place, Mode::default(), consumer)?;
        Ok(())
    }

    fn gopher(&self, registry: &mut Registry, text: &str, download: Download) -> Result {
        let url: GopherUrl = text.parse()?;
        gopher::fetch(registry, &self.contact, &url, download)?;
        Ok(())
    }
}

fn data(text: &str, mut download: Download) {
    let outcome = match DataUrl::process(text) {
        Err(error) => Err(error.into()),
        Ok(url) => download
            .begin(None, Some(url.mime_type().to_string()))
            .and_then(|()| {
                let (body, _) = url.decode_to_vec().map_err(|error| error.to_string())?;
                download.take(&body)
            }),
    };
    download.end(outcome);
}
