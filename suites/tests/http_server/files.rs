//! From paths to files: what is served, what is listed, and what never leaves the root.
//!
//! On Windows a link needs a privilege, and there is neither a FIFO nor a mode. Tests about these are for Unix.

#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::{fs, path::Path};

use suites::web_server::{Server, plain, serve};

/// A root inside a directory that holds a secret.
fn guarded() -> (Server, tempfile::TempDir) {
    guarded_with(&[])
}

fn guarded_with(options: &[&str]) -> (Server, tempfile::TempDir) {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let server = serve(options, |root| {
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/inner.html"), "inner").unwrap();
        #[cfg(unix)]
        for (target, name) in [
            (outside.path(), "out"),
            (&outside.path().join("secret"), "out-file"),
            (Path::new("../hello.txt"), "sub/in-file"),
            (Path::new("sub"), "in"),
            (Path::new("nowhere"), "dangling"),
            (Path::new("loop"), "loop"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
    });
    // Next to the root, so that `..` would find it.
    (server, outside)
}

#[test]
fn no_path_leaves_the_root() {
    let (server, outside) = guarded();
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    let absolute = outside.path().join("secret");
    for target in [
        format!("/../{name}/secret"),
        format!("/sub/../../{name}/secret"),
        format!("/%2e%2e/{name}/secret"),
        format!("/%2E./{name}/secret"),
        format!("/..%2f{name}%2fsecret"),
        format!("/%2e%2e%2f{name}/secret"),
        format!("/..%5c{name}/secret"),
        format!("/hello.txt%00/../../{name}/secret"),
        "/hello.txt%00".to_string(),
        "/hello.txt%00.html".to_string(),
        format!("/{}", absolute.display()),
        format!("/%2f{}", absolute.display()),
        format!("http://a//{}", absolute.display()),
        "/out/secret".to_string(),
        "/out/".to_string(),
        "/out-file".to_string(),
        "/in/../out/secret".to_string(),
        "//out/secret".to_string(),
    ] {
        let reply = server.get(&target);
        assert!(
            matches!(reply.status, 403 | 404),
            "{target}: {}",
            reply.status
        );
        assert!(!reply.text().contains("secret</"), "{target}");
    }
    // Not a path at all.
    for target in ["/%", "/%4", "/%zz", "hello.txt", "*"] {
        server.get(target).expect(400);
    }
}

#[cfg(unix)]
#[test]
fn links_inside_the_root_work_and_broken_ones_are_not_found() {
    let (server, _outside) = guarded();
    assert_eq!(
        server.get("/sub/in-file").expect(200).text(),
        "hello, world"
    );
    assert_eq!(server.get("/in/inner.html").expect(200).text(), "inner");
    // What it is is said by its own name.
    symlink("hello.txt", server.root.path().join("page.html")).unwrap();
    let page = server.get("/page.html").expect(200);
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    server.get("/dangling").expect(404);
    server.get("/loop").expect(404);
}

#[cfg(unix)]
#[test]
fn a_listing_shows_what_is_served_and_nothing_else() {
    let (server, _outside) = guarded();
    fs::write(server.root.path().join(".hidden"), "").unwrap();
    let page = server.get("/").expect(200);
    let page = page.text();
    for shown in ["./hello.txt\"", "./sub/\"", "./in/\""] {
        assert!(page.contains(shown), "{shown}");
    }
    for absent in ["out", "dangling", "loop", "hidden"] {
        assert!(!page.contains(&format!("./{absent}")), "{absent}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_without_waiting() {
    let server = plain();
    let fifo = server.root.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let _socket =
        std::os::unix::net::UnixListener::bind(server.root.path().join("socket")).unwrap();
    server.get("/fifo").expect(403);
    server.get("/socket").expect(403);
    assert!(!server.get("/").expect(200).text().contains("fifo"));
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_forbidden_or_the_tests_run_as_root() {
    use std::os::unix::fs::PermissionsExt;
    let server = plain();
    let path = server.root.path().join("private");
    fs::write(&path, "private").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let allowed = fs::read(&path).is_ok();
    server
        .get("/private")
        .expect(if allowed { 200 } else { 403 });
}

#[test]
fn hidden_names_exist_only_when_asked_for() {
    let fill = |root: &Path| {
        fs::create_dir(root.join(".git")).unwrap();
        fs::write(root.join(".git/config"), "x").unwrap();
        #[cfg(unix)]
        for (target, name) in [(".git", "git"), (".git/config", "config")] {
            symlink(target, root.join(name)).unwrap();
        }
    };
    let server = serve(&[], fill);
    for target in [
        "/.git/config",
        "/%2egit/config",
        "/.git/",
        "/git/",
        "/git/config",
        "/config",
    ] {
        server.get(target).expect(404);
    }
    let page = server.get("/").expect(200);
    assert!(!page.text().contains("./git") && !page.text().contains("./config"));
    let server = serve(&["--hidden"], fill);
    server.get("/.git/config").expect(200);
    if cfg!(unix) {
        server.get("/git/config").expect(200);
        server.get("/config").expect(200);
    }
    assert!(server.get("/").text().contains("./.git/"));
}

#[test]
fn what_is_well_known_is_served_always_and_nothing_else_that_is_hidden() {
    let server = serve(&[], |root| {
        fs::create_dir_all(root.join(".well-known/.git")).unwrap();
        fs::write(root.join(".well-known/.git/config"), "x").unwrap();
        fs::write(root.join(".well-known/security.txt"), "Contact: x").unwrap();
        fs::create_dir_all(root.join("sub/.well-known")).unwrap();
    });
    let file = server.get("/.well-known/security.txt").expect(200);
    assert_eq!(file.text(), "Contact: x");
    server.get("/.well-known/").expect(200);
    server.get("/.well-known/.git/config").expect(404);
    server.get("/sub/.well-known/").expect(404);
    assert!(!server.get("/").text().contains("well-known"));
}

#[test]
fn dots_and_double_slashes_in_a_path_are_resolved() {
    let (server, _outside) = guarded();
    for target in [
        "//hello.txt",
        "/./hello.txt",
        "/sub/../hello.txt",
        "/a/%2e%2E/hello.txt",
    ] {
        assert_eq!(
            server.get(target).expect(200).text(),
            "hello, world",
            "{target}"
        );
    }
    for target in ["//", "/./", "/sub/.."] {
        assert!(
            server
                .get(target)
                .expect(200)
                .text()
                .contains("Index of /<"),
            "{target}"
        );
    }
    // Two slashes would make a host of the name.
    for target in ["//sub", "/./sub", "//in/../sub"] {
        let moved = server.get(target).expect(301);
        assert_eq!(moved.header("Location"), Some("/sub/"), "{target}");
    }
}

#[cfg(unix)]
#[test]
fn links_leave_the_root_with_follow_symlinks_and_paths_do_not() {
    let (server, outside) = guarded_with(&["--follow-symlinks"]);
    for target in ["/out/secret", "/out-file"] {
        assert_eq!(server.get(target).expect(200).text(), "secret", "{target}");
    }
    assert!(server.get("/").text().contains("./out/\""));
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    server.get(&format!("/../{name}/secret")).expect(403);
}

#[test]
fn a_directory_without_its_slash_is_moved() {
    let server = serve(&[], |root| fs::create_dir(root.join("a b")).unwrap());
    let reply = server.get("/a%20b?sort=size").expect(301);
    assert_eq!(reply.header("Location"), Some("/a%20b/?sort=size"));
    server.get("/a%20b/").expect(200);
    server.get("/hello.txt/").expect(404);
}

#[test]
fn an_index_stands_for_its_directory() {
    let fill = |root: &Path| {
        fs::write(root.join("index.html"), "index").unwrap();
        fs::write(root.join("start.txt"), "start").unwrap();
    };
    let reply = serve(&[], fill).get("/").expect(200);
    assert_eq!(
        (reply.text(), reply.header("Content-Type")),
        ("index", Some("text/html; charset=utf-8"))
    );
    let reply = serve(&["--index", "start.txt"], fill).get("/").expect(200);
    assert_eq!(
        (reply.text(), reply.header("ETag").is_some()),
        ("start", true)
    );
}

// Windows has no such names.
#[cfg(unix)]
#[test]
fn the_listing_is_sorted_by_links_and_survives_strange_names() {
    let server = serve(&[], |root| {
        fs::write(root.join("<i>&\"'"), "x").unwrap();
        fs::write(root.join("50% #?.txt"), "percent").unwrap();
        fs::write(root.join("large"), vec![0; 5000]).unwrap();
        let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"not-utf8-\xff");
        fs::write(root.join(odd), "odd").unwrap();
    });
    let page = server.get("/?sort=size&order=desc").expect(200);
    let page = page.text();
    assert!(page.find("large").unwrap() < page.find("hello.txt").unwrap());
    assert!(page.contains("4.8 KiB") && page.contains("title=\"5000 bytes\""));
    assert!(page.contains("?sort=size&amp;order=asc") && page.contains("aria-sort=\"descending\""));
    assert!(!page.contains("<i>") && !page.contains("<script"));
    assert!(page.contains("prefers-color-scheme:dark"));
    assert_eq!(
        server.get("/50%25%20%23%3F.txt").expect(200).text(),
        "percent"
    );
    assert!(page.contains("./not-utf8-%FF"));
    assert_eq!(server.get("/not-utf8-%FF").expect(200).text(), "odd");
}

#[test]
fn a_large_directory_is_listed_whole_in_sorted_pages() {
    const ENTRIES: usize = 4003;
    let server = serve(&["--quiet"], |root| {
        for (name, entries) in [("fits", 2000), ("large", ENTRIES)] {
            fs::create_dir(root.join(name)).unwrap();
            for n in 0..entries {
                let content = vec![b'x'; n % 7];
                fs::write(root.join(format!("{name}/file-{n:04}")), content).unwrap();
            }
        }
        fs::create_dir(root.join("large/zz")).unwrap();
    });
    let get = |target: &str| server.get(target).expect(200).text().to_owned();
    let names = |page: &str| -> Vec<String> {
        let links = page.split("href=\"./").skip(1);
        links
            .map(|link| link.split('"').next().unwrap().to_owned())
            .collect()
    };
    let page = get("/fits/");
    assert_eq!(names(&page).len(), 2000);
    assert!(!page.contains("page="), "one page has no others");
    let all: Vec<_> = (1..=3).map(|n| get(&format!("/large/?page={n}"))).collect();
    let expected: Vec<_> = (0..ENTRIES).map(|n| format!("file-{n:04}")).collect();
    let all_names: Vec<_> = all.iter().flat_map(|page| names(page)).collect();
    assert_eq!(all_names[0], "zz/");
    assert_eq!(all_names[1..], expected);
    assert!(all[0].contains("Entries 1 to 2000 of 4004") && !all[0].contains(">previous<"));
    for link in [
        ("1", "first"),
        ("1", "previous"),
        ("3", "next"),
        ("3", "last"),
    ] {
        let (page, label) = link;
        let link = format!("<a href=\"?sort=name&amp;order=asc&amp;page={page}\">{label}</a>");
        assert!(all[1].contains(&link), "{link}");
    }
    assert!(all[2].contains("Entries 4001 to 4004 of 4004") && !all[2].contains(">next<"));
    assert_eq!(get("/large/?page=99"), all[2]);
    // By size all have to be looked at before the first page is known.
    let by_size = names(&get("/large/?sort=size&order=desc"));
    assert_eq!(by_size[..3], ["zz/", "file-3996", "file-3989"]);
}

#[test]
fn the_status_page_exists_only_with_its_option() {
    plain().get("/-/status").expect(404);
    let server = serve(&["--status"], |_| ());
    let mut other = server.connect();
    other
        .ask("GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect(200);
    let page = server.get("/-/status").expect(200);
    assert_eq!(page.header("Cache-Control"), Some("no-store"));
    let page = page.text();
    let other = other.stream.local_addr().unwrap().to_string();
    for expected in [
        "<svg",
        "HttpChannel",
        "HttpServer",
        "Listening",
        "Open<",
        &other,
        "accept pauses",
        "callbacks",
        "turns",
        "http-equiv=\"refresh\"",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
}
