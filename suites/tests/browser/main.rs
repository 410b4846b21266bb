//! The pages of the examples `http_server` and `quote_server` in a headless Chromium. Skipped, with a word, where there is no browser; it
//! installs nothing.
// Once is enough: how the poller does is the subject of others.
#![cfg(all(unix, not(mio_unsupported_force_poll_poll)))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test are part of it")]
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "modules of a test, one of them shared"
)]

use std::time::{Duration, Instant};

mod driver;

use suites::{
    certificates::{Authority, text},
    program,
    web_server::{DEADLINE, serve},
};

#[test]
fn a_listing_is_opened_sorted_and_a_file_clicked() {
    let Some(browser) = driver::start() else {
        return;
    };
    let server = serve(&[], |root| {
        std::fs::create_dir(root.join("sub dir")).unwrap();
        std::fs::write(root.join("sub dir/<odd> & 50%.txt"), "found").unwrap();
        std::fs::write(root.join("large.bin"), vec![0; 5000]).unwrap();
    });
    browser.open(&format!("http://{}/", server.address));
    assert_eq!(browser.script("return document.title"), "Index of /");
    let names =
        "return Array.from(document.querySelectorAll('td.name')).map(e => e.textContent).join('|')";
    assert_eq!(browser.script(names), "sub dir/|hello.txt|large.bin");
    for expected in [
        "sub dir/|hello.txt|large.bin",
        "sub dir/|large.bin|hello.txt",
    ] {
        browser.click("a[href*='sort=size']");
        assert_eq!(browser.script(names), expected);
    }
    browser.click("a[href='./sub%20dir/']");
    assert_eq!(browser.script(names), "../|<odd> & 50%.txt");
    browser.click("tr:nth-child(2) a");
    assert_eq!(browser.script("return document.body.innerText"), "found");
    browser.open(&format!("http://{}/sub%20dir/", server.address));
    browser.click("a[href='../']");
    browser.click("a[href='./hello.txt']");
    assert_eq!(
        browser.script("return document.body.innerText"),
        "hello, world"
    );
}

#[test]
fn pages_are_light_or_dark_as_the_reader_likes() {
    let Some(browser) = driver::start() else {
        return;
    };
    let server = serve(&["--status"], |_| ());
    let background = "return getComputedStyle(document.body).backgroundColor";
    for path in ["/", "/absent", "/-/status"] {
        let colours = ["light", "dark"].map(|scheme| {
            browser.devtools(
                "Emulation.setEmulatedMedia",
                &format!("{{\"features\":[{{\"name\":\"prefers-color-scheme\",\"value\":\"{scheme}\"}}]}}"),
            );
            browser.open(&format!("http://{}{path}", server.address));
            browser.script(background)
        });
        assert_eq!(colours, ["rgb(255, 255, 255)", "rgb(24, 27, 32)"], "{path}");
    }
}

#[test]
fn the_status_page_follows_the_server_without_being_loaded_again() {
    let Some(browser) = driver::start() else {
        return;
    };
    let server = serve(&["--status"], |_| ());
    browser.open(&format!("http://{}/-/status", server.address));
    browser.script("window.marker = 'still here'; return ''");
    let requests = "return document.querySelector('.tiles b').textContent";
    let first: u64 = browser.script(requests).parse().unwrap();
    for _ in 0..100 {
        server.get("/hello.txt").expect(200);
    }
    browser.wait_for(requests, |now| now.parse::<u64>().unwrap() >= first + 100);
    let points = "return document.querySelector('svg polyline').getAttribute('points')";
    browser.wait_for(points, |points| points.split_whitespace().count() >= 3);
    assert_eq!(browser.script("return window.marker"), "still here");
}

#[test]
fn the_status_page_over_tls_follows_the_server_too() {
    let Some(browser) = driver::start_with("--ignore-certificate-errors") else {
        return;
    };
    let mut authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let (cert, key) = (text(&certificate.cert), text(&certificate.key));
    let server = serve(&["--status", "--tls-cert", cert, "--tls-key", key], |_| ());
    browser.open(&format!("https://{}/-/status", server.address));
    let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.script(protocol), "http/1.1");
    assert_eq!(browser.script("return location.protocol"), "https:");
    browser.script("window.marker = 'still here'; return ''");
    let points = "return document.querySelector('svg polyline').getAttribute('points')";
    browser.wait_for(points, |points| points.split_whitespace().count() >= 3);
    assert_eq!(browser.script("return window.marker"), "still here");
    browser.open(&format!("https://{}/", server.address));
    browser.click("a[href='./hello.txt']");
    assert_eq!(
        browser.script("return document.body.innerText"),
        "hello, world"
    );
}

#[test]
fn the_status_page_reloads_itself_without_scripts_too() {
    let Some(browser) = driver::start() else {
        return;
    };
    browser.devtools("Emulation.setScriptExecutionDisabled", "{\"value\":true}");
    let server = serve(&["--status"], |_| ());
    browser.open(&format!("http://{}/-/status", server.address));
    let noscript = "return String(document.querySelectorAll('noscript meta').length)";
    assert_eq!(browser.script(noscript), "1", "scripts are off");
    let end = Instant::now() + DEADLINE;
    let mut loads = 0;
    while loads < 3 {
        assert!(Instant::now() < end, "loaded {loads} times");
        if let Ok(line) = server.out.recv_timeout(Duration::from_secs(1)) {
            loads += u32::from(line.contains("GET /-/status "));
        }
    }
}

#[test]
fn the_form_of_a_quote_server_adds_a_quote() {
    let Some(browser) = driver::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quotes");
    std::fs::write(&file, "the only one").unwrap();
    let options = ["--port", "0", "--quotes", text(&file)];
    let (_program, address) = program::serve("quote_server", &options);
    browser.open(&format!("http://{address}/"));
    let quote = "return document.querySelector('blockquote').textContent";
    assert_eq!(browser.script(quote), "the only one");
    let fill = "document.querySelector('textarea').value = '<b>added</b>'; window.old = 1; return 'filled'";
    browser.script(fill);
    browser.click("button");
    // Another page opened before would take the place of the form's answer.
    browser.wait_for("return String(window.old)", |old| old == "undefined");
    // Each load has one of the two.
    let end = Instant::now() + DEADLINE;
    while browser.script(quote) != "<b>added</b>" {
        assert!(Instant::now() < end, "it is never shown");
        browser.open(&format!("http://{address}/"));
    }
}

/// Pages and what belongs to them come through `http_proxy`; `https` through its tunnels.
#[test]
fn pages_come_through_a_proxy() {
    let mut authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let tls = [
        "--tls-cert",
        text(&certificate.cert),
        "--tls-key",
        text(&certificate.key),
    ];
    let page = |root: &std::path::Path| {
        let body = "<title>came</title><script src=a.js></script><img src=banner.png>";
        std::fs::write(root.join("page.html"), body).unwrap();
        std::fs::write(root.join("a.js"), "document.title += ' whole'").unwrap();
        std::fs::write(root.join("banner.png"), "").unwrap();
    };
    let plain = serve(&[], page);
    let secure = serve(&tls, page);
    let port = secure.address.port();
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&list, "*/banner.*\n").unwrap();
    let (proxy, address) = program::serve(
        "http_proxy",
        &[
            "--port",
            "0",
            "--connect-port",
            &port.to_string(),
            "--blocklist",
            text(list.path()),
        ],
    );
    let Some(browser) = driver::start_through(address) else {
        return;
    };
    for url in [
        format!("http://{}/page.html", plain.address),
        format!("https://localhost:{port}/page.html"),
    ] {
        browser.open(&url);
        browser.wait_for("return document.title", |title| title == "came whole");
    }
    // A tunnel is logged when it ends.
    drop(secure);
    let wanted = [
        format!("http://{}/page.html HTTP/1.1\" 200 ", plain.address),
        format!("http://{}/banner.png HTTP/1.1\" 403 ", plain.address),
        format!("CONNECT localhost:{port} HTTP/1.1\" 200 "),
    ];
    for wanted in wanted {
        while !proxy.line().contains(&wanted) {}
    }
}
