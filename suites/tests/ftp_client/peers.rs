//! Four servers of others, asked the same.

use std::fs;

use crate::servers::{README, all, blob, here};

#[test]
fn files_and_listings_pass_in_all_modes() {
    for peer in all() {
        for mode in ["passive", "pasv", "active", "port"] {
            let here = here();
            let (at, options) = (here.path(), ["--mode", mode]);
            let listing = peer.succeeds(at, &options, &["list", "pub"]);
            assert!(
                listing.contains("README") && listing.contains("300000"),
                "{listing}"
            );
            assert!(!listing.contains('\r'), "{listing:?}");
            let names = peer.succeeds(at, &options, &["list", "--names", "pub"]);
            assert!(
                names.lines().any(|line| line.ends_with("README")),
                "{names}"
            );
            let said = peer.succeeds(at, &options, &["get", "pub/blob", "pub/README"]);
            assert_eq!(said, "pub/blob: 300000 bytes\npub/README: 12 bytes\n");
            assert!(fs::read(at.join("blob")).unwrap() == blob());
            let stored = format!("pub/stored-{mode}");
            let said = peer.succeeds(at, &options, &["put", "big.bin", "-o", &stored]);
            assert_eq!(said, format!("{stored}: 300000 bytes\n"));
            let stored = peer.root().join(stored);
            assert!(fs::read(stored).unwrap() == blob(), "{} {mode}", peer.name);
        }
    }
}

#[test]
fn transfers_go_on_where_they_stopped() {
    for peer in all() {
        let here = here();
        let at = here.path();
        fs::write(at.join("blob"), &blob()[..123_456]).unwrap();
        let said = peer.succeeds(at, &[], &["get", "-c", "pub/blob"]);
        assert_eq!(said, "pub/blob: 300000 bytes\n");
        assert!(
            fs::read(at.join("blob")).unwrap() == blob(),
            "{}",
            peer.name
        );
        let said = peer.succeeds(at, &[], &["get", "-c", "pub/blob"]);
        assert_eq!(said, "pub/blob: complete already\n");
        fs::write(at.join("blob"), vec![0; 300_001]).unwrap();
        let ended = peer.client(at, &[], &["get", "-c", "pub/blob"]);
        let why = "ftp_client: pub/blob: 300001 bytes are here, and the server has 300000\n";
        assert_eq!((ended.code, ended.err.as_str()), (Some(1), why));

        fs::write(at.join("part"), &blob()[..123_456]).unwrap();
        peer.succeeds(at, &[], &["put", "part", "-o", "pub/whole"]);
        let said = peer.succeeds(at, &[], &["put", "-c", "big.bin", "-o", "pub/whole"]);
        assert_eq!(said, "pub/whole: 300000 bytes\n");
        let whole = fs::read(peer.root().join("pub/whole")).unwrap();
        assert!(whole == blob(), "{}: {}", peer.name, peer.log());
        let said = peer.succeeds(at, &[], &["put", "-c", "big.bin", "-o", "pub/whole"]);
        assert_eq!(said, "pub/whole: complete already\n");
    }
}

#[test]
fn texts_have_the_line_ends_of_their_place() {
    for peer in all() {
        let here = here();
        let at = here.path();
        let text = peer.succeeds(at, &[], &["get", "--text", "-o", "-", "pub/README"]);
        assert_eq!(text, README, "{}", peer.name);
        let said = peer.succeeds(at, &[], &["put", "notes.txt", "-o", "pub/notes"]);
        assert_eq!(said, "pub/notes: 12 bytes, as text\n");
        let stored = fs::read_to_string(peer.root().join("pub/notes")).unwrap();
        // pyftpdlib keeps the line ends of the wire nowhere but on Windows, the others keep none.
        assert_eq!(stored, README, "{}", peer.name);
    }
}

#[test]
fn sizes_dates_and_features_are_shown() {
    for peer in all() {
        let here = here();
        let said = peer.succeeds(here.path(), &[], &["info", "pub/README", "pub/blob"]);
        let mut lines = said.lines();
        for begin in [
            "pub/README: 12 bytes, changed 20",
            "pub/blob: 300000 bytes, changed 20",
        ] {
            let line = lines.next().unwrap();
            assert!(
                line.starts_with(begin) && line.ends_with(" UTC"),
                "{}: {line}",
                peer.name
            );
        }
        let features = peer.succeeds(here.path(), &[], &["features"]);
        assert!(
            features.lines().any(|line| line == "REST STREAM"),
            "{features}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_keeps_no_other_back() {
    for peer in all() {
        let here = here();
        fs::write(here.path().join("none"), "old").unwrap();
        let ended = peer.client(here.path(), &[], &["get", "pub/none", "pub/README"]);
        assert_eq!(ended.out(), "pub/README: 12 bytes\n", "{}", peer.name);
        let begin = "ftp_client: pub/none: RETR pub/none: the server says 550 ";
        assert!(
            ended.code == Some(1) && ended.err.starts_with(begin),
            "{}",
            ended.err
        );
        assert_eq!(ended.err.lines().count(), 1);
        assert_eq!(fs::read(here.path().join("none")).unwrap(), b"old");
        let ended = peer.client(here.path(), &[], &["put", "absent", "big.bin", "-b"]);
        assert_eq!(ended.code, Some(1));
        assert!(
            ended.err.starts_with("ftp_client: absent: "),
            "{}",
            ended.err
        );
    }
}

#[test]
fn a_wrong_password_is_one_line() {
    for peer in all() {
        if peer.args.is_empty() {
            continue;
        }
        let here = here();
        let ended = peer.client(here.path(), &["--password-file", "notes.txt"], &["list"]);
        let begin = "ftp_client: login: the server says 530 ";
        assert!(
            ended.code == Some(1) && ended.err.starts_with(begin),
            "{}",
            ended.err
        );
    }
}
