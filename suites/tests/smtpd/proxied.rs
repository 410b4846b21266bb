//! Behind a proxy: the client is the one that its header names (PROXY protocol).

use std::io::Write;

use crate::{client::Client, delivering};

#[test]
fn the_header_of_the_proxy_names_the_client_and_without_one_there_is_no_session() {
    let setup = delivering(&["--proxy-protocol-from", "127.0.0.1", "--max-per-peer", "1"]);
    let connect = |header: &str| {
        let mut client = Client::silent(setup.address);
        client.stream.write_all(header.as_bytes()).unwrap();
        client
    };
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n";
    let mut client = connect(header);
    assert!(client.reply().unwrap().starts_with("220 "));
    assert_eq!(client.send("text").unwrap(), "250 OK");
    let message = setup.maildir.only_message();
    assert!(
        message.contains("Received: from client ([192.0.2.7])\n"),
        "{message}"
    );
    assert!(
        connect(header).reply().is_err(),
        "a second one of the same client"
    );
    let other = "PROXY TCP6 2001:db8::1 2001:db8::2 4000 25\r\n";
    let mut client = connect(other);
    assert!(client.reply().unwrap().starts_with("220 "));
    assert_eq!(client.send("text").unwrap(), "250 OK");
    let messages = setup.maildir.messages();
    let by_other = |text: &String| text.contains("([IPv6:2001:db8::1])");
    assert_eq!(messages.iter().filter(|text| by_other(text)).count(), 1);
    assert!(connect("EHLO client\r\n").reply().is_err());
}
