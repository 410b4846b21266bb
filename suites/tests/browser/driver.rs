//! A headless Chromium driven by chromedriver: the WebDriver protocol is JSON over HTTP, little enough to write by hand.

use std::{
    io::{BufRead, BufReader, Lines, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A browser takes its time, above all the first one on a cold machine.
const DEADLINE: Duration = Duration::from_secs(60);

pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

fn find(names: &[&str]) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|file| file.is_file())
}

/// A new browser with an empty profile; `None`, with the reason, where there is none.
pub fn start() -> Option<Browser> {
    start_with("--no-proxy-server")
}

/// The same with one more flag.
pub fn start_with(flag: &str) -> Option<Browser> {
    launch(&["--no-proxy-server", flag])
}

/// One that asks this proxy for everything, the loopback included, and trusts each certificate.
pub fn start_through(proxy: SocketAddr) -> Option<Browser> {
    launch(&[
        &format!("--proxy-server=http://{proxy}"),
        "--proxy-bypass-list=<-loopback>",
        "--ignore-certificate-errors",
    ])
}

fn launch(more: &[&str]) -> Option<Browser> {
    let chromium = find(&["chromium", "chromium-browser", "google-chrome", "chrome"]);
    let driver = find(&["chromedriver"]);
    let (Some(chromium), Some(driver)) = (&chromium, &driver) else {
        eprintln!("SKIPPED: needs chromium ({chromium:?}) and chromedriver ({driver:?}) in PATH");
        return None;
    };
    let profile = tempfile::tempdir().unwrap();
    let (driver, port, lines) = start_driver(driver);
    // Keeps the pipe empty.
    std::thread::spawn(move || lines.for_each(drop));
    let mut browser = Browser {
        driver,
        port,
        session: String::new(),
        _profile: profile,
    };
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1000,800",
    ];
    let flags = flags.iter().chain(more);
    let flags: String = flags.map(|flag| format!("\"{flag}\",")).collect();
    let profile = browser._profile.path().display().to_string();
    let answer = browser.call(
        "POST",
        "/session",
        &format!(
            "{{\"capabilities\":{{\"alwaysMatch\":{{\"goog:chromeOptions\":{{\"binary\":\"{}\",\"args\":[{flags}\"--user-data-dir={profile}\"]}}}}}}}}",
            chromium.display()
        ),
    );
    browser.session = format!(
        "/session/{}",
        text_after(&answer, "\"sessionId\":\"").unwrap_or_else(|| panic!("no session: {answer}"))
    );
    Some(browser)
}

/// chromedriver with the port it listens on, and its further lines. It takes a free port of IPv6 and then the same one
/// of IPv4. If another program has that one it ends, and is started again.
fn start_driver(program: &Path) -> (Child, u16, Lines<BufReader<ChildStdout>>) {
    let mut written = Vec::new();
    for _ in 0..5 {
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let mut is_port_taken = false;
        while let Some(line) = lines.next() {
            let line = line.unwrap();
            is_port_taken |= line.contains("port not available");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return (driver, port.trim_end_matches('.').parse().unwrap(), lines);
            }
            written.push(line);
        }
        driver.kill().unwrap();
        written.push(driver.wait().unwrap().to_string());
        if !is_port_taken {
            break;
        }
    }
    panic!("chromedriver did not give its port: {written:#?}");
}

/// The string that starts behind `mark`, up to its closing quote; of all escapes only that of `<` is undone.
fn text_after(json: &str, mark: &str) -> Option<String> {
    let (_, rest) = json.split_once(mark)?;
    Some(rest.split('"').next()?.replace("\\u003C", "<"))
}

impl Browser {
    fn call(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn command(&self, path: &str, body: &str) -> String {
        let answer = self.call("POST", &format!("{}{path}", self.session), body);
        assert!(!answer.contains("\"error\":"), "{path} {body}: {answer}");
        answer
    }

    pub fn open(&self, url: &str) {
        self.command("/url", &format!("{{\"url\":\"{url}\"}}"));
    }

    /// Clicks what a CSS selector finds, as a person would with the mouse; neither may contain a double quote.
    pub fn click(&self, selector: &str) {
        let found = self.command(
            "/element",
            &format!("{{\"using\":\"css selector\",\"value\":\"{selector}\"}}"),
        );
        let key = "\"element-6066-11e4-a52e-4f735466cecf\":\"";
        let element = text_after(&found, key).unwrap();
        self.command(&format!("/element/{element}/click"), "{}");
    }

    /// Runs a script that returns a string without quotes; it may not contain a double quote.
    pub fn script(&self, script: &str) -> String {
        let answer = self.command(
            "/execute/sync",
            &format!("{{\"script\":\"{script}\",\"args\":[]}}"),
        );
        text_after(&answer, "\"value\":\"").unwrap_or_else(|| panic!("{script}: {answer}"))
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, name: &str, parameters: &str) {
        self.command(
            "/goog/cdp/execute",
            &format!("{{\"cmd\":\"{name}\",\"params\":{parameters}}}"),
        );
    }

    /// Waits until the script gives something that is wanted.
    #[track_caller]
    pub fn wait_for(&self, script: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let value = self.script(script);
            if wanted(&value) {
                return value;
            }
            assert!(Instant::now() < end, "{script} stays {value:?}");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Takes the browser along, also when the test has failed: nothing here may panic.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = write!(
                stream,
                "DELETE {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
                self.session, self.port
            );
            let _ = stream.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
