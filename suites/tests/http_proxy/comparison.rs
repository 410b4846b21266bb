//! The same requests through tinyproxy.

use suites::{
    others::{Server, free_address, tool},
    web_server::Client,
};

use crate::scene::{Scene, curl};

/// `None`, and a line that says so, where there is no tinyproxy.
fn tinyproxy() -> Option<Server> {
    let mut command = tool("tinyproxy")?;
    let address = free_address();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tinyproxy.conf");
    let text = format!(
        "Port {}\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nLogLevel Info\n",
        address.port()
    );
    std::fs::write(&file, text).unwrap();
    command.args(["-d", "-c"]).arg(&file);
    Some(Server::start_in(folder, &mut command, address))
}

/// Status and body of an answer, and the fields that are the server's.
fn of_server(answer: &str) -> (String, Vec<String>, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .unwrap_or_default()
        .split(' ')
        .nth(1)
        .unwrap_or_default();
    let of_a_hop = [
        "via",
        "date",
        "connection",
        "server",
        "proxy-",
        "keep-alive",
    ];
    let mut fields: Vec<_> = lines
        .map(str::to_ascii_lowercase)
        .filter(|line| !of_a_hop.iter().any(|hop| line.starts_with(hop)))
        .collect();
    fields.sort();
    (status.into(), fields, body.into())
}

#[test]
fn answers_are_the_same_as_through_tinyproxy() {
    let Some(other) = tinyproxy() else {
        return;
    };
    let scene = Scene::new(&[]);
    let url = scene.url("/hello.txt");
    let head = scene.curl(&["-I", &url]).unwrap().all;
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("ETag: "))
        .unwrap()
        .trim()
        .to_owned();
    let unchanged = format!("If-None-Match: {tag}");
    for arguments in [
        &[&*url][..],
        &["-I", &url],
        &["-r", "3-6", &url],
        &["-r", "100-", &url],
        &["-H", &unchanged, &url],
        &["-X", "DELETE", &url],
        &["-d", "x=y", &url],
        &["-0", &url],
        &["-H", "Host: elsewhere", &url],
        &[&scene.url("/absent")],
        &[&scene.url("/")],
        &["--path-as-is", &scene.url("/a/../hello.txt?x=%20#f")],
    ] {
        let arguments = [&["-i"], arguments].concat();
        let ours = scene.curl(&arguments).unwrap();
        let theirs = curl(&format!("http://{}", other.address), &arguments).unwrap();
        assert_eq!(
            of_server(&ours.all),
            of_server(&theirs.all),
            "{arguments:?}"
        );
        assert_eq!(ours.code, theirs.code, "{arguments:?}");
    }
}

/// Where they differ, and why.
#[test]
fn refusals_are_not_the_same() {
    let Some(other) = tinyproxy() else {
        return;
    };
    let scene = Scene::new(&[]);
    let url = scene.url("/hello.txt");
    let free = free_address();
    for (request, ours, theirs) in [
        // A gateway that gets no answer is 502 (RFC 9110, 15.6.3).
        (
            format!("GET http://{free}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            502,
            500,
        ),
        // Two lengths: smuggling. tinyproxy passes one of them on, and the server sees a request.
        (
            format!(
                "POST {url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\nabc"
            ),
            400,
            405,
        ),
    ] {
        for (address, status) in [(scene.address, ours), (other.address, theirs)] {
            let mut client = Client::new(suites::web_server::connect(address));
            client.send(&request);
            let answer = String::from_utf8_lossy(&client.rest()).into_owned();
            assert_eq!(
                answer.get(9..12),
                Some(&*status.to_string()),
                "{request} {answer}"
            );
        }
    }
}
