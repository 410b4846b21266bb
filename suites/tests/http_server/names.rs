//! Names that Windows takes for another file, a device or a place elsewhere: on no system is anything found by them.

use std::fs;

use suites::web_server::{Server, serve};

/// A root with a hidden file, whose short names would be `LONGNA~1.TXT` and `HIDDEN~1`.
fn server() -> Server {
    serve(&["--quiet"], |root| {
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/inner.txt"), "inner").unwrap();
        fs::write(root.join("longname.txt"), "long").unwrap();
        fs::write(root.join(".hidden-file"), "secret").unwrap();
    })
}

const NOT_FOUND: &[(&str, &[&str])] = &[
    (
        "backslashes",
        &[
            "/sub%5cinner.txt",
            "/sub\\inner.txt",
            "/%5chello.txt",
            "/.%5chello.txt",
        ],
    ),
    (
        "upwards",
        &[
            "/..%5c",
            "/sub/..%5c..%5chello.txt",
            "/..%5c..%5c..%5cwindows%5cwin.ini",
        ],
    ),
    (
        "drives",
        &[
            "/C:",
            "/C:/windows/win.ini",
            "/C:%5cwindows%5cwin.ini",
            "/c%3a%5cwindows",
            "/Z:%5cetc%5cpasswd",
        ],
    ),
    (
        "servers",
        &["/%5c%5cserver%5cshare", "/%5c%5c127.0.0.1%5cC$%5cwindows"],
    ),
    (
        "namespaces",
        &[
            "/%5c%5c%3f%5cC:%5cwindows%5cwin.ini",
            "/%5c%5c.%5cNUL",
            "/%3f%3f%5cC:",
        ],
    ),
    (
        "devices",
        &[
            "/NUL", "/nul", "/CON", "/PRN", "/AUX", "/COM1", "/lpt9", "/CONIN$", "/conout$",
            "/sub/NUL",
        ],
    ),
    (
        "devices with more",
        &[
            "/NUL.txt",
            "/aux.html",
            "/com1.a.b",
            "/nul%20",
            "/nul%20.txt",
            "/nul.",
            "/nul:",
            "/%20nul",
        ],
    ),
    (
        "superscript digits",
        &["/COM%C2%B9", "/com%C2%B2.txt", "/LPT%C2%B3"],
    ),
    (
        "streams",
        &[
            "/hello.txt::$DATA",
            "/hello.txt:stream",
            "/hello.txt%3a%3a$data",
            "/sub::$INDEX_ALLOCATION/inner.txt",
        ],
    ),
    (
        "ends that are cut off",
        &[
            "/hello.txt.",
            "/hello.txt%20",
            "/hello.txt.%20.",
            "/sub./inner.txt",
            "/sub%20/inner.txt",
        ],
    ),
    (
        "a hidden file",
        &[
            "/.hidden-file",
            "/.hidden-file.",
            "/.hidden-file::$DATA",
            "/%20.hidden-file",
            "/HIDDEN~1",
        ],
    ),
    (
        "short names",
        &[
            "/LONGNA~1.TXT",
            "/longna~1.txt",
            "/HELLO~1.TXT",
            "/SUB~1/inner.txt",
            "/PROGRA~1",
        ],
    ),
];

#[test]
fn nothing_is_found_by_a_name_that_windows_reads_otherwise() {
    let server = server();
    for (kind, targets) in NOT_FOUND {
        for target in *targets {
            let reply = server.get(target);
            assert_eq!(reply.status, 404, "{kind}: {target}: {}", reply.text());
        }
    }
    for (target, content) in [
        ("/hello.txt", "hello, world"),
        ("/longname.txt", "long"),
        ("/sub/inner.txt", "inner"),
    ] {
        assert_eq!(server.get(target).expect(200).text(), content);
    }
}
